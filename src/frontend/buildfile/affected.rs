//! Which targets may come out differently because some files changed.
//!
//! A target is affected if a file is, or lies below, something that it reads, or if it links to one that is affected. Of
//! a Dockerfile only the folders of its contexts are known here; of steps, what they copy. Ignore files are not looked
//! at: in doubt a target counts as affected, and the cache then finds that there is nothing to do.

use std::collections::BTreeSet;
use std::ops::Range;

use super::expand::variables_of;
use super::model::{BuildFile, Text};
use super::resolve::Plan;
use super::steps::texts_of;
use super::target::{ContextSource, Dockerfile, Target};
use crate::frontend::steps::{Definition, Instruction};
use crate::fstree::TreePath;
use crate::fstree::pattern::has_wildcards;

/// The names of the targets of a plan that are affected by a change of these files.
///
/// `folder` is that of the first build file; it and the files are absolute. A change of that file, or of one of docker's,
/// affects all targets; one of a file that it includes, those that something of that file is used by.
pub fn affected(file: &BuildFile, plan: &Plan, folder: &str, changed: &[String]) -> BTreeSet<String> {
    let changed: Vec<TreePath> = changed.iter().map(TreePath::clean).collect();
    let mut found = BTreeSet::new();
    let is_changed = |path: &str| changed.contains(&TreePath::clean(format!("{folder}/{path}")));
    let files: Vec<bool> = file.files().map(is_changed).collect();
    let defined = Defined::new(file, &files);
    // Each target comes after those that it links to.
    for target in &plan.targets {
        let linked = target
            .contexts
            .values()
            .any(|source| matches!(source, ContextSource::Target(other) if found.contains(other.as_str())));
        let reads = inputs(target).iter().any(|input| {
            let input =
                TreePath::clean(if input.starts_with('/') { input.clone() } else { format!("{folder}/{input}") });
            // What stands for a folder stands for all below it.
            changed.iter().any(|path| is_below(path, &input) || is_below(&input, path))
        });
        if linked || reads || defined.affects(&target.name) {
            found.insert(target.name.clone());
        }
    }
    found
}

/// What is declared in changed files, or made of something that is.
struct Defined<'a> {
    everything: bool,
    targets: BTreeSet<&'a str>,
}

impl<'a> Defined<'a> {
    fn new(file: &'a BuildFile, changed: &[bool]) -> Self {
        let everything = changed.first() == Some(&true) || file.evaluated && changed.contains(&true);
        let mut defined = Self { everything, targets: BTreeSet::new() };
        if !changed.contains(&true) {
            return defined;
        }
        let here = |span: &Range<usize>| file.index_at(span.start).is_some_and(|index| changed[index]);
        let mut variables: BTreeSet<&str> = BTreeSet::new();
        // What is used comes in no order, so this is done until nothing is added.
        let mut before = None;
        while before != Some(variables.len() + defined.targets.len()) {
            before = Some(variables.len() + defined.targets.len());
            for variable in &file.variables {
                let uses = |text: &Text| variables_of(text).iter().any(|name| variables.contains(name.as_str()));
                if here(&variable.span) || variable.default_texts().iter().any(uses) {
                    variables.insert(&variable.name);
                }
            }
            for target in &file.targets {
                let inherits = target.inherits.iter().any(|parent| defined.targets.contains(parent.text.as_str()));
                let uses = |text: &Text| variables_of(text).iter().any(|name| variables.contains(name.as_str()));
                let uses = || {
                    let mut values = target.values.values();
                    values.any(|value| value.texts().into_iter().any(uses) || texts_of(value).iter().any(uses))
                };
                if here(&target.span) || inherits || uses() {
                    defined.targets.insert(&target.name);
                }
            }
        }
        defined
    }

    fn affects(&self, target: &str) -> bool {
        self.everything || self.targets.contains(target)
    }
}

fn is_below(path: &TreePath, folder: &TreePath) -> bool {
    let (path, folder) = (path.as_bytes(), folder.as_bytes());
    folder.is_empty() || path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The files and folders that a target reads, as paths from the folder of the build file.
fn inputs(target: &Target) -> Vec<String> {
    let mut found = Vec::new();
    if let ContextSource::Path(context) = &target.context {
        match &target.dockerfile {
            Dockerfile::Steps(definition) => {
                found.extend(sources(definition).iter().map(|source| format!("{context}/{source}")));
            }
            Dockerfile::Path(path) => found.extend([context.clone(), format!("{context}/{path}")]),
            Dockerfile::Inline(_) => found.push(context.clone()),
        }
    }
    found.extend(target.contexts.values().filter_map(|source| match source {
        ContextSource::Path(path) | ContextSource::OciLayout(path) => Some(path.clone()),
        _ => None,
    }));
    found
}

/// What steps take from the main context. Of a pattern, the folder above its first wildcard; of what has variables, all.
fn sources(definition: &Definition) -> Vec<String> {
    let known = |text: &str| {
        let parts = text.split('/').take_while(|part| !has_wildcards(part.as_bytes()) && !part.contains('$'));
        parts.collect::<Vec<_>>().join("/")
    };
    let mut found = Vec::new();
    for step in definition.stages.iter().flat_map(|stage| &stage.steps) {
        match &step.instruction {
            Instruction::Copy(copy) | Instruction::Add(copy) if copy.from.is_none() => {
                found.extend(copy.sources.iter().map(|source| known(&source.value)));
            }
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    let field = |names: &[&str]| {
                        mount.fields.iter().find(|(key, _)| names.contains(&key.as_str())).map(|(_, text)| &text.value)
                    };
                    let bind = field(&["type"]).is_none_or(|kind| kind == "bind");
                    if bind && field(&["from"]).is_none() {
                        found.push(field(&["source", "src"]).map(|text| known(text)).unwrap_or_default());
                    }
                }
            }
            _ => {}
        }
    }
    found
}
