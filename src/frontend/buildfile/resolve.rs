//! From the model to the targets to build, spelt out, in an order in which each comes after those it links to.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::check::{References, diagnostic, endless};
use super::expand::{Fault, Scope};
use super::keys::{Key, Kind};
use super::model::{BuildFile, Place, Text, Values};
use super::overrides::{Override, OverrideError, apply, set};
use super::suggest::did_you_mean;
use super::target::{self, Target};
use crate::frontend::diagnostic::Diagnostic;

/// What is to be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The groups that were asked for, each with the targets it came to.
    pub groups: Vec<(String, Vec<String>)>,
    /// The targets, each after those that it links to.
    pub targets: Vec<Target>,
    /// What the file says and is not done.
    pub warnings: Vec<Diagnostic>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something is wrong with the file.
    #[error("the build file has errors")]
    File(Vec<Diagnostic>),
    /// Something is wrong with a `--set` option.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// There is no such target.
    #[error("no target or group is called `{name}`: {hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was perhaps meant, or what there is.
        hint: String,
    },
    /// Nothing was asked for, and there is no default.
    #[error("there is no target or group called `default`: name what to build: {known}")]
    NoDefault {
        /// What there is.
        known: String,
    },
}

/// Says what to build for `names` (targets and groups; `default` if there are none).
///
/// `environment` overrides the defaults of variables; `overrides` count as if they stood in the file.
pub fn resolve(
    file: &BuildFile,
    names: &[String],
    environment: &BTreeMap<String, String>,
    overrides: &[Override],
) -> Result<Plan, Error> {
    for option in overrides {
        option.check(file)?;
    }
    let (scope, faults) = Scope::new(file, environment);
    report(faults)?;
    plan(file, names, scope, overrides)
}

/// The targets as the file alone defines them: without environment, without options. Variables that only the environment
/// can give a value are empty.
pub fn as_written(file: &BuildFile, names: &[String]) -> Result<Plan, Error> {
    plan(file, names, Scope::of_file(file), &[])
}

fn plan(file: &BuildFile, names: &[String], scope: Scope, overrides: &[Override]) -> Result<Plan, Error> {
    let mut resolver = Resolver {
        file,
        scope,
        overrides,
        merged: BTreeMap::new(),
        targets: BTreeMap::new(),
        references: References::new(),
    };
    let mut plan = Plan::default();
    let mut requested = Vec::new();
    for name in wanted(file, names)? {
        let targets = members(file, name);
        if file.group(name).is_some() {
            plan.groups.push((name.to_owned(), targets.iter().map(|target| target.to_string()).collect()));
        }
        requested.extend(targets);
    }
    let mut open: Vec<&str> = requested.clone();
    let mut faults = Vec::new();
    while let Some(name) = open.pop() {
        if !resolver.targets.contains_key(name) {
            open.extend(resolver.resolve(name, &mut faults));
        }
    }
    report(faults)?;
    if let Some(error) = endless(&resolver.references, "targets need each other") {
        return Err(Error::File(vec![error]));
    }
    plan.warnings = resolver.warnings();
    for name in &requested {
        resolver.place(name, &mut plan.targets);
    }
    let requested: BTreeSet<&str> = requested.into_iter().collect();
    for target in &mut plan.targets {
        target.requested = requested.contains(target.name.as_str());
    }
    Ok(plan)
}

/// The names asked for, each once.
fn wanted<'a>(file: &'a BuildFile, names: &'a [String]) -> Result<Vec<&'a str>, Error> {
    let known = || file.groups.iter().map(|group| group.name.as_str()).chain(file.targets());
    let list = || known().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        if file.group("default").is_some() || file.target("default").is_some() {
            return Ok(vec!["default"]);
        }
        let known = if known().next().is_none() { "the file has no targets".into() } else { list() };
        return Err(Error::NoDefault { known });
    }
    let mut wanted: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        if file.group(name).is_none() && file.target(name).is_none() {
            let hint = did_you_mean(name, known()).unwrap_or_else(|| format!("there are {}", list()));
            return Err(Error::Unknown { name: name.clone(), hint });
        }
        if seen.insert(name.as_str()) {
            wanted.push(name);
        }
    }
    Ok(wanted)
}

/// The targets that a name stands for, each once, in the order of the file's lists.
fn members<'a>(file: &'a BuildFile, name: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        match file.group(name) {
            Some(group) => open.extend(group.members().collect::<Vec<_>>().into_iter().rev()),
            None => found.push(name),
        }
    }
    found
}

