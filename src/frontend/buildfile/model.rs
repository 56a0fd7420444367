//! A build file as it was written: names checked, values not yet expanded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::include::{SourceFile, join};
use super::keys::Key;
use super::matrix::Matrix;
use super::variables::Variable;
use crate::frontend::diagnostic::Part;
use crate::frontend::steps::{Base, Stage, Step};
use crate::trust::PolicyFile;

/// A parsed build file. Everything is in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct BuildFile {
    pub(super) variables: Vec<Variable>,
    pub(super) groups: Vec<Group>,
    pub(super) targets: Vec<Declaration>,
    /// What may be built on, as each file has it, and where that file begins.
    pub(super) policies: Vec<(usize, PolicyFile)>,
    /// The texts of all files, one after another. Spans are places in it.
    pub(super) text: String,
    /// Where each begins, and what it is called.
    pub(super) parts: Vec<Part>,
    /// The same files.
    pub(super) files: Vec<SourceFile>,
    /// Whether values were worked out when the files were read, so that any of them may depend on anything in them.
    pub(super) evaluated: bool,
    names: HashMap<(Kind, String), usize>,
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Variable,
    Group,
    Target,
}

/// Several targets under one name.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    pub(super) members: Vec<Text>,
    pub(super) span: Range<usize>,
}

/// A target as written.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    pub(super) inherits: Vec<Text>,
    pub(super) values: Values,
    /// What it is to be multiplied by. None is left once a file is parsed.
    pub(super) matrix: Option<Matrix>,
}

/// The values of a target, by key.
pub(super) type Values = BTreeMap<Key, Value>;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Of `Text`, `Verbatim` and `Flag` keys.
    Text(Text),
    /// Of `Texts` keys.
    Texts(Vec<Text>),
    /// Of `Map` keys.
    Map(BTreeMap<String, Text>),
    /// Of `Entries` and `Identified` keys.
    Entries(Vec<Entry>),
    /// Of `Base` keys.
    Base(Base),
    /// Of `Steps` keys.
    Steps(Vec<Step>),
    /// Of `Stages` keys.
    Stages(Vec<Stage>),
}

/// One of a list of things with attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// As on a command line: `name=value,…`.
    Written(Text),
    /// As a table. An attribute may have several values.
    Table(BTreeMap<String, Vec<Text>>, Place),
}

/// A string and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// These bytes of the file. `content` is where the text begins if the file has it letter by letter.
    File { span: Range<usize>, content: Option<usize> },
    /// A `--set` option, as given. Nothing in it is expanded: the shell had its chance.
    Set(String),
}

impl Place {
    /// The bytes of the file; for a part of the text only the bytes of that part, where that is known.
    pub(super) fn span(&self, part: Option<Range<usize>>) -> Range<usize> {
        match self {
            Self::File { content: Some(at), .. } if part.is_some() => {
                let part = part.unwrap_or_default();
                at + part.start..at + part.end
            }
            Self::File { span, .. } => span.clone(),
            Self::Set(_) => 0..0,
        }
    }
}

