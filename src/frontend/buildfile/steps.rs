//! `from`, `steps` and `stages`: a target without a Dockerfile.
//!
//! A step is a table with one instruction and its options: `{ copy = "src", to = "/src/", chown = "app" }`. It is
//! checked here as far as that goes without values: which keys there are, and of which type.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::expand::{Fault, Scope};
use super::keys::Key;
use super::model::{self, Place, Value, Values};
use super::parse::Parser;
use super::suggest::did_you_mean;
use crate::frontend::steps::{
    Base, Command, Definition, Healthcheck, Instruction, Mkdir, Mount, Remove, Run, Stage, Step, Symlink, Text,
    Transfer, Write,
};

type Toml<'a> = Spanned<DeValue<'a>>;

/// The instructions, each with its options. The first word of a step says which it is.
pub(super) const STEPS: &[(&str, &[&str])] = &[
    ("run", &["mounts", "network", "security", "timeout"]),
    ("copy", &["to", "from", "chown", "chmod", "exclude", "link", "parents"]),
    ("add", &["to", "chown", "chmod", "exclude", "link", "checksum", "keep-git-dir", "unpack"]),
    ("write", &["content", "expand", "chown", "chmod"]),
    ("mkdir", &["chown", "chmod"]),
    ("symlink", &["to", "chown"]),
    ("remove", &["allow-missing"]),
    ("arg", &[]),
    ("env", &[]),
    ("label", &[]),
    ("workdir", &[]),
    ("user", &[]),
    ("entrypoint", &[]),
    ("cmd", &[]),
    ("expose", &[]),
    ("volume", &[]),
    ("stopsignal", &[]),
    ("shell", &[]),
    ("healthcheck", &["interval", "timeout", "start-period", "start-interval", "retries"]),
    ("onbuild", &[]),
];

/// The keys of `from` as a table.
const BASE: &[&str] = &["image", "platform", "merge", "diff"];

/// The keys of a stage.
const STAGE: &[&str] = &["from", "steps"];

/// The items of a step by name, each with where the name is.
type Fields<'a> = BTreeMap<&'a str, (Range<usize>, &'a Toml<'a>)>;

