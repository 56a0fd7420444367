//! What the store knows of all steps below a target, also of those that a build had no reason to look at.

use std::collections::BTreeSet;

use crate::digest::CacheKey;
use crate::graph::key::{InputKey, cache_key};
use crate::graph::{Graph, Op, StepId};
use crate::solve::file::StateTree;
use crate::solve::keys::{DefinitionKeys, partial_uses, select_uses, state_key};
use crate::solve::{Environment, Solved, State, diff, record};

/// A step whose result is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Which step.
    pub step: StepId,
    /// The keys that lead to the result.
    pub keys: Vec<CacheKey>,
    /// What it came to.
    pub state: State,
}

/// The steps that `targets` need and whose results are known, inputs first. Those that have no key of their own, as images
/// and contexts, are left out.
pub fn reached(graph: &Graph, targets: &[StepId], environment: &Environment<'_>, solved: &Solved) -> Vec<Reached> {
    let Some(keys) = &solved.keys else { return Vec::new() };
    let walk = Walk { graph, environment, keys };
    let mut states: Vec<Option<State>> = vec![None; graph.len()];
    let mut all = Vec::new();
    for id in graph.needed(targets) {
        let inputs: Vec<Option<State>> =
            graph.inputs(id).iter().map(|input| states.get(input.index()).cloned().flatten()).collect();
        let (state, keys) = match &graph[id].op {
            Op::Scratch | Op::Local(_) => (Some(State::new()), Vec::new()),
            Op::Image(image) => {
                let blobs = environment.images.get(&image.layers);
                (blobs.map(|blobs| environment.layers.add_image(blobs)), Vec::new())
            }
            Op::Merge => (inputs.into_iter().collect::<Option<Vec<_>>>().map(|all| all.concat()), Vec::new()),
            Op::Diff => (inputs.into_iter().collect::<Option<Vec<_>>>().and_then(|all| diff(&all).ok()), Vec::new()),
            _ => walk.step(id, solved, &inputs),
        };
        states[id.index()].clone_from(&state);
        if let (Some(state), false) = (state, keys.is_empty()) {
            all.push(Reached { step: id, keys, state });
        }
    }
    all
}

struct Walk<'a, 'e> {
    graph: &'a Graph,
    environment: &'a Environment<'e>,
    keys: &'a DefinitionKeys,
}

impl Walk<'_, '_> {
    /// The result of a step, and all keys of it that can be told without fetching anything.
    fn step(&self, id: StepId, solved: &Solved, inputs: &[Option<State>]) -> (Option<State>, Vec<CacheKey>) {
        let layers = &self.environment.layers;
        let key = self.keys.key(id);
        let mut keys: BTreeSet<CacheKey> = [key].into();
        let own = solved.states.get(&id).cloned().or_else(|| record::decode(&layers.store().peek_action(&key)?));
        let own = own.filter(|state| state.iter().all(|layer| layers.available(*layer)));
        let found =
            self.environment.elsewhere.find(&key).filter(|found| own.as_ref().is_none_or(|own| *own == found.state));
        keys.extend(found.iter().flat_map(|found| &found.keys));
        let state = own.or(found.map(|found| found.state));
        keys.extend(self.resolved(id, inputs));
        (state, keys.into_iter().collect())
    }

    /// The resolved key of a step.
    fn resolved(&self, id: StepId, inputs: &[Option<State>]) -> Option<CacheKey> {
        let (step, layers) = (&self.graph[id], &self.environment.layers);
        let input_key = |(number, state): (usize, &Option<State>)| {
            if let Some(selection) = self.keys.selections(id).get(&number) {
                return Some(InputKey::Files(selection.key()));
            }
            let state = state.as_ref()?;
            let Some(uses) = partial_uses(&step.op, number) else { return Some(InputKey::State(state_key(state))) };
            if !state.iter().all(|layer| layers.is_listed(*layer)) {
                return None;
            }
            let tree = StateTree::new(layers, state).ok()?;
            Some(InputKey::Files(select_uses(&tree.view, &uses).ok()?.key()))
        };
        let keys: Vec<InputKey> = inputs.iter().enumerate().map(input_key).collect::<Option<_>>()?;
        Some(cache_key(step, &keys))
    }
}
