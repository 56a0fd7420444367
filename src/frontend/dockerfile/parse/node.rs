//! A line as keyword, flags and arguments, and the heredocs below it. What the arguments mean comes later.

use super::instruction::known;
use super::lines::{Line, LineReader, MAX_LINE, too_long};
use super::words::{self, Json};
use super::{Diagnostic, Failed, heredoc};
use crate::frontend::dockerfile::ast::{Head, Heredoc, Pair, Span, Word};

/// A line, taken apart.
#[derive(Debug)]
pub(super) struct Node {
    /// Keyword, place, comments.
    pub head: Head,
    /// The instruction as it is known, in upper case; empty if there is none of this keyword.
    pub name: &'static str,
    /// Flags with their two dashes, quotes resolved.
    pub flags: Vec<Word>,
    /// The arguments; one if the instruction takes its text whole.
    pub args: Vec<Word>,
    /// `NAME=value` arguments.
    pub pairs: Vec<Pair>,
    /// Whether the arguments came from a JSON array.
    pub json: bool,
    /// The heredocs that the line opens.
    pub heredocs: Vec<Heredoc>,
}

/// The parts of a line, or of the part of one that `ONBUILD` holds.
#[derive(Debug, Default)]
struct Shape {
    keyword: Span,
    name: &'static str,
    flags: Vec<Word>,
    args: Vec<Word>,
    pairs: Vec<Pair>,
    json: bool,
    /// Whether `<<` opens heredocs.
    heredocs: bool,
}

/// Takes a line apart and reads its heredocs.
pub(super) fn read(line: Line, escape: char, reader: &mut LineReader<'_>) -> Result<Node, Failed> {
    let start = line.text.len() - line.text.trim_start().len();
    let end = line.text.trim_end().len();
    let shape = shape(&line, start..end.max(start), escape, true).map_err(|(error, name)| {
        let errors = vec![error];
        Failed { errors, was_from: name == "FROM" }
    })?;
    let Shape { keyword, name, flags, args, pairs, json, heredocs } = shape;
    let Line { text, pieces, span, comments } = line;
    let head = Head { keyword, span: span.clone(), text, comments, pieces };
    let mut node = Node { head, name, flags, args, pairs, json, heredocs: Vec::new() };
    if !heredocs || !node.head.text.contains("<<") {
        return Ok(node);
    }
    let openings = heredoc::openings(&node.head.text).map_err(|error| {
        Diagnostic::error(span.clone(), format!("the name of a heredoc cannot be read: {error}")).help(error.help())
    })?;
    for opening in openings {
        let mut body = String::new();
        let mut place: Option<Span> = None;
        let mut closed = false;
        while let Some(next) = reader.physical() {
            let length = next.full.strip_suffix('\n').unwrap_or(next.full).len();
            if length > MAX_LINE {
                return Err(too_long(next, length).into());
            }
            node.head.span.end = next.span().end;
            let text = next.text();
            let text = if opening.strip_tabs { text.trim_start_matches('\t') } else { text };
            if text == opening.name {
                closed = true;
                break;
            }
            place.get_or_insert(next.start..next.start).end = next.start + next.full.len();
            body.push_str(next.full);
        }
        if !closed {
            let message = format!("the heredoc `{}` is not closed", opening.name);
            let mut error = Diagnostic::error(span.clone(), message)
                .label("it is opened here")
                .help(format!("end it with a line that holds nothing but `{}`", opening.name));
            if opening.name.starts_with(|c: char| c.is_ascii_digit()) {
                error = error.help("if `<<` is meant as a shift, write no blank after it, or quote it");
            }
            return Err(error.into());
        }
        let place = place.unwrap_or(node.head.span.end..node.head.span.end);
        node.heredocs.push(Heredoc {
            name: opening.name,
            expand: opening.expand,
            strip_tabs: opening.strip_tabs,
            body: Word::new(body, place),
        });
    }
    Ok(node)
}

