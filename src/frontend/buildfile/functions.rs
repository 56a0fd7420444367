//! The functions of expressions: `upper`, `replace`, `join` and what else tags, names and arguments need.
//!
//! They know values and nothing of the syntax that they are called in, so every reader of build files shares them. All
//! give the same result for the same arguments, on every machine and day: there is no clock, no chance and no file here, and
//! who asks for one of those is told why. Where docker-bake has a function of the same name, it means the same.

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
        trim,
        "the text without white space, or without these letters, at both ends",
    ),
    row("trimspace", "trimspace(text)", 1, Some(1), trim, "the text without white space at both ends"),
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
        replace,
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
        tag,
        "the text as the tag of an image, such as a branch called `feature/x`: other letters become `-`, 128 are kept",
    ),
    row(
        "substr",
        "substr(text, from, count)",
        3,
        Some(3),
        substr,
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
        split,
        "the list of the parts of the text; of an empty text the empty list",
    ),
    row("join", "join(separator, list)", 2, Some(2), join, "the items of a list, with the separator between them"),
    row(
        "format",
        "format(text, value…)",
        1,
        None,
        |a| format(&text(a, 0)?, &a[1..], 1).map(Value::Text),
        "the text with each `%s` replaced by the next value; `%%` is a `%`",
    ),
    row(
        "formatlist",
        "formatlist(text, value…)",
        2,
        None,
        formatlist,
        "the same for each item of the lists among the values: a list",
    ),
    row("concat", "concat(list…)", 1, None, concat, "one list of the items of all"),
    row("distinct", "distinct(list)", 1, Some(1), distinct, "the list with each item once"),
    row("element", "element(list, number)", 2, Some(2), element, "an item of a list, the first being 0"),
    row("length", "length(list)", 1, Some(1), |a| length(a), "how many items a list has, or letters a text"),
    row("contains", "contains(list, text)", 2, Some(2), contains, "whether a list has the item, or a text the part"),
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

fn trim(arguments: &[Value]) -> Result<Value, Problem> {
    let value = text(arguments, 0)?;
    if arguments.len() == 1 {
        return Ok(Value::Text(value.trim().to_owned()));
    }
    let letters: Vec<char> = text(arguments, 1)?.chars().collect();
    Ok(Value::Text(value.trim_matches(&letters[..]).to_owned()))
}

fn replace(arguments: &[Value]) -> Result<Value, Problem> {
    let (text, old, new) = (text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?);
    if old.is_empty() {
        return Err(at(1, "nothing cannot be replaced: this is empty"));
    }
    let mut result = Bounded::default();
    for (index, part) in text.split(&old).enumerate() {
        if index > 0 {
            result.push(&new)?;
        }
        result.push(part)?;
    }
    Ok(Value::Text(result.0))
}

fn tag(arguments: &[Value]) -> Result<Value, Problem> {
    let text = text(arguments, 0)?;
    let plain = text.chars().map(|c| if is_plain(c) || c == '.' { c } else { '-' });
    let tag: String = plain.skip_while(|c| matches!(c, '.' | '-')).take(128).collect();
    if tag.is_empty() { Err(at(0, format!("nothing of `{text}` can stand in a tag"))) } else { Ok(Value::Text(tag)) }
}

fn substr(arguments: &[Value]) -> Result<Value, Problem> {
    let (text, from, most) = (text(arguments, 0)?, number(arguments, 1)?, number(arguments, 2)?);
    if most < -1 {
        return Err(at(2, format!("`{most}` letters: use -1 for all that are left")));
    }
    let total = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let from = if from < 0 { total.saturating_add(from).max(0) } else { from };
    let letters = text.chars().skip(usize::try_from(from).unwrap_or(usize::MAX));
    Ok(Value::Text(letters.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()))
}

fn split(arguments: &[Value]) -> Result<Value, Problem> {
    let (separator, text) = (text(arguments, 0)?, text(arguments, 1)?);
    if separator.is_empty() {
        return Err(at(0, "the separator is empty"));
    }
    let parts = text.split(&separator).map(str::to_owned);
    Ok(Value::List(if text.is_empty() { Vec::new() } else { parts.collect() }))
}

fn join(arguments: &[Value]) -> Result<Value, Problem> {
    let separator = text(arguments, 0)?;
    let mut result = Bounded::default();
    for (index, item) in list(arguments, 1)?.iter().enumerate() {
        if index > 0 {
            result.push(&separator)?;
        }
        result.push(item)?;
    }
    Ok(Value::Text(result.0))
}

