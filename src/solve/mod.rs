//! Runs a graph: what is known is taken from the action cache, the rest is run, side by side.
//!
//! Which step is next is pure bookkeeping ([`schedule`]). One loop owns that state (`solver`); every step that runs has a
//! thread of its own (`step`), which sends back what came of it. A step is looked up twice (`lookup`): by its definition key
//! before anything runs, and by its resolved key once its inputs are there, so that an input that came out as before stops
//! the rebuild.

mod archive;
mod contexts;
mod elsewhere;
mod emulation;
mod environment;
pub mod error;
mod exec;
mod file;
pub mod keys;
mod lookup;
mod observe;
mod plan;
mod reached;
pub mod record;
pub mod redact;
mod remote;
mod scene;
pub mod schedule;
mod solver;
mod step;

use std::collections::HashMap;
use std::sync::Arc;

pub use elsewhere::{Elsewhere, Found};
pub use emulation::NoEmulation;
pub use environment::{Credentials, Environment, SecretValue};
pub use error::StepError;
pub use exec::ExecContext;
pub use file::StateTree;
pub use observe::{Failure, Observer};
pub use plan::{Fate, Foreseen, plan};
pub use reached::{Reached, reached};
pub use scene::{scene, step_of};

use crate::digest::CacheKey;
use crate::graph::{Graph, Op, StepId};
use crate::store::Store;
use crate::store::layers::LayerId;
use keys::DefinitionKeys;
use solver::Solver;

/// What a step came to: layers, bottom first.
pub type State = Vec<LayerId>;

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
