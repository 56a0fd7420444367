//! Build files of docker: `docker-bake.hcl`, `docker-bake.json`, and the `build` sections of `compose.yaml`.
//!
//! [`read`] evaluates them: what comes out is the same model that a `build.toml` is parsed to, so targets are resolved,
//! checked, changed with `--set` and built by the code that is there for it. Values of variables that are only put into
//! strings stay `${NAME}` in the model; that is why [`toml`] can write a build file which still has variables. Whatever is
//! looked into (conditions, functions) is worked out for the values of this moment.
//!
//! Several files are one definition, as docker has it: compose files first, then the others, later ones over earlier ones.
//! All of it is pure. The files, the environment and the time of the build come in as data.

mod ast;
mod bake;
mod compose;
mod decode;
mod eval;
mod functions;
mod hcl;
mod json;
mod keys;
mod scope;
mod sources;
mod toml;
mod types;
mod value;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

pub use sources::{Source, Sources};
pub use toml::toml;

use super::check;
use super::include::{Broken, SourceFile};
use super::model::{BuildFile, Declaration, Group, Text};
use super::suggest::did_you_mean;
use super::variables::{Default, Type, Variable};
use crate::frontend::diagnostic::Diagnostic;
use ast::Span;

/// What remarks about such files are called.
const RULE: &str = "BakeFile";

/// What a build file can ask of the world around it.
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file `.env`, which compose files take variables from that the environment does not have.
    pub dotenv: Option<String>,
    /// The machine's platform: `BAKE_LOCAL_PLATFORM`.
    pub platform: String,
    /// The time of the build, in seconds since 1970: `timestamp()`.
    pub epoch: i64,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `docker-bake.hcl`.
    Hcl,
    /// `docker-bake.json`.
    Json,
    /// `compose.yaml`.
    Compose,
}

/// What files came to.
#[derive(Debug)]
pub struct Read {
    /// The build file that says the same.
    pub file: BuildFile,
    /// What is there and has no effect.
    pub notes: Vec<Diagnostic>,
    /// Variables of which some value depends in a way that the build file does not say, with the values that they had.
    pub frozen: BTreeMap<String, String>,
}

impl Format {
    /// By the end of a file's name; none for a build file of our own.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.rsplit_once('.')?.1 {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Compose),
            _ => None,
        }
    }
}

/// Reads files whose names end as [`Format::of`] says, and checks all that can be without choosing targets.
pub fn read(sources: &Sources, surroundings: &Surroundings<'_>) -> Result<Read, Box<Broken>> {
    let mut read = Read { file: BuildFile::default(), notes: Vec::new(), frozen: BTreeMap::new() };
    read.file.evaluated = true;
    read.file.text = sources.text();
    read.file.parts = sources.parts();
    read.file.files = sources.files().iter().map(|source| SourceFile::alone(&source.name)).collect();
    match fill(sources, surroundings, &mut read) {
        Ok(()) => Ok(read),
        Err(mut list) => {
            list.sort_by_key(|diagnostic| diagnostic.annotations.first().map_or(0, |at| at.span.start));
            Err(Box::new(Broken { text: read.file.text, parts: read.file.parts, list }))
        }
    }
}

fn fill(sources: &Sources, surroundings: &Surroundings<'_>, read: &mut Read) -> Result<(), Vec<Diagnostic>> {
    let is_compose = |name: &str| Format::of(name) == Some(Format::Compose);
    let (composes, bakes): (Vec<_>, Vec<_>) = sources.placed().partition(|(_, source)| is_compose(&source.name));
    if !composes.is_empty() {
        compose::read(&composes, surroundings, read)?;
    }
    if !bakes.is_empty() {
        bake::read(&bakes, surroundings, read)?;
    }
    keys::spell_out(&mut read.file);
    settle_groups(&mut read.file);
    incomplete_groups(read);
    read.file.index();
    let mistakes = check::check(&read.file);
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// Adds a target, or what a later file says of one that is there.
fn add_target(file: &mut BuildFile, target: Declaration) {
    match file.targets.iter_mut().find(|other| other.name == target.name) {
        Some(other) => keys::merge(other, target),
        None => file.targets.push(target),
    }
}

/// Declares a variable.
fn add_variable(file: &mut BuildFile, name: &str, description: Option<String>, default: Option<Text>, span: Span) {
    file.variables.retain(|other| other.name != name);
    file.variables.push(Variable {
        name: name.to_owned(),
        description,
        kind: Some(Type::String),
        required: false,
        span,
        default: default.map(Default::One),
        values: Vec::new(),
        pattern: None,
        condition: None,
        message: None,
    });
}

/// A later group takes the place of an earlier one.
fn add_group(file: &mut BuildFile, group: Group) {
    file.groups.retain(|other| other.name != group.name);
    file.groups.push(group);
}

/// Leaves out groups of which a member does not exist: in docker, only who builds them learns of it.
fn incomplete_groups(read: &mut Read) {
    let file = &mut read.file;
    loop {
        let known: BTreeSet<&str> = file.targets().chain(file.groups.iter().map(|group| group.name.as_str())).collect();
        let broken = file.groups.iter().enumerate().find_map(|(number, group)| {
            let missing = group.members.iter().find(|member| !known.contains(member.text.as_str()))?;
            let message =
                format!("no target or group is called `{}`, so the group `{}` is left out", missing.text, group.name);
            let mut note = Diagnostic::warning(RULE, missing.place.span(None), message);
            note.help.extend(did_you_mean(&missing.text, known.iter().copied()));
            Some((number, note))
        });
        let Some((number, note)) = broken else { return };
        file.groups.remove(number);
        read.notes.push(note);
    }
}

/// A group may have a target of the same name, which then is what the name means in it. We have one kind of name: a group
/// that is only that target is none.
fn settle_groups(file: &mut BuildFile) {
    let targets: Vec<String> = file.targets().map(str::to_owned).collect();
    file.groups.retain(|group| {
        let only_itself = group.members().all(|member| member == group.name);
        !(only_itself && targets.contains(&group.name))
    });
}

#[cfg(test)]
mod tests;