/// `first` is the number of the first of the values among the arguments.
fn format(pattern: &str, values: &[Value], first: usize) -> Result<String, Problem> {
    let mut result = Bounded::default();
    let mut used = 0;
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        result.push(before)?;
        rest = match after.chars().next() {
            Some('%') => {
                result.push("%")?;
                &after[1..]
            }
            Some('s' | 'd' | 'v') => {
                if used == values.len() {
                    return Err(at(0, "more `%s` than values"));
                }
                let value = text(values, used).map_err(|problem| at(first + used, problem.message))?;
                used += 1;
                result.push(&value)?;
                &after[1..]
            }
            _ => return Err(at(0, "only `%s` and `%%` are known here")),
        };
    }
    result.push(rest)?;
    if used < values.len() {
        return Err(at(first + used, "there is no `%s` for this value"));
    }
    Ok(result.0)
}

fn formatlist(arguments: &[Value]) -> Result<Value, Problem> {
    let pattern = text(arguments, 0)?;
    let values = &arguments[1..];
    let mut length = None;
    for (index, value) in values.iter().enumerate() {
        let Value::List(items) = value else { continue };
        if length.is_some_and(|length| length != items.len()) {
            return Err(at(index + 1, "this list has another length than the one before"));
        }
        length = Some(items.len());
    }
    let mut size = 0;
    let mut all = Vec::new();
    for index in 0..length.unwrap_or(1) {
        let one = |value: &Value| match value {
            Value::List(items) => Value::Text(items[index].clone()),
            other => other.clone(),
        };
        let item = format(&pattern, &values.iter().map(one).collect::<Vec<_>>(), 1)?;
        size += item.len();
        if size > LONGEST {
            return Err(whole("the result is longer than a mebibyte"));
        }
        all.push(item);
    }
    Ok(Value::List(all))
}

fn concat(arguments: &[Value]) -> Result<Value, Problem> {
    let mut size = 0;
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        let items = list(arguments, index)?;
        size += items.iter().map(|item| item.len() + 1).sum::<usize>();
        if size > LONGEST {
            return Err(whole("the result is longer than a mebibyte"));
        }
        all.extend_from_slice(items);
    }
    Ok(Value::List(all))
}

fn distinct(arguments: &[Value]) -> Result<Value, Problem> {
    let mut seen = std::collections::BTreeSet::new();
    let items = list(arguments, 0)?.iter().filter(|item| seen.insert(item.as_str()));
    Ok(Value::List(items.cloned().collect()))
}

fn element(arguments: &[Value]) -> Result<Value, Problem> {
    let (items, index) = (list(arguments, 0)?, count(arguments, 1)?);
    let item =
        items.get(index).ok_or_else(|| at(1, format!("there is no item {index} in a list of {}", items.len())))?;
    Ok(Value::Text(item.clone()))
}

