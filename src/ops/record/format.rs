//! Records as JSON: the summary as it is, the snapshot packed with zstd.
//!
//! What is read may be of any age: another version, and whatever does not fit, is no record.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lists::unpack;
use super::{Ended, Image, StepEnded, StepRecord, Summary};
use crate::digest::CacheKey;
use crate::graph::explain::{Fact, Facts, Input, Root, Snapshot, StepFacts, StepKind};

/// The version of both. A reader ignores fields that it does not know.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct SummaryFile {
    version: u32,
    definition: String,
    started: u64,
    elapsed: u64,
    ended: String,
    error: Option<String>,
    images: Vec<ImageFile>,
    steps: Vec<StepFile>,
    cached: usize,
    warnings: Vec<String>,
    snapshot: CacheKey,
    lists: Vec<CacheKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<CacheKey>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    program: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ImageFile {
    target: String,
    digest: String,
    tags: Vec<String>,
}

/// Times are in microseconds.
#[derive(Serialize, Deserialize)]
struct StepFile {
    step: usize,
    ended: String,
    error: Option<String>,
    started: u64,
    elapsed: u64,
    reason: String,
}

const DONE: &str = "done";
const FAILED: &str = "failed";
const CANCELED: &str = "canceled";

/// The bytes of a summary.
pub fn write_summary(summary: &Summary) -> Option<Vec<u8>> {
    let steps = summary.steps.iter().map(|step| {
        let (ended, error) = match &step.ended {
            StepEnded::Done => (DONE, None),
            StepEnded::Failed(message) => (FAILED, Some(message.clone())),
            StepEnded::Canceled => (CANCELED, None),
        };
        StepFile {
            step: step.step,
            ended: ended.into(),
            error,
            started: micros(step.started),
            elapsed: micros(step.elapsed),
            reason: step.reason.clone(),
        }
    });
    let images = summary.images.iter().map(|image| {
        let Image { target, digest, tags } = image.clone();
        ImageFile { target, digest, tags }
    });
    let (ended, error) = match &summary.ended {
        Ended::Done => (DONE, None),
        Ended::Failed(message) => (FAILED, Some(message.clone())),
        Ended::Canceled => (CANCELED, None),
    };
    let file = SummaryFile {
        version: VERSION,
        definition: summary.definition.clone(),
        started: summary.started,
        elapsed: micros(summary.elapsed),
        ended: ended.into(),
        error,
        images: images.collect(),
        steps: steps.collect(),
        cached: summary.cached,
        warnings: summary.warnings.clone(),
        snapshot: summary.snapshot,
        lists: summary.lists.clone(),
        log: summary.log,
        program: summary.program.clone(),
        command: summary.command.clone(),
    };
    serde_json::to_vec(&file).ok()
}

/// The summary in these bytes.
pub fn summary(name: String, bytes: &[u8]) -> Option<Summary> {
    let file: SummaryFile = serde_json::from_slice(bytes).ok()?;
    let steps = file.steps.into_iter().map(|step| {
        let ended = match step.ended.as_str() {
            DONE => StepEnded::Done,
            FAILED => StepEnded::Failed(step.error.unwrap_or_default()),
            CANCELED => StepEnded::Canceled,
            _ => return None,
        };
        let (started, elapsed) = (Duration::from_micros(step.started), Duration::from_micros(step.elapsed));
        Some(StepRecord { step: step.step, ended, started, elapsed, reason: step.reason })
    });
    Some(Summary {
        name,
        definition: file.definition,
        started: file.started,
        elapsed: Duration::from_micros(file.elapsed),
        ended: match file.ended.as_str() {
            DONE => Ended::Done,
            FAILED => Ended::Failed(file.error.unwrap_or_default()),
            CANCELED => Ended::Canceled,
            _ => return None,
        },
        images: file
            .images
            .into_iter()
            .map(|ImageFile { target, digest, tags }| Image { target, digest, tags })
            .collect(),
        steps: steps.collect::<Option<_>>()?,
        cached: file.cached,
        warnings: file.warnings,
        snapshot: file.snapshot,
        lists: file.lists,
        log: file.log,
        program: file.program,
        command: file.command,
    })
    .filter(|_| file.version == VERSION)
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    version: u32,
    key_version: u32,
    roots: Vec<RootFile>,
    steps: Vec<FactsFile>,
}

#[derive(Serialize, Deserialize)]
struct RootFile {
    target: String,
    platform: String,
    step: usize,
}

#[derive(Serialize, Deserialize)]
struct FactsFile {
    name: String,
    stage: String,
    origin: Option<(String, u32)>,
    kind: String,
    source: String,
    platform: String,
    key: CacheKey,
    no_cache: bool,
    inputs: Vec<(usize, Option<CacheKey>)>,
    /// Group, name, value.
    facts: Vec<(String, String, String)>,
}

/// The bytes of a snapshot.
pub fn write_snapshot(snapshot: &Snapshot) -> Option<Vec<u8>> {
    let roots = snapshot.roots.iter().map(|root| RootFile {
        target: root.target.clone(),
        platform: root.platform.to_string(),
        step: root.step,
    });
    let steps = snapshot.steps.iter().map(|step| FactsFile {
        name: step.name.clone(),
        stage: step.stage.clone(),
        origin: step.origin.clone(),
        kind: step.kind.name().into(),
        source: step.source.clone(),
        platform: step.platform.to_string(),
        key: step.key,
        no_cache: step.no_cache,
        inputs: step.inputs.iter().map(|input| (input.step, input.files)).collect(),
        facts: step.facts.0.iter().map(|fact| (fact.group.clone(), fact.name.clone(), fact.value.clone())).collect(),
    });
    let file = SnapshotFile {
        version: VERSION,
        key_version: snapshot.key_version,
        roots: roots.collect(),
        steps: steps.collect(),
    };
    zstd::bulk::compress(&serde_json::to_vec(&file).ok()?, 1).ok()
}

/// The snapshot in these bytes.
pub fn snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let file: SnapshotFile = serde_json::from_slice(&unpack(bytes)?).ok()?;
    if file.version != VERSION {
        return None;
    }
    let count = file.steps.len();
    let steps = file.steps.into_iter().enumerate().map(|(place, step)| {
        let (kind, _) = *StepKind::NAMES.iter().find(|(_, name)| *name == step.kind)?;
        let inputs = step.inputs.into_iter().map(|(step, files)| (step < place).then_some(Input { step, files }));
        let facts = step.facts.into_iter().map(|(group, name, value)| Fact { group, name, value });
        Some(StepFacts {
            name: step.name,
            stage: step.stage,
            origin: step.origin,
            kind,
            source: step.source,
            platform: step.platform.parse().ok()?,
            key: step.key,
            no_cache: step.no_cache,
            inputs: inputs.collect::<Option<_>>()?,
            facts: Facts(facts.collect()),
        })
    });
    let steps = steps.collect::<Option<_>>()?;
    let roots = file.roots.into_iter().map(|root| {
        let platform = root.platform.parse().ok()?;
        (root.step < count).then_some(Root { target: root.target, platform, step: root.step })
    });
    Some(Snapshot { key_version: file.key_version, roots: roots.collect::<Option<_>>()?, steps })
}
