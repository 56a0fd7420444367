//! Steps and reasons as people and programs are shown them, by `plan`, `why` and `graph` alike.
//!
//! The fields for programs are described in `docs/explain.md`; whatever changes here changes there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::progress::clean;
use crate::graph::explain::{Change, Difference, FileChange, Reason, Root, Snapshot, StepFacts, StepKind};
use crate::ops::account::{Account, StepState};

/// The version of the documents.
pub const VERSION: u32 = 1;

/// A step as people know it: `[build 3/4] COPY src /src`.
pub fn title(step: &StepFacts) -> String {
    step_title(&step.stage, &step.title())
}

/// The same of a stage with a place in it, and an instruction.
pub fn step_title(stage: &str, name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().filter(|word| *word != "\\").collect();
    let name = clean(words.join(" ").as_bytes(), false);
    match stage.is_empty() {
        true => name,
        false => format!("[{}] {name}", clean(stage.as_bytes(), false)),
    }
}

/// Where a step was written: `Dockerfile:7`.
pub fn place(step: &StepFacts) -> Option<String> {
    step.origin.as_ref().map(|(file, line)| clean(format!("{file}:{line}").as_bytes(), false))
}

/// A target with its platform, if there is more than one.
pub fn target(snapshot: &Snapshot, root: usize) -> String {
    let one = &snapshot.roots[root];
    let several = snapshot.roots.iter().filter(|other| other.target == one.target).count() > 1;
    match (one.target.is_empty(), several) {
        (true, false) => String::new(),
        (true, true) => one.platform.to_string(),
        (false, false) => clean(one.target.as_bytes(), false),
        (false, true) => format!("{} ({})", clean(one.target.as_bytes(), false), one.platform),
    }
}

/// Whether a step is one that people wrote, or that takes time.
pub fn is_work(step: &StepFacts) -> bool {
    matches!(step.kind, StepKind::Exec | StepKind::File | StepKind::Http | StepKind::Git)
}

/// The name of a state for programs.
pub fn state(state: &StepState) -> &'static str {
    match state {
        StepState::Cached => "cached",
        StepState::Unneeded => "unneeded",
        StepState::Run => "run",
        StepState::Waits(_) => "depends",
        StepState::Ran => "ran",
        StepState::Failed => "failed",
        StepState::Canceled => "canceled",
    }
}

/// All that is said of a build.
#[derive(Debug, Serialize)]
pub struct Document {
    version: u32,
    /// When the build was, in milliseconds since 1970; null for one that is still to be.
    started: Option<u64>,
    targets: Vec<Target>,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    platform: String,
    step: usize,
}

#[derive(Debug, Serialize)]
struct Step {
    step: usize,
    name: String,
    kind: &'static str,
    stage: String,
    platform: String,
    origin: Option<Origin>,
    inputs: Vec<usize>,
    state: &'static str,
    depends_on: Option<usize>,
    reasons: Vec<Told>,
    cause: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Origin {
    file: String,
    line: u32,
}

/// A reason. What does not apply is left out.
#[derive(Debug, Serialize)]
struct Told {
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<File>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more_files: Option<usize>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    change: &'static str,
}

/// The document about these steps of a build, and those where the causes are.
pub fn document(account: &mut Account, steps: impl Iterator<Item = usize>) -> Document {
    let snapshot = account.snapshot.clone();
    let wanted: BTreeSet<usize> = steps.collect();
    let mut causes: BTreeMap<usize, usize> = BTreeMap::new();
    for step in &wanted {
        if account.states[*step].is_miss() {
            causes.insert(*step, account.chain(*step).last().copied().unwrap_or(*step));
        }
    }
    let told_of: BTreeSet<usize> = causes.iter().flat_map(|(step, cause)| [*step, *cause]).collect();
    let step = |number: usize| {
        let facts = &snapshot.steps[number];
        let reasons = if told_of.contains(&number) { account.reasons(number) } else { Vec::new() };
        Step {
            step: number,
            name: facts.title(),
            kind: facts.kind.name(),
            stage: facts.stage.clone(),
            platform: facts.platform.to_string(),
            origin: facts.origin.as_ref().map(|(file, line)| Origin { file: file.clone(), line: *line }),
            inputs: facts.inputs.iter().map(|input| input.step).collect(),
            state: state(&account.states[number]),
            depends_on: match account.states[number] {
                StepState::Waits(on) => Some(on),
                _ => None,
            },
            reasons: reasons.iter().map(told).collect(),
            cause: causes.get(&number).copied(),
        }
    };
    let steps = wanted.union(&told_of).copied().map(step).collect();
    let target =
        |root: &Root| Target { name: root.target.clone(), platform: root.platform.to_string(), step: root.step };
    let targets = snapshot.roots.iter().map(target).collect();
    Document { version: VERSION, started: account.when, targets, steps }
}

fn told(reason: &Reason) -> Told {
    let mut told = Told {
        kind: reason.name(),
        text: reason.to_string(),
        name: None,
        from: None,
        to: None,
        step: reason.input(),
        added: None,
        removed: None,
        files: None,
        more_files: None,
    };
    let mut changed = |name: Option<&str>, change: &Change| {
        told.name = name.map(str::to_owned);
        (told.from, told.to) = (change.from.clone(), change.to.clone());
    };
    match reason {
        Reason::Command(change) | Reason::Epoch(change) | Reason::Platform(change) => changed(None, change),
        Reason::Variable(name, change)
        | Reason::BaseImage(name, change)
        | Reason::Url(name, change)
        | Reason::Git(name, change) => changed(Some(name), change),
        Reason::Option(name, change) => changed(Some(name), change),
        Reason::Mount { target, change, .. } => changed(Some(target), change),
        Reason::KeyFormat(from, to) => changed(None, &Change::new(from.to_string(), to.to_string())),
        Reason::Replaced(from, to) => changed(None, &Change::new(from, to)),
        Reason::Removed(name) | Reason::Heredoc(name) => told.name = Some(name.clone()),
        Reason::Ignore { context, added, removed } => {
            told.name = Some(context.clone());
            (told.added, told.removed) = (Some(added.clone()), Some(removed.clone()));
        }
        Reason::Files { of, changes, more } => {
            told.name = Some(of.clone());
            let file = |one: &FileChange| File { path: one.path.clone(), change: change(one.what) };
            told.files = Some(changes.iter().map(file).collect());
            told.more_files = Some(*more);
        }
        Reason::FirstTime
        | Reason::NoCache
        | Reason::Unfinished
        | Reason::Pruned
        | Reason::Inserted
        | Reason::Input(_) => {}
    }
    told
}

fn change(what: Difference) -> &'static str {
    match what {
        Difference::Added => "added",
        Difference::Removed => "removed",
        Difference::Content => "content",
        Difference::Kind => "kind",
        Difference::Mode(..) => "mode",
        Difference::Owner(..) => "owner",
        Difference::Time => "time",
        Difference::Xattrs => "xattrs",
    }
}
