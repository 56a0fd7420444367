//! The comments at the top of a file that say how it is to be read: `syntax`, `escape` and `check`.

use super::Diagnostic;
use super::lines::Physical;
use crate::frontend::dockerfile::ast::{CheckOptions, Span};
use crate::frontend::dockerfile::suggest::nearest;

/// What the directives said so far.
pub(super) struct Directives {
    /// The escape character.
    pub escape: char,
    /// What `check` says.
    pub check: CheckOptions,
    seen: Vec<(&'static str, Span)>,
    done: bool,
}

/// How the value of a `check` directive is written.
pub(in crate::frontend::dockerfile) const CHECK_HELP: &str =
    "write `check=skip=RULE,RULE;error=true`, or `skip=all`, or `experimental=RULE`";

const NAMES: [&str; 3] = ["syntax", "escape", "check"];

impl Directives {
    /// The state before the first line of a text.
    pub(super) fn new(text: &str, errors: &mut Vec<Diagnostic>) -> Self {
        let mut directives = Self { done: false, ..Self::none() };
        // Below a first line `#!…`, only `syntax` and `check` are looked for: for `escape` it is an ordinary comment.
        if let Some((first, rest)) = text.split_once('\n')
            && first.trim_start_matches('\u{feff}').starts_with("#!")
        {
            let mut start = first.len() + 1;
            for line in rest.split_inclusive('\n') {
                let line_start = start;
                start += line.len();
                match key_value(line) {
                    Some(("syntax", value, span)) => check_front_end(value, shift(span, line_start), errors),
                    Some(("check", value, span)) => directives.read_check(value, shift(span, line_start), errors),
                    Some(_) => {}
                    None => break,
                }
            }
            directives.done = true;
        }
        directives
    }

    /// No directives, and none to come.
    pub(super) fn none() -> Self {
        Self { escape: '\\', check: CheckOptions::default(), seen: Vec::new(), done: true }
    }

    /// Something other than a comment has come.
    pub(super) fn end(&mut self) {
        self.done = true;
    }

    /// Looks at a comment; says whether it is a directive.
    pub(super) fn line(&mut self, line: Physical<'_>, errors: &mut Vec<Diagnostic>) -> bool {
        if self.done {
            return false;
        }
        let Some((name, value, span)) = key_value(line.full) else {
            self.done = true;
            return false;
        };
        let span = shift(span, line.start);
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == name) {
            errors.push(
                Diagnostic::error(span, format!("the directive `{name}` is there twice"))
                    .note(first.clone(), "it was set here")
                    .help("remove one of them"),
            );
            return true;
        }
        self.seen.push((name, span.clone()));
        match name {
            "escape" => match value {
                "\\" => self.escape = '\\',
                "`" => self.escape = '`',
                _ => errors.push(
                    Diagnostic::error(span, format!("`{value}` cannot be the escape character"))
                        .help("it can be a backslash or a backtick"),
                ),
            },
            "syntax" => check_front_end(value, span, errors),
            _ => self.read_check(value, span, errors),
        }
        true
    }

    fn read_check(&mut self, value: &str, span: Span, errors: &mut Vec<Diagnostic>) {
        match parse_check(value.split(' ').next().unwrap_or_default()) {
            Ok(check) => self.check = check,
            Err(message) => errors.push(Diagnostic::error(span, message).help(CHECK_HELP)),
        }
    }
}

/// The value of a `check` directive.
pub(in crate::frontend::dockerfile) fn parse_check(text: &str) -> Result<CheckOptions, String> {
    let mut check = CheckOptions::default();
    let list = |value: &str| value.split(',').map(|name| name.trim().to_owned()).collect();
    for part in text.trim().splitn(3, ';') {
        let Some((key, value)) = part.split_once('=') else { return Err(format!("`{part}` is no check option")) };
        match (key.trim(), value.trim()) {
            ("skip", "all") => check.skip_all = true,
            ("skip", value) => check.skip = list(value),
            ("experimental", "all") => check.experimental_all = true,
            ("experimental", value) => check.experimental = list(value),
            ("error", "1" | "t" | "T" | "true" | "TRUE" | "True") => check.error = true,
            ("error", "0" | "f" | "F" | "false" | "FALSE" | "False") => check.error = false,
            ("error", value) => return Err(format!("`{value}` is neither true nor false")),
            (key, _) => {
                let meant = nearest(key, ["skip", "experimental", "error"]);
                let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
                return Err(format!("`{key}` is no check option{meant}"));
            }
        }
    }
    Ok(check)
}

/// The options of a `check=` comment above an instruction.
pub(in crate::frontend::dockerfile) fn check_of_comments(comments: &[String]) -> Option<CheckOptions> {
    let found = comments.iter().find_map(|comment| match split_pair(comment) {
        Some((key, value)) if key.eq_ignore_ascii_case("check") => Some(value),
        _ => None,
    })?;
    parse_check(found.split(' ').next().unwrap_or_default()).ok()
}

/// Refuses a front end that is not this one.
pub(in crate::frontend::dockerfile) fn check_front_end(value: &str, span: Span, errors: &mut Vec<Diagnostic>) {
    let image = value.split_whitespace().next().unwrap_or_default();
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or_default();
    if !matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream") {
        errors.push(
            Diagnostic::error(span, format!("the front end `{image}` cannot be used"))
                .help("only the language of docker/dockerfile is known, and it is built in: remove the line"),
        );
    }
}

/// The name of a known directive, its value and the bytes of both.
fn key_value(line: &str) -> Option<(&'static str, &str, Span)> {
    let rest = line.trim_start().strip_prefix('#')?.trim();
    let (key, value) = split_pair(rest)?;
    let name = NAMES.into_iter().find(|name| key.eq_ignore_ascii_case(name))?;
    let start = line.len() - line.trim_start().len();
    Some((name, value, start..line.trim_end().len()))
}

fn split_pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim_end();
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    let value = value.trim();
    (named && !value.is_empty()).then_some((key, value))
}

fn shift(span: Span, by: usize) -> Span {
    span.start + by..span.end + by
}
