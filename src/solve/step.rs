//! One step whose inputs are done: found by its resolved key, or run.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::digest::CacheKey;
use crate::event::Event;
use crate::fstree::TreePath;
use crate::fstree::select::SelectError;
use crate::graph::key::{InputKey, cache_key};
use crate::graph::{Op, StepId};
use crate::solve::exec::{ExecContext, ExecStep};
use crate::solve::file::{FileStep, InputTree, StateTree};
use crate::solve::keys::{DefinitionKeys, Selections, partial_uses, select_uses, state_key};
use crate::solve::remote::RemoteStep;
use crate::solve::scene::{self, step_of};
use crate::solve::solver::Solver;
use crate::solve::{Environment, Failure, State, StepError, is_work};
use crate::source::agent::Agent;
use crate::store::KeyLock;
use crate::store::layers::LayerId;
use crate::store::scenes::Scene;

/// What was opened of a step's inputs, and chosen of their files.
struct Inputs {
    trees: BTreeMap<usize, InputTree>,
    selections: Selections,
}

impl Solver<'_, '_> {
    /// The inputs of a step, which came to these states.
    pub(super) fn trees(&self, id: StepId, states: &[State]) -> Result<BTreeMap<usize, InputTree>, StepError> {
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
    pub(super) fn step(&self, keys: &DefinitionKeys, id: StepId, states: &[State]) -> Result<(State, bool), StepError> {
        let step = &self.graph[id];
        let (resolved, inputs) = self.resolve(keys, id, states)?;
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
        let Some(layer) = self.execute(keys, id, states, inputs)? else { return Ok((State::new(), false)) };
        let mut state = states.first().cloned().unwrap_or_default();
        state.push(layer);
        self.record(resolved, &state)?;
        self.record(keys.key(id), &state)?;
        Ok((state, true))
    }

    /// The key of a step by what its inputs came to, and of these what had to be looked at for that.
    fn resolve(&self, keys: &DefinitionKeys, id: StepId, states: &[State]) -> Result<(CacheKey, Inputs), StepError> {
        let step = &self.graph[id];
        let nodes = self.graph.inputs(id);
        let mut inputs = Inputs { trees: BTreeMap::new(), selections: keys.selections(id).clone() };
        let mut input_keys = Vec::new();
        for (number, state) in states.iter().enumerate() {
            let key = match (inputs.selections.get(&number), partial_uses(&step.op, number)) {
                (Some(selection), _) => InputKey::Files(selection.key()),
                (None, Some(uses)) => {
                    let tree = self.tree(nodes[number], state)?;
                    let selection = select_uses(tree.view(), &uses).map_err(|error| self.explain(id, number, error))?;
                    let key = InputKey::Files(selection.key());
                    inputs.selections.insert(number, Arc::new(selection));
                    inputs.trees.insert(number, tree);
                    key
                }
                // Nothing of it is read for that.
                (None, None) => InputKey::State(state_key(state)),
            };
            input_keys.push(key);
        }
        Ok((cache_key(step, &input_keys), inputs))
    }

    /// Does what a step says; the layer that it makes, if it is one of those that make one.
    fn execute(
        &self,
        keys: &DefinitionKeys,
        id: StepId,
        states: &[State],
        mut inputs: Inputs,
    ) -> Result<Option<LayerId>, StepError> {
        let step = &self.graph[id];
        let layers = &self.environment.layers;
        let nodes = self.graph.inputs(id);
        if let (Op::Exec(_), Some(state)) = (&step.op, states.first()) {
            // It needs the folders; making them says what is in them.
            layers.folders(state)?;
        }
        for (number, state) in states.iter().enumerate() {
            if let Entry::Vacant(place) = inputs.trees.entry(number) {
                place.insert(self.tree(nodes[number], state)?);
            }
        }
        let root = scene::root(layers, &inputs.trees)?;
        Ok(Some(match &step.op {
            Op::File(op) => {
                let scratch = || Ok(layers.store().tmp_path("archive")?);
                let step = FileStep {
                    op,
                    times: step.times,
                    root: &root,
                    inputs: &inputs.trees,
                    selections: &inputs.selections,
                    archives: layers.store().archives(),
                    scratch: &scratch,
                };
                step.run(layers)?
            }
            Op::Exec(op) => {
                let process = ExecStep {
                    number: id.index(),
                    op,
                    platform: &step.platform,
                    times: step.times,
                    root: &root,
                    inputs: &inputs.trees,
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
            Op::Scratch | Op::Local(_) | Op::Merge | Op::Diff => return Ok(None),
        }))
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
    pub(super) fn explain(&self, step: StepId, input: usize, error: SelectError) -> StepError {
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
}
