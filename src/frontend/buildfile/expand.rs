//! `${NAME}` and `${function(…)}` in strings, and the values of variables.
//!
//! `$${` stands for `${`; a `$` before anything else is just that. There is no `$NAME`, which leaves shell and Dockerfile
//! text alone.

use std::collections::BTreeMap;
use std::ops::Range;

use super::expression::{self, Expression, Mistake};
use super::functions::{LONGEST, Value};
use super::model::{BuildFile, Place, Text};
use super::variables::{Default, Variable};

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

/// The variables in a text, if it can be read.
pub(super) fn variables_of(text: &Text) -> Vec<String> {
    let of = |piece: &Piece<'_>| match piece {
        Piece::Expression(expression) => expression.variables().iter().map(|(name, _)| (*name).to_owned()).collect(),
        Piece::Literal(_) => Vec::new(),
    };
    pieces(text).unwrap_or_default().iter().flat_map(of).collect()
}

/// The values of all variables.
#[derive(Default)]
pub(super) struct Scope {
    /// None for variables without a value.
    values: BTreeMap<String, Result<Value, Fault>>,
    /// Whether variables without a value are empty, where they must have one.
    lenient: bool,
}

impl Scope {
    /// The values, with those of the environment instead of the defaults. Cycles have been ruled out.
    ///
    /// Also returns what is wrong with them. A default that needs a variable without a value is wrong where it is used.
    pub(super) fn new(file: &BuildFile, environment: &BTreeMap<String, String>) -> (Self, Vec<Fault>) {
        let mut scope = Self::default();
        let mut faults = Vec::new();
        for variable in &file.variables {
            scope.define(file, environment, &variable.name, &mut faults);
        }
        for variable in &file.variables {
            faults.extend(scope.condition(variable, environment.contains_key(&variable.name)));
        }
        (scope, faults)
    }

    /// The values as the file alone has them. A variable that only the environment can give a value is empty; what else is
    /// wrong is wrong where it is used.
    pub(super) fn of_file(file: &BuildFile) -> Self {
        Self { lenient: true, ..Self::new(file, &BTreeMap::new()).0 }
    }

    fn define(
        &mut self,
        file: &BuildFile,
        environment: &BTreeMap<String, String>,
        name: &str,
        faults: &mut Vec<Fault>,
    ) {
        if self.values.contains_key(name) {
            return;
        }
        let Some(variable) = file.variable(name) else { return };
        let given = environment.get(name);
        let value = match (given, &variable.default) {
            (Some(value), _) => Ok(Value::Text(value.clone())),
            (None, Some(default)) => {
                for text in variable.default_texts() {
                    for other in variables_of(text) {
                        self.define(file, environment, &other, faults);
                    }
                }
                match default {
                    Default::One(text) => self.value(text),
                    Default::List(items, _) => self.list(items).map(Value::List),
                }
            }
            (None, None) => {
                faults.extend(variable.required.then(|| variable.missing()));
                return;
            }
        };
        let value = value
            .and_then(|value| variable.check(value, given.is_some()).inspect_err(|fault| faults.push(fault.clone())));
        if value != Ok(Value::Unset) {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// What is wrong if the condition of a variable does not hold. One without a value has nothing to be wrong.
    fn condition(&self, variable: &Variable, from_environment: bool) -> Option<Fault> {
        let condition = variable.condition.as_ref()?;
        let Some(Ok(value)) = self.values.get(&variable.name) else { return None };
        let held = match self.expand(condition) {
            Ok(held) => held,
            Err(fault) => return Some(fault),
        };
        let problem = match held.as_str() {
            "true" | "1" => return None,
            "false" | "0" | "" => variable.message.clone().map_or_else(
                || format!("is not as it must be: {}", condition.text),
                |message| format!("is not as it must be: {message}"),
            ),
            other => return Some(Fault::at(condition, format!("`{other}` is neither `true` nor `false`"))),
        };
        let shown = match value {
            Value::List(items) => items.join(","),
            value => value.to_text().unwrap_or_default(),
        };
        Some(variable.fault(&shown, &problem, from_environment))
    }

    /// The value of a variable, if it has one.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)?.as_ref().ok()
    }

    /// The items of a list. One that is a list itself stands for its items.
    pub(super) fn list(&self, texts: &[Text]) -> Result<Vec<String>, Fault> {
        let mut all = Vec::new();
        for text in texts {
            match self.value(text)? {
                Value::List(items) => all.extend(items),
                value => all.extend(value.to_text()),
            }
            if all.len() > LONGEST {
                return Err(Fault::at(text, "a list of more than a million items"));
            }
        }
        Ok(all)
    }

    /// The text with the values of its expressions; none if it is one that has none.
    pub(super) fn given(&self, text: &Text) -> Result<Option<String>, Fault> {
        match self.value(text)? {
            Value::Unset => Ok(None),
            // A list is told by its place in the text.
            Value::List(_) => self.expand(text).map(Some),
            value => Ok(value.to_text()),
        }
    }

    /// The text with the values of its expressions.
    pub(super) fn expand(&self, text: &Text) -> Result<String, Fault> {
        let mut expanded = String::with_capacity(text.text.len());
        for piece in pieces(text)? {
            match piece {
                Piece::Literal(literal) => expanded.push_str(literal),
                Piece::Expression(expression) => match self.evaluate(text, &expression)? {
                    Value::List(_) => {
                        let fault = Fault::at(text, "a list cannot stand in a text").part(expression.span);
                        return Err(fault.help("put its items together: `${join(',', …)}`"));
                    }
                    Value::Unset => {
                        let fault = Fault::at(text, "nothing can stand here that is not set").part(expression.span);
                        return Err(fault.help("use `${default(…, '')}`"));
                    }
                    value => expanded.push_str(&value.to_text().unwrap_or_default()),
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
            None if self.lenient => Ok(Value::Text(String::new())),
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
