//! From text to the model, with a message for every mistake.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::include::{Broken, Loading};
use super::keys::{KEYS, Key, KeyInfo, Kind, NOT_YET, NOT_YET_TOP};
use super::matrix;
use super::model::{BuildFile, Declaration, Entry, Group, Place, Text, Value, Values};
use super::suggest::did_you_mean;
use crate::frontend::diagnostic::Diagnostic;
use crate::trust::{self, Mistake};

/// The tables of a build file.
const TABLES: &[&str] = &["group", "include", "policy", "target", "variable"];

/// The table of a target that [`Key::Scrub`] is in.
const TABLE_OF_SCRUB: &str = "reproducible";

/// Attributes of the tables in `secrets`, `ssh` and `output`.
pub(super) const SECRET: &[&str] = &["id", "src", "env"];
pub(super) const SSH: &[&str] = &["id", "paths"];

/// Parses a build file that includes no others, and checks all of it that does not depend on the values of variables.
///
/// Returns every mistake found, in the order of the file.
pub fn parse(text: &str) -> Result<BuildFile, Vec<Diagnostic>> {
    Loading::new("build.toml", "build.toml", text).finish().map_err(|broken| broken.list)
}

/// Reads one file, whose text begins at `start` of all texts; returns what it includes, unless it is no TOML.
pub(super) fn read(text: &str, start: usize, file: &mut BuildFile, found: &mut Vec<Diagnostic>) -> Option<Vec<Text>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        found.push(Diagnostic::error(span.start + start..span.end + start, format!("not TOML: {}", error.message())));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut parser = Parser { source: text, start, diagnostics: Vec::new() };
    let includes = parser.file(root.get_ref(), file);
    found.extend(parser.diagnostics);
    Some(includes)
}

/// Checks what all files come to together. What a file that is missing declares would be missing everywhere.
pub(super) fn finish(
    mut file: BuildFile,
    mut found: Vec<Diagnostic>,
    is_whole: bool,
) -> Result<BuildFile, Box<Broken>> {
    if is_whole {
        matrix::expand(&mut file, &mut found);
        file.index();
        // What all targets of a matrix have is wrong once.
        let mut told: HashSet<Diagnostic> = found.iter().cloned().collect();
        found.extend(check::check(&file).into_iter().filter(|mistake| told.insert(mistake.clone())));
    }
    if found.is_empty() {
        return Ok(file);
    }
    found.sort_by_key(|diagnostic| diagnostic.annotations.first().map_or(0, |at| at.span.start));
    Err(Box::new(Broken { text: file.text, parts: file.parts, list: found }))
}

pub(super) type Item<'a> = (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