fn report(faults: Vec<Fault>) -> Result<(), Error> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    let mut told = HashSet::new();
    for fault in faults {
        if let Place::Set(written) = fault.place {
            let help = fault.help.map(|help| format!("; {help}")).unwrap_or_default();
            return Err(OverrideError { written, problem: fault.message + &help }.into());
        }
        let message = diagnostic(&fault);
        // What is inherited by many is wrong once.
        if told.insert(message.clone()) {
            diagnostics.push(message);
        }
    }
    diagnostics.sort_by_key(|message| message.annotations.first().map_or(0, |at| at.span.start));
    if diagnostics.is_empty() { Ok(()) } else { Err(Error::File(diagnostics)) }
}

struct Resolver<'a> {
    file: &'a BuildFile,
    scope: Scope,
    overrides: &'a [Override],
    /// The values of each target, with what it inherits.
    merged: BTreeMap<&'a str, Values>,
    targets: BTreeMap<&'a str, Target>,
    references: References<'a>,
}

impl<'a> Resolver<'a> {
    /// What a target inherits, then its own values, then the options about it. Cycles have been ruled out.
    fn merge(&mut self, name: &'a str) {
        if self.merged.contains_key(name) {
            return;
        }
        let Some(declaration) = self.file.target(name) else { return };
        let mut values = Values::new();
        for parent in &declaration.inherits {
            self.merge(&parent.text);
            let parent = self.merged.get(parent.text.as_str()).cloned().unwrap_or_default();
            add(&mut values, parent);
        }
        add(&mut values, declaration.values.clone());
        apply(self.overrides, name, &mut values);
        self.merged.insert(name, values);
    }

    /// Resolves a target; returns those that it links to.
    fn resolve(&mut self, name: &'a str, faults: &mut Vec<Fault>) -> Vec<&'a str> {
        self.merge(name);
        let (Some(declaration), Some(values)) = (self.file.target(name), self.merged.get(name)) else {
            return Vec::new();
        };
        let resolved = match target::resolve(self.file, declaration, values, &self.scope) {
            Ok(resolved) => resolved,
            Err(found) => {
                faults.extend(found);
                return Vec::new();
            }
        };
        let mut links = Vec::new();
        for (other, text) in resolved.links {
            match self.file.target(&other) {
                Some(other) => links.push((other.name.as_str(), text.place.span(None))),
                None => faults.push(unknown_link(self.file, &other, &text)),
            }
        }
        let names = links.iter().map(|(name, _)| *name).collect();
        self.targets.insert(name, resolved.target);
        self.references.insert(name, links);
        names
    }

    /// A warning for each value of the targets that has no effect.
    fn warnings(&self) -> Vec<Diagnostic> {
        let mut told = HashSet::new();
        let mut found = Vec::new();
        for (target, values) in self.targets.iter().filter_map(|(name, target)| Some((target, self.merged.get(name)?)))
        {
            for (key, number, message) in other_caches(target) {
                let Some(place) = values.get(&key).and_then(|value| value.place_of(number)) else { continue };
                let mut warning = Diagnostic::warning("NoEffect", place.span(None), message);
                if matches!(place, Place::Set(_)) {
                    warning.annotations.clear();
                }
                if told.insert(warning.clone()) {
                    found.push(warning);
                }
            }
        }
        found.sort_by_key(|warning| warning.annotations.first().map_or(0, |at| at.span.start));
        found
    }

    /// Puts a target where it belongs: after what it links to.
    fn place(&mut self, name: &str, order: &mut Vec<Target>) {
        let Some(target) = self.targets.remove(name) else { return };
        for (other, _) in self.references.get(name).cloned().unwrap_or_default() {
            self.place(other, order);
        }
        order.push(target);
    }
}

/// What there is to say about caches of a kind that is not known here, with their places: a build can do without.
fn other_caches(target: &Target) -> impl Iterator<Item = (Key, usize, String)> {
    let all = [(Key::CacheFrom, &target.cache_from), (Key::CacheTo, &target.cache_to)];
    let numbered = all
        .into_iter()
        .flat_map(|(key, list)| list.iter().enumerate().map(move |(number, cache)| (key, number, cache)));
    numbered.filter(|(.., cache)| cache.is_other_cache()).map(|(key, number, cache)| {
        let kind = cache.attributes.get("type").map_or("", String::as_str);
        (
            key,
            number,
            format!("a cache with `type={kind}` has no effect here: use `registry`, `local`, `s3`, `gha` or `inline`"),
        )
    })
}

fn add(values: &mut Values, later: Values) {
    for (key, value) in later {
        set(values, key, value, key.info().kind == Kind::Identified);
    }
}

fn unknown_link(file: &BuildFile, name: &str, text: &Text) -> Fault {
    let fault = Fault::at(text, format!("no target is called `{name}`"));
    match did_you_mean(name, file.targets()) {
        Some(hint) => fault.help(hint),
        None if file.group(name).is_some() => fault.help("a group is not one result: link to one of its targets"),
        None => fault,
    }
}
