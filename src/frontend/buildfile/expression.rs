//! What stands between `${` and `}`: the name of a variable, or a call of a function.
//!
//! Arguments are names, strings in single or double quotes (a doubled quote in one is a quote), whole numbers, and
//! calls. There are no operators: a line of TOML is no place for a program. Every part knows its bytes, so that a message
//! can point at the very argument.

use std::ops::Range;

use super::functions::{self, FUNCTIONS, Function, Value};
use super::suggest::did_you_mean;

/// How deep calls can be in calls; it bounds the recursion.
const DEEPEST: usize = 50;

/// An expression and its bytes in the text.
pub(super) struct Expression<'a> {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind<'a>,
}

pub(super) enum Kind<'a> {
    Variable(&'a str),
    Constant(Value),
    Call(&'static Function, Vec<Expression<'a>>),
}

/// Knows variables: by name, with where that stands, and whether one without a value is fine.
pub(super) type Lookup<'a, E> = dyn Fn(&str, &Range<usize>, bool) -> Result<Value, E> + 'a;

/// What is wrong with an expression, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) part: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Mistake {
    fn new(part: Range<usize>, message: impl Into<String>) -> Self {
        Self { part, message: message.into(), help: None }
    }

    fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

/// Whether a variable can be called so.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads the expression that starts at `open`, where a `${` is; returns it and where the text goes on.
pub(super) fn parse(text: &str, open: usize) -> Result<(Expression<'_>, usize), Mistake> {
    let mut parser = Parser { text, open, at: open + 2 };
    let mut expression = parser.expression(0)?;
    parser.skip_space();
    if !parser.eat('}') {
        let wanted = if matches!(expression.kind, Kind::Variable(_)) { "`}` or `(`" } else { "`}`" };
        return Err(parser.unexpected(wanted));
    }
    if let Kind::Variable(_) = expression.kind {
        expression.span = open..parser.at;
    }
    Ok((expression, parser.at))
}

struct Parser<'a> {
    text: &'a str,
    open: usize,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, letter: char) -> bool {
        let found = self.rest().starts_with(letter);
        self.at += if found { letter.len_utf8() } else { 0 };
        found
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Range<usize> {
        let from = self.at;
        self.at += self.rest().find(|c| !wanted(c)).unwrap_or(self.rest().len());
        from..self.at
    }

    /// Something else than what is wanted comes next.
    fn unexpected(&self, wanted: &str) -> Mistake {
        let help = Some("write `$${` for a `${` that is meant as it is".to_owned());
        match self.rest().chars().next() {
            None => Mistake::new(self.open..self.text.len(), "`${` without a `}`").help(help),
            Some(next) => {
                let part = self.at..self.at + next.len_utf8();
                Mistake::new(part, format!("`{next}` where {wanted} is expected")).help(help)
            }
        }
    }

    fn expression(&mut self, depth: usize) -> Result<Expression<'a>, Mistake> {
        self.skip_space();
        let from = self.at;
        if depth > DEEPEST {
            return Err(Mistake::new(from..self.text.len(), format!("calls are more than {DEEPEST} deep")));
        }
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) if depth > 0 => self.string(quote),
            Some('-' | '0'..='9') if depth > 0 => self.number(),
            Some('a'..='z' | 'A'..='Z' | '_') => {
                let span = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
                let name = &self.text[span.clone()];
                self.skip_space();
                if self.eat('(') {
                    return self.call(name, span, depth);
                }
                Ok(Expression { span, kind: Kind::Variable(name) })
            }
            _ if depth > 0 => Err(self.unexpected("an argument")),
            _ => Err(self.unexpected("the name of a variable or function")),
        }
    }

    fn string(&mut self, quote: char) -> Result<Expression<'a>, Mistake> {
        let from = self.at;
        self.at += 1;
        let mut value = String::new();
        loop {
            let part = self.take(|c| c != quote);
            value.push_str(&self.text[part]);
            if !self.eat(quote) {
                return Err(Mistake::new(from..self.text.len(), format!("a {quote} that is not closed")));
            }
            if !self.eat(quote) {
                return Ok(Expression { span: from..self.at, kind: Kind::Constant(Value::Text(value)) });
            }
            value.push(quote);
        }
    }

    fn number(&mut self) -> Result<Expression<'a>, Mistake> {
        let span = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        let digits = &self.text[span.clone()];
        match digits.parse() {
            Ok(number) => Ok(Expression { span, kind: Kind::Constant(Value::Int(number)) }),
            Err(_) => Err(Mistake::new(span, format!("`{digits}` is not a whole number"))
                .help(Some("put it in quotes if it is a text".into()))),
        }
    }

    fn call(&mut self, name: &str, span: Range<usize>, depth: usize) -> Result<Expression<'a>, Mistake> {
        let Some(function) = functions::find(name) else {
            if let Some(refusal) = functions::refusal(name) {
                return Err(Mistake::new(span, refusal));
            }
            let known = FUNCTIONS.iter().map(|function| function.name);
            let help = did_you_mean(name, known.clone())
                .unwrap_or_else(|| format!("the functions are {}", known.collect::<Vec<_>>().join(", ")));
            return Err(Mistake::new(span, format!("no function is called `{name}`")).help(Some(help)));
        };
        let mut arguments = Vec::new();
        self.skip_space();
        if !self.eat(')') {
            loop {
                arguments.push(self.expression(depth + 1)?);
                self.skip_space();
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.unexpected("`,` or `)`"));
                }
            }
        }
        let span = span.start..self.at;
        function.check_count(arguments.len()).map_err(|message| Mistake::new(span.clone(), message))?;
        Ok(Expression { span, kind: Kind::Call(function, arguments) })
    }
}

