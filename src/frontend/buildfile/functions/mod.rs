//! The functions of expressions: `upper`, `replace`, `join` and what else tags, names and arguments need.
//!
//! They know values and nothing of the syntax that they are called in, so every reader of build files shares them. All
//! give the same result for the same arguments, on every machine and day: there is no clock, no chance and no file here, and
//! who asks for one of those is told why. Where docker-bake has a function of the same name, it means the same.

mod list;
#[cfg(test)]
mod tests;
mod text;

use crate::digest::Digest;

/// The most bytes of a value: a few calls can ask for more than there is memory.
pub const LONGEST: usize = 1 << 20;

/// What expressions are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A variable without a value, or nothing at all.
    Unset,
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// Several strings.
    List(Vec<String>),
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which argument is wrong, counted from zero; none if it is the call.
    pub argument: Option<usize>,
    /// What is wrong with it.
    pub message: String,
}

/// A row of [`FUNCTIONS`].
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    /// Its arguments, as a person writes them.
    pub form: &'static str,
    /// How many it needs.
    pub least: usize,
    /// How many it takes; any number if none.
    pub most: Option<usize>,
    /// What it comes to.
    pub about: &'static str,
    run: fn(&[Value]) -> Result<Value, Problem>,
}

const fn row(
    name: &'static str,
    form: &'static str,
    least: usize,
    most: Option<usize>,
    run: fn(&[Value]) -> Result<Value, Problem>,
    about: &'static str,
) -> Function {
    Function { name, form, least, most, about, run }
}

/// All functions.
pub const FUNCTIONS: &[Function] = &[
    row("upper", "upper(text)", 1, Some(1), |a| words(a, |text| text.to_uppercase()), "the text in capital letters"),
    row("lower", "lower(text)", 1, Some(1), |a| words(a, |text| text.to_lowercase()), "the text in small letters"),
    row(
        "trim",
        "trim(text) or trim(text, letters)",
        1,
        Some(2),
        text::trim,
        "the text without white space, or without these letters, at both ends",
    ),
    row("trimspace", "trimspace(text)", 1, Some(1), text::trim, "the text without white space at both ends"),
    row(
        "trimprefix",
        "trimprefix(text, prefix)",
        2,
        Some(2),
        |a| {
            let (text, prefix) = (text(a, 0)?, text(a, 1)?);
            Ok(Value::Text(text.strip_prefix(&prefix).unwrap_or(&text).to_owned()))
        },
        "the text without the prefix, if it has it",
    ),
    row(
        "trimsuffix",
        "trimsuffix(text, suffix)",
        2,
        Some(2),
        |a| {
            let (text, suffix) = (text(a, 0)?, text(a, 1)?);
            Ok(Value::Text(text.strip_suffix(&suffix).unwrap_or(&text).to_owned()))
        },
        "the text without the suffix, if it has it",
    ),
    row(
        "replace",
        "replace(text, old, new)",
        3,
        Some(3),
        text::replace,
        "the text with every `old` replaced; a plain string, no pattern",
    ),
    row(
        "sanitize",
        "sanitize(text)",
        1,
        Some(1),
        |a| words(a, |text| text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()),
        "the text as the name of a target: everything but letters, digits, `_` and `-` becomes `_`",
    ),
    row(
        "tag",
        "tag(text)",
        1,
        Some(1),
        text::tag,
        "the text as the tag of an image, such as a branch called `feature/x`: other letters become `-`, 128 are kept",
    ),
    row(
        "substr",
        "substr(text, from, count)",
        3,
        Some(3),
        text::substr,
        "`count` letters, all if -1, from the one with that number on, the first being 0; from the end if it is negative",
    ),
    row(
        "truncate",
        "truncate(text, count)",
        2,
        Some(2),
        |a| {
            let most = count(a, 1)?;
            Ok(Value::Text(text(a, 0)?.chars().take(most).collect()))
        },
        "at most the first `count` letters",
    ),
    row(
        "split",
        "split(separator, text)",
        2,
        Some(2),
        list::split,
        "the list of the parts of the text; of an empty text the empty list",
    ),
    row(
        "join",
        "join(separator, list)",
        2,
        Some(2),
        list::join,
        "the items of a list, with the separator between them",
    ),
    row(
        "format",
        "format(text, value…)",
        1,
        None,
        |a| text::format(&text(a, 0)?, &a[1..], 1).map(Value::Text),
        "the text with each `%s` replaced by the next value; `%%` is a `%`",
    ),
    row(
        "formatlist",
        "formatlist(text, value…)",
        2,
        None,
        list::formatlist,
        "the same for each item of the lists among the values: a list",
    ),
    row("concat", "concat(list…)", 1, None, list::concat, "one list of the items of all"),
    row("distinct", "distinct(list)", 1, Some(1), list::distinct, "the list with each item once"),
    row("element", "element(list, number)", 2, Some(2), list::element, "an item of a list, the first being 0"),
    row("length", "length(list)", 1, Some(1), list::length, "how many items a list has, or letters a text"),
    row(
        "contains",
        "contains(list, text)",
        2,
        Some(2),
        list::contains,
        "whether a list has the item, or a text the part",
    ),
    row(
        "default",
        "default(value, other)",
        2,
        Some(2),
        |a| Ok(if is_empty(&a[0]) { a[1].clone() } else { a[0].clone() }),
        "the value, or the other one if it is empty or a variable without a value",
    ),
    row("coalesce", "coalesce(value…)", 1, None, coalesce, "the first of the values that is set"),
    row(
        "unset",
        "unset()",
        0,
        Some(0),
        |_| Ok(Value::Unset),
        "no value: an argument, label or item that is this is left out",
    ),
    row(
        "if",
        "if(condition, then, else)",
        3,
        Some(3),
        |a| Ok(a[if truth(a, 0)? { 1 } else { 2 }].clone()),
        "one of two values; only the one that is meant is looked at",
    ),
    row("equal", "equal(a, b)", 2, Some(2), |a| equal(a).map(Value::Bool), "whether both are written alike"),
    row("notequal", "notequal(a, b)", 2, Some(2), |a| equal(a).map(|same| Value::Bool(!same)), "whether they are not"),
    row("and", "and(a, b…)", 1, None, |a| all(a, true), "whether all are true"),
    row("or", "or(a, b…)", 1, None, |a| all(a, false), "whether one is true"),
    row("not", "not(a)", 1, Some(1), |a| truth(a, 0).map(|truth| Value::Bool(!truth)), "whether it is false"),
    row(
        "sha256",
        "sha256(text)",
        1,
        Some(1),
        |a| words(a, |text| Digest::of(text.as_bytes()).hex()),
        "the SHA-256 of the text, as 64 hexadecimal digits",
    ),
];

