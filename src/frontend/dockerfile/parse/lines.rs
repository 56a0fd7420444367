//! Logical lines: physical ones joined at their continuations, comments left out, with a way back to the file.

use super::{Diagnostic, Directives};
use crate::frontend::dockerfile::ast::{self, Span, Word};

/// How many bytes a physical line can have, its line feed not counted.
pub(super) const MAX_LINE: usize = 65_535;

/// A line of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Physical<'a> {
    /// Where it starts.
    pub start: usize,
    /// Its text with the line break.
    pub full: &'a str,
}

impl<'a> Physical<'a> {
    /// Its text without the line break.
    pub(super) fn text(self) -> &'a str {
        self.full.trim_end_matches(['\r', '\n'])
    }

    /// The bytes of its text.
    pub(super) fn span(self) -> Span {
        self.start..self.start + self.text().len()
    }

    fn is_comment(self) -> bool {
        self.full.trim_start().starts_with('#')
    }
}

/// An instruction's line, continuations joined.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// The text.
    pub text: String,
    /// Where in the file its pieces after the first start: (place in the text, place in the file), ascending.
    pub pieces: Vec<(usize, usize)>,
    /// All its bytes in the file.
    pub span: Span,
    /// The comments right above it.
    pub comments: Vec<String>,
}

impl Line {
    /// Where some bytes of the text stand in the file.
    pub(super) fn at(&self, bytes: Span) -> Span {
        ast::place(&self.span, &self.pieces, bytes)
    }
}

/// Takes a text apart.
pub(super) struct LineReader<'a> {
    text: &'a str,
    at: usize,
    comments: Vec<String>,
    /// What comments say to this builder alone, before the first stage.
    pub notes: Vec<Word>,
    /// Whether comments are only comments from here on.
    pub past_first_stage: bool,
    /// Where each line starts.
    pub line_starts: ast::LineStarts,
    /// Blank lines inside continuations, by instruction.
    pub empty_continuations: Vec<Vec<Span>>,
}

impl<'a> LineReader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let line_starts = ast::line_starts(text);
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            at,
            comments: Vec::new(),
            notes: Vec::new(),
            past_first_stage: false,
            line_starts,
            empty_continuations: Vec::new(),
        }
    }

    /// The next physical line.
    pub(super) fn physical(&mut self) -> Option<Physical<'a>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let line = Physical { start: self.at, full: &rest[..length] };
        self.at += length;
        Some(line)
    }

    /// The next line that is no comment and not blank.
    pub(super) fn next_line(&mut self, directives: &mut Directives, errors: &mut Vec<Diagnostic>) -> Option<Line> {
        loop {
            let first = self.checked(errors)?;
            let text = first.text();
            if first.is_comment() {
                // Of one that is indented, all but the first blank counts.
                let comment = text.get(1..).unwrap_or_default().trim();
                if !directives.line(first, errors) {
                    if !self.past_first_stage {
                        self.notes.extend(note(first));
                    }
                    match comment {
                        "" => self.comments.clear(),
                        comment => self.comments.push(comment.to_owned()),
                    }
                }
                continue;
            }
            directives.end();
            let indent = text.len() - text.trim_start().len();
            let (piece, mut goes_on) = split_continuation(&text[indent..], directives.escape);
            if piece.is_empty() && !goes_on {
                continue;
            }
            let start = first.start + indent;
            let mut line = Line { span: start..start + piece.len(), ..Line::default() };
            line.text.push_str(piece);
            let mut blank = Vec::new();
            while goes_on {
                let Some(next) = self.checked(errors) else { break };
                if next.is_comment() {
                    continue;
                }
                if next.text().trim().is_empty() {
                    blank.push(next.span());
                    continue;
                }
                let (piece, more) = split_continuation(next.text(), directives.escape);
                line.pieces.push((line.text.len(), next.start));
                line.text.push_str(piece);
                line.span.end = next.start + piece.len();
                goes_on = more;
            }
            if !blank.is_empty() {
                self.empty_continuations.push(blank);
            }
            line.comments = std::mem::take(&mut self.comments);
            return Some(line);
        }
    }

    /// The next physical line; one that is too long is an error and is passed over.
    fn checked(&mut self, errors: &mut Vec<Diagnostic>) -> Option<Physical<'a>> {
        loop {
            let line = self.physical()?;
            let length = line.full.strip_suffix('\n').unwrap_or(line.full).len();
            if length <= MAX_LINE {
                return Some(line);
            }
            errors.push(too_long(line, length));
        }
    }
}

/// What a comment says to this builder: `key=value` behind its name. Other builders see a comment.
fn note(line: Physical<'_>) -> Option<Word> {
    let said = line.text().trim_start().strip_prefix('#')?.trim_start().strip_prefix("imgbuild")?;
    let note = said.strip_prefix([' ', '\t'])?.trim();
    let (key, _) = note.split_once('=')?;
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let end = line.start + line.text().trim_end().len();
    is_key.then(|| Word::new(note.to_owned(), end - note.len()..end))
}

/// The complaint about a line with too many bytes.
pub(super) fn too_long(line: Physical<'_>, length: usize) -> Diagnostic {
    Diagnostic::error(line.start..line.start + 1, format!("a line of {length} bytes is too long"))
        .label("it starts here")
        .help(format!("a line can have {MAX_LINE} bytes: break it with the escape character, or copy a file"))
}

/// The line without its continuation mark, and whether it had one: the escape character at its end, blanks after it
/// allowed, not itself escaped.
fn split_continuation(line: &str, escape: char) -> (&str, bool) {
    let Some(rest) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else { return (line, false) };
    if rest.ends_with(escape) { (line, false) } else { (rest, true) }
}