impl Parser<'_> {
    /// `from`: a name, `{ image = NAME, platform = … }`, `{ merge = […] }` or `{ diff = [lower, upper] }`.
    pub(super) fn base(&mut self, value: &Toml<'_>) -> Option<Base> {
        if value.get_ref().is_str() {
            return Some(Base::From(self.text(value, "`from`")?));
        }
        if !value.get_ref().is_table() {
            self.wrong_type(value, "`from`", "a string, or a table with `image`, `merge` or `diff`");
            return None;
        }
        let items = self.table(value, "`from`");
        if let Some((name, _)) = items.iter().find(|(name, _)| !BASE.contains(&name.get_ref().as_ref())) {
            self.unknown(self.at(name), name.get_ref(), "`from`", BASE, &[]);
            return None;
        }
        let get = |wanted: &str| items.iter().find(|(name, _)| name.get_ref() == wanted).map(|(_, value)| *value);
        match (get("image"), get("platform"), get("merge"), get("diff")) {
            (Some(image), platform, None, None) => {
                let name = self.text(image, "`image`")?;
                Some(match platform {
                    Some(platform) => Base::ForPlatform { name, platform: self.text(platform, "`platform`")? },
                    None => Base::From(name),
                })
            }
            (None, None, Some(list), None) => {
                let names = self.texts(list, "`merge`")?;
                if names.is_empty() {
                    self.error(self.at(list), "`merge` needs at least one name", None);
                    return None;
                }
                Some(Base::Merge(names))
            }
            (None, None, None, Some(list)) => match <[Text; 2]>::try_from(self.texts(list, "`diff`")?) {
                Ok([lower, upper]) => Some(Base::Diff { lower, upper }),
                Err(_) => {
                    let help = "write the state below first: `{ diff = [\"base\", \"base-and-more\"] }`";
                    self.error(self.at(list), "`diff` needs two names", Some(help.into()));
                    None
                }
            },
            _ => {
                let help = "`platform` goes with `image`";
                self.error(self.at(value), "`from` needs one of `image`, `merge` and `diff`", Some(help.into()));
                None
            }
        }
    }

    /// `stages`: a table of stages by name, in the order of the file.
    pub(super) fn stages(&mut self, value: &Toml<'_>) -> Option<Vec<Stage>> {
        let mut stages = Vec::new();
        for (name, value) in self.table(value, "`stages`") {
            let text = name.get_ref();
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
            if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.bytes().all(plain) {
                let help = "a name starts with a lower-case letter and goes on with such letters, digits and `-_.`";
                self.error(self.at(name), format!("`{text}` cannot be the name of a stage"), Some(help.into()));
                continue;
            }
            let label = Text { value: text.to_string(), span: self.at(name) };
            let mut stage = Stage { name: Some(label), span: self.at(name), ..Stage::default() };
            for (key, value) in self.table(value, "a stage") {
                match key.get_ref().as_ref() {
                    "from" => stage.base = self.base(value).unwrap_or_default(),
                    "steps" => stage.steps = self.steps(value).unwrap_or_default(),
                    other => self.unknown(self.at(key), other, "a stage", STAGE, &[]),
                }
            }
            stages.push(stage);
        }
        Some(stages)
    }

    /// `steps`: a list of tables.
    pub(super) fn steps(&mut self, value: &Toml<'_>) -> Option<Vec<Step>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, "`steps`", "a list of tables");
            return None;
        };
        Some(items.iter().filter_map(|item| self.step(item)).collect())
    }

    fn step(&mut self, value: &Toml<'_>) -> Option<Step> {
        if !value.get_ref().is_table() {
            self.wrong_type(value, "a step", "a table such as `{ run = \"make\" }`");
            return None;
        }
        let items = self.table(value, "a step");
        let known = |name: &Cow<'_, str>| STEPS.iter().find(|(step, _)| step == name);
        let mut instructions =
            items.iter().filter_map(|(name, argument)| Some((name, argument, known(name.get_ref())?)));
        let Some((name, argument, (kind, options))) = instructions.next() else {
            let names = STEPS.iter().map(|(name, _)| *name);
            let help = items.first().and_then(|(name, _)| did_you_mean(name.get_ref(), names.clone()));
            let help = help.unwrap_or_else(|| format!("the instructions are {}", names.collect::<Vec<_>>().join(", ")));
            self.error(self.at(value), "a step without an instruction", Some(help));
            return None;
        };
        if let Some((second, ..)) = instructions.next() {
            let message = format!("`{}` and `{}` are two steps", name.get_ref(), second.get_ref());
            self.error(self.at(second), message, Some("write a table for each of them".into()));
            return None;
        }
        let mut fields = Fields::new();
        for (key, value) in items.iter().filter(|(key, _)| key.get_ref() != kind) {
            if options.contains(&key.get_ref().as_ref()) {
                fields.insert(key.get_ref().as_ref(), (self.at(key), value));
            } else {
                self.unknown(self.at(key), key.get_ref(), &format!("a step `{kind}`"), options, &[]);
            }
        }
        let instruction = self.instruction(kind, argument, &fields, self.at(name))?;
        Some(Step { instruction, span: self.at(value) })
    }

    fn instruction(
        &mut self,
        kind: &str,
        value: &Toml<'_>,
        fields: &Fields<'_>,
        name: Range<usize>,
    ) -> Option<Instruction> {
        let what = format!("`{kind}`");
        Some(match kind {
            "run" => Instruction::Run(Run {
                command: self.command(value, &what)?,
                mounts: self.mounts(fields)?,
                network: self.option(fields, "network"),
                security: self.option(fields, "security"),
                timeout: self.option(fields, "timeout"),
            }),
            "copy" => Instruction::Copy(self.transfer(value, fields, &what, name)?),
            "add" => Instruction::Add(self.transfer(value, fields, &what, name)?),
            "write" => Instruction::Write(Write {
                path: self.text(value, &what)?,
                content: self.needed(fields, "content", &what, name)?,
                expand: self.flag(fields, "expand").unwrap_or_default(),
                chown: self.option(fields, "chown"),
                chmod: self.option(fields, "chmod"),
            }),
            "mkdir" => Instruction::Mkdir(Mkdir {
                path: self.text(value, &what)?,
                chown: self.option(fields, "chown"),
                chmod: self.option(fields, "chmod"),
            }),
            "symlink" => Instruction::Symlink(Symlink {
                path: self.text(value, &what)?,
                to: self.needed(fields, "to", &what, name)?,
                chown: self.option(fields, "chown"),
            }),
            "remove" => Instruction::Remove(Remove {
                paths: self.one_or_more(value, &what)?,
                allow_missing: self.flag(fields, "allow-missing").unwrap_or_default(),
            }),
            "arg" => Instruction::Arg(self.arguments(value, &what)?),
            "env" => Instruction::Env(self.pairs(value, &what)?),
            "label" => Instruction::Label(self.pairs(value, &what)?),
            "workdir" => Instruction::Workdir(self.text(value, &what)?),
            "user" => Instruction::User(self.scalar_text(value, &what)?),
            "entrypoint" => Instruction::Entrypoint(self.command(value, &what)?),
            "cmd" => Instruction::Cmd(self.command(value, &what)?),
            "expose" => Instruction::Expose(self.one_or_more(value, &what)?),
            "volume" => Instruction::Volume(self.one_or_more(value, &what)?),
            "stopsignal" => Instruction::Stopsignal(self.scalar_text(value, &what)?),
            "shell" => Instruction::Shell(self.texts(value, &what)?),
            "healthcheck" => {
                let test = self.command(value, &what)?;
                let none = matches!(&test, Command::Shell(text) if text.value == "none");
                let options = fields.keys().filter_map(|key| Some(((*key).to_owned(), self.option(fields, key)?)));
                let options = options.collect();
                Instruction::Healthcheck(Healthcheck { test: (!none).then_some(test), options })
            }
            _ => Instruction::Onbuild(self.text(value, &what)?),
        })
    }

    fn transfer(&mut self, value: &Toml<'_>, fields: &Fields<'_>, what: &str, name: Range<usize>) -> Option<Transfer> {
        let sources = self.one_or_more(value, what)?;
        if sources.is_empty() {
            self.error(self.at(value), format!("{what} needs at least one source"), None);
            return None;
        }
        let exclude = match fields.get("exclude") {
            Some((_, value)) => self.one_or_more(value, "`exclude`")?,
            None => Vec::new(),
        };
        Some(Transfer {
            sources,
            to: self.needed(fields, "to", what, name)?,
            from: self.option(fields, "from"),
            chown: self.option(fields, "chown"),
            chmod: self.option(fields, "chmod"),
            checksum: self.option(fields, "checksum"),
            exclude,
            link: self.flag(fields, "link").unwrap_or_default(),
            parents: self.flag(fields, "parents").unwrap_or_default(),
            keep_git_dir: self.flag(fields, "keep-git-dir"),
            unpack: self.flag(fields, "unpack"),
        })
    }

    /// `mounts`: tables with the keys of `RUN --mount`, or what stands behind `--mount=`.
    fn mounts(&mut self, fields: &Fields<'_>) -> Option<Vec<Mount>> {
        let Some((_, value)) = fields.get("mounts") else { return Some(Vec::new()) };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, "`mounts`", "a list");
            return None;
        };
        let mut mounts = Vec::new();
        for item in items.iter() {
            if !item.get_ref().is_table() {
                self.wrong_type(item, "a mount", "a table such as `{ type = \"cache\", target = \"/cache\" }`");
                return None;
            }
            let mut mount = Mount { fields: Vec::new(), span: self.at(item) };
            for (key, value) in self.table(item, "a mount") {
                let value = self.scalar_text(value, &format!("`{}` of a mount", key.get_ref()))?;
                mount.fields.push((key.get_ref().to_string(), value));
            }
            // What the other keys mean depends on it.
            mount.fields.sort_by_key(|(key, _)| key != "type");
            mounts.push(mount);
        }
        Some(mounts)
    }

    /// `"NAME"`, `{ NAME = "default" }`, or a list of these.
    fn arguments(&mut self, value: &Toml<'_>, what: &str) -> Option<Vec<(Text, Option<Text>)>> {
        Some(match value.get_ref() {
            DeValue::Array(items) => {
                let mut all = Vec::new();
                for item in items.iter() {
                    all.extend(self.arguments(item, what)?);
                }
                all
            }
            DeValue::Table(_) => {
                self.pairs(value, what)?.into_iter().map(|(name, default)| (name, Some(default))).collect()
            }
            _ => vec![(self.text(value, what)?, None)],
        })
    }

    fn pairs(&mut self, value: &Toml<'_>, what: &str) -> Option<Vec<(Text, Text)>> {
        if !value.get_ref().is_table() {
            self.wrong_type(value, what, "a table of names and values");
            return None;
        }
        let mut pairs = Vec::new();
        for (name, value) in self.table(value, what) {
            let label = Text { value: name.get_ref().to_string(), span: self.at(name) };
            pairs.push((label, self.scalar_text(value, &format!("`{}` in {what}", name.get_ref()))?));
        }
        if pairs.is_empty() {
            self.error(self.at(value), format!("{what} needs at least one name"), None);
            return None;
        }
        Some(pairs)
    }

    fn command(&mut self, value: &Toml<'_>, what: &str) -> Option<Command> {
        Some(match value.get_ref() {
            DeValue::Array(_) => Command::Exec(self.texts(value, what)?),
            DeValue::String(_) => Command::Shell(self.text(value, what)?),
            _ => {
                self.wrong_type(value, what, "a string for the shell, or a list of a program and its arguments");
                return None;
            }
        })
    }

    fn one_or_more(&mut self, value: &Toml<'_>, what: &str) -> Option<Vec<Text>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.scalar_text(item, what)).collect(),
            _ => Some(vec![self.scalar_text(value, what)?]),
        }
    }

    fn option(&mut self, fields: &Fields<'_>, name: &str) -> Option<Text> {
        let (_, value) = fields.get(name)?;
        self.scalar_text(value, &format!("`{name}`"))
    }

    fn needed(&mut self, fields: &Fields<'_>, name: &str, what: &str, place: Range<usize>) -> Option<Text> {
        if !fields.contains_key(name) {
            self.error(place, format!("{what} needs `{name}`"), None);
        }
        self.option(fields, name)
    }

    fn flag(&mut self, fields: &Fields<'_>, name: &str) -> Option<bool> {
        let (_, value) = fields.get(name)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(value, &format!("`{name}`"), "true or false");
        }
        flag
    }

    fn text(&mut self, value: &Toml<'_>, what: &str) -> Option<Text> {
        self.string(value, what).map(from_model)
    }

    fn scalar_text(&mut self, value: &Toml<'_>, what: &str) -> Option<Text> {
        self.scalar(value, what).map(from_model)
    }

    fn texts(&mut self, value: &Toml<'_>, what: &str) -> Option<Vec<Text>> {
        Some(self.strings(value, what)?.into_iter().map(from_model).collect())
    }
}

