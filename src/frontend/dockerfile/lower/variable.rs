//! Where in a word the variable stands that a message is about.

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Span, Word};
use crate::frontend::dockerfile::expand::ExpandError;

/// Why a word could not be expanded, at the variable that is to blame.
pub(super) fn cannot_expand(word: &Word, error: &ExpandError) -> Diagnostic {
    let text = word.value.as_str();
    let place = match error {
        ExpandError::Required { name, .. } => variable(text, name),
        ExpandError::Modifier(modifier) => substitutions(text).find(|place| {
            let inner = text[place.clone()].trim_start_matches("${");
            inner.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').starts_with(modifier.as_str())
        }),
        ExpandError::Name => substitutions(text).find(|place| text[place.start + 2..].starts_with(['{', '}', ':'])),
        ExpandError::Brace | ExpandError::Slash => text.rfind("${").map(|start| start..text.len()),
        ExpandError::Quote(_) | ExpandError::Escape(_) | ExpandError::Depth | ExpandError::Size => None,
    };
    Diagnostic::error(in_file(word, place), error.to_string()).help(error.help())
}

/// The place of a variable in a word; all of the word if it cannot be told.
pub(super) fn place_of_variable(word: &Word, name: &str) -> Span {
    in_file(word, variable(&word.value, name))
}

/// A place in the text of a word as a place in the file. Of a word that does not stand there as it is, all is meant.
fn in_file(word: &Word, place: Option<Span>) -> Span {
    let Some(place) = place else { return word.span.clone() };
    // The value of a flag is the end of what its place shows.
    match word.span.len().checked_sub(word.value.len()) {
        Some(before) if before == 0 || word.span.len() > word.value.len() + 2 => {
            let start = word.span.start + before;
            start + place.start..start + place.end
        }
        _ => word.span.clone(),
    }
}

/// Where `$name` or `${name…}` stands in a text.
fn variable(text: &str, name: &str) -> Option<Span> {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    let mut places = text.match_indices('$').map(|(at, _)| at);
    places.find_map(|at| {
        let after = &text[at + 1..];
        let inner = after.strip_prefix('{');
        let rest = inner.unwrap_or(after).strip_prefix(name)?;
        if rest.starts_with(goes_on) {
            return None;
        }
        match inner {
            Some(_) => Some(at..closing(text, at)),
            None => Some(at..at + 1 + name.len()),
        }
    })
}

/// Where each `${…}` of a text stands, the outer ones first.
fn substitutions(text: &str) -> impl Iterator<Item = Span> {
    text.match_indices("${").map(|(at, _)| at..closing(text, at))
}

/// The end of the substitution that starts at a byte.
fn closing(text: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_variables() {
        let check = |text: &str, name: &str, expected: Option<&str>| {
            assert_eq!(variable(text, name).map(|place| &text[place]), expected, "{text}");
        };
        check("a/$b/c", "b", Some("$b"));
        check("$bc$b", "b", Some("$b"));
        check("x${b:-${c}}y", "b", Some("${b:-${c}}"));
        check("x${b:-${c}}y", "c", Some("${c}"));
        check("${b", "b", Some("${b"));
        check("b", "b", None);
    }
}
