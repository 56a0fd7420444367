//! Records of builds: what a build consisted of, what became of each step, and why those ran that did.
//!
//! `why` compares with them, `log` and `report` show them. A record has parts. The [`Summary`] is small and written by every
//! build; the [`Snapshot`] is large, and the same for as long as nothing changes, so it is written once and named by what it says,
//! as are the lists of files that steps use. The [`Log`] is written if a step began. So a build that has nothing to do writes one
//! small file. Whatever cannot be read is not
//! there, whoever wrote it.

mod events;
mod flaws;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lists;
mod log;
mod recorder;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::digest::CacheKey;
use crate::graph::explain::{FileList, Past, Snapshot};
use crate::graph::key::{KeyHasher, Visitor};
use crate::store::Store;

pub(super) use flaws::flaws;
pub use log::Log;
pub(super) use recorder::Recorder;

/// How many records are kept.
const KEPT: usize = 50;
/// How many there may be before the oldest go.
const MOST: usize = KEPT + 10;

/// A build, without its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name in the store; sorts by age.
    pub name: String,
    /// What it was a build of: the path of the lockfile, or what else stands for it.
    pub definition: String,
    /// When it began, in milliseconds since 1970.
    pub started: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended.
    pub ended: Ended,
    /// What was made, in the order of the targets.
    pub images: Vec<Image>,
    /// What became of the steps that did not simply come from the cache.
    pub steps: Vec<StepRecord>,
    /// How many steps came from the cache.
    pub cached: usize,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// The name of its snapshot.
    pub snapshot: CacheKey,
    /// The names of the lists of files that the snapshot mentions.
    pub lists: Vec<CacheKey>,
    /// The name of its log; none if no step began.
    pub log: Option<CacheKey>,
    /// Which version of the program it was.
    pub program: String,
    /// The words of the command, without what is secret in them.
    pub command: Vec<String>,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Done,
    /// With this message.
    Failed(String),
    /// It was stopped.
    Canceled,
}

/// What a target came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The target's name; may be empty.
    pub target: String,
    /// The manifest's or the index's digest; empty if no image was made.
    pub digest: String,
    /// The names that it was given.
    pub tags: Vec<String>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Which one, in the snapshot.
    pub step: usize,
    /// How it ended.
    pub ended: StepEnded,
    /// When it began, after the start of the build.
    pub started: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it ran, in a few words; empty if it did not get that far.
    pub reason: String,
}

/// How a step ended that was not cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnded {
    /// Well.
    Done,
    /// With this message.
    Failed(String),
    /// It was stopped, or never began.
    Canceled,
}

/// The records of a store, the latest first.
pub fn builds(store: &Store) -> impl Iterator<Item = Summary> {
    store.builds().into_iter().filter_map(move |name| {
        let bytes = store.get_build(&name)?;
        format::summary(name, &bytes)
    })
}

/// The steps of a recorded build.
pub fn snapshot(store: &Store, summary: &Summary) -> Option<Snapshot> {
    format::snapshot(&store.get_build_object(&summary.snapshot)?)
}

/// What a recorded build said while it ran; none if no step began.
pub fn log(store: &Store, summary: &Summary) -> Option<Log> {
    events::decode(&store.get_build_object(&summary.log?)?)
}

/// The files behind the key of a selection.
pub(super) fn files(store: &Store, key: &CacheKey) -> Option<FileList> {
    lists::decode(&store.get_build_object(key)?)
}

impl Summary {
    /// What people call it: hexadecimal digits, of which the first twelve or fewer are enough.
    pub fn id(&self) -> String {
        let mut hasher = KeyHasher::new("build");
        hasher.value("name", self.name.as_bytes());
        hasher.finish().hex()
    }

    /// The build as something to compare with.
    pub(super) fn past(&self, store: &Store) -> Option<Past> {
        let unfinished = self.steps.iter().filter(|step| step.ended != StepEnded::Done);
        let unfinished: BTreeSet<usize> = unfinished.map(|step| step.step).collect();
        Some(Past { snapshot: snapshot(store, self)?, unfinished })
    }
}

