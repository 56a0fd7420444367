//! What a build would do, or did, and why: for `plan`, `why` and `graph`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::digest::CacheKey;
use crate::event::Silent;
use crate::graph::explain::{Explainer, FileList, Reason, Snapshot, StepFacts};
use crate::ops::Error;
use crate::ops::build::{LockMode, LockPlace, Prepared, Session, Target, definition_of, named_steps, prepare, solving};
use crate::ops::record::{self, StepEnded, Summary, builds};
use crate::solve::keys::Selection;
use crate::solve::{self, Fate};
use crate::store::Store;

/// How many builds are looked through for how long a step took.
const TIMED: usize = 10;

/// A build that is accounted for.
pub struct Account {
    /// Its steps.
    pub snapshot: Arc<Snapshot>,
    /// What would become or became of each.
    pub states: Vec<StepState>,
    /// When it was, in milliseconds since 1970; none if it is still to be.
    pub when: Option<u64>,
    /// How many earlier builds there were to compare with.
    pub compared: usize,
    explainer: Explainer,
}

/// What would become, or became, of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Its result is at hand.
    Cached,
    /// Nobody would ask for it: what uses it is cached.
    Unneeded,
    /// It would run.
    Run,
    /// This input of it would run first, and decides whether it has to.
    Waits(usize),
    /// It ran.
    Ran,
    /// It ran and failed.
    Failed,
    /// It was stopped, or never began.
    Canceled,
}

impl StepState {
    /// Whether there is something to explain.
    pub fn is_miss(&self) -> bool {
        !matches!(self, Self::Cached | Self::Unneeded)
    }
}

impl Account {
    /// Why a step runs. Of one that is cached, why it would if it were not.
    pub fn reasons(&mut self, step: usize) -> Vec<Reason> {
        self.explainer.reasons(step)
    }

    /// The steps from this one to where the cause is.
    pub fn chain(&mut self, step: usize) -> Vec<usize> {
        self.explainer.chain(step)
    }

    /// Why a step runs, in one line.
    pub fn in_short(&mut self, step: usize) -> String {
        self.explainer.in_short(step)
    }
}

/// What building these targets would do. Nothing runs, and the lockfile is not written.
pub fn plan(session: &Session<'_>, targets: &[Target], place: &LockPlace, mode: LockMode) -> Result<Account, Error> {
    let Prepared { graph, lowered, layers, .. } = prepare(session, targets, place, mode)?;
    let quiet = session.reporting_to(&Silent);
    let foreseen = solving(&quiet, mode, (&graph, &lowered, &layers), targets, (&(), &()), |steps, environment| {
        solve::plan(&graph, steps, environment)
    })?;
    let places: HashMap<_, usize> = foreseen.needed.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let state = |id| match foreseen.fates.get(id) {
        None | Some(Fate::Cached) => StepState::Cached,
        Some(Fate::Unneeded) => StepState::Unneeded,
        Some(Fate::Run) => StepState::Run,
        Some(Fate::Waits(input)) => places.get(input).map_or(StepState::Run, |place| StepState::Waits(*place)),
    };
    let states: Vec<StepState> = foreseen.needed.iter().map(state).collect();
    // Nothing to explain is the common case, and has to be fast.
    let explained = states.iter().any(StepState::is_miss);
    let roots = named_steps(targets, &lowered);
    let snapshot = Arc::new(Snapshot::new(&graph, &foreseen.needed, foreseen.keys.as_ref(), &roots, explained));
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let definition = definition_of(targets, place);
    let past = if explained { record::past(&session.store, &definition, &names, None) } else { Vec::new() };
    let compared = past.len();
    let selections = foreseen.needed.iter().flat_map(|id| foreseen.keys.selections(*id).values());
    let now: HashMap<CacheKey, Arc<Selection>> = match explained {
        true => selections.map(|selection| (selection.key(), selection.clone())).collect(),
        false => HashMap::new(),
    };
    let store = session.store.clone();
    let lists = move |key: &CacheKey| -> Option<FileList> {
        now.get(key).map(|selection| selection.list()).or_else(|| record::files(&store, key))
    };
    let explainer = Explainer::new(snapshot.clone(), past, Box::new(lists));
    Ok(Account { snapshot, states, when: None, compared, explainer })
}