/// A parse under way.
pub(super) struct Parser<'s> {
    source: &'s str,
    /// Where the text begins among those of all files.
    start: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Parser<'_> {
    /// Where something is among the texts of all files.
    pub(super) fn at<T>(&self, spanned: &Spanned<T>) -> Range<usize> {
        let span = spanned.span();
        span.start + self.start..span.end + self.start
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let mut diagnostic = Diagnostic::error(span, message);
        diagnostic.help.extend(help);
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn unknown(&mut self, span: Range<usize>, name: &str, place: &str, known: &[&str], not_yet: &[&str]) {
        if not_yet.contains(&name) {
            return self.error(span, format!("`{name}` is not supported yet"), None);
        }
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
            format!("known are {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", "))
        });
        self.error(span, format!("unknown key `{name}` in {place}"), Some(help));
    }

    pub(super) fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, what: &str, wanted: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.error(self.at(value), format!("{what} must be {wanted}, not {article} {found}"), None);
    }

    /// The items of a table, in the order of the file.
    pub(super) fn table<'a>(&mut self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Vec<Item<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => ordered(table),
            _ => {
                self.wrong_type(value, what, "a table");
                Vec::new()
            }
        }
    }

    /// Adds what a file declares; returns what it includes.
    fn file(&mut self, root: &DeTable<'_>, file: &mut BuildFile) -> Vec<Text> {
        let mut includes = Vec::new();
        for (name, value) in ordered(root) {
            match name.get_ref().as_ref() {
                "include" => includes = self.strings(value, "`include`").unwrap_or_default(),
                "variable" => {
                    for item in self.table(value, "`variable`") {
                        file.variables.extend(self.variable(item));
                    }
                }
                "group" => {
                    for item in self.table(value, "`group`") {
                        file.groups.extend(self.group(item));
                    }
                }
                "target" => {
                    for item in self.table(value, "`target`") {
                        file.targets.extend(self.target(item));
                    }
                }
                "policy" => self.policy(value, file),
                other => self.unknown(self.at(name), other, "a build file", TABLES, NOT_YET_TOP),
            }
        }
        includes
    }

    fn policy(&mut self, value: &Spanned<DeValue<'_>>, file: &mut BuildFile) {
        let DeValue::Table(table) = value.get_ref() else { return self.wrong_type(value, "`policy`", "a table") };
        match trust::read_table(table, self.source) {
            Ok(policy) => file.policies.push((self.start, policy)),
            Err(mistakes) => {
                for Mistake { span, message, help } in mistakes {
                    self.error(span.start + self.start..span.end + self.start, message, help);
                }
            }
        }
    }

    /// Names stand on command lines, before a dot in `--set` and in lists, so they are plain.
    fn name(&mut self, name: &Spanned<Cow<'_, str>>, what: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !name.get_ref().is_empty() && name.get_ref().bytes().all(plain) && !name.get_ref().starts_with('-');
        if !fine {
            let help = "names are letters, digits, `_` and `-`, and do not start with `-`";
            self.error(
                self.at(name),
                format!("`{}` cannot be the name of a {what}", name.get_ref()),
                Some(help.into()),
            );
        }
        fine
    }

    fn group(&mut self, (name, value): Item<'_>) -> Option<Group> {
        if !self.name(name, "group") {
            return None;
        }
        let mut group =
            Group { name: name.get_ref().to_string(), description: None, members: Vec::new(), span: self.at(name) };
        if value.get_ref().is_array() {
            group.members = self.strings(value, "a group")?;
            return Some(group);
        }
        if !value.get_ref().is_table() {
            self.wrong_type(value, "a group", "a list of targets, or a table with `targets`");
        } else {
            for (key, value) in self.table(value, "a group") {
                match key.get_ref().as_ref() {
                    "targets" => group.members = self.strings(value, "`targets`").unwrap_or_default(),
                    "description" => group.description = self.string(value, "`description`").map(|text| text.text),
                    other => self.unknown(self.at(key), other, "a group", &["targets", "description"], &[]),
                }
            }
        }
        Some(group)
    }

    fn target(&mut self, (name, value): Item<'_>) -> Option<Declaration> {
        if !self.name(name, "target") {
            return None;
        }
        let mut target = Declaration {
            name: name.get_ref().to_string(),
            span: self.at(name),
            inherits: Vec::new(),
            values: BTreeMap::new(),
            matrix: None,
        };
        let (mut matrix, mut instance_name) = (None, None);
        let mut dockerfile = None;
        for (key, value) in self.table(value, "a target") {
            if key.get_ref() == "inherits" {
                target.inherits = self.strings(value, "`inherits`").unwrap_or_default();
                continue;
            }
            match key.get_ref().as_ref() {
                "matrix" => {
                    matrix = Some(value);
                    continue;
                }
                "name" => {
                    instance_name = Some((self.at(key), value));
                    continue;
                }
                _ => {}
            }
            if key.get_ref() == TABLE_OF_SCRUB {
                self.reproducible(value, &mut target.values);
                continue;
            }
            let Some(row) = KeyInfo::named(key.get_ref()).filter(|row| row.key != Key::Scrub) else {
                let more = ["inherits", "matrix", "name", TABLE_OF_SCRUB];
                let known: Vec<&str> =
                    KEYS.iter().filter(|row| row.key != Key::Scrub).map(|row| row.name).chain(more).collect();
                self.unknown(self.at(key), key.get_ref(), "a target", &known, NOT_YET);
                continue;
            };
            // `from`, `steps` and `stages` go together; each kind of Dockerfile goes alone.
            if let Some(form) = row.key.definition()
                && let Some((other, known, span)) = dockerfile.replace((form, row.name, self.at(key)))
                && form != other
            {
                let error = Diagnostic::error(self.at(key), format!("`{known}` and `{}` exclude each other", row.name));
                self.diagnostics.push(error.note(span, "one is here"));
            }
            if target.values.contains_key(&row.key) {
                self.error(self.at(key), format!("`{}` is there twice", row.name), None);
                continue;
            }
            if let Some(value) = self.value(row, value) {
                target.values.insert(row.key, value);
            }
        }
        match (matrix, instance_name) {
            (Some(matrix), name) => target.matrix = self.matrix(matrix, name.map(|(_, value)| value)),
            (None, Some((span, _))) => self.error(span, "`name` is for targets with a `matrix`", None),
            (None, None) => {}
        }
        Some(target)
    }

    /// The table `reproducible` of a target, whose keys are those of the target with its name before them.
    fn reproducible(&mut self, table: &Spanned<DeValue<'_>>, values: &mut Values) {
        let what = format!("`{TABLE_OF_SCRUB}`");
        for (key, value) in self.table(table, &what) {
            match KeyInfo::named(&format!("{TABLE_OF_SCRUB}.{}", key.get_ref())) {
                Some(row) => {
                    if let Some(value) = self.value(row, value) {
                        values.insert(row.key, value);
                    }
                }
                None => self.unknown(self.at(key), key.get_ref(), &what, &["scrub"], &[]),
            }
        }
    }

    fn value(&mut self, row: &KeyInfo, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let what = format!("`{}`", row.name);
        Some(match row.kind {
            Kind::Text | Kind::Verbatim => Value::Text(self.string(value, &what)?),
            Kind::Number if value.get_ref().is_integer() => Value::Text(self.as_written(value)),
            Kind::Number if value.get_ref().is_str() => Value::Text(self.string(value, &what)?),
            Kind::Number => {
                self.wrong_type(value, &what, "a number or a string");
                return None;
            }
            Kind::Flag if value.get_ref().is_bool() => Value::Text(self.as_written(value)),
            Kind::Flag if value.get_ref().is_str() => Value::Text(self.string(value, &what)?),
            Kind::Flag => {
                self.wrong_type(value, &what, "true or false");
                return None;
            }
            Kind::Texts => Value::Texts(self.strings(value, &what)?),
            Kind::Base => Value::Base(self.base(value)?),
            Kind::Steps => Value::Steps(self.steps(value)?),
            Kind::Stages => Value::Stages(self.stages(value)?),
            Kind::Map => {
                if !value.get_ref().is_table() {
                    self.wrong_type(value, &what, "a table of names and values");
                    return None;
                }
                let mut map = BTreeMap::new();
                for (name, value) in self.table(value, &what) {
                    let what = format!("`{}` in `{}`", name.get_ref(), row.name);
                    if name.get_ref().is_empty() {
                        self.error(self.at(name), format!("a name in `{}` is empty", row.name), None);
                    } else if let Some(text) = self.scalar(value, &what) {
                        map.insert(name.get_ref().to_string(), text);
                    }
                }
                Value::Map(map)
            }
            Kind::Entries | Kind::Identified => {
                let DeValue::Array(items) = value.get_ref() else {
                    self.wrong_type(value, &what, "a list");
                    return None;
                };
                let known = match row.key {
                    Key::Secrets => SECRET,
                    Key::Ssh => SSH,
                    _ => &[],
                };
                Value::Entries(items.iter().filter_map(|item| self.entry(item, row.name, known)).collect())
            }
        })
    }

    /// One of `secrets`, `ssh` and `output`. No known attributes means that all are taken here: exporters differ.
    fn entry(&mut self, value: &Spanned<DeValue<'_>>, list: &str, known: &[&str]) -> Option<Entry> {
        if value.get_ref().is_str() {
            return self.string(value, list).map(Entry::Written);
        }
        if !value.get_ref().is_table() {
            self.wrong_type(value, &format!("an item of `{list}`"), "a string or a table");
            return None;
        }
        let mut fields = BTreeMap::new();
        for (name, value) in self.table(value, list) {
            let what = format!("`{}` in `{list}`", name.get_ref());
            if !known.is_empty() && !known.contains(&name.get_ref().as_ref()) {
                self.unknown(self.at(name), name.get_ref(), &format!("`{list}`"), known, &[]);
                continue;
            }
            let texts = if value.get_ref().is_array() && list == "ssh" {
                self.strings(value, &what)
            } else {
                self.scalar(value, &what).map(|text| vec![text])
            };
            fields.extend(texts.map(|texts| (name.get_ref().to_string(), texts)));
        }
        Some(Entry::Table(fields, Place::File { span: self.at(value), content: None }))
    }

    pub(super) fn strings(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Vec<Text>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, what, "a list of strings");
            return None;
        };
        Some(items.iter().filter_map(|item| self.string(item, &format!("an item of {what}"))).collect())
    }

    pub(super) fn string(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Text> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, what, "a string");
            return None;
        };
        let span = self.at(value);
        // Where the file has no escapes, a message can point into the string.
        let written = self.source.get(value.span()).unwrap_or_default();
        let quotes = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
        let verbatim = written.get(quotes..).is_some_and(|rest| rest.starts_with(text));
        let content = verbatim.then_some(span.start + quotes);
        Some(Text { text: text.to_owned(), place: Place::File { span, content } })
    }

    /// A string, or a number or truth value as it is written: a version of `1.20` stays `1.20`.
    pub(super) fn scalar(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Text> {
        match value.get_ref() {
            DeValue::String(_) => self.string(value, what),
            DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_type(value, what, "a string, a number or a truth value");
                None
            }
            _ => Some(self.as_written(value)),
        }
    }

    fn as_written(&self, value: &Spanned<DeValue<'_>>) -> Text {
        let text = self.source.get(value.span()).unwrap_or_default().to_owned();
        Text { text, place: Place::File { span: self.at(value), content: None } }
    }
}

/// The parser's maps are sorted by name; people mean the order in which they wrote.
fn ordered<'a>(table: &'a DeTable<'a>) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = table.iter().collect();
    items.sort_by_key(|(name, _)| name.span().start);
    items
}