impl<'a> Expression<'a> {
    /// Every variable in it, and where.
    pub(super) fn variables(&self) -> Vec<(&'a str, Range<usize>)> {
        match &self.kind {
            Kind::Variable(name) => vec![(name, self.span.clone())],
            Kind::Constant(_) => Vec::new(),
            Kind::Call(_, arguments) => arguments.iter().flat_map(Expression::variables).collect(),
        }
    }

    /// Its value.
    pub(super) fn evaluate<E: From<Mistake>>(&self, lookup: &Lookup<'_, E>) -> Result<Value, E> {
        self.value(lookup, false)
    }

    fn value<E: From<Mistake>>(&self, lookup: &Lookup<'_, E>, unset: bool) -> Result<Value, E> {
        match &self.kind {
            Kind::Variable(name) => lookup(name, &self.span, unset),
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    // The value of the branch that is not meant is never asked for.
                    let skipped = match (function.name, values.as_slice()) {
                        ("if", [Value::Bool(false)]) | ("if", [Value::Bool(true), _]) => true,
                        ("default", [Value::Text(text)]) => !text.is_empty(),
                        _ => false,
                    };
                    let mut value = match skipped {
                        true => Value::Text(String::new()),
                        false => argument.value(lookup, function.takes_unset())?,
                    };
                    if function.name == "if" && values.is_empty() {
                        let truth = functions::truth(std::slice::from_ref(&value), 0);
                        value = Value::Bool(truth.map_err(|problem| argument.mistake(problem.message))?);
                    }
                    values.push(value);
                }
                function.call(&values).map_err(|problem| {
                    let blamed = problem.argument.and_then(|index| arguments.get(index)).unwrap_or(self);
                    blamed.mistake(problem.message).into()
                })
            }
        }
    }

    fn mistake(&self, message: String) -> Mistake {
        Mistake::new(self.span.clone(), message)
    }

    /// The same as text between `${` and `}`, with constants in the place of some variables.
    pub(super) fn written(&self, constant: &dyn Fn(&str) -> Option<String>) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        match &self.kind {
            Kind::Variable(name) => constant(name).map_or_else(|| (*name).to_owned(), |value| quoted(&value)),
            Kind::Constant(Value::Text(text)) => quoted(text),
            Kind::Constant(value) => value.to_text().unwrap_or_default(),
            Kind::Call(function, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|argument| argument.written(constant)).collect();
                format!("{}({})", function.name, arguments.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let check = |text: &str, expected: &str| {
            let shown = match parse(text, 0) {
                Ok((expression, end)) => {
                    assert_eq!(end, text.len(), "{text}");
                    expression.written(&|name| (name == "X").then(|| "it's".into()))
                }
                Err(mistake) => format!("{} | {}", &text[mistake.part], mistake.message),
            };
            assert_eq!(shown, expected, "{text}");
        };
        check("${A}", "A");
        check("${ upper( A ) }", "upper(A)");
        check("${replace(A, \"'\", '}')}", "replace(A, '''', '}')");
        check("${default(X, -1)}", "default('it''s', -1)");
        check("${if(equal(A, 'x'), upper(B), '')}", "if(equal(A, 'x'), upper(B), '')");
        check("${", "${ | `${` without a `}`");
        check("${}", "} | `}` where the name of a variable or function is expected");
        check("${A-b}", "- | `-` where `}` or `(` is expected");
        check("${'a'}", "' | `'` where the name of a variable or function is expected");
        check("${upper(A}", "} | `}` where `,` or `)` is expected");
        check("${upper(A, B)}", "upper(A, B) | `upper` with 2 arguments: write `upper(text)`");
        check("${upper('A)}", "'A)} | a ' that is not closed");
        check("${truncate(A, 1.5)}", "1.5 | `1.5` is not a whole number");
        check("${uper(A)}", "uper | no function is called `uper`");
        let deep = format!("${{{}A{}}}", "upper(".repeat(60), ")".repeat(60));
        assert_eq!(parse(&deep, 0).map(|_| ()).unwrap_err().message, "calls are more than 50 deep");
    }
}
