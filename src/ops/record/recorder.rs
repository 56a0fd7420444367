//! Writes the record of a build: hears what everybody hears, passes it on, and says of each step that runs why.
//!
//! Nothing is compared before the first step runs, and nothing large is made if the record of an earlier build has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log::Journal;
use super::{Ended, Image, StepEnded, StepRecord, Summary, files, name_of, past, write};
use crate::digest::CacheKey;
use crate::event::{self, Event, Outcome, Reporter, StepNumber};
use crate::graph::explain::{Explainer, FileList, Reason, Snapshot};
use crate::graph::{Graph, StepId};
use crate::oci::Platform;
use crate::ops::build::Session;
use crate::ops::{Error, debug};
use crate::solve::keys::{DefinitionKeys, Selection};
use crate::solve::{Failure, Observer};
use crate::store::Store;

/// The record of a build under way.
pub struct Recorder<'a> {
    store: Arc<Store>,
    reporter: &'a dyn Reporter,
    graph: &'a Graph,
    targets: Vec<(String, Platform, StepId)>,
    definition: String,
    command: &'a [String],
    began: SystemTime,
    clock: Instant,
    keyed: OnceLock<Keyed>,
    explainer: OnceLock<Mutex<Explainer>>,
    state: Mutex<State>,
}

/// What is known once the keys are.
struct Keyed {
    needed: Vec<StepId>,
    keys: Arc<DefinitionKeys>,
    /// The places of steps in the snapshot, by their numbers.
    places: HashMap<StepNumber, usize>,
}

#[derive(Default)]
struct State {
    started: HashMap<StepNumber, Duration>,
    reasons: HashMap<StepNumber, String>,
    ended: Vec<(StepNumber, Outcome, Duration)>,
    warnings: Vec<String>,
    images: Vec<Image>,
    journal: Journal,
}