impl BuildFile {
    /// The names of the targets.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| target.name.as_str())
    }

    /// Whether a target is inherited by others and listed in no group.
    pub fn is_template(&self, name: &str) -> bool {
        let inherited = |target: &Declaration| target.inherits.iter().any(|parent| parent.text == name);
        self.targets.iter().any(inherited)
            && !self.groups.iter().any(|group| group.members().any(|member| member == name))
    }

    /// The groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What may be built on: what each file that says so is called, the folder that its paths start at, and what it says. All
    /// of them hold.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &str, &PolicyFile)> {
        self.policies.iter().filter_map(|(start, policy)| {
            let index = self.index_at(*start)?;
            Some((self.parts.get(index)?.name.as_str(), self.files.get(index)?.folder.as_str(), policy))
        })
    }

    /// The texts of all files, one after another, and where each begins.
    pub fn sources(&self) -> (&str, &[Part]) {
        (&self.text, &self.parts)
    }

    /// The paths of its files from the folder of the first.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// What the file is called that declares a target.
    pub fn file_of(&self, target: &str) -> Option<&str> {
        let part = Part::find(&self.parts, self.target(target)?.span.start)?;
        Some(&part.name)
    }

    /// Makes everything that is there now findable by name.
    pub(super) fn index(&mut self) {
        fn add<'a>(names: &mut HashMap<(Kind, String), usize>, kind: Kind, all: impl Iterator<Item = &'a String>) {
            for (index, name) in all.enumerate() {
                names.entry((kind, name.clone())).or_insert(index);
            }
        }
        let mut names = HashMap::new();
        add(&mut names, Kind::Variable, self.variables.iter().map(|variable| &variable.name));
        add(&mut names, Kind::Group, self.groups.iter().map(|group| &group.name));
        add(&mut names, Kind::Target, self.targets.iter().map(|target| &target.name));
        self.names = names;
    }

    fn find(&self, kind: Kind, name: &str) -> Option<usize> {
        self.names.get(&(kind, name.to_owned())).copied()
    }

    pub(super) fn target(&self, name: &str) -> Option<&Declaration> {
        self.targets.get(self.find(Kind::Target, name)?)
    }

    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(self.find(Kind::Group, name)?)
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(self.find(Kind::Variable, name)?)
    }

    /// Which of the files has this byte.
    pub(super) fn index_at(&self, at: usize) -> Option<usize> {
        self.parts.partition_point(|part| part.start <= at).checked_sub(1)
    }

    /// A path as it is from the folder of the first file. `place` is where it was written.
    pub(super) fn located(&self, place: &Place, path: &str) -> String {
        let folder = match place {
            Place::File { span, .. } => self.index_at(span.start).map_or("", |index| self.files[index].folder.as_str()),
            Place::Set(_) => "",
        };
        if folder.is_empty() { path.to_owned() } else { join(folder, path) }
    }
}

impl Group {
    /// The names of its members: targets and groups.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.text.as_str())
    }
}

impl Value {
    /// Every string in it. Those of steps are [elsewhere](super::steps::texts_of).
    pub(super) fn texts(&self) -> Vec<&Text> {
        match self {
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts.iter().collect(),
            Self::Map(map) => map.values().collect(),
            Self::Entries(entries) => entries
                .iter()
                .flat_map(|entry| match entry {
                    Entry::Written(text) => vec![text],
                    Entry::Table(fields, _) => fields.values().flatten().collect(),
                })
                .collect(),
            Self::Base(_) | Self::Steps(_) | Self::Stages(_) => Vec::new(),
        }
    }

    /// Where it was written, if it is one text.
    pub(super) fn place(&self) -> Option<&Place> {
        if let Self::Text(text) = self { Some(&text.place) } else { None }
    }

    /// Where an item of it was written; none if it has none of this number.
    pub(super) fn place_of(&self, number: usize) -> Option<&Place> {
        match self {
            Self::Entries(entries) => entries.get(number).map(|entry| match entry {
                Entry::Table(_, place) => place,
                Entry::Written(text) => &text.place,
            }),
            _ => self.texts().get(number).map(|text| &text.place),
        }
    }

    /// Adds the value of the same key that comes later.
    pub(super) fn merge(&mut self, later: Self, append: bool) {
        match (self, later) {
            (Self::Map(map), Self::Map(later)) => map.extend(later),
            (Self::Texts(texts), Self::Texts(later)) if append => texts.extend(later),
            (Self::Entries(entries), Self::Entries(later)) if append => entries.extend(later),
            (value, later) => *value = later,
        }
    }
}

impl Declaration {
    /// Its own description, as written.
    pub(super) fn description(&self) -> Option<&str> {
        match self.values.get(&Key::Description) {
            Some(Value::Text(text)) => Some(&text.text),
            _ => None,
        }
    }
}
