//! `${NAME}` in strings, and the values of variables.
//!
//! `$${` stands for `${`; a `$` before anything else is just that. There is no `$NAME`, which leaves shell and Dockerfile
//! text alone, and there are no functions yet.

use std::collections::BTreeMap;
use std::ops::Range;

use super::model::{BuildFile, Place, Text};

/// The most bytes of an expanded string: a few variables can ask for more than there is memory.
const LONGEST: usize = 1 << 20;

/// What is wrong with a value: the words, advice, and which part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) part: Option<Range<usize>>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn at(text: &Text, message: impl Into<String>) -> Self {
        Self { place: text.place.clone(), part: None, message: message.into(), help: None }
    }

    pub(super) fn part(mut self, part: Range<usize>) -> Self {
        self.part = Some(part);
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A part of a string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    /// The variable's name, and where the reference is.
    Variable(&'a str, Range<usize>),
}

/// Takes a string apart.
pub(super) fn pieces(text: &Text) -> Result<Vec<Piece<'_>>, Fault> {
    let whole = text.text.as_str();
    if matches!(text.place, Place::Set(_)) {
        return Ok(vec![Piece::Literal(whole)]);
    }
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = whole[from..].find("${").map(|at| from + at) {
        if whole[from..at].ends_with('$') {
            found.push(Piece::Literal(&whole[from..at]));
            found.push(Piece::Literal("{"));
            from = at + 2;
            continue;
        }
        found.push(Piece::Literal(&whole[from..at]));
        let Some(end) = whole[at..].find('}').map(|end| at + end) else {
            let fault = Fault::at(text, "`${` without a `}`").part(at..whole.len());
            return Err(fault.help("write `$${` for a `${` that is meant as it is"));
        };
        let name = &whole[at + 2..end];
        if !is_variable_name(name) {
            let fault = Fault::at(text, format!("`{name}` is not the name of a variable")).part(at..end + 1);
            return Err(fault.help(
                "names are letters, digits and `_`; functions and defaults are not supported here; `$${` stands for `${`",
            ));
        }
        found.push(Piece::Variable(name, at..end + 1));
        from = end + 1;
    }
    found.push(Piece::Literal(&whole[from..]));
    Ok(found)
}

/// Whether a variable can be called so.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The values of all variables.
pub(super) struct Scope {
    /// None for variables without a value.
    values: BTreeMap<String, Result<String, Fault>>,
}

impl Scope {
    /// The values, with those of the environment instead of the defaults. Cycles have been ruled out.
    pub(super) fn new(file: &BuildFile, environment: &BTreeMap<String, String>) -> Self {
        let mut scope = Self { values: BTreeMap::new() };
        for variable in &file.variables {
            scope.define(file, environment, &variable.name);
        }
        scope
    }

    fn define(&mut self, file: &BuildFile, environment: &BTreeMap<String, String>, name: &str) {
        if self.values.contains_key(name) {
            return;
        }
        let default = file.variable(name).and_then(|variable| variable.default.as_ref());
        let value = match (environment.get(name), default) {
            (Some(value), _) => Some(Ok(value.clone())),
            (None, Some(default)) => {
                for piece in pieces(default).unwrap_or_default() {
                    if let Piece::Variable(other, _) = piece {
                        self.define(file, environment, other);
                    }
                }
                Some(self.expand(default))
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// The text with the values of its variables.
    pub(super) fn expand(&self, text: &Text) -> Result<String, Fault> {
        let mut expanded = String::with_capacity(text.text.len());
        for piece in pieces(text)? {
            match piece {
                Piece::Literal(literal) => expanded.push_str(literal),
                Piece::Variable(name, part) => match self.values.get(name) {
                    Some(Ok(value)) => expanded.push_str(value),
                    Some(Err(fault)) => return Err(fault.clone()),
                    None => {
                        let fault = Fault::at(text, format!("the variable `{name}` has no value")).part(part);
                        return Err(fault.help(format!("set {name} in the environment, or give it a `default`")));
                    }
                },
            }
            if expanded.len() > LONGEST {
                return Err(Fault::at(text, "longer than a mebibyte with its variables"));
            }
        }
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text { text: text.into(), place: Place::File { span: 0..text.len() + 2, content: Some(1) } }
    }

    #[test]
    fn takes_strings_apart() {
        let check = |input: &str, expected: &str| {
            let shown = match pieces(&text(input)) {
                Ok(pieces) => pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Literal(literal) => literal.to_string(),
                        Piece::Variable(name, _) => format!("<{name}>"),
                    })
                    .collect(),
                Err(fault) => fault.message,
            };
            assert_eq!(shown, expected, "{input}");
        };
        check("", "");
        check("app:${TAG}", "app:<TAG>");
        check("${A}${B}", "<A><B>");
        check("$TAG costs $5", "$TAG costs $5");
        check("$${TAG} ${TAG}", "${TAG} <TAG>");
        check("${", "`${` without a `}`");
        check("${A-b}", "`A-b` is not the name of a variable");
        check("${}", "`` is not the name of a variable");
        check("ä${Ä}", "`Ä` is not the name of a variable");
    }

    #[test]
    fn leaves_set_options_alone() {
        let given = Text { text: "${A".into(), place: Place::Set("app.tags=${A".into()) };
        assert_eq!(pieces(&given), Ok(vec![Piece::Literal("${A")]));
    }
}