fn length(arguments: &[Value]) -> Result<Value, Problem> {
    let length = match &arguments[0] {
        Value::List(items) => items.len(),
        _ => text(arguments, 0)?.chars().count(),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn contains(arguments: &[Value]) -> Result<Value, Problem> {
    let wanted = text(arguments, 1)?;
    Ok(Value::Bool(match &arguments[0] {
        Value::List(items) => items.contains(&wanted),
        _ => text(arguments, 0)?.contains(&wanted),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn l(items: &[&str]) -> Value {
        Value::List(items.iter().map(ToString::to_string).collect())
    }

    fn call(name: &str, arguments: &[Value]) -> Result<Value, Problem> {
        find(name).unwrap().call(arguments)
    }

    #[test]
    fn functions_do_what_they_say() {
        let check = |name: &str, arguments: &[Value], expected: Value| {
            assert_eq!(call(name, arguments), Ok(expected), "{name} {arguments:?}");
        };
        check("upper", &[t("aß1")], t("ASS1"));
        check("lower", &[t("ÄB")], t("äb"));
        check("trim", &[t(" a b\n")], t("a b"));
        check("trim", &[t("xxaxbx"), t("x")], t("axb"));
        check("trimprefix", &[t("v1.2"), t("v")], t("1.2"));
        check("trimsuffix", &[t("a.git"), t(".git")], t("a"));
        check("trimsuffix", &[t("a"), t(".git")], t("a"));
        check("replace", &[t("a.b.c"), t("."), t("--")], t("a--b--c"));
        check("sanitize", &[t("a.b/c d-é")], t("a_b_c_d-_"));
        check("tag", &[t("feature/#12 x.y_z")], t("feature--12-x.y_z"));
        check("tag", &[t("-.v1")], t("v1"));
        check("tag", &[t(&"x".repeat(200))], t(&"x".repeat(128)));
        check("substr", &[t("äbcd"), Value::Int(1), Value::Int(2)], t("bc"));
        check("substr", &[t("äbcd"), Value::Int(-3), Value::Int(-1)], t("bcd"));
        check("substr", &[t("ab"), Value::Int(9), Value::Int(-1)], t(""));
        check("truncate", &[t("äbc"), t("2")], t("äb"));
        check("split", &[t(","), t("a,,b")], l(&["a", "", "b"]));
        check("split", &[t(","), t("")], l(&[]));
        check("join", &[t("-"), l(&["a", "b"])], t("a-b"));
        check("format", &[t("%s:%s 100%%"), t("a"), Value::Int(1)], t("a:1 100%"));
        check("formatlist", &[t("%s:%s"), t("app"), l(&["1", "2"])], l(&["app:1", "app:2"]));
        check("formatlist", &[t("%s"), l(&[])], l(&[]));
        check("concat", &[l(&["a"]), l(&["b", "a"])], l(&["a", "b", "a"]));
        check("distinct", &[l(&["a", "b", "a"])], l(&["a", "b"]));
        check("element", &[l(&["a", "b"]), Value::Int(1)], t("b"));
        check("length", &[l(&["a", "b"])], Value::Int(2));
        check("length", &[t("äb")], Value::Int(2));
        check("contains", &[l(&["ab"]), t("a")], Value::Bool(false));
        check("contains", &[t("ab"), t("a")], Value::Bool(true));
        check("default", &[Value::Unset, t("x")], t("x"));
        check("default", &[t(""), t("x")], t("x"));
        check("default", &[t("0"), t("x")], t("0"));
        check("coalesce", &[Value::Unset, t(""), t("x")], t(""));
        check("if", &[t("true"), t("a"), t("b")], t("a"));
        check("if", &[t(""), t("a"), t("b")], t("b"));
        check("unset", &[], Value::Unset);
        check("if", &[t("0"), t("a"), Value::Unset], Value::Unset);
        check("equal", &[t("1"), Value::Int(1)], Value::Bool(true));
        check("notequal", &[t("a"), t("A")], Value::Bool(true));
        check("and", &[t("1"), t("false")], Value::Bool(false));
        check("or", &[t("0"), t("true")], Value::Bool(true));
        check("not", &[t("0")], Value::Bool(true));
        check("sha256", &[t("")], t("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    }

    #[test]
    fn functions_say_what_is_wrong() {
        let check = |name: &str, arguments: &[Value], argument: Option<usize>, expected: &str| {
            let problem = Problem { argument, message: expected.into() };
            assert_eq!(call(name, arguments), Err(problem), "{name} {arguments:?}");
        };
        check("upper", &[], None, "`upper` with 0 arguments: write `upper(text)`");
        check("upper", &[l(&[])], Some(0), "a list where a text is needed: use `join(',', …)`");
        check("join", &[t(","), t("a")], Some(1), "a text where a list is needed: use `split(',', …)`");
        check("truncate", &[t("a"), t("b")], Some(1), "`b` is not a whole number");
        check("truncate", &[t("a"), t("-1")], Some(1), "`-1` is less than nothing");
        check("if", &[t("yes"), t(""), t("")], Some(0), "`yes` is neither `true` nor `false`");
        check("format", &[t("%s")], Some(0), "more `%s` than values");
        check("format", &[t("%x"), t("a")], Some(0), "only `%s` and `%%` are known here");
        check("format", &[t("x"), t("a")], Some(1), "there is no `%s` for this value");
        check("tag", &[t("../")], Some(0), "nothing of `../` can stand in a tag");
        check("element", &[l(&["a"]), t("1")], Some(1), "there is no item 1 in a list of 1");
        check("coalesce", &[Value::Unset], None, "none of these has a value");
        let long = t(&"a".repeat(2000));
        check("replace", &[long.clone(), t("a"), long], None, "the result is longer than a mebibyte");
        assert!(find("timestamp").is_none() && refusal("timestamp").is_some() && refusal("upper").is_none());
    }
}
