//! A model as the text of a `build.toml`: what `bake --convert` writes.
//!
//! Our own few lines and not a serialiser, because the order of keys and the look of the text are for people.

use super::super::keys::{Kind, Kind::Flag};
use super::super::model::{BuildFile, Declaration, Entry, Text, Value};
use super::Read;
use crate::frontend::toml::{key, string};

/// The widest line on which a list or a table stands.
const WIDEST: usize = 100;

/// The build file that says what was read. `from` is where that was.
pub fn toml(read: &Read, from: &str) -> String {
    let file = &read.file;
    // A comment holds no control characters.
    let from = from.replace(char::is_control, "\u{fffd}");
    let mut text = format!("# Converted from {from}. Paths are relative to the folder in which this was done.\n");
    if !read.frozen.is_empty() {
        text.push_str("#\n# What conditions and functions make of these variables was worked out for these values:\n");
        for (name, value) in &read.frozen {
            text.push_str(&format!("#     {} = {}\n", key(name), string(value)));
        }
    }
    variables(read, &mut text);
    groups(file, &mut text);
    for target in &file.targets {
        self::target(target, &mut text);
    }
    text
}

/// The variables that a value refers to, and those that their defaults need.
fn variables(read: &Read, text: &mut String) {
    let file = &read.file;
    let mut used: Vec<&str> = Vec::new();
    let mut open: Vec<String> = file
        .targets
        .iter()
        .flat_map(|target| target.values.values())
        .flat_map(Value::texts)
        .map(|one| one.text.clone())
        .collect();
    while let Some(written) = open.pop() {
        for variable in &file.variables {
            if !used.contains(&variable.name.as_str()) && written.contains(&format!("${{{}}}", variable.name)) {
                used.push(&variable.name);
                open.extend(variable.default_texts().iter().map(|default| default.text.clone()));
            }
        }
    }
    let shown: Vec<_> = file.variables.iter().filter(|variable| used.contains(&variable.name.as_str())).collect();
    let (described, plain): (Vec<_>, Vec<_>) =
        shown.into_iter().partition(|variable| variable.description.is_some() || variable.default.is_none());
    if !plain.is_empty() {
        text.push_str("\n[variable]\n");
    }
    for variable in plain {
        let default = variable.default_texts().first().map_or("", |default| default.text.as_str());
        text.push_str(&format!("{} = {}\n", key(&variable.name), string(default)));
    }
    for variable in described {
        text.push_str(&format!("\n[variable.{}]\n", key(&variable.name)));
        if let Some(default) = variable.default_texts().first() {
            text.push_str(&format!("default = {}\n", string(&default.text)));
        }
        if let Some(description) = &variable.description {
            text.push_str(&format!("description = {}\n", string(description)));
        }
    }
}

fn groups(file: &BuildFile, text: &mut String) {
    if !file.groups.is_empty() {
        text.push_str("\n[group]\n");
    }
    for group in &file.groups {
        let members = list(group.members().map(string).collect());
        match &group.description {
            Some(description) => {
                let members = format!("[{}]", group.members().map(string).collect::<Vec<_>>().join(", "));
                let table = format!("{{ targets = {members}, description = {} }}", string(description));
                text.push_str(&format!("{} = {table}\n", key(&group.name)));
            }
            None => text.push_str(&format!("{} = {members}\n", key(&group.name))),
        }
    }
}

fn target(target: &Declaration, text: &mut String) {
    let head = format!("target.{}", key(&target.name));
    text.push_str(&format!("\n[{head}]\n"));
    if !target.inherits.is_empty() {
        text.push_str(&format!("inherits = {}\n", list(texts(&target.inherits))));
    }
    let mut tables = String::new();
    for (name, value) in &target.values {
        let (kind, name) = (name.info().kind, name.info().name);
        let written = match value {
            Value::Text(one) => single(kind, one),
            Value::Texts(items) => list(texts(items)),
            Value::Map(map) => {
                let pairs: Vec<String> =
                    map.iter().map(|(name, one)| format!("{} = {}", key(name), string(&one.text))).collect();
                let line = pairs.join(", ");
                if line.len() + name.len() > WIDEST {
                    tables.push_str(&format!("\n[{head}.{name}]\n{}\n", pairs.join("\n")));
                    continue;
                }
                if line.is_empty() { "{}".into() } else { format!("{{ {line} }}") }
            }
            Value::Entries(entries) => list(entries.iter().map(entry).collect()),
            // Nothing but a build file has steps.
            Value::Base(_) | Value::Steps(_) | Value::Stages(_) => continue,
        };
        text.push_str(&format!("{name} = {written}\n"));
    }
    text.push_str(&tables);
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|one| string(&one.text)).collect()
}

fn single(kind: Kind, one: &Text) -> String {
    match one.text.as_str() {
        flag @ ("true" | "false") if kind == Flag => flag.to_owned(),
        text if text.contains('\n') => lines(text),
        text => string(text),
    }
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Written(text) => string(&text.text),
        Entry::Table(fields, _) => {
            let field = |(name, values): (&String, &Vec<Text>)| match values.as_slice() {
                [one] if name != "paths" => format!("{} = {}", key(name), string(&one.text)),
                many => format!("{} = [{}]", key(name), texts(many).join(", ")),
            };
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// On one line if that is not too long.
fn list(items: Vec<String>) -> String {
    let line = items.join(", ");
    if line.len() <= WIDEST {
        return format!("[{line}]");
    }
    format!("[\n{}]", items.iter().map(|item| format!("    {item},\n")).collect::<String>())
}

/// A string that stands on several lines as it is, if it can.
fn lines(text: &str) -> String {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains("'''") || text.ends_with('\'') || text.contains(odd) {
        return string(text);
    }
    format!("'''\n{text}'''")
}
