//! The functions of bake files: those of docker's standard library that do not need the world around.
//!
//! Each is a function of its arguments. What depends on chance, on the machine or on the moment is refused by name:
//! it would make every build another one. `timestamp()` is the moment that `SOURCE_DATE_EPOCH` says.

mod hashes;
mod lists;
mod numbers;
mod strings;
mod text;
mod times;

use std::collections::BTreeMap;

use super::super::suggest::did_you_mean;
use super::Surroundings;
use super::value::{Str, Value};

/// Why a function has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The argument that is wrong.
    pub(super) argument: Option<usize>,
    /// Whether the name is what is wrong.
    pub(super) about_name: bool,
}

type Answer = Result<Value, Problem>;

/// A function: its name, the fewest and the most arguments, and what it does.
type Row = (&'static str, usize, usize, fn(&Arguments<'_>) -> Answer);

/// As many arguments as one likes.
const MANY: usize = usize::MAX;

/// Functions that docker has and that are not here, and why.
const MISSING: &[(&str, &str)] = &[
    ("bcrypt", "its result is another one each time"),
    ("cidrhost", "addresses are not calculated here"),
    ("cidrnetmask", "addresses are not calculated here"),
    ("cidrsubnet", "addresses are not calculated here"),
    ("cidrsubnets", "addresses are not calculated here"),
    ("homedir", "a build does not depend on who runs it"),
    ("rsadecrypt", "pass secrets with `secret`"),
    ("uuidv4", "its result is another one each time"),
];

/// What is evaluated in another way than others: it gets expressions, not values.
const SPECIAL: &[&str] = &["can", "convert", "try"];

/// The arguments of a call.
struct Arguments<'a> {
    values: Vec<Value>,
    surroundings: &'a Surroundings<'a>,
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [strings::ROWS, hashes::ROWS, text::ROWS, numbers::ROWS, lists::ROWS, times::ROWS].into_iter().flatten()
}

/// Whether there is a function of that name, here or only in docker.
pub(super) fn exists(name: &str) -> bool {
    SPECIAL.contains(&name) || rows().any(|row| row.0 == name) || MISSING.iter().any(|(known, _)| *known == name)
}

/// Whether a function only moves its arguments around, so that variables in them stay variables.
pub(super) fn keeps_variables(name: &str) -> bool {
    const KEEP: &[&str] = &["coalesce", "concat", "flatten", "join", "merge", "reverselist", "values"];
    KEEP.contains(&name)
}

/// The value of a call.
pub(super) fn call(name: &str, values: Vec<Value>, surroundings: &Surroundings<'_>) -> Answer {
    let about_name =
        |message: String, help: Option<String>| Problem { message, help, argument: None, about_name: true };
    if let Some((_, why)) = MISSING.iter().find(|(known, _)| *known == name) {
        return Err(about_name(format!("the function `{name}` is not supported"), Some((*why).to_owned())));
    }
    let Some((_, fewest, most, run)) = rows().find(|row| row.0 == name) else {
        let help = did_you_mean(name, rows().map(|row| row.0).chain(SPECIAL.iter().copied()));
        return Err(about_name(format!("there is no function `{name}`"), help));
    };
    if values.len() < *fewest || values.len() > *most {
        let wanted = match (*fewest, *most) {
            (few, MANY) => format!("at least {few}"),
            (few, many) if few == many => few.to_string(),
            (few, many) => format!("{few} to {many}"),
        };
        let message = format!("`{name}` takes {wanted} arguments, not {}", values.len());
        return Err(Problem { message, help: None, argument: None, about_name: false });
    }
    run(&Arguments { values, surroundings })
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, argument: None, about_name: false }
    }

    /// About one of the arguments.
    fn at(argument: usize, message: impl Into<String>) -> Self {
        Self { argument: Some(argument), ..Self::new(message) }
    }
}

impl Arguments<'_> {
    fn value(&self, number: usize) -> &Value {
        self.values.get(number).unwrap_or(&Value::Null)
    }

    fn misfit<T>(&self, number: usize, wanted: &str) -> Result<T, Problem> {
        Err(Problem::at(number, format!("{wanted} is needed here, not {}", self.value(number).kind())))
    }

    /// An argument as a string.
    fn str(&self, number: usize) -> Result<Str, Problem> {
        self.value(number).to_str().map_or_else(|| self.misfit(number, "a string"), Ok)
    }

    fn text(&self, number: usize) -> Result<String, Problem> {
        Ok(self.str(number)?.text().to_owned())
    }

    fn number(&self, number: usize) -> Result<f64, Problem> {
        self.value(number).to_number().map_or_else(|| self.misfit(number, "a number"), Ok)
    }

    /// An argument as a whole number.
    fn whole(&self, number: usize) -> Result<i64, Problem> {
        let value = self.number(number)?;
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        if whole { Ok(value as i64) } else { Err(Problem::at(number, "a whole number is needed here")) }
    }

    /// An argument as a whole number that is not negative.
    fn count(&self, number: usize) -> Result<usize, Problem> {
        let count = usize::try_from(self.whole(number)?);
        count.map_err(|_| Problem::at(number, "a number that is not negative is needed here"))
    }

    fn flag(&self, number: usize) -> Result<bool, Problem> {
        self.value(number).to_bool().map_or_else(|| self.misfit(number, "true or false"), Ok)
    }

    fn list(&self, number: usize) -> Result<&[Value], Problem> {
        match self.value(number) {
            Value::List(items) => Ok(items),
            _ => self.misfit(number, "a list"),
        }
    }

    /// An argument as a list of strings.
    fn strings(&self, number: usize) -> Result<Vec<Str>, Problem> {
        let items = self.list(number)?.iter();
        let strings: Option<Vec<Str>> = items.map(Value::to_str).collect();
        strings.ok_or_else(|| Problem::at(number, "a list of strings is needed here"))
    }

    fn map(&self, number: usize) -> Result<&BTreeMap<String, Value>, Problem> {
        match self.value(number) {
            Value::Map(map) => Ok(map),
            _ => self.misfit(number, "a map"),
        }
    }
}

#[cfg(test)]
mod tests;
