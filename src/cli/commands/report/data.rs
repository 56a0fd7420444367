//! What a page about a build says, as plain values: read from its record and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::images::{Made, made};
use super::output::{Output, outputs};
use super::snapshot;
use crate::cli::commands::graph::drawing::Drawing;
use crate::cli::commands::graph::svg::{Picture, svg};
use crate::cli::explain::{is_work, place, title};
use crate::cli::progress::clean;
use crate::cli::records::{self, planned, ran, short, when};
use crate::cli::timeline::{Span, Timeline, critical_path};
use crate::event::{Event, Outcome};
use crate::graph::explain::{Reason, Snapshot, StepKind};
use crate::ops::Error;
use crate::ops::account::{Account, StepState, recorded};
use crate::ops::record::{self, Ended, Log, StepEnded, StepRecord, Summary};
use crate::store::Store;

/// A graph of more steps than this is no picture that anybody looks at.
const DRAWN: usize = 300;

/// All that a page says.
#[derive(Debug)]
pub struct Report {
    /// The build's short ID.
    pub id: String,
    /// What was built.
    pub definition: String,
    /// The path behind that.
    pub path: String,
    /// When it began, in seconds since 1970.
    pub when: i64,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended.
    pub ended: Ended,
    /// How many steps ran.
    pub ran: usize,
    /// How many came from the cache.
    pub cached: usize,
    /// The version of the program.
    pub program: String,
    /// The words of the command.
    pub command: Vec<String>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Steps that were not cached, in the order in which they began.
    pub steps: Vec<Step>,
    /// Everything that took time.
    pub spans: Vec<Span>,
    /// The time of the critical path; none if no step took any.
    pub critical: Option<Duration>,
    /// Why steps ran: the causes, with all steps that ran for them.
    pub causes: Vec<Cause>,
    /// The graph; none if it is too large.
    pub graph: Option<Picture>,
    /// What came from outside.
    pub pins: Vec<Pin>,
    /// What was made.
    pub images: Vec<Made>,
}

/// A step that was not cached.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number.
    pub number: usize,
    /// What it is called.
    pub title: String,
    /// Where it was written.
    pub place: Option<String>,
    /// How it ended.
    pub ended: StepEnded,
    /// When it began.
    pub started: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it ran, in a line; may be empty.
    pub reason: String,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// What it wrote.
    pub output: Output,
}

/// Why some steps ran.
#[derive(Debug, Clone)]
pub struct Cause {
    /// What was different.
    pub reasons: Vec<String>,
    /// Steps that ran for it, in the order in which they began: number and name.
    pub steps: Vec<(usize, String)>,
}

/// Something from outside, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// What kind of thing.
    pub kind: &'static str,
    /// Its name as written.
    pub name: String,
    /// What it was: a digest or a commit.
    pub value: String,
    /// For what.
    pub platform: String,
}

impl Report {
    /// That of a recorded build, seen from a folder.
    pub fn of(store: &Arc<Store>, build: &Summary, folder: &Path) -> Result<Self, Error> {
        let snapshot = snapshot(store, build)?;
        let mut account =
            recorded(store, build).ok_or_else(|| Error::build("the record of this build is not whole"))?;
        let log = record::log(store, build).unwrap_or_default();
        let mut timings = vec![None; snapshot.steps.len()];
        for step in build.steps.iter().filter(|step| step.ended != StepEnded::Canceled) {
            if let Some(time) = timings.get_mut(step.step) {
                *time = Some(step.elapsed);
            }
        }
        let inputs: Vec<_> = snapshot.steps.iter().map(|step| &step.inputs[..]).collect();
        let path = critical_path(&inputs, &timings);
        let critical: Duration = path.iter().filter_map(|step| timings[*step]).sum();
        let outputs = outputs(&log, snapshot.steps.len());
        let drawn = (snapshot.steps.len() <= DRAWN).then(|| svg(&Drawing::new(&mut account, &timings)));
        let platforms: BTreeSet<String> = snapshot.roots.iter().map(|root| root.platform.to_string()).collect();
        Ok(Self {
            id: short(build),
            definition: records::definition(build, folder),
            path: clean(build.definition.as_bytes(), false),
            when: when(build),
            elapsed: build.elapsed,
            ended: build.ended.clone(),
            ran: ran(build),
            cached: build.cached,
            program: build.program.clone(),
            command: build.command.clone(),
            platforms: platforms.into_iter().collect(),
            warnings: build.warnings.clone(),
            steps: steps(build, &account, &path, outputs),
            spans: spans_of(build, &snapshot, &log),
            critical: (!path.is_empty()).then_some(critical),
            causes: causes(build, &mut account),
            graph: drawn,
            pins: pins(&snapshot),
            images: made(store, build),
        })
    }
}