/// The builds to compare a new one with: the latest of the same definition, as many as it takes to have one for each of
/// its targets. A definition that has none may have been moved: then the last of a file of that name counts whose folder
/// is gone.
pub(super) fn past(store: &Store, definition: &str, targets: &[&str], before: Option<&str>) -> Vec<Past> {
    let all: Vec<Summary> =
        builds(store).filter(|build| before.is_none_or(|name| build.name.as_str() < name)).collect();
    let last = |definition: &str| definition.rsplit('/').next().unwrap_or_default().to_owned();
    let mut of: Vec<&Summary> = all.iter().filter(|build| build.definition == definition).collect();
    if of.is_empty() {
        let gone = |definition: &str| !Path::new(definition).parent().is_some_and(Path::exists);
        let moved = |build: &&Summary| last(&build.definition) == last(definition) && gone(&build.definition);
        of = all.iter().filter(moved).take(1).collect();
    }
    let mut missing: BTreeSet<&str> = targets.iter().copied().collect();
    let mut past = Vec::new();
    for build in of {
        if missing.is_empty() {
            break;
        }
        let Some(one) = build.past(store) else { continue };
        let before = missing.len();
        missing.retain(|target| one.snapshot.roots.iter().all(|root| root.target != *target));
        if missing.len() < before {
            past.push(one);
        }
    }
    past
}

/// The name of a snapshot: of everything in it, but of facts only what identifies them.
fn name_of(snapshot: &Snapshot) -> CacheKey {
    let mut hasher = KeyHasher::new("snapshot 1");
    hasher.list("roots", snapshot.roots.len());
    for root in &snapshot.roots {
        hasher.value("target", root.target.as_bytes());
        hasher.value("platform", root.platform.to_string().as_bytes());
        hasher.value("step", &root.step.to_le_bytes());
    }
    hasher.list("steps", snapshot.steps.len());
    for step in &snapshot.steps {
        hasher.identity("key", step.key.as_bytes());
        for (name, text) in [("name", &step.name), ("stage", &step.stage), ("source", &step.source)] {
            hasher.value(name, text.as_bytes());
        }
        let (file, line) = step.origin.as_ref().map_or(("", 0), |(file, line)| (file.as_str(), *line));
        hasher.value("file", file.as_bytes());
        hasher.value("line", &line.to_le_bytes());
        hasher.value("no-cache", &[u8::from(step.no_cache)]);
        hasher.list("inputs", step.inputs.len());
        for input in &step.inputs {
            hasher.value("input", &input.step.to_le_bytes());
        }
    }
    hasher.finish()
}

/// Writes a record and what it names, as far as that is not there.
fn write(
    store: &Store,
    mut summary: Summary,
    log: &Log,
    complete: impl FnOnce() -> (Snapshot, Vec<(CacheKey, FileList)>),
) {
    // A record that cannot be written must not stop anybody: the store may be read-only, or the disk full.
    let written = (|| {
        if !store.has_build_object(&summary.snapshot) {
            let (snapshot, lists) = complete();
            for (key, list) in &lists {
                store.put_build_object(key, &lists::encode(list)?).ok()?;
            }
            store.put_build_object(&summary.snapshot, &format::write_snapshot(&snapshot)?).ok()?;
        }
        if !log.is_uneventful() {
            let bytes = events::encode(log)?;
            let mut hasher = KeyHasher::new("build log");
            hasher.value("name", summary.name.as_bytes());
            hasher.value("log", &bytes);
            let name = hasher.finish();
            store.put_build_object(&name, &bytes).ok()?;
            summary.log = Some(name);
        }
        store.put_build(&summary.name, &format::write_summary(&summary)?).ok()
    })();
    if written.is_some() && store.builds().len() > MOST {
        store.sweep_builds(KEPT, |bytes| {
            let summary = format::summary(String::new(), bytes);
            summary.into_iter().flat_map(|one| one.lists.into_iter().chain([one.snapshot]).chain(one.log)).collect()
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