/// Functions of docker-bake that ask a clock, chance or the machine.
const NOT_REPRODUCIBLE: &[&str] =
    &["bcrypt", "formattimestamp", "homedir", "timestamp", "timeadd", "unixtimestampparse", "uuidv4"];

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Why a function that others have is not there.
pub fn refusal(name: &str) -> Option<String> {
    NOT_REPRODUCIBLE.contains(&name).then(|| {
        format!(
            "`{name}` gives something else each time, and such a build cannot be reproduced: take the value from a variable"
        )
    })
}

impl Function {
    /// Whether it can make something of a variable without a value.
    pub fn takes_unset(&self) -> bool {
        matches!(self.name, "default" | "coalesce")
    }

    /// Calls it. The arguments are all evaluated; only [`takes_unset`](Self::takes_unset) ones may be unset.
    pub fn call(&self, arguments: &[Value]) -> Result<Value, Problem> {
        self.check_count(arguments.len()).map_err(whole)?;
        (self.run)(arguments)
    }

    /// Fails if it does not take so many arguments.
    pub fn check_count(&self, count: usize) -> Result<(), String> {
        if count >= self.least && self.most.is_none_or(|most| count <= most) {
            return Ok(());
        }
        Err(format!(
            "`{}` with {count} argument{}: write `{}`",
            self.name,
            if count == 1 { "" } else { "s" },
            self.form
        ))
    }
}

impl Value {
    /// As it stands in a string; none of a list and of what is not set.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Bool(truth) => Some(truth.to_string()),
            Self::Unset | Self::List(_) => None,
        }
    }
}

fn whole(message: impl Into<String>) -> Problem {
    Problem { argument: None, message: message.into() }
}

fn at(argument: usize, message: impl Into<String>) -> Problem {
    Problem { argument: Some(argument), message: message.into() }
}

fn text(arguments: &[Value], index: usize) -> Result<String, Problem> {
    match &arguments[index] {
        Value::List(_) => Err(at(index, "a list where a text is needed: use `join(',', …)`")),
        Value::Unset => Err(at(index, "this has no value: use `default(…, '')`")),
        value => Ok(value.to_text().unwrap_or_default()),
    }
}

fn list(arguments: &[Value], index: usize) -> Result<&[String], Problem> {
    match &arguments[index] {
        Value::List(items) => Ok(items),
        _ => Err(at(index, "a text where a list is needed: use `split(',', …)`")),
    }
}

fn number(arguments: &[Value], index: usize) -> Result<i64, Problem> {
    let text = text(arguments, index)?;
    text.parse().map_err(|_| at(index, format!("`{text}` is not a whole number")))
}

fn count(arguments: &[Value], index: usize) -> Result<usize, Problem> {
    let number = number(arguments, index)?;
    usize::try_from(number).map_err(|_| at(index, format!("`{number}` is less than nothing")))
}

pub(super) fn truth(arguments: &[Value], index: usize) -> Result<bool, Problem> {
    match text(arguments, index)?.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        other => Err(at(index, format!("`{other}` is neither `true` nor `false`"))),
    }
}

fn words(arguments: &[Value], change: impl Fn(&str) -> String) -> Result<Value, Problem> {
    Ok(Value::Text(change(&text(arguments, 0)?)))
}

/// Text that grows up to a limit.
#[derive(Default)]
struct Bounded(String);

impl Bounded {
    fn push(&mut self, text: &str) -> Result<(), Problem> {
        if self.0.len() + text.len() > LONGEST {
            return Err(whole("the result is longer than a mebibyte"));
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Unset => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Int(_) | Value::Bool(_) => false,
    }
}

fn coalesce(arguments: &[Value]) -> Result<Value, Problem> {
    let set = arguments.iter().find(|value| **value != Value::Unset);
    set.cloned().ok_or_else(|| whole("none of these has a value"))
}

fn equal(arguments: &[Value]) -> Result<bool, Problem> {
    Ok(match (&arguments[0], &arguments[1]) {
        (Value::List(a), Value::List(b)) => a == b,
        _ => text(arguments, 0)? == text(arguments, 1)?,
    })
}

/// Whether all are true, or whether one is.
fn all(arguments: &[Value], wanted: bool) -> Result<Value, Problem> {
    for index in 0..arguments.len() {
        if truth(arguments, index)? != wanted {
            return Ok(Value::Bool(!wanted));
        }
    }
    Ok(Value::Bool(wanted))
}