impl<'a> Recorder<'a> {
    /// Begins the record of a build of these targets, which started a moment ago and passes events on to whom the session
    /// reports to.
    pub fn new(
        session: &'a Session<'_>,
        started: Instant,
        graph: &'a Graph,
        definition: String,
        targets: Vec<(String, Platform, StepId)>,
    ) -> Self {
        Self {
            store: session.store.clone(),
            reporter: session.reporter,
            graph,
            targets,
            definition,
            command: session.command,
            began: SystemTime::now().checked_sub(started.elapsed()).unwrap_or(UNIX_EPOCH),
            clock: started,
            keyed: OnceLock::new(),
            explainer: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// Writes the record. A build that ended before its keys were known leaves none.
    pub fn finish<T>(self, result: &Result<T, Error>) {
        let Some(keyed) = self.keyed.get() else { return };
        let state = self.state.lock().map(|mut state| std::mem::take(&mut *state)).unwrap_or_default();
        let ended = match result {
            Ok(_) => Ended::Done,
            Err(Error::Interrupted) => Ended::Canceled,
            Err(error) => Ended::Failed(error.to_string()),
        };
        let cached = state.ended.iter().filter(|(_, outcome, _)| *outcome == Outcome::Cached).count();
        let mut steps: Vec<StepRecord> = state
            .ended
            .iter()
            .filter_map(|(number, outcome, elapsed)| {
                let ended = match outcome {
                    Outcome::Cached => return None,
                    Outcome::Done => StepEnded::Done,
                    Outcome::Failed(message) => StepEnded::Failed(message.clone()),
                    Outcome::Canceled => StepEnded::Canceled,
                };
                Some(StepRecord {
                    step: *keyed.places.get(number)?,
                    ended,
                    started: state.started.get(number).copied().unwrap_or_default(),
                    elapsed: *elapsed,
                    reason: state.reasons.get(number).cloned().unwrap_or_default(),
                })
            })
            .collect();
        steps.sort_by_key(|step| (step.started, step.step));
        let lists = self.selections(keyed);
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = began.as_millis().try_into().unwrap_or(u64::MAX);
        let summary = Summary {
            // Two builds may begin at the same moment.
            name: format!("{millis:013}-{:x}-{:06x}", std::process::id(), began.subsec_nanos() % 1_000_000),
            definition: self.definition.clone(),
            started: millis,
            elapsed: self.clock.elapsed(),
            ended,
            images: state.images,
            steps,
            cached,
            warnings: state.warnings,
            snapshot: name_of(&self.snapshot(keyed, false)),
            lists: lists.iter().map(|(key, _)| *key).collect(),
            log: None,
            program: env!("CARGO_PKG_VERSION").into(),
            command: self.command.to_vec(),
        };
        let log = state.journal.finish().renumbered(|number| keyed.places.get(&number).copied());
        write(&self.store, summary, &log, || {
            let missing = lists.iter().filter(|(key, _)| !self.store.has_build_object(key));
            (self.snapshot(keyed, true), missing.map(|(key, selection)| (*key, selection.list())).collect())
        });
    }

    fn snapshot(&self, keyed: &Keyed, with_facts: bool) -> Snapshot {
        Snapshot::new(self.graph, &keyed.needed, keyed.keys.as_ref(), &self.targets, with_facts)
    }

    fn selections(&self, keyed: &Keyed) -> Vec<(CacheKey, Arc<Selection>)> {
        let of_steps = keyed.needed.iter().flat_map(|id| keyed.keys.selections(*id).values());
        let mut all: Vec<_> = of_steps.map(|selection| (selection.key(), selection.clone())).collect();
        all.sort_by_key(|(key, _)| *key);
        all.dedup_by_key(|(key, _)| *key);
        all
    }

    fn explainer(&self, keyed: &Keyed) -> &Mutex<Explainer> {
        self.explainer.get_or_init(|| {
            let targets: Vec<&str> = self.targets.iter().map(|(target, ..)| target.as_str()).collect();
            let past = past(&self.store, &self.definition, &targets, None);
            // With nothing to compare with, what steps are made of does not matter.
            let new = Arc::new(self.snapshot(keyed, !past.is_empty()));
            let now: HashMap<CacheKey, Arc<Selection>> = self.selections(keyed).into_iter().collect();
            let store = self.store.clone();
            let lists = move |key: &CacheKey| -> Option<FileList> {
                now.get(key).map(|selection| selection.list()).or_else(|| files(&store, key))
            };
            Mutex::new(Explainer::new(new, past, Box::new(lists)))
        })
    }
}

impl Observer for Recorder<'_> {
    fn keyed(&self, needed: &[StepId], keys: &Arc<DefinitionKeys>) {
        let places = needed.iter().enumerate().map(|(place, id)| (id.index(), place)).collect();
        let _ = self.keyed.set(Keyed { needed: needed.to_vec(), keys: keys.clone(), places });
    }

    fn missed(&self, step: StepId) {
        let Some(keyed) = self.keyed.get() else { return };
        let Some(place) = keyed.places.get(&step.index()) else { return };
        let Ok(mut explainer) = self.explainer(keyed).lock() else { return };
        let reason = explainer.in_short(*place);
        let is_first = explainer.reasons(*place) == [Reason::FirstTime];
        drop(explainer);
        if let Ok(mut state) = self.state.lock() {
            state.reasons.insert(step.index(), reason.clone());
        }
        if !is_first {
            self.report(Event::Explained(step.index(), reason));
        }
    }

    fn failed(&self, _: StepId, failure: Failure<'_>) -> Option<String> {
        debug::keep(&self.store, failure)
    }
}

impl Reporter for Recorder<'_> {
    fn report(&self, event: Event) {
        if let Ok(mut state) = self.state.lock() {
            let time = self.clock.elapsed();
            state.journal.note(time, &event);
            match &event {
                Event::Started(step) => drop(state.started.insert(*step, time)),
                Event::Finished(step, outcome, elapsed) => state.ended.push((*step, outcome.clone(), *elapsed)),
                Event::Warning(text) => state.warnings.push(text.clone()),
                Event::Summary(event::Summary { images, .. }) => {
                    let image = |image: &event::ImageSummary| Image {
                        target: image.target.clone(),
                        digest: image.digest.clone(),
                        tags: image.tags.clone(),
                    };
                    state.images = images.iter().map(image).collect();
                }
                _ => {}
            }
        }
        self.reporter.report(event);
    }
}
