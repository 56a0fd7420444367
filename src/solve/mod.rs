//! Runs a graph: what is known is taken from the action cache, the rest is run, side by side.
//!
//! Which step is next is pure bookkeeping ([`schedule`]). One loop owns that state; every step that runs has a thread
//! of its own, which sends back what came of it. A step is looked up twice: by its definition key before anything
//! runs, and by its resolved key once its inputs are there, so that an input that came out as before stops the
//! rebuild.

mod archive;
mod contexts;
mod elsewhere;
mod emulation;
pub mod error;
mod exec;
mod file;
pub mod keys;
mod observe;
mod plan;
mod reached;
pub mod record;
pub mod redact;
mod remote;
mod scene;
pub mod schedule;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

pub use elsewhere::{Elsewhere, Found};
pub use emulation::NoEmulation;
pub use error::StepError;
pub use exec::ExecContext;
pub use file::StateTree;
pub use observe::{Failure, Observer};
pub use plan::{Fate, Foreseen, plan};
pub use reached::{Reached, reached};
pub use scene::{scene, step_of};

use rayon::prelude::*;

use crate::digest::CacheKey;
use crate::event::{Event, Outcome, Reporter, StepInfo};
use crate::fstree::TreePath;
use crate::fstree::select::SelectError;
use crate::graph::key::{InputKey, cache_key};
use crate::graph::{Graph, Op, StepId};
use crate::sandbox::{Cancel, Executor};
use crate::source::Sources;
use crate::source::agent::Agent;
use crate::store::layers::{LayerBlob, LayerId, Layers};
use crate::store::scenes::Scene;
use crate::store::{KeyLock, Store};
use contexts::Contexts;
use file::{FileStep, InputTree};
use keys::{DefinitionKeys, KeyError, Selections, partial_uses, select_uses, state_key};
use remote::RemoteStep;
use schedule::Schedule;

/// What a step came to: layers, bottom first.
pub type State = Vec<LayerId>;

/// Everything that steps are run with.
pub struct Environment<'a> {
    /// Where layers are and go.
    pub layers: Arc<Layers>,
    /// The folders of local contexts, by name.
    pub contexts: &'a BTreeMap<String, PathBuf>,
    /// The layers of base images, by their diff IDs.
    pub images: &'a HashMap<Vec<crate::digest::DiffId>, Vec<LayerBlob>>,
    /// What runs processes.
    pub executor: &'a dyn Executor,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    /// Stops everything.
    pub cancel: &'a Cancel,
    /// What a step may be given that only its target has.
    pub credentials: &'a (dyn Fn(StepId) -> &'a Credentials + Sync),
    /// What `/etc/resolv.conf` holds for steps that have a network.
    pub resolv_conf: Vec<u8>,
    /// How many steps may run at the same time.
    pub jobs: usize,
    /// Targets of which nobody will read a byte: that their result is known is enough.
    pub unread: &'a BTreeSet<StepId>,
    /// What brings files from the network; none if it must not be used.
    pub sources: Option<&'a Sources>,
    /// Who hears of keys and misses.
    pub observer: &'a dyn Observer,
    /// Who knows results that the store does not have.
    pub elsewhere: &'a dyn Elsewhere,
}

/// What steps may be given and what is not recorded anywhere: not in a key, not in a layer, not in the log.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The values of secrets, by their ids.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Ssh agents, by their ids.
    pub agents: BTreeMap<String, Agent>,
}

/// The value of a secret, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub Vec<u8>);

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// What became of a graph.
#[derive(Debug, Default)]
pub struct Solved {
    states: HashMap<StepId, State>,
    /// The definition keys of all steps that were needed.
    pub keys: Option<Arc<DefinitionKeys>>,
    /// Steps that ran.
    pub executed: usize,
    /// Steps that did not have to.
    pub cached: usize,
}

