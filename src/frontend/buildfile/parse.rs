//! From text to the model, with a message for every mistake.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::expand::is_variable_name;
use super::keys::{KEYS, Key, KeyInfo, Kind, NOT_YET, NOT_YET_TOP, NOT_YET_VARIABLE};
use super::matrix;
use super::model::{BuildFile, Declaration, Entry, Group, Place, Text, Value, Values, Variable};
use super::suggest::did_you_mean;
use crate::frontend::diagnostic::Diagnostic;

/// The tables of a build file.
const TABLES: &[&str] = &["group", "target", "variable"];

/// The table of a target that [`Key::Scrub`] is in.
const TABLE_OF_SCRUB: &str = "reproducible";

/// Attributes of the tables in `secrets`, `ssh` and `output`.
const SECRET: &[&str] = &["id", "src", "env"];
const SSH: &[&str] = &["id", "paths"];

/// Parses a build file and checks all of it that does not depend on the values of variables.
///
/// Returns every mistake found, in the order of the file.
pub fn parse(text: &str) -> Result<BuildFile, Vec<Diagnostic>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut parser = Parser { source: text, diagnostics: Vec::new() };
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        parser.diagnostics.push(Diagnostic::error(span, format!("not TOML: {}", error.message())));
    }
    if parser.diagnostics.is_empty() {
        let mut file = parser.file(root.get_ref());
        matrix::expand(&mut file, &mut parser.diagnostics);
        for mistake in check::check(&file) {
            // What all targets of a matrix have is wrong once.
            if !parser.diagnostics.contains(&mistake) {
                parser.diagnostics.push(mistake);
            }
        }
        if parser.diagnostics.is_empty() {
            return Ok(file);
        }
    }
    parser.diagnostics.sort_by_key(|diagnostic| diagnostic.annotations.first().map_or(0, |at| at.span.start));
    Err(parser.diagnostics)
}

pub(super) type Item<'a> = (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

/// A parse under way.
pub(super) struct Parser<'s> {
    source: &'s str,
    diagnostics: Vec<Diagnostic>,
}

impl Parser<'_> {
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
        self.error(value.span(), format!("{what} must be {wanted}, not {article} {found}"), None);
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

    fn file(&mut self, root: &DeTable<'_>) -> BuildFile {
        let mut file = BuildFile::default();
        for (name, value) in ordered(root) {
            match name.get_ref().as_ref() {
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
                other => self.unknown(name.span(), other, "a build file", TABLES, NOT_YET_TOP),
            }
        }
        file
    }

    /// Names stand on command lines, before a dot in `--set` and in lists, so they are plain.
    fn name(&mut self, name: &Spanned<Cow<'_, str>>, what: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !name.get_ref().is_empty() && name.get_ref().bytes().all(plain) && !name.get_ref().starts_with('-');
        if !fine {
            let help = "names are letters, digits, `_` and `-`, and do not start with `-`";
            self.error(name.span(), format!("`{}` cannot be the name of a {what}", name.get_ref()), Some(help.into()));
        }
        fine
    }

    fn variable(&mut self, (name, value): Item<'_>) -> Option<Variable> {
        if !is_variable_name(name.get_ref()) {
            let help = "names are letters, digits and `_`, and do not start with a digit";
            self.error(
                name.span(),
                format!("`{}` cannot be the name of a variable", name.get_ref()),
                Some(help.into()),
            );
            return None;
        }
        let mut variable = Variable { name: name.get_ref().to_string(), description: None, default: None };
        if !value.get_ref().is_table() {
            variable.default = self.scalar(value, "a variable");
            return Some(variable);
        }
        for (key, value) in self.table(value, "a variable") {
            match key.get_ref().as_ref() {
                "default" => variable.default = self.scalar(value, "`default`"),
                "description" => variable.description = self.string(value, "`description`").map(|text| text.text),
                other => {
                    self.unknown(key.span(), other, "a variable", &["default", "description"], NOT_YET_VARIABLE);
                }
            }
        }
        Some(variable)
    }

    fn group(&mut self, (name, value): Item<'_>) -> Option<Group> {
        if !self.name(name, "group") {
            return None;
        }
        let mut group =
            Group { name: name.get_ref().to_string(), description: None, members: Vec::new(), span: name.span() };
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
                    other => self.unknown(key.span(), other, "a group", &["targets", "description"], &[]),
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
            span: name.span(),
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
                    instance_name = Some((key.span(), value));
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
                self.unknown(key.span(), key.get_ref(), "a target", &known, NOT_YET);
                continue;
            };
            // `from`, `steps` and `stages` go together; each kind of Dockerfile goes alone.
            if let Some(form) = row.key.definition()
                && let Some((other, known, span)) = dockerfile.replace((form, row.name, key.span()))
                && form != other
            {
                let error = Diagnostic::error(key.span(), format!("`{known}` and `{}` exclude each other", row.name));
                self.diagnostics.push(error.note(span, "one is here"));
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
                None => self.unknown(key.span(), key.get_ref(), &what, &["scrub"], &[]),
            }
        }
    }

    fn value(&mut self, row: &KeyInfo, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let what = format!("`{}`", row.name);
        Some(match row.kind {
            Kind::Text | Kind::Verbatim => Value::Text(self.string(value, &what)?),
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
                        self.error(name.span(), format!("a name in `{}` is empty", row.name), None);
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
                self.unknown(name.span(), name.get_ref(), &format!("`{list}`"), known, &[]);
                continue;
            }
            let texts = if value.get_ref().is_array() && list == "ssh" {
                self.strings(value, &what)
            } else {
                self.scalar(value, &what).map(|text| vec![text])
            };
            fields.extend(texts.map(|texts| (name.get_ref().to_string(), texts)));
        }
        Some(Entry::Table(fields, Place::File { span: value.span(), content: None }))
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
        let span = value.span();
        // Where the file has no escapes, a message can point into the string.
        let written = self.source.get(span.clone()).unwrap_or_default();
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
        let span = value.span();
        let text = self.source.get(span.clone()).unwrap_or_default().to_owned();
        Text { text, place: Place::File { span, content: None } }
    }
}

/// The parser's maps are sorted by name; people mean the order in which they wrote.
fn ordered<'a>(table: &'a DeTable<'a>) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = table.iter().collect();
    items.sort_by_key(|(name, _)| name.span().start);
    items
}
