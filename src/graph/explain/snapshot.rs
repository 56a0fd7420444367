//! A graph as it was or is about to be built: what an explanation compares.
//!
//! Of a build that was, this is what its record keeps; of one that is, it is made from the graph and its keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::CacheKey;
use crate::graph::explain::facts::{Facts, without_password};
use crate::graph::key::VERSION;
use crate::graph::{Graph, Op, Step, StepId};
use crate::oci::Platform;

/// All steps that some targets need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the keys.
    pub key_version: u32,
    /// What was asked for.
    pub roots: Vec<Root>,
    /// The steps, inputs before what uses them.
    pub steps: Vec<StepFacts>,
}

/// A target for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The target's name; may be empty.
    pub target: String,
    /// For what.
    pub platform: Platform,
    /// Its step.
    pub step: usize,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFacts {
    /// The instruction as people know it.
    pub name: String,
    /// The stage and the place in it; may be empty.
    pub stage: String,
    /// Where it was written: file and line.
    pub origin: Option<(String, u32)>,
    /// What kind of step it is.
    pub kind: StepKind,
    /// The image's reference, the URL or the context's name; empty for steps that have none.
    pub source: String,
    /// For what.
    pub platform: Platform,
    /// Its definition key.
    pub key: CacheKey,
    /// Whether its cache is not to be used.
    pub no_cache: bool,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// What it is made of.
    pub facts: Facts,
}

/// An input of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Which step.
    pub step: usize,
    /// The key of the files that are used of it, if only their content counts.
    pub files: Option<CacheKey>,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// The empty file system.
    Scratch,
    /// An image.
    Image,
    /// A build context.
    Local,
    /// A file from a URL.
    Http,
    /// A git checkout.
    Git,
    /// A process.
    Exec,
    /// A change to files.
    File,
    /// States on top of each other.
    Merge,
    /// The difference of states.
    Diff,
}

impl StepKind {
    /// All of them with their names.
    pub const NAMES: [(Self, &'static str); 9] = [
        (Self::Scratch, "scratch"),
        (Self::Image, "image"),
        (Self::Local, "local"),
        (Self::Http, "http"),
        (Self::Git, "git"),
        (Self::Exec, "exec"),
        (Self::File, "file"),
        (Self::Merge, "merge"),
        (Self::Diff, "diff"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Whether it comes from outside, and has no inputs.
    pub fn is_source(self) -> bool {
        matches!(self, Self::Scratch | Self::Image | Self::Local | Self::Http | Self::Git)
    }

    fn of(op: &Op) -> Self {
        match op {
            Op::Scratch => Self::Scratch,
            Op::Image(_) => Self::Image,
            Op::Local(_) => Self::Local,
            Op::Http(_) => Self::Http,
            Op::Git(_) => Self::Git,
            Op::Exec(_) => Self::Exec,
            Op::File(_) => Self::File,
            Op::Merge => Self::Merge,
            Op::Diff => Self::Diff,
        }
    }
}

/// What is known of the keys of a graph.
pub trait Keys {
    /// The definition key of a step.
    fn key(&self, step: StepId) -> CacheKey;
    /// The key of the files that a step uses of an input, where only their content counts.
    fn files(&self, step: StepId, input: usize) -> Option<CacheKey>;
}

impl Snapshot {
    /// That of `needed` steps of a graph, which come in its order. Steps get the numbers of their places in it. Without
    /// facts it is cheap, and good for anything but explaining.
    pub fn new(
        graph: &Graph,
        needed: &[StepId],
        keys: &dyn Keys,
        targets: &[(String, Platform, StepId)],
        with_facts: bool,
    ) -> Self {
        let places: BTreeMap<StepId, usize> = needed.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let steps = needed.iter().map(|id| {
            let step = &graph[*id];
            let inputs = graph.inputs(*id).into_iter().enumerate().filter_map(|(number, input)| {
                Some(Input { step: *places.get(&input)?, files: keys.files(*id, number) })
            });
            StepFacts {
                name: step.label.text.clone(),
                stage: step.label.stage.clone(),
                origin: step.label.origin.as_ref().map(|origin| (origin.file.clone(), origin.line)),
                kind: StepKind::of(&step.op),
                source: source(step),
                platform: step.platform.clone(),
                key: keys.key(*id),
                no_cache: step.no_cache,
                inputs: inputs.collect(),
                facts: if with_facts { Facts::of(step) } else { Facts::default() },
            }
        });
        let steps = steps.collect();
        let roots = targets.iter().filter_map(|(target, platform, id)| {
            Some(Root { target: target.clone(), platform: platform.clone(), step: *places.get(id)? })
        });
        Self { key_version: VERSION, roots: roots.collect(), steps }
    }

    /// The steps that a root needs, in order.
    pub fn closure(&self, root: usize) -> Vec<usize> {
        let mut wanted = BTreeSet::new();
        let mut open = vec![root];
        while let Some(step) = open.pop() {
            if step < self.steps.len() && wanted.insert(step) {
                open.extend(self.steps[step].inputs.iter().map(|input| input.step));
            }
        }
        wanted.into_iter().collect()
    }

    /// For each step, the first root that needs it.
    pub fn owners(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; self.steps.len()];
        for (number, root) in self.roots.iter().enumerate() {
            let mut open = vec![root.step];
            while let Some(step) = open.pop() {
                // What is below a step that has an owner has one, too.
                if owners.get(step).is_some_and(Option::is_none) {
                    owners[step] = Some(number);
                    open.extend(self.steps[step].inputs.iter().map(|input| input.step));
                }
            }
        }
        owners
    }
}

impl StepFacts {
    /// The name of its stage and its place there; none if it belongs to none.
    pub fn slot(&self) -> Option<(&str, usize)> {
        let (before, place) = self.stage.rsplit_once(' ').unwrap_or(("", &self.stage));
        let number = place.split_once('/')?.0.parse().ok()?;
        // The platform stands before the name, and only a platform has a slash.
        let name = before.rsplit(' ').next().filter(|name| !name.contains('/')).unwrap_or_default();
        Some((name, number))
    }

    /// The first word of the instruction.
    pub fn keyword(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// What it is called in a sentence.
    pub fn title(&self) -> String {
        match (self.kind, self.name.is_empty()) {
            (StepKind::Local, _) => format!("the build context {}", self.source),
            (_, false) => self.name.clone(),
            (_, true) if !self.source.is_empty() => self.source.clone(),
            (kind, true) => kind.name().to_owned(),
        }
    }
}

fn source(step: &Step) -> String {
    match &step.op {
        Op::Image(image) => image.reference.clone(),
        Op::Local(local) => local.name.clone(),
        Op::Http(http) => without_password(&http.url),
        Op::Git(git) => without_password(&git.url),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let check = |stage: &str, expected: Option<(&str, usize)>| {
            let step = StepFacts { stage: stage.into(), ..super::super::tests::step("RUN a") };
            assert_eq!(step.slot(), expected, "{stage}");
        };
        check("3/7", Some(("", 3)));
        check("build 3/7", Some(("build", 3)));
        check("linux/amd64 build 10/12", Some(("build", 10)));
        check("linux/amd64->arm64 stage-0 1/2", Some(("stage-0", 1)));
        check("linux/amd64 1/2", Some(("", 1)));
        check("", None);
    }
}