fn steps(build: &Summary, account: &Account, path: &BTreeSet<usize>, mut outputs: Vec<Output>) -> Vec<Step> {
    let step = |record: &StepRecord| {
        let facts = account.snapshot.steps.get(record.step)?;
        Some(Step {
            number: record.step,
            title: title(facts),
            place: place(facts),
            ended: record.ended.clone(),
            started: record.started,
            elapsed: record.elapsed,
            reason: clean(record.reason.as_bytes(), false),
            critical: path.contains(&record.step),
            output: outputs.get_mut(record.step).map(std::mem::take).unwrap_or_default(),
        })
    };
    let is_needed = |record: &&StepRecord| account.states.get(record.step) != Some(&StepState::Unneeded);
    build.steps.iter().filter(is_needed).filter_map(step).collect()
}

/// What took time in a recorded build.
pub fn spans(store: &Store, build: &Summary) -> Result<Vec<Span>, Error> {
    let snapshot = snapshot(store, build)?;
    Ok(spans_of(build, &snapshot, &record::log(store, build).unwrap_or_default()))
}

fn spans_of(build: &Summary, snapshot: &Snapshot, log: &Log) -> Vec<Span> {
    let mut timeline = Timeline::default();
    // Planning is what came before the first event.
    let first = log.entries.first().map(|(time, _)| *time).unwrap_or_default();
    timeline.note(first, &Event::Planned(planned(snapshot)));
    log.entries.iter().for_each(|(time, event)| timeline.note(*time, event));
    if log.entries.is_empty() {
        // A record without a log has the steps all the same.
        for step in build.steps.iter().filter(|step| step.ended != StepEnded::Canceled) {
            let outcome = match &step.ended {
                StepEnded::Failed(message) => Outcome::Failed(message.clone()),
                StepEnded::Done | StepEnded::Canceled => Outcome::Done,
            };
            timeline.note(step.started, &Event::Explained(step.step, step.reason.clone()));
            timeline.note(step.started, &Event::Started(step.step));
            timeline.note(step.started + step.elapsed, &Event::Finished(step.step, outcome, step.elapsed));
        }
    }
    timeline.finish()
}

/// The causes, in the order in which their first steps began. What was told when the build ran is told again where nothing
/// better is known, since the record that it was compared with may be gone.
fn causes(build: &Summary, account: &mut Account) -> Vec<Cause> {
    let snapshot = account.snapshot.clone();
    let mut causes: Vec<Cause> = Vec::new();
    let mut known: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let ran = build.steps.iter().filter(|step| step.ended != StepEnded::Canceled);
    for step in ran.filter(|step| snapshot.steps.get(step.step).is_some_and(is_work)) {
        let cause = account.chain(step.step).last().copied().unwrap_or(step.step);
        let mut reasons = account.reasons(cause);
        // What it is built on is a reason of its own, with other steps.
        if reasons.iter().any(|reason| reason.input().is_none()) {
            reasons.retain(|reason| reason.input().is_none());
        }
        let told: Vec<String> = match reasons == [Reason::FirstTime] && !step.reason.is_empty() {
            true => vec![step.reason.clone()],
            false => reasons.iter().map(ToString::to_string).collect(),
        };
        let told: Vec<String> = told.iter().map(|text| clean(text.as_bytes(), false)).collect();
        let number = *known.entry(told).or_insert_with_key(|told| {
            causes.push(Cause { reasons: told.clone(), steps: Vec::new() });
            causes.len() - 1
        });
        causes[number].steps.push((step.step, title(&snapshot.steps[step.step])));
    }
    causes
}

/// What came from outside, as the record has it: the lockfile may be another one by now.
fn pins(snapshot: &Snapshot) -> Vec<Pin> {
    let pin = |step: &crate::graph::explain::StepFacts| {
        let fact = |name: &str| step.facts.value("", name).unwrap_or_default().to_owned();
        let (kind, name, value) = match step.kind {
            StepKind::Image => {
                let (name, digest) = step.source.rsplit_once('@').unwrap_or((&step.source, ""));
                ("image", name.to_owned(), digest.to_owned())
            }
            StepKind::Http => ("URL", step.source.clone(), fact("digest")),
            StepKind::Git => ("git", step.source.clone(), fact("commit")),
            _ => return None,
        };
        let platform = if kind == "image" { step.platform.to_string() } else { String::new() };
        let [name, value] = [name, value].map(|text| clean(text.as_bytes(), false));
        Some(Pin { kind, name, value, platform }).filter(|pin| !pin.name.is_empty())
    };
    let pins: BTreeSet<Pin> = snapshot.steps.iter().filter_map(pin).collect();
    pins.into_iter().collect()
}
