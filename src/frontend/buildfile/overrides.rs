//! `--set target.key=value`: values that count as if they stood in the file.

use std::str::FromStr;

use super::glob;
use super::keys::{KEYS, Key, KeyInfo, Kind};
use super::model::{BuildFile, Entry, Place, Text, Value, Values};
use super::suggest::did_you_mean;

/// One `--set` option.
///
/// `target` is a name or a pattern with `*` and `?`; `key` is a key of a target, with `.NAME` after it for tables (`args.VERSION`).
/// `secrets.ID` is one secret, whose source follows: `secrets.token=env=TOKEN`. `=` replaces the value; where a list is given several times, the values add up. `+=` adds to the list that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    written: String,
    pattern: String,
    key: Key,
    name: Option<String>,
    append: bool,
    value: String,
}

/// A `--set` option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--set {written}: {problem}")]
pub struct OverrideError {
    /// The option as given.
    pub written: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(written: &str) -> Result<Self, OverrideError> {
        let error = |problem: String| OverrideError { written: written.to_owned(), problem };
        let form = || error("write it as target.key=value".into());
        let (left, value) = written.split_once('=').ok_or_else(form)?;
        let (left, append) = left.strip_suffix('+').map_or((left, false), |left| (left, true));
        let (pattern, key) = left.split_once('.').ok_or_else(form)?;
        let (key, name) = key.split_once('.').map_or((key, None), |(key, name)| (key, Some(name)));
        if pattern.is_empty() || key.is_empty() || name == Some("") {
            return Err(form());
        }
        let info = KeyInfo::named(key).ok_or_else(|| {
            let hint = did_you_mean(key, KEYS.iter().map(|row| row.name));
            error(format!("a target has no key `{key}`{}", hint.map(|hint| format!("; {hint}")).unwrap_or_default()))
        })?;
        match (info.kind, name) {
            (Kind::Base | Kind::Steps | Kind::Stages, _) => {
                return Err(error(format!("`{key}` is set in the file only; use a variable in it, or `args`")));
            }
            (Kind::Map, None) => return Err(error(format!("say which of `{key}`: {pattern}.{key}.NAME=value"))),
            (Kind::Map, Some(_)) => {}
            (Kind::Identified, Some(_)) if info.key == Key::Secrets => {}
            (_, Some(name)) => return Err(error(format!("`{key}` has no names in it: leave out `.{name}`"))),
            (_, None) => {}
        }
        if append && !matches!(info.kind, Kind::Texts | Kind::Entries | Kind::Identified) {
            return Err(error(format!("`+=` is for lists, and `{key}` is none")));
        }
        Ok(Self {
            written: written.to_owned(),
            pattern: pattern.to_owned(),
            key: info.key,
            name: name.map(str::to_owned),
            append,
            value: value.to_owned(),
        })
    }
}

impl Override {
    /// Whether it is about this target.
    pub fn matches(&self, target: &str) -> bool {
        glob::matches(&self.pattern, target)
    }

    /// Fails if it is about no target at all.
    pub(super) fn check(&self, file: &BuildFile) -> Result<(), OverrideError> {
        if file.targets().any(|target| self.matches(target)) {
            return Ok(());
        }
        let hint = did_you_mean(&self.pattern, file.targets()).map(|hint| format!("; {hint}")).unwrap_or_default();
        let problem = format!("no target is called `{}`{hint}", self.pattern);
        Err(OverrideError { written: self.written.clone(), problem })
    }

    fn as_value(&self) -> Value {
        let value = match (self.key, &self.name) {
            (Key::Secrets, Some(id)) => format!("id={id},{}", self.value),
            _ => self.value.clone(),
        };
        let text = Text { text: value, place: Place::Set(self.written.clone()) };
        match (self.key.info().kind, &self.name) {
            (Kind::Text | Kind::Verbatim | Kind::Flag | Kind::Number, _) => Value::Text(text),
            (Kind::Texts, _) => Value::Texts(vec![text]),
            (Kind::Map, name) => Value::Map([(name.clone().unwrap_or_default(), text)].into()),
            (Kind::Entries | Kind::Identified, _) => Value::Entries(vec![Entry::Written(text)]),
            // These are refused before.
            (Kind::Base | Kind::Steps | Kind::Stages, _) => Value::Text(text),
        }
    }
}

/// Applies the options that are about a target to its values.
pub(super) fn apply(overrides: &[Override], target: &str, values: &mut Values) {
    let mut replaced = Vec::new();
    for option in overrides.iter().filter(|option| option.matches(target)) {
        let seen = replaced.contains(&option.key);
        // One secret by name is put to the others.
        let one = option.key == Key::Secrets && option.name.is_some();
        set(values, option.key, option.as_value(), option.append || seen || one);
        replaced.push(option.key);
    }
}

/// Sets a value, merging it with the one that is there.
pub(super) fn set(values: &mut Values, key: Key, value: Value, append: bool) {
    if let Some(form) = key.definition() {
        // What a target does is said in one way: the one that comes last.
        values.retain(|other, _| other.definition().is_none_or(|other| other == form));
    }
    match values.entry(key) {
        std::collections::btree_map::Entry::Vacant(empty) => drop(empty.insert(value)),
        std::collections::btree_map::Entry::Occupied(mut there) => there.get_mut().merge(value, append),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Override>().unwrap_err().problem, expected, "{text}");
        };
        check("app", "write it as target.key=value");
        check("app=1", "write it as target.key=value");
        check("app.args.=1", "write it as target.key=value");
        check("app.arg.A=1", "a target has no key `arg`; did you mean `args`?");
        check("app.args=1", "say which of `args`: app.args.NAME=value");
        check("app.tags.a=1", "`tags` has no names in it: leave out `.a`");
        check("app.context+=x", "`+=` is for lists, and `context` is none");
    }

    #[test]
    fn takes_dots_and_equal_signs_in_values() {
        let option: Override = "app.labels.org.example.x=a=b.c".parse().unwrap();
        assert_eq!((option.name.as_deref(), option.value.as_str()), (Some("org.example.x"), "a=b.c"));
    }
}