/// Finds the parts of a line by what its instruction takes.
fn shape(line: &Line, within: Span, escape: char, outermost: bool) -> Result<Shape, (Diagnostic, &'static str)> {
    let text = line.text.as_str();
    let (keyword, after) = words::first(text, within.clone());
    let name = known(&text[keyword.clone()]);
    let wrong = |error: Diagnostic| (error, name);
    let (flags, rest) = words::flags(text, after..within.end, escape);
    let rest = rest + (text[rest..within.end].len() - text[rest..within.end].trim_start().len())..within.end;
    let rest = rest.start.min(rest.end)..rest.end;
    let word = |span: Span| Word::new(text[span.clone()].to_owned(), line.at(span));
    let flags = flags.into_iter().map(|(flag, span)| Word::new(flag, line.at(span))).collect();
    let mut shape = Shape { keyword, name, flags, ..Shape::default() };
    let whole = |span: Span| if span.is_empty() { Vec::new() } else { vec![word(span)] };
    let plain = |span: Span| words::plain(text, span).map(word).collect::<Vec<_>>();
    match name {
        "ADD" | "COPY" | "VOLUME" => match array(line, rest.clone()).map_err(wrong)? {
            Some(args) => (shape.args, shape.json) = (args, true),
            None => shape.args = plain(rest),
        },
        "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => match array(line, rest.clone()).map_err(wrong)? {
            Some(args) => (shape.args, shape.json) = (args, true),
            None => shape.args = whole(rest),
        },
        "HEALTHCHECK" => {
            let blank = text[rest.clone()].find(char::is_whitespace).map_or(rest.end, |at| rest.start + at);
            shape.args = whole(rest.start..blank);
            let command = blank + (text[blank..rest.end].len() - text[blank..rest.end].trim_start().len())..rest.end;
            match array(line, command.clone()).map_err(wrong)? {
                Some(args) => {
                    shape.args.extend(args);
                    shape.json = true;
                }
                None => shape.args.extend(whole(command)),
            }
        }
        "EXPOSE" | "FROM" => shape.args = plain(rest),
        "ARG" => shape.args = words::quoted(text, rest, escape).into_iter().map(word).collect(),
        "ENV" | "LABEL" => shape.pairs = pairs(line, rest, escape, name).map_err(wrong)?,
        "ONBUILD" => {
            // The trigger is text, but some of its errors are found now, and its heredocs are part of it.
            if outermost && !rest.is_empty() {
                let inner = self::shape(line, rest.clone(), escape, false);
                shape.heredocs = inner.map_err(|(error, _)| wrong(error))?.heredocs;
            }
            shape.args = whole(rest);
        }
        _ => shape.args = whole(rest),
    }
    shape.heredocs |= matches!(name, "ADD" | "COPY" | "RUN") && !shape.json;
    Ok(shape)
}

/// The strings of the JSON form; none if the text is not in it.
fn array(line: &Line, span: Span) -> Result<Option<Vec<Word>>, Diagnostic> {
    let place = line.at(span.clone());
    match words::json(&line.text[span]) {
        Json::No => Ok(None),
        Json::Strings(strings) => Ok(Some(strings.into_iter().map(|s| Word::new(s, place.clone())).collect())),
        Json::Mixed => Err(Diagnostic::error(place, "a JSON array here can only hold strings")
            .help("put every item in double quotes: [\"sleep\", \"1\"]")),
    }
}

/// The arguments of `ENV` and `LABEL`: `NAME=value …`, or one `NAME value`.
fn pairs(line: &Line, rest: Span, escape: char, instruction: &str) -> Result<Vec<Pair>, Diagnostic> {
    let text = line.text.as_str();
    let word = |span: Span| Word::new(text[span.clone()].to_owned(), line.at(span));
    let found = words::quoted(text, rest.clone(), escape);
    let Some(first) = found.first() else { return Ok(Vec::new()) };
    if !text[first.clone()].contains('=') {
        let (key, value) = words::first(text, rest.clone());
        if value >= rest.end && key.end == rest.end {
            let name = &text[key.clone()];
            return Err(Diagnostic::error(line.at(key), format!("`{instruction}` needs a value for `{name}`"))
                .label("`=` is missing")
                .help(format!("write `{instruction} {name}=value`")));
        }
        return Ok(vec![Pair { key: word(key), value: word(value..rest.end), legacy: true }]);
    }
    let mut pairs = Vec::with_capacity(found.len());
    for span in found {
        let Some((key, _)) = text[span.clone()].split_once('=') else {
            let name = &text[span.clone()];
            let mut error = Diagnostic::error(line.at(span), format!("`{name}` has no value"))
                .label("`=` is missing")
                .help(format!("write `{instruction} name=value name=value`; quote values that hold blanks"));
            if name.starts_with('#') {
                error = error.help("a comment needs a line of its own");
            }
            return Err(error);
        };
        let middle = span.start + key.len();
        if key.is_empty() {
            return Err(Diagnostic::error(line.at(span), format!("a name of `{instruction}` is empty")));
        }
        pairs.push(Pair { key: word(span.start..middle), value: word(middle + 1..span.end), legacy: false });
    }
    Ok(pairs)
}
