//! The files of a remote context before anything is built from it: its Dockerfile is among them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::event::{Event, Silent};
use crate::graph::{Graph, StepId};
use crate::ops::Error;
use crate::ops::build::{Session, Target};
use crate::solve::{self, StateTree, StepError};
use crate::store::layers::Layers;

/// The most that a Dockerfile may have, in bytes.
const MOST: u64 = 64 << 20;

/// The number of this task: look-ups have theirs above, outputs below.
const TASK: usize = (1 << 20) - 1;

/// What a context holds.
pub struct ContextFiles(StateTree);

impl ContextFiles {
    /// The text of a file; none if it is not there.
    pub fn text(&self, path: &str) -> Result<Option<String>, Error> {
        self.0.text(path, MOST).map_err(|error| Error::build(error.to_string()))
    }
}

/// Runs the steps that make a context. What they made is found again when the build runs.
pub fn run(
    session: &Session<'_>,
    offline: bool,
    target: &Target,
    graph: &Graph,
    step: Option<StepId>,
    layers: &Arc<Layers>,
) -> Result<ContextFiles, Error> {
    let started = Instant::now();
    session.reporter.report(Event::TaskStarted(TASK, "loading the build context".into()));
    let environment = solve::Environment {
        layers: layers.clone(),
        contexts: &BTreeMap::new(),
        images: &HashMap::new(),
        executor: session.executor,
        reporter: &Silent,
        cancel: session.cancel,
        credentials: &|_| &target.credentials,
        resolv_conf: Vec::new(),
        jobs: session.jobs,
        unread: &BTreeSet::new(),
        sources: (!offline).then_some(session.sources),
        observer: &(),
        elsewhere: &(),
    };
    let failed = |error: StepError| match error {
        StepError::Canceled => Error::Interrupted,
        StepError::Store(error) => error.into(),
        StepError::Layer(error) => error.into(),
        StepError::Snapshot(error) => error.into(),
        error => Error::build(format!("the build context cannot be had: {error}")),
    };
    let wanted: Vec<StepId> = step.into_iter().collect();
    let solved = solve::solve(graph, &wanted, &environment).map_err(|error| failed(error.error))?;
    let state = step.map(|step| solved.state(step)).unwrap_or_default();
    let files = StateTree::new(layers, state).map_err(failed)?;
    session.reporter.report(Event::TaskFinished(TASK, started.elapsed()));
    Ok(ContextFiles(files))
}
