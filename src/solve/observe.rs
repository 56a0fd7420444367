//! Who wants to know more of a graph that is run than its events tell: the record of a build does.

use std::path::Path;
use std::sync::Arc;

use crate::graph::StepId;
use crate::sandbox::Exit;
use crate::solve::keys::DefinitionKeys;
use crate::store::scenes::Scene;

/// A process that failed.
pub struct Failure<'a> {
    /// What it saw at its start.
    pub scene: Scene,
    /// How it ended.
    pub exit: Exit,
    /// What it had changed: an overlay's upper folder, which goes unless it is taken away.
    pub upper: &'a Path,
}

/// Hears of keys, misses and failures, on any thread.
pub trait Observer: Sync {
    /// The definition keys of these steps are known. Comes before anything runs.
    fn keyed(&self, needed: &[StepId], keys: &Arc<DefinitionKeys>) {
        let _ = (needed, keys);
    }

    /// A step was in the cache by neither of its keys, and is about to run.
    fn missed(&self, step: StepId) {
        let _ = step;
    }

    /// The process of a step failed. Whoever keeps what it left returns a name for that.
    fn failed(&self, step: StepId, failure: Failure<'_>) -> Option<String> {
        let _ = (step, failure);
        None
    }
}

/// Hears nothing.
impl Observer for () {}
