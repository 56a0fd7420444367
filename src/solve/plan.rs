//! What running a graph would do, without running it.
//!
//! The same look-ups in the same order as a build makes them, up to the first step on each way that has to run. What
//! comes after such a step may still be found by what the step comes to, which nobody knows yet.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use crate::graph::key::{InputKey, cache_key};
use crate::graph::{Graph, Op, StepId};
use crate::solve::file::StateTree;
use crate::solve::keys::{DefinitionKeys, partial_uses, select_uses, state_key};
use crate::solve::schedule::{Schedule, Status};
use crate::solve::solver::Solver;
use crate::solve::{Environment, SolveError, Solved, State, diff};

/// What would become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its result is at hand, or it comes from outside and is there.
    Cached,
    /// Nobody would ask for it: what uses it is cached.
    Unneeded,
    /// It would run.
    Run,
    /// This input of it would run first, and decides whether it has to.
    Waits(StepId),
}

/// A graph that was not run.
pub struct Foreseen {
    /// The steps that the targets need, in the order of the graph.
    pub needed: Vec<StepId>,
    /// Their keys.
    pub keys: Arc<DefinitionKeys>,
    /// What would become of each.
    pub fates: HashMap<StepId, Fate>,
}

/// Finds out what [`solve`](crate::solve::solve) would do. The environment's reporter should be silent.
pub fn plan(graph: &Graph, targets: &[StepId], environment: &Environment<'_>) -> Result<Foreseen, SolveError> {
    let (solver, needed, keys) = Solver::start(graph, targets, environment)?;
    solver.contexts.save();
    let keys = keys?;
    let fates = solver.foresee(&keys, &needed, targets);
    Ok(Foreseen { needed, keys, fates })
}

impl Solver<'_, '_> {
    fn foresee(&self, keys: &DefinitionKeys, needed: &[StepId], targets: &[StepId]) -> HashMap<StepId, Fate> {
        let mut schedule = Schedule::new(self.graph);
        let mut solved = Solved::default();
        let mut outcomes = HashMap::new();
        for target in targets {
            let known = schedule
                .demand(*target, &mut |id| Ok::<_, Infallible>(self.known(keys, id, &mut solved, &mut outcomes)));
            match known {
                Ok(()) => {}
                Err(never) => match never {},
            }
        }
        let mut fates: HashMap<StepId, Fate> = HashMap::new();
        while let Some(id) = schedule.start_next() {
            match self.found(keys, id, &solved) {
                Some(state) => {
                    solved.states.insert(id, state);
                    schedule.finish(id);
                }
                None => drop(fates.insert(id, Fate::Run)),
            }
        }
        for id in needed {
            let fate = match schedule.status(*id) {
                Status::Idle => Fate::Unneeded,
                Status::Waiting(_) => {
                    let inputs = self.graph.inputs(*id).into_iter();
                    let first =
                        inputs.filter(|input| matches!(fates.get(input), Some(Fate::Run | Fate::Waits(_)))).min();
                    first.map_or(Fate::Run, Fate::Waits)
                }
                _ => Fate::Cached,
            };
            fates.entry(*id).or_insert(fate);
        }
        fates
    }

    /// What a step whose inputs are known comes to, if that is recorded.
    fn found(&self, keys: &DefinitionKeys, id: StepId, solved: &Solved) -> Option<State> {
        let step = &self.graph[id];
        let inputs = self.graph.inputs(id);
        let states: BTreeMap<usize, State> =
            inputs.iter().enumerate().map(|(number, input)| (number, solved.state(*input).to_vec())).collect();
        match &step.op {
            Op::Merge => return Some(states.into_values().flatten().collect()),
            Op::Diff => return diff(&states.into_values().collect::<Vec<_>>()).ok(),
            _ if step.no_cache => return None,
            _ => {}
        }
        let input_key = |(number, state): (&usize, &State)| {
            Some(match (keys.selections(id).get(number), partial_uses(&step.op, *number)) {
                (Some(selection), _) => InputKey::Files(selection.key()),
                (None, Some(uses)) => {
                    let tree = StateTree::new(&self.environment.layers, state).ok()?;
                    // What goes wrong here goes wrong in the build, which says more.
                    InputKey::Files(select_uses(&tree.view, &uses).ok()?.key())
                }
                (None, None) => InputKey::State(state_key(state)),
            })
        };
        let input_keys: Vec<InputKey> = states.iter().map(input_key).collect::<Option<_>>()?;
        self.look_up(cache_key(step, &input_keys), false)
    }
}
