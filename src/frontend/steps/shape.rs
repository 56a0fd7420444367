//! Steps as `build.toml` writes them: what `bake --print` shows, and what a Rust program that describes a build hands on.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Base, Command, Instruction, Mount, Run, Text, Transfer};

/// A value of a build file, tables in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A list.
    List(Vec<Shape>),
    /// A table.
    Table(Vec<(String, Shape)>),
}

impl Shape {
    /// A list of strings.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => serializer.collect_seq(list),
            Self::Table(table) => {
                let mut map = serializer.serialize_map(Some(table.len()))?;
                for (key, value) in table {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// What a stage starts from, as the value of `from`.
pub fn shape_of_base(base: &Base) -> Shape {
    let one = |key: &str, value| Shape::Table(vec![(key.to_owned(), value)]);
    match base {
        Base::From(name) => text(name),
        Base::ForPlatform { name, platform } => {
            Shape::Table(vec![("image".to_owned(), text(name)), ("platform".to_owned(), text(platform))])
        }
        Base::Merge(names) => one("merge", texts(names)),
        Base::Diff { lower, upper } => one("diff", texts([lower, upper])),
    }
}

/// An instruction as an item of `steps`: what it is called with its argument first, then its options.
pub fn shape_of(instruction: &Instruction) -> Shape {
    let mut table = Vec::new();
    let mut put = |key: &str, value: Shape| table.push((key.to_owned(), value));
    match instruction {
        Instruction::Run(run) => put_run(run, &mut put),
        Instruction::Copy(copy) => put_transfer("copy", copy, &mut put),
        Instruction::Add(add) => put_transfer("add", add, &mut put),
        Instruction::Write(write) => {
            put("write", text(&write.path));
            put("content", text(&write.content));
            if write.expand {
                put("expand", Shape::Flag(true));
            }
            for (key, value) in [("chown", &write.chown), ("chmod", &write.chmod)] {
                value.iter().for_each(|value| put(key, text(value)));
            }
        }
        Instruction::Mkdir(mkdir) => {
            put("mkdir", text(&mkdir.path));
            for (key, value) in [("chown", &mkdir.chown), ("chmod", &mkdir.chmod)] {
                value.iter().for_each(|value| put(key, text(value)));
            }
        }
        Instruction::Symlink(link) => {
            put("symlink", text(&link.path));
            put("to", text(&link.to));
            link.chown.iter().for_each(|value| put("chown", text(value)));
        }
        Instruction::Remove(remove) => {
            put("remove", texts(&remove.paths));
            if remove.allow_missing {
                put("allow-missing", Shape::Flag(true));
            }
        }
        // A list can hold both kinds of arguments: those with a default are tables in it.
        Instruction::Arg(names) => put(
            "arg",
            Shape::List(
                names
                    .iter()
                    .map(|(name, default)| match default {
                        Some(default) => Shape::Table(vec![(name.value.clone(), text(default))]),
                        None => text(name),
                    })
                    .collect(),
            ),
        ),
        Instruction::Env(pairs) => put("env", table_of(pairs)),
        Instruction::Label(pairs) => put("label", table_of(pairs)),
        Instruction::Workdir(path) => put("workdir", text(path)),
        Instruction::User(user) => put("user", text(user)),
        Instruction::Entrypoint(command) => put("entrypoint", shape_of_command(command)),
        Instruction::Cmd(command) => put("cmd", shape_of_command(command)),
        Instruction::Expose(ports) => put("expose", texts(ports)),
        Instruction::Volume(paths) => put("volume", texts(paths)),
        Instruction::Stopsignal(signal) => put("stopsignal", text(signal)),
        Instruction::Shell(words) => put("shell", texts(words)),
        Instruction::Healthcheck(check) => {
            let test = check.test.as_ref().map_or(Shape::Text("none".into()), shape_of_command);
            put("healthcheck", test);
            check.options.iter().for_each(|(key, value)| put(key, text(value)));
        }
        Instruction::Onbuild(trigger) => put("onbuild", text(trigger)),
    }
    Shape::Table(table)
}

fn put_run(run: &Run, put: &mut dyn FnMut(&str, Shape)) {
    put("run", shape_of_command(&run.command));
    if !run.mounts.is_empty() {
        let one =
            |mount: &Mount| Shape::Table(mount.fields.iter().map(|(key, value)| (key.clone(), text(value))).collect());
        put("mounts", Shape::List(run.mounts.iter().map(one).collect()));
    }
    for (key, value) in [("network", &run.network), ("security", &run.security), ("timeout", &run.timeout)] {
        value.iter().for_each(|value| put(key, text(value)));
    }
}

fn put_transfer(name: &str, copy: &Transfer, put: &mut dyn FnMut(&str, Shape)) {
    put(name, texts(&copy.sources));
    put("to", text(&copy.to));
    let flags = [("from", &copy.from), ("chown", &copy.chown), ("chmod", &copy.chmod), ("checksum", &copy.checksum)];
    for (key, value) in flags {
        value.iter().for_each(|value| put(key, text(value)));
    }
    if !copy.exclude.is_empty() {
        put("exclude", texts(&copy.exclude));
    }
    let set = |flag: bool| flag.then_some(true);
    let flags = [
        ("link", set(copy.link)),
        ("parents", set(copy.parents)),
        ("keep-git-dir", copy.keep_git_dir),
        ("unpack", copy.unpack),
    ];
    for (key, value) in flags {
        value.iter().for_each(|value| put(key, Shape::Flag(*value)));
    }
}

fn text(text: &Text) -> Shape {
    Shape::Text(text.value.clone())
}

fn texts<'a>(list: impl IntoIterator<Item = &'a Text>) -> Shape {
    Shape::List(list.into_iter().map(text).collect())
}

fn table_of(pairs: &[(Text, Text)]) -> Shape {
    Shape::Table(pairs.iter().map(|(name, value)| (name.value.clone(), text(value))).collect())
}

fn shape_of_command(command: &Command) -> Shape {
    match command {
        Command::Shell(line) => text(line),
        Command::Exec(words) => texts(words),
    }
}