impl Solved {
    /// What a target came to.
    pub fn state(&self, id: StepId) -> &[LayerId] {
        self.states.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// A graph that could not be run.
#[derive(Debug)]
pub struct SolveError {
    /// The step that failed first; none if the build was stopped before any did.
    pub step: Option<StepId>,
    /// Why.
    pub error: StepError,
}

impl From<StepError> for SolveError {
    fn from(error: StepError) -> Self {
        Self { step: None, error }
    }
}

/// Runs what `targets` need.
pub fn solve(graph: &Graph, targets: &[StepId], environment: &Environment<'_>) -> Result<Solved, SolveError> {
    let (solver, needed, keys) = Solver::start(graph, targets, environment)?;
    let result = keys.and_then(|keys| {
        environment.observer.keyed(&needed, &keys);
        let solved = solver.run(&keys, &needed, targets)?;
        Ok(Solved { keys: Some(keys), ..solved })
    });
    solver.contexts.save();
    result
}

/// What a store has recorded for a key: the record, and the layers that it names.
pub fn recorded_layers(store: &Store, key: CacheKey) -> Option<(Vec<u8>, State)> {
    let record = store.get_action(&key)?;
    let layers = record::decode(&record)?;
    Some((record, layers))
}

/// Whether a step is work that people want to see counted.
pub fn is_work(op: &Op) -> bool {
    matches!(op, Op::Exec(_) | Op::File(_) | Op::Http(_) | Op::Git(_))
}

/// The layers of the second state that the first does not have.
fn diff(states: &[State]) -> Result<State, StepError> {
    match states {
        [lower, upper] if upper.starts_with(lower) => Ok(upper[lower.len()..].to_vec()),
        _ => Err(StepError::message("a diff is only possible between a state and one made on top of it")),
    }
}

fn announce(graph: &Graph, needed: &[StepId], reporter: &dyn Reporter) {
    let steps = needed.iter().filter(|id| is_work(&graph[**id].op));
    let infos = steps.map(|id| {
        let step = &graph[*id];
        StepInfo {
            step: id.index(),
            name: step.label.text.clone(),
            stage: step.label.stage.clone(),
            inputs: graph.inputs(*id).into_iter().map(StepId::index).collect(),
            origin: step.label.origin.as_ref().map(|origin| (origin.file.clone(), origin.line)),
        }
    });
    reporter.report(Event::Planned(infos.collect()));
}

/// With no more targets than this, threads would cost more than they bring.
const FEW_TARGETS: usize = 8;

struct Solver<'a, 'e> {
    graph: &'a Graph,
    environment: &'a Environment<'e>,
    contexts: Contexts,
    /// What was recorded of targets, if there are many: they were looked up side by side.
    ahead: HashMap<StepId, Option<State>>,
}

/// What a running step reports when it ends.
struct Ended {
    step: StepId,
    result: Result<(State, bool), StepError>,
    elapsed: Duration,
}

impl<'a, 'e> Solver<'a, 'e> {
    /// Opens contexts, tells of the steps, and computes keys. The keys may fail on their own, when there is something to tell about already.
    #[expect(clippy::type_complexity, reason = "three things that are made together, for two callers")]
    fn start(
        graph: &'a Graph,
        targets: &[StepId],
        environment: &'a Environment<'e>,
    ) -> Result<(Self, Vec<StepId>, Result<Arc<DefinitionKeys>, SolveError>), SolveError> {
        let needed = graph.needed(targets);
        // All of them: what is known of a step can have layers of an image that no step asks for any more.
        let images: BTreeMap<_, _> = environment.images.iter().collect();
        for layers in images.into_values() {
            environment.layers.add_image(layers);
        }
        let contexts = Contexts::open(graph, &needed, environment)?;
        announce(graph, &needed, environment.reporter);
        let keys = DefinitionKeys::compute(graph, &needed, |step| contexts.view(step));
        let mut solver = Self { graph, environment, contexts, ahead: HashMap::new() };
        let keys =
            keys.map(Arc::new).map_err(|KeyError { step, input, error }| match environment.cancel.is_canceled() {
                true => StepError::Canceled.into(),
                false => SolveError { step: Some(step), error: solver.explain(step, input, error) },
            });
        if let Ok(keys) = &keys {
            solver.ahead = solver.look_ahead(keys, targets);
        }
        Ok((solver, needed, keys))
    }

    /// Looks up targets side by side, if they are many: it is waiting for the kernel most of the time.
    fn look_ahead(&self, keys: &DefinitionKeys, targets: &[StepId]) -> HashMap<StepId, Option<State>> {
        if targets.len() <= FEW_TARGETS {
            return HashMap::new();
        }
        let recorded = targets.par_iter().filter(|id| self.is_recorded(**id));
        recorded.map(|id| (*id, self.look_up(keys.key(*id), self.environment.unread.contains(id)))).collect()
    }

    /// Whether there can be a record of what a step came to, and it counts.
    fn is_recorded(&self, id: StepId) -> bool {
        let step = &self.graph[id];
        let made = !matches!(step.op, Op::Scratch | Op::Local(_) | Op::Image(_) | Op::Merge | Op::Diff);
        made && !step.no_cache
    }

    fn run(&self, keys: &DefinitionKeys, needed: &[StepId], targets: &[StepId]) -> Result<Solved, SolveError> {
        let mut schedule = Schedule::new(self.graph);
        let mut solved = Solved::default();
        let mut outcomes: HashMap<StepId, Outcome> = HashMap::new();
        for target in targets {
            schedule
                .demand(*target, &mut |id| Ok::<_, SolveError>(self.known(keys, id, &mut solved, &mut outcomes)))?;
        }
        let mut failure: Option<SolveError> = None;
        let (sender, receiver) = mpsc::channel::<Ended>();
        std::thread::scope(|scope| {
            let mut running = 0;
            loop {
                if self.environment.cancel.is_canceled() {
                    schedule.stop();
                }
                while running < self.environment.jobs.max(1) {
                    let Some(id) = schedule.start_next() else { break };
                    let inputs: Vec<State> =
                        self.graph.inputs(id).iter().map(|input| solved.state(*input).to_vec()).collect();
                    // These only put layers together: there is nothing to run, and nothing to tell.
                    let joined = match &self.graph[id].op {
                        Op::Merge => Some(Ok(inputs.concat())),
                        Op::Diff => Some(diff(&inputs)),
                        _ => None,
                    };
                    match joined {
                        Some(Ok(state)) => {
                            solved.states.insert(id, state);
                            schedule.finish(id);
                            continue;
                        }
                        Some(Err(error)) => {
                            schedule.fail(id);
                            failure.get_or_insert(SolveError { step: Some(id), error });
                            continue;
                        }
                        None => running += 1,
                    }
                    let sender = sender.clone();
                    let work = move || {
                        let started = Instant::now();
                        // Without an answer the loop would wait for ever.
                        let result =
                            catch_unwind(AssertUnwindSafe(|| self.step(keys, id, &inputs))).unwrap_or_else(|_| {
                                Err(StepError::message("a thread panicked; this is a bug in imgbuild"))
                            });
                        let _ = sender.send(Ended { step: id, result, elapsed: started.elapsed() });
                    };
                    if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                        running -= 1;
                        schedule.fail(id);
                        failure = Some(SolveError {
                            step: Some(id),
                            error: StepError::Other(format!("no thread can be started for it: {error}")),
                        });
                    }
                }
                if running == 0 {
                    break;
                }
                let Ok(ended) = receiver.recv() else { break };
                running -= 1;
                let id = ended.step;
                let outcome = match ended.result {
                    Ok((state, executed)) => {
                        solved.states.insert(id, state);
                        schedule.finish(id);
                        if executed { Outcome::Done } else { Outcome::Cached }
                    }
                    Err(error) => {
                        schedule.fail(id);
                        // Whatever is stopped in the middle fails in some way.
                        let canceled = self.environment.cancel.is_canceled();
                        // Whoever asked a cache elsewhere tries again without it.
                        let again = self.environment.layers.broken_claim().is_some();
                        let error = if canceled { StepError::Canceled } else { error };
                        let failed = || Outcome::Failed(error.to_string());
                        let outcome = if canceled || again { Outcome::Canceled } else { failed() };
                        if failure.is_none() {
                            failure = Some(SolveError { step: Some(id), error });
                            // What runs beside it would be thrown away.
                            if !again {
                                self.environment.cancel.cancel();
                            }
                        }
                        outcome
                    }
                };
                self.environment.reporter.report(Event::Finished(id.index(), outcome.clone(), ended.elapsed));
                outcomes.insert(id, outcome);
            }
        });
        self.conclude(needed, failure.is_some(), &mut outcomes, &mut solved);
        match failure {
            Some(failure) => Err(failure),
            None if self.environment.cancel.is_canceled() => Err(StepError::Canceled.into()),
            None => Ok(solved),
        }
    }

    /// Tells what became of the steps that never had to run, and counts.
    fn conclude(&self, needed: &[StepId], failed: bool, outcomes: &mut HashMap<StepId, Outcome>, solved: &mut Solved) {
        for id in needed.iter().filter(|id| is_work(&self.graph[**id].op)) {
            let outcome = outcomes.entry(*id).or_insert_with(|| {
                let outcome = if failed { Outcome::Canceled } else { Outcome::Cached };
                self.environment.reporter.report(Event::Finished(id.index(), outcome.clone(), Duration::ZERO));
                outcome
            });
            match outcome {
                Outcome::Done => solved.executed += 1,
                Outcome::Cached => solved.cached += 1,
                Outcome::Failed(_) | Outcome::Canceled => {}
            }
        }
    }

    /// Whether a step's result is at hand; if so it is noted.
    fn known(
        &self,
        keys: &DefinitionKeys,
        id: StepId,
        solved: &mut Solved,
        outcomes: &mut HashMap<StepId, Outcome>,
    ) -> bool {
        let step = &self.graph[id];
        let state = match &step.op {
            Op::Scratch | Op::Local(_) => State::new(),
            Op::Image(image) => match self.environment.images.get(&image.layers) {
                Some(blobs) => self.environment.layers.add_image(blobs),
                None => return false,
            },
            _ if !self.is_recorded(id) => return false,
            _ => match self.recorded(keys, id) {
                Some(state) => {
                    self.environment.reporter.report(Event::Finished(id.index(), Outcome::Cached, Duration::ZERO));
                    outcomes.insert(id, Outcome::Cached);
                    state
                }
                None => return false,
            },
        };
        solved.states.insert(id, state);
        true
    }

    /// The recorded result of a step.
    fn recorded(&self, keys: &DefinitionKeys, id: StepId) -> Option<State> {
        match self.ahead.get(&id) {
            Some(found) => found.clone(),
            None => self.look_up(keys.key(id), self.environment.unread.contains(&id)),
        }
    }

    /// The recorded result of a key, if all of it is still there, or if nobody will look. What others have recorded counts
    /// as well, and from then on as if it were from here.
    fn look_up(&self, key: CacheKey, unread: bool) -> Option<State> {
        let layers = &self.environment.layers;
        let whole = |state: &State| state.iter().all(|layer| layers.available(*layer));
        let own = layers.store().get_action(&key).and_then(|record| record::decode(&record));
        if let Some(state) = own.filter(|state| unread || whole(state)) {
            return Some(state);
        }
        let found = self.environment.elsewhere.find(&key)?;
        let state = Some(found.state).filter(whole)?;
        // A record that cannot be written only costs time.
        let _ = self.record(key, &state);
        Some(state)
    }

    /// The inputs of a step, which came to these states.
    fn trees(&self, id: StepId, states: &[State]) -> Result<BTreeMap<usize, InputTree>, StepError> {
        let inputs = self.graph.inputs(id).into_iter().zip(states).enumerate();
        inputs.map(|(number, (input, state))| Ok((number, self.tree(input, state)?))).collect()
    }

    /// What a step came to, or a context.
    fn tree(&self, input: StepId, state: &State) -> Result<InputTree, StepError> {
        Ok(match self.contexts.get(input) {
            Some(context) => InputTree::Context(context.clone()),
            None => InputTree::State(Arc::new(StateTree::new(&self.environment.layers, state)?)),
        })
    }

    /// Runs a step whose inputs are done, or finds that it need not run. Says whether it ran.
    fn step(&self, keys: &DefinitionKeys, id: StepId, states: &[State]) -> Result<(State, bool), StepError> {
        let step = &self.graph[id];
        let layers = &self.environment.layers;
        let nodes = self.graph.inputs(id);
        let mut inputs: BTreeMap<usize, InputTree> = BTreeMap::new();
        let mut selections: Selections = keys.selections(id).clone();
        let mut input_keys = Vec::new();
        for (number, state) in states.iter().enumerate() {
            let key = match (selections.get(&number), partial_uses(&step.op, number)) {
                (Some(selection), _) => InputKey::Files(selection.key()),
                (None, Some(uses)) => {
                    let tree = self.tree(nodes[number], state)?;
                    let selection = select_uses(tree.view(), &uses).map_err(|error| self.explain(id, number, error))?;
                    let key = InputKey::Files(selection.key());
                    selections.insert(number, Arc::new(selection));
                    inputs.insert(number, tree);
                    key
                }
                // Nothing of it is read for that.
                (None, None) => InputKey::State(state_key(state)),
            };
            input_keys.push(key);
        }
        let resolved = cache_key(step, &input_keys);
        if !step.no_cache
            && let Some(state) = self.look_up(resolved, false)
        {
            self.record(keys.key(id), &state)?;
            return Ok((state, false));
        }
        if self.environment.cancel.is_canceled() {
            return Err(StepError::Canceled);
        }
        // Equal steps of several processes, or of this one, run once. Whoever runs one holds no other such lock, so nobody
        // waits in a circle; that of a process that dies is free.
        let shared = !step.no_cache && is_work(&step.op);
        let (_lock, waited) = if shared { self.lock(id, &resolved)? } else { (None, false) };
        if shared && let Some(state) = self.look_up(resolved, false) {
            self.record(keys.key(id), &state)?;
            return Ok((state, false));
        }
        self.environment.observer.missed(id);
        if !waited {
            self.environment.reporter.report(Event::Started(id.index()));
        }
        if let (Op::Exec(_), Some(state)) = (&step.op, states.first()) {
            // It needs the folders; making them says what is in them.
            layers.folders(state)?;
        }
        for (number, state) in states.iter().enumerate() {
            if let Entry::Vacant(place) = inputs.entry(number) {
                place.insert(self.tree(nodes[number], state)?);
            }
        }
        let root = scene::root(layers, &inputs)?;
        let layer = match &step.op {
            Op::File(op) => {
                let scratch = || Ok(layers.store().tmp_path("archive")?);
                let step = FileStep {
                    op,
                    times: step.times,
                    root: &root,
                    inputs: &inputs,
                    selections: &selections,
                    archives: layers.store().archives(),
                    scratch: &scratch,
                };
                step.run(layers)?
            }
            Op::Exec(op) => {
                let process = exec::ExecStep {
                    number: id.index(),
                    op,
                    platform: &step.platform,
                    times: step.times,
                    root: &root,
                    inputs: &inputs,
                };
                process.run(&ExecContext {
                    layers,
                    executor: self.environment.executor,
                    reporter: self.environment.reporter,
                    cancel: self.environment.cancel,
                    credentials: (self.environment.credentials)(id),
                    elsewhere: self.environment.elsewhere,
                    resolv_conf: &self.environment.resolv_conf,
                    failed: &|failure| {
                        let scene = Scene { step: step_of(step, Some(keys.key(id))), ..failure.scene };
                        self.environment.observer.failed(id, Failure { scene, ..failure })
                    },
                })?
            }
            Op::Http(op) => self.remote(id).http(op, step.times)?,
            Op::Git(op) => self.remote(id).git(op, step.times)?,
            Op::Image(op) => {
                return Err(StepError::Other(format!("the layers of {} are not in the store", op.reference)));
            }
            Op::Scratch | Op::Local(_) | Op::Merge | Op::Diff => return Ok((State::new(), false)),
        };
        let mut state = states.first().cloned().unwrap_or_default();
        state.push(layer);
        self.record(resolved, &state)?;
        self.record(keys.key(id), &state)?;
        Ok((state, true))
    }

    /// Takes the right to run a step with this key; says whether somebody else had it, which counts as running for those
    /// who watch. There may be a result by now.
    fn lock(&self, id: StepId, key: &CacheKey) -> Result<(Option<KeyLock>, bool), StepError> {
        let store = self.environment.layers.store();
        if let Some(lock) = store.try_lock_key(key)? {
            return Ok((Some(lock), false));
        }
        self.environment.reporter.report(Event::Started(id.index()));
        let lock = store.lock_key(key, || self.environment.cancel.is_canceled())?;
        lock.map(|lock| (Some(lock), true)).ok_or(StepError::Canceled)
    }

    /// An error at choosing files of an input, with what there is to say about that input.
    fn explain(&self, step: StepId, input: usize, error: SelectError) -> StepError {
        let input = self.graph.inputs(step).get(input).copied();
        match (error, input.map(|input| (input, &self.graph[input].op))) {
            (SelectError::Missing(path), Some((input, Op::Local(op)))) => StepError::NotInContext {
                pattern: self.contexts.get(input).and_then(|context| context.excluded_by(&TreePath::clean(&path))),
                path,
                context: op.name.clone(),
            },
            (error, _) => error.into(),
        }
    }

    fn remote(&self, id: StepId) -> RemoteStep<'_> {
        let Environment { layers, sources, credentials, reporter, cancel, .. } = self.environment;
        let agent = credentials(id).agents.get("default").map(Agent::socket);
        RemoteStep { number: id.index(), layers, sources: *sources, agent, reporter: *reporter, cancel }
    }

    fn record(&self, key: CacheKey, state: &State) -> Result<(), StepError> {
        Ok(self.environment.layers.store().put_action(&key, &record::encode(state))?)
    }
}
