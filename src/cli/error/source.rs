//! Messages about a definition, drawn with the source that they are about.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Snippet};

use super::{Style, safe};
use crate::cli::progress::clean;
use crate::frontend::diagnostic::{Annotation, Diagnostic, Severity};
use crate::ops::error::Diagnostics;

/// Messages about a definition, with an empty line between them.
pub fn render_diagnostics(diagnostics: &Diagnostics, style: Style) -> String {
    let source = Source::new(&diagnostics.text);
    let drawn = diagnostics.list.iter().map(|diagnostic| draw(diagnostics, &source, diagnostic, style));
    drawn.collect::<Vec<String>>().join("\n")
}

fn draw(diagnostics: &Diagnostics, source: &Source, diagnostic: &Diagnostic, style: Style) -> String {
    let Diagnostic { severity, rule, message, annotations, help, fix: _ } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Advice => Level::NOTE.with_name("advice"),
    };
    let mut title = level.primary_title(safe(message));
    if let Some(rule) = rule {
        title = title.id(*rule);
    }
    let mut group = Group::with_title(title);
    let mut files: Vec<(&str, Range<usize>, Vec<&Annotation>)> = Vec::new();
    for annotation in annotations {
        let (name, bytes) = diagnostics.file_at(annotation.span.start);
        match files.iter_mut().find(|(_, known, _)| *known == bytes) {
            Some((.., here)) => here.push(annotation),
            None => files.push((name, bytes, vec![annotation])),
        }
    }
    for (name, bytes, here) in files {
        group = group.element(source.snippet(name, bytes, &here));
    }
    for help in help {
        group = group.element(Level::HELP.message(safe(help)));
    }
    style.group(group)
}

/// A text as it is drawn. Characters that could harm a terminal are replaced by as many bytes of harmless ones, so that
/// spans stay right.
pub(super) struct Source {
    text: String,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let harmless = |character: char| match character {
            '\n' | '\t' => character.to_string(),
            // The byte order mark at the start, and the carriage return before an end of line, are not seen.
            character if character.is_control() => "?".repeat(character.len_utf8()),
            character if clean(character.encode_utf8(&mut [0; 4]).as_bytes(), false).is_empty() => {
                "?".repeat(character.len_utf8())
            }
            character => character.to_string(),
        };
        Self { text: text.replace("\r\n", " \n").chars().map(harmless).collect() }
    }

    /// `bytes` are those of the file that is shown.
    pub(super) fn snippet<'a>(
        &'a self,
        name: &str,
        bytes: Range<usize>,
        annotations: &[&Annotation],
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let bytes = self.boundary(bytes.start)..self.boundary(bytes.end);
        let mut snippet = Snippet::source(&self.text[bytes.clone()]).path(safe(name));
        for Annotation { span, text, primary } in annotations {
            let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let span = self.span(span);
            let within = |at: usize| at.clamp(bytes.start, bytes.end) - bytes.start;
            let annotation = kind.span(within(span.start)..within(span.end));
            let label = safe(text);
            snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(label) });
        }
        snippet
    }

    /// The span, within the text, on whole characters, and without blanks at its end.
    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end).max(start);
        start..start + self.text[start..end].trim_end().len()
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}