/// What the last build of these targets did; none if there is no record of it. With `eventful`, the last one in which a
/// step ran.
pub fn last_build(store: &Arc<Store>, targets: &[Target], place: &LockPlace, eventful: bool) -> Option<Account> {
    let definition = definition_of(targets, place);
    let wanted = |build: &Summary| build.definition == definition && (!eventful || !build.steps.is_empty());
    recorded(store, &builds(store).find(wanted)?)
}

/// What a recorded build did; none if its record is not whole.
pub fn recorded(store: &Arc<Store>, build: &Summary) -> Option<Account> {
    let snapshot = Arc::new(record::snapshot(store, build)?);
    let mut states = vec![StepState::Cached; snapshot.steps.len()];
    for step in &build.steps {
        if let Some(state) = states.get_mut(step.step) {
            *state = match step.ended {
                StepEnded::Done => StepState::Ran,
                StepEnded::Failed(_) => StepState::Failed,
                StepEnded::Canceled => StepState::Canceled,
            };
        }
    }
    never_asked_for(&snapshot, build, &mut states);
    let names: BTreeSet<&str> = snapshot.roots.iter().map(|root| root.target.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let past = record::past(store, &build.definition, &names, Some(&build.name));
    let compared = past.len();
    let from = store.clone();
    let explainer = Explainer::new(snapshot.clone(), past, Box::new(move |key: &CacheKey| record::files(&from, key)));
    Some(Account { snapshot, states, when: Some(build.started), compared, explainer })
}

/// A build that ends early leaves steps that never began. Those that only cached steps use would not have begun anyway.
fn never_asked_for(snapshot: &Snapshot, build: &Summary, states: &mut [StepState]) {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); states.len()];
    for (step, facts) in snapshot.steps.iter().enumerate() {
        facts.inputs.iter().for_each(|input| users[input.step].push(step));
    }
    let begun = build.steps.iter().filter(|step| step.started > Duration::ZERO);
    let begun: BTreeSet<usize> = begun.map(|step| step.step).collect();
    for step in (0..states.len()).rev() {
        let is_cached = |user: &usize| matches!(states[*user], StepState::Cached | StepState::Unneeded);
        let unneeded = !users[step].is_empty() && users[step].iter().all(is_cached);
        if states[step] == StepState::Canceled && !begun.contains(&step) && unneeded {
            states[step] = StepState::Unneeded;
        }
    }
}

/// How long each step took when it ran last: the same one, or else one that is called the same in the same stage.
pub fn timings(store: &Store, snapshot: &Snapshot) -> Vec<Option<Duration>> {
    let mut by_key: HashMap<CacheKey, Duration> = HashMap::new();
    let mut by_name: HashMap<(String, String), Duration> = HashMap::new();
    let slot =
        |step: &StepFacts| (step.slot().map(|(stage, _)| stage.to_owned()).unwrap_or_default(), step.name.clone());
    let keys: BTreeSet<CacheKey> = snapshot.steps.iter().map(|step| step.key).collect();
    for build in builds(store).filter(|build| !build.steps.is_empty()).take(TIMED) {
        let Some(old) = record::snapshot(store, &build) else { continue };
        for step in build.steps.iter().filter(|step| step.ended == StepEnded::Done) {
            let Some(facts) = old.steps.get(step.step) else { continue };
            if keys.contains(&facts.key) {
                by_key.entry(facts.key).or_insert(step.elapsed);
            }
            by_name.entry(slot(facts)).or_insert(step.elapsed);
        }
    }
    let time = |step: &StepFacts| by_key.get(&step.key).or_else(|| by_name.get(&slot(step))).copied();
    snapshot.steps.iter().map(time).collect()
}
