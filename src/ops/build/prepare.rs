//! The first half of a build: definitions are read, what they name is looked up, and all targets are one graph. Nothing has
//! run, and the lockfile is not written yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::graph::{Graph, StepId};
use crate::ops::Error;
use crate::ops::build::locking::{Lock, LockPlace};
use crate::ops::build::lowering::{self, Checked, Lowered, lower_all};
use crate::ops::build::solving::{solving_for, wanted};
use crate::ops::build::{LockMode, Session, Target};
use crate::registry::{FetchOnNeed, Offline};
use crate::remote_cache::{FetchFromSpots, Spots};
use crate::solve;
use crate::store::layers::Layers;
use crate::store::{Fetch, Stop};

/// A build that is understood in full: nothing has run, and the lockfile is not written yet.
pub struct Prepared {
    /// All steps of all targets.
    pub graph: Graph,
    /// The targets, in their order.
    pub lowered: Vec<Lowered>,
    /// What is pinned.
    pub lock: Lock,
    /// Where layers are and go.
    pub layers: Arc<Layers>,
    /// Where layers of caches are that are folders or buckets.
    pub spots: Arc<Spots>,
}

impl Prepared {
    /// The steps that the targets are.
    pub(super) fn wanted(&self) -> Vec<StepId> {
        wanted(&self.lowered)
    }

    /// Runs what `steps` need, so that all of their results can be read.
    pub(super) fn run(
        &self,
        session: &Session<'_>,
        targets: &[Target],
        steps: &[StepId],
    ) -> Result<solve::Solved, Error> {
        let parts = (&self.graph, &self.lowered[..], &self.layers);
        let wanted = (steps, &BTreeSet::new());
        solving_for(session, self.lock.mode(), parts, targets, (&(), &()), wanted, |steps, environment| {
            solve::solve(&self.graph, steps, environment)
        })
    }
}

/// Reads the definitions, looks up what they name, and lowers them into one graph.
pub fn prepare(session: &Session<'_>, targets: &[Target], lock: &LockPlace, mode: LockMode) -> Result<Prepared, Error> {
    prepare_with(session, targets, Lock::open(lock, mode)?)
}

/// The same with a lockfile that was opened already.
pub fn prepare_with(session: &Session<'_>, targets: &[Target], mut lock: Lock) -> Result<Prepared, Error> {
    let mut graph = Graph::new();
    let cancel = session.cancel.clone();
    let layers = Layers::stoppable(session.store.clone(), Stop::when(move || cancel.is_canceled()));
    let fetch: Arc<dyn Fetch> = match lock.offline() {
        true => Arc::new(Offline),
        false => Arc::new(FetchOnNeed(session.registries.clone())),
    };
    let spots = Arc::new(Spots::default());
    let layers =
        Arc::new(layers.fetching(Arc::new(FetchFromSpots::new(spots.clone(), session.registries.clone(), fetch))));
    let lowered = lower_all(session, targets, &mut lock, &layers, &mut graph)?;
    Ok(Prepared { graph, lowered, lock, layers, spots })
}

/// Looks up what these targets name besides. They are not part of the build.
pub fn prepare_also(session: &Session<'_>, prepared: &mut Prepared, targets: &[Target]) -> Result<(), Error> {
    let Prepared { lock, layers, .. } = prepared;
    lower_all(session, targets, lock, layers, &mut Graph::new()).map(drop)
}

/// What the checks say of a target's Dockerfile, or of `text` in its place, without building it. The lockfile is read
/// and not written.
pub fn check(session: &Session<'_>, target: &Target, lock: &LockPlace, text: Option<String>) -> Result<Checked, Error> {
    let mut lock = Lock::open(lock, LockMode { offline: true, ..LockMode::default() })?;
    lowering::check(session, target, &mut lock, &mut Graph::new(), text)
}
