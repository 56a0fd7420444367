//! What the solver is given of a build that was prepared: which steps, which of them nobody will read, and with what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::graph::{Graph, StepId};
use crate::ops::Error;
use crate::ops::build::failure::step_failure;
use crate::ops::build::lowering::Lowered;
use crate::ops::build::{LockMode, OutputKind, Session, Target, credentials};
use crate::solve::{self, Elsewhere, Observer, SolveError};
use crate::store::layers::Layers;

/// Who hears of what happens, and who knows results that the store does not have.
pub type Others<'a> = (&'a dyn Observer, &'a dyn Elsewhere);

/// The parts of a prepared build that running it needs.
pub(super) type Parts<'a> = (&'a Graph, &'a [Lowered], &'a Arc<Layers>);

/// Gives `action` all that the solver wants, and the steps of the targets.
pub fn solving<T>(
    session: &Session<'_>,
    mode: LockMode,
    parts: Parts<'_>,
    targets: &[Target],
    others: Others<'_>,
    action: impl FnOnce(&[StepId], &solve::Environment<'_>) -> Result<T, SolveError>,
) -> Result<T, Error> {
    let (graph, lowered, _) = parts;
    let (steps, unread) = (wanted(lowered), unread(graph, lowered, targets));
    solving_for(session, mode, parts, targets, others, (&steps, &unread), action)
}

/// The same for some steps, of which these are read by nobody.
pub(super) fn solving_for<T>(
    session: &Session<'_>,
    mode: LockMode,
    (graph, lowered, layers): Parts<'_>,
    targets: &[Target],
    (observer, elsewhere): Others<'_>,
    (steps, unread): (&[StepId], &BTreeSet<StepId>),
    action: impl FnOnce(&[StepId], &solve::Environment<'_>) -> Result<T, SolveError>,
) -> Result<T, Error> {
    let mut contexts = BTreeMap::new();
    let mut images = HashMap::new();
    for target in lowered {
        contexts.extend(target.folders.clone());
        images.extend(target.images.clone());
    }
    credentials::warn_of_conflicts(graph, lowered, targets, session.reporter);
    let environment = solve::Environment {
        layers: layers.clone(),
        contexts: &contexts,
        images: &images,
        executor: session.executor,
        reporter: session.reporter,
        cancel: session.cancel,
        credentials: &|step| credentials::of_step(step, lowered, targets),
        resolv_conf: session.resolv_conf.clone(),
        jobs: session.jobs,
        unread,
        sources: (!mode.offline).then_some(session.sources),
        observer,
        elsewhere,
    };
    let mut wanted = steps.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    action(&wanted, &environment).map_err(|error| step_failure(graph, lowered, error))
}

/// The steps that the targets are.
pub(super) fn wanted(lowered: &[Lowered]) -> Vec<StepId> {
    lowered.iter().flat_map(|target| &target.platforms).map(|build| build.step).collect()
}

/// The steps of which nobody will read a byte: targets that only fill the cache.
fn unread(graph: &Graph, lowered: &[Lowered], targets: &[Target]) -> BTreeSet<StepId> {
    let steps = wanted(lowered);
    let mut unread: BTreeSet<_> = steps.iter().copied().collect();
    for (target, lowered) in targets.iter().zip(lowered) {
        let only_cache = target.outputs.iter().all(|output| output.kind == OutputKind::CacheOnly);
        if target.outputs.is_empty() || !only_cache {
            for build in &lowered.platforms {
                unread.remove(&build.step);
            }
        }
    }
    for step in graph.needed(&steps) {
        for input in graph.inputs(step) {
            unread.remove(&input);
        }
    }
    unread
}
