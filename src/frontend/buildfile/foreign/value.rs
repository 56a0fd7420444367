//! What an expression comes to: the values of HCL, and strings that remember which variables they are made of.
//!
//! A string is its text, and the parts of it that are the value of a variable and nothing else. Whoever only puts strings
//! together keeps these parts, so that the model still says `${TAG}` where the file did; whoever looks into a string (a
//! condition, a function) gets the text, and what comes out is what it was for the values of this moment.
//!
//! Numbers are doubles, where HCL has more digits; maps are sorted by key, as HCL has them. Sets are lists here.

use std::collections::BTreeMap;
use std::ops::Range;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(Str),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// A string that remembers which parts of it are variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Str {
    text: String,
    marks: Vec<(Range<usize>, String)>,
}

impl Str {
    /// The value of a variable.
    pub(super) fn variable(name: &str, value: &str) -> Self {
        Self { text: value.to_owned(), marks: vec![(0..value.len(), name.to_owned())] }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The variables in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().map(|(_, name)| name.as_str())
    }

    pub(super) fn push(&mut self, other: &Self) {
        let at = self.text.len();
        self.text.push_str(&other.text);
        self.marks.extend(other.marks.iter().map(|(part, name)| (part.start + at..part.end + at, name.clone())));
    }

    /// Both sides of a byte that is no part of a variable, without the byte itself.
    pub(super) fn split_at(&self, at: usize) -> Option<(Self, Self)> {
        if self.marks.iter().any(|(part, _)| part.contains(&at)) {
            return None;
        }
        let (left, right) = (self.text.get(..at)?, self.text.get(at + 1..)?);
        let (mut before, mut after) = (Self::from(left), Self::from(right));
        for (part, name) in &self.marks {
            if part.end <= at {
                before.marks.push((part.clone(), name.clone()));
            } else {
                after.marks.push((part.start - at - 1..part.end - at - 1, name.clone()));
            }
        }
        Some((before, after))
    }

    /// What comes after a text that it begins with. Variables that are a part of that text are forgotten.
    pub(super) fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        let rest = self.text.strip_prefix(prefix)?;
        let after = self.marks.iter().filter(|(part, _)| part.start >= prefix.len());
        let marks = after.map(|(part, name)| (part.start - prefix.len()..part.end - prefix.len(), name.clone()));
        Some(Self { text: rest.to_owned(), marks: marks.collect() })
    }

    /// As a string of a build file: variables as `${NAME}`, and every other `${` so that it stays one.
    pub(super) fn template(&self) -> String {
        let mut written = String::with_capacity(self.text.len());
        let mut from = 0;
        for (part, name) in &self.marks {
            written.push_str(&escape(&self.text[from..part.start]));
            // A `$` before a reference would make it a literal one: then the value stands here.
            if written.ends_with('$') {
                written.push_str(&escape(&self.text[part.clone()]));
            } else {
                written.push_str(&format!("${{{name}}}"));
            }
            from = part.end;
        }
        written.push_str(&escape(&self.text[from..]));
        written
    }
}

/// A text in which nothing is expanded.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

impl<T: Into<String>> From<T> for Str {
    fn from(text: T) -> Self {
        Self { text: text.into(), marks: Vec::new() }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::String(Str::from(text))
    }

    /// What kind of value it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// As a string: numbers and truth values are written out, as HCL does it.
    pub(super) fn to_str(&self) -> Option<Str> {
        match self {
            Self::String(text) => Some(text.clone()),
            Self::Bool(flag) => Some(flag.to_string().into()),
            Self::Number(number) => Some(number_text(*number).into()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// As a truth value, as HCL converts to it.
    pub(super) fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            Self::String(text) if ["true", "1"].contains(&text.text()) => Some(true),
            Self::String(text) if ["false", "0"].contains(&text.text()) => Some(false),
            _ => None,
        }
    }

    /// As a number, as HCL converts to it.
    pub(super) fn to_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::String(text) => parse_number(text.text()),
            _ => None,
        }
    }

    /// Whether two values are the same. Values of different kinds are not.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(one), Self::String(other)) => one.text == other.text,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
            }
            (Self::Map(one), Self::Map(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && one.1.same(other.1))
            }
            (one, other) => one == other,
        }
    }

    /// How much there is of it, for the limit on work.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::String(text) => 1 + text.text.len() / 32,
            Self::List(list) => list.iter().fold(1, |sum, value| sum + value.weight()),
            Self::Map(map) => map.values().fold(1, |sum, value| sum + value.weight()),
            _ => 1,
        }
    }

    /// Calls for every string in it.
    pub(super) fn each_string(&mut self, change: &mut impl FnMut(&mut Str)) {
        match self {
            Self::String(text) => change(text),
            Self::List(list) => list.iter_mut().for_each(|value| value.each_string(change)),
            Self::Map(map) => map.values_mut().for_each(|value| value.each_string(change)),
            _ => {}
        }
    }
}

impl Str {
    /// Forgets where it comes from; returns the variables that were in it.
    pub(super) fn forget(&mut self) -> Vec<String> {
        std::mem::take(&mut self.marks).into_iter().map(|(_, name)| name).collect()
    }
}

/// A number from text. What is no plain decimal number is none.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let plain = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    if !text.chars().all(plain) || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A number as HCL writes it: without an exponent, and without digits that only rounding has brought in.
pub(super) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 {
        return format!("{}", number + 0.0);
    }
    let rounded: f64 = format!("{number:.14e}").parse().unwrap_or(number);
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_remember_their_variables() {
        let mut text = Str::from("app:");
        text.push(&Str::variable("TAG", "1"));
        text.push(&Str::from("-${x}"));
        assert_eq!((text.text(), text.template().as_str()), ("app:1-${x}", "app:${TAG}-$${x}"));
        let mut odd = Str::from("$");
        odd.push(&Str::variable("TAG", "1"));
        assert_eq!(odd.template(), "$1");
        let mut pair = Str::variable("KEY", "k");
        pair.push(&Str::from("="));
        pair.push(&Str::variable("VALUE", "a=b"));
        let (left, right) = pair.split_at(1).unwrap();
        assert_eq!((left.template(), right.template()), ("${KEY}".into(), "${VALUE}".into()));
        assert_eq!(pair.split_at(3), None);
    }

    #[test]
    fn numbers_are_written_without_noise() {
        let check = |number: f64, expected: &str| assert_eq!(number_text(number), expected);
        check(1.0, "1");
        check(-0.0, "0");
        check(1.20, "1.2");
        check(0.1 + 0.2, "0.3");
        check(1e15, "1000000000000000");
        check(-2.5, "-2.5");
        assert_eq!(parse_number("1e3"), Some(1000.0));
        for text in ["", "x", "inf", "NaN", "0x10", "1_0", "1e999", "-"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }
}
