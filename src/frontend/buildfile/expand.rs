//! `${NAME}` and `${function(…)}` in strings, and the values of variables.
//!
//! `$${` stands for `${`; a `$` before anything else is just that. There is no `$NAME`, which leaves shell and Dockerfile
//! text alone.

use std::collections::BTreeMap;
use std::ops::Range;

use super::expression::{self, Expression, Mistake};
use super::functions::{LONGEST, Value};
use super::model::{BuildFile, Place, Text};

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

    fn of(text: &Text, mistake: Mistake) -> Self {
        Self { place: text.place.clone(), part: Some(mistake.part), message: mistake.message, help: mistake.help }
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
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Expression(Expression<'a>),
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
        let (expression, end) = expression::parse(whole, at).map_err(|mistake| Fault::of(text, mistake))?;
        found.push(Piece::Expression(expression));
        from = end;
    }
    found.push(Piece::Literal(&whole[from..]));
    Ok(found)
}

/// The values of all variables.
#[derive(Default)]
pub(super) struct Scope {
    /// None for variables without a value.
    values: BTreeMap<String, Result<Value, Fault>>,
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
            (Some(value), _) => Some(Ok(Value::Text(value.clone()))),
            (None, Some(default)) => {
                for piece in pieces(default).unwrap_or_default() {
                    if let Piece::Expression(expression) = piece {
                        for (other, _) in expression.variables() {
                            self.define(file, environment, other);
                        }
                    }
                }
                Some(self.value(default))
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// The text with the values of its expressions.
    pub(super) fn expand(&self, text: &Text) -> Result<String, Fault> {
        let mut expanded = String::with_capacity(text.text.len());
        for piece in pieces(text)? {
            match piece {
                Piece::Literal(literal) => expanded.push_str(literal),
                Piece::Expression(expression) => match self.evaluate(text, &expression)?.to_text() {
                    Some(value) => expanded.push_str(&value),
                    None => {
                        let fault = Fault::at(text, "a list cannot stand in a text").part(expression.span);
                        return Err(fault.help("put its items together: `${join(',', …)}`"));
                    }
                },
            }
            if expanded.len() > LONGEST {
                return Err(Fault::at(text, "longer than a mebibyte with its variables"));
            }
        }
        Ok(expanded)
    }

    /// The same, but of a text that is one expression its value, which may be a list.
    pub(super) fn value(&self, text: &Text) -> Result<Value, Fault> {
        if let [Piece::Literal(""), Piece::Expression(expression), Piece::Literal("")] = pieces(text)?.as_slice() {
            return self.evaluate(text, expression);
        }
        self.expand(text).map(Value::Text)
    }

    fn evaluate(&self, text: &Text, expression: &Expression<'_>) -> Result<Value, Fault> {
        let found = expression.evaluate(&|name, part, unset| match self.values.get(name) {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(fault)) => Err(Wrong::Elsewhere(fault.clone())),
            None if unset => Ok(Value::Unset),
            None => Err(Wrong::Here(Mistake {
                part: part.clone(),
                message: format!("the variable `{name}` has no value"),
                help: Some(format!("set {name} in the environment, or give it a `default`")),
            })),
        });
        found.map_err(|wrong| match wrong {
            Wrong::Here(mistake) => Fault::of(text, mistake),
            Wrong::Elsewhere(fault) => fault,
        })
    }
}

/// Whether a text is wrong, or what it needs.
enum Wrong {
    Here(Mistake),
    Elsewhere(Fault),
}

impl From<Mistake> for Wrong {
    fn from(mistake: Mistake) -> Self {
        Self::Here(mistake)
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
                        Piece::Expression(expression) => format!("<{}>", expression.written(&|_| None)),
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
        check("${A-b}", "`-` where `}` or `(` is expected");
        check("${}", "`}` where the name of a variable or function is expected");
        check("ä${Ä}", "`Ä` where the name of a variable or function is expected");
        check("a${upper(replace(A, '}', ''))}b", "a<upper(replace(A, '}', ''))>b");
    }

    #[test]
    fn leaves_set_options_alone() {
        let given = Text { text: "${A".into(), place: Place::Set("app.tags=${A".into()) };
        assert!(matches!(pieces(&given).as_deref(), Ok([Piece::Literal("${A")])));
    }
}
