//! Who wants to know more of a graph that is run than its events tell: the record of a build does.

use std::sync::Arc;

use crate::graph::StepId;
use crate::solve::keys::DefinitionKeys;

/// Hears of keys and misses, on any thread.
pub trait Observer: Sync {
    /// The definition keys of these steps are known. Comes before anything runs.
    fn keyed(&self, needed: &[StepId], keys: &Arc<DefinitionKeys>) {
        let _ = (needed, keys);
    }

    /// A step was in the cache by neither of its keys, and is about to run.
    fn missed(&self, step: StepId) {
        let _ = step;
    }
}

/// Hears nothing.
impl Observer for () {}