fn from_model(text: model::Text) -> Text {
    let span = text.place.span(None);
    Text { value: text.text, span }
}

/// The same as a text of the file.
fn to_model(text: &Text) -> model::Text {
    model::Text { text: text.value.clone(), place: Place::File { span: text.span.clone(), content: None } }
}

/// Calls something with every string in a value that is about steps, to change it.
pub(super) fn each_text_of(value: &mut Value, visit: &mut dyn FnMut(&mut model::Text)) {
    let mut visit = |text: &mut Text| {
        let mut changed = to_model(text);
        visit(&mut changed);
        text.value = changed.text;
    };
    match value {
        Value::Base(base) => base.each_text(&mut visit),
        Value::Steps(steps) => steps.iter_mut().for_each(|step| step.instruction.each_text(&mut visit)),
        Value::Stages(stages) => {
            for stage in stages {
                stage.base.each_text(&mut visit);
                stage.steps.iter_mut().for_each(|step| step.instruction.each_text(&mut visit));
            }
        }
        _ => {}
    }
}

/// Every string in a value that is about steps.
pub(super) fn texts_of(value: &Value) -> Vec<model::Text> {
    let mut found = Vec::new();
    let mut definition = Definition::default();
    match value {
        Value::Base(base) => definition.stages.push(Stage { base: base.clone(), ..Stage::default() }),
        Value::Steps(steps) => definition.stages.push(Stage { steps: steps.clone(), ..Stage::default() }),
        Value::Stages(stages) => definition.stages.clone_from(stages),
        _ => {}
    }
    definition.each_text(&mut |text| found.push(to_model(text)));
    found
}

/// What a target without a Dockerfile does, variables expanded, and the targets it is linked to; none if it has one.
pub(super) fn resolve(
    values: &Values,
    scope: &Scope,
    place: Range<usize>,
    faults: &mut Vec<Fault>,
) -> Option<(Definition, Vec<(String, model::Text)>)> {
    let (base, steps, stages) = (values.get(&Key::From), values.get(&Key::Steps), values.get(&Key::Stages));
    base.or(steps).or(stages)?;
    let mut definition = Definition::default();
    if let Some(Value::Stages(stages)) = stages {
        definition.stages.clone_from(stages);
    }
    let mut last = Stage { span: place, ..Stage::default() };
    if let Some(Value::Base(base)) = base {
        last.base.clone_from(base);
    }
    if let Some(Value::Steps(steps)) = steps {
        last.steps.clone_from(steps);
    }
    definition.stages.push(last);
    definition.each_text(&mut |text| match scope.expand(&to_model(text)) {
        Ok(value) => text.value = value,
        Err(fault) => faults.push(fault),
    });
    let linked = |text: &Text| Some((text.value.strip_prefix("target:")?.to_owned(), to_model(text)));
    let links = definition.sources().into_iter().filter_map(linked).collect();
    Some((definition, links))
}
