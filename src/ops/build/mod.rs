//! `build` and everything that builds like it: targets are lowered into one graph, the graph is run once, and the
//! results are written.
//!
//! The order is always the same: read the definitions, look up what they name (in the lockfile first), lower (`prepare`),
//! settle the lockfile, run (`solving`), write the outputs (`export`). Nothing is run before every definition was
//! understood.

mod attest;
mod caching;
mod context;
mod credentials;
mod export;
mod failure;
mod images;
mod lanes;
mod locking;
mod lowering;
mod make;
mod output;
mod policy;
mod prepare;
mod remote;
mod scene;
mod solving;
mod target;

use std::sync::Arc;
use std::time::Instant;

pub use locking::LockPlace;
pub use target::{
    Attestations, Destination, Dockerfile, Entitlement, Folder, Line, LockMode, NamedContext, NoCache, Output,
    OutputKind, Target, Wording, Written,
};

use crate::event::{Event, Reporter, Summary};
use crate::graph::StepId;
use crate::oci::{Descriptor, Platform};
use crate::ops::Error;
use crate::ops::error::Diagnostics;
use crate::ops::record;
use crate::registry::Registries;
use crate::remote_cache::{Import, Spots};
use crate::sandbox::{Cancel, Executor};
use crate::solve;
use crate::source::Sources;
use crate::source::http::shown;
use crate::store::Store;
use crate::trust::Policy;
use export::{Exported, export};
pub(super) use locking::Lock;
pub(super) use lowering::Checked;
use lowering::Lowered;
pub(super) use make::{TargetImage, fetch, make};
pub(super) use prepare::{Prepared, check, prepare, prepare_also, prepare_with};
pub(super) use scene::scene;
pub(super) use solving::solving;
use solving::{Others, Parts};

/// What all builds of a process share.
pub struct Session<'a> {
    /// The store.
    pub store: Arc<Store>,
    /// What runs processes.
    pub executor: &'a dyn Executor,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    /// Stops everything.
    pub cancel: &'a Cancel,
    /// How many steps may run at the same time.
    pub jobs: usize,
    /// What `/etc/resolv.conf` holds for steps that have a network.
    pub resolv_conf: Vec<u8>,
    /// What brings files from the network.
    pub sources: &'a Sources,
    /// What brings images from the network, and takes them there.
    pub registries: Arc<Registries>,
    /// The words of the command, for the record, without what is secret in them.
    pub command: &'a [String],
    /// What images may be built on, whatever is built.
    pub policies: &'a [Policy],
}

impl<'a> Session<'a> {
    /// The same, with somebody else to report to.
    pub(super) fn reporting_to<'b>(&self, reporter: &'b dyn Reporter) -> Session<'b>
    where
        'a: 'b,
    {
        Session {
            store: self.store.clone(),
            executor: self.executor,
            reporter,
            cancel: self.cancel,
            jobs: self.jobs,
            resolv_conf: self.resolv_conf.clone(),
            sources: self.sources,
            registries: self.registries.clone(),
            command: self.command,
            policies: self.policies,
        }
    }
}

/// An image, or whatever else a target came to.
#[derive(Debug, Clone)]
pub struct Built {
    /// The target's name.
    pub target: String,
    /// Its manifest, or the index of several; none if no output wanted an image.
    pub image: Option<Descriptor>,
    /// Its configuration's digest, if it is for one platform.
    pub config: Option<Descriptor>,
    /// What the checks found in its definition.
    pub warnings: Diagnostics,
}

/// Builds targets, in an order in which each comes after those it is linked to.
pub fn build(
    session: &Session<'_>,
    targets: &[Target],
    place: &LockPlace,
    mode: LockMode,
) -> Result<Vec<Built>, Error> {
    let started = Instant::now();
    let Prepared { graph, lowered, lock, layers, spots } = prepare(session, targets, place, mode)?;
    lock.settle(session.reporter)?;
    let pushes = |target: &Target| target.outputs.iter().any(|one| matches!(one.kind, OutputKind::Registry(_)));
    if mode.offline && targets.iter().any(pushes) {
        return Err(Error::Usage("--offline forbids to push the image: leave out one of the two".into()));
    }
    caching::check(session, targets, mode)?;
    let recorder =
        record::Recorder::new(session, started, &graph, definition_of(targets, place), named_steps(targets, &lowered));
    let recorded = session.reporting_to(&recorder);
    let registries = (!mode.offline).then_some(&*session.registries);
    let import = Import::new(caching::sources(targets), registries, &layers, &spots, &recorder);
    let parts = (&graph, &lowered[..], &layers);
    let mut result = complete(&recorded, targets, mode, parts, &spots, (&recorder, &import), started);
    // A cache that does not keep its word costs the time that it should have saved, and no more.
    if result.is_err()
        && !session.cancel.is_canceled()
        && let Some(broken) = layers.forget_claims()
    {
        recorder.report(Event::Warning(format!("{broken}; building again without any cache but the store's")));
        let again = caching::Again(&recorder);
        result = complete(&session.reporting_to(&again), targets, mode, parts, &spots, (&recorder, &()), started);
    }
    recorder.finish(&result);
    result
}

/// Runs what was prepared, and writes the results.
fn complete(
    session: &Session<'_>,
    targets: &[Target],
    mode: LockMode,
    (graph, lowered, layers): Parts<'_>,
    spots: &Spots,
    others: Others<'_>,
    started: Instant,
) -> Result<Vec<Built>, Error> {
    let parts = (graph, lowered, layers);
    let (solved, caches) = solving(session, mode, parts, targets, others, |steps, environment| {
        let solved = solve::solve(graph, steps, environment)?;
        let caches = caching::pending(targets, lowered, graph, environment, &solved);
        Ok((solved, caches))
    })?;
    let (mut built, mut pushed) = (Vec::new(), Vec::new());
    let mut summary = Summary { executed: solved.executed, cached: solved.cached, ..Summary::default() };
    let mut listing = output::Listing::default();
    // A target without an output has one: the store.
    let first_task =
        |number: usize| -> usize { targets[..number].iter().map(|target| target.outputs.len().max(1)).sum() };
    let each = lanes::side_by_side(targets, |number| {
        let mut listing = output::Listing::default();
        let parts = (graph, &targets[number], &lowered[number]);
        match export(session, parts, &solved, layers, first_task(number), &mut listing) {
            Ok(exported) => Ok((listing, exported)),
            Err(error) => Err((listing, if session.cancel.is_canceled() { Error::Interrupted } else { error })),
        }
    });
    let mut failure = None;
    for (number, one) in each.into_iter().enumerate() {
        match one {
            Ok((listed, Exported { done, image, sent })) => {
                listing.append(listed);
                summary.images.push(image);
                pushed.extend(sent.into_iter().map(|sent| (number, sent)));
                built.push(done);
            }
            Err((listed, error)) => {
                listing.append(listed);
                failure.get_or_insert(error);
            }
        }
    }
    // What is done is listed, whatever became of the rest.
    listing.write(&session.store)?;
    if let Some(error) = failure {
        return Err(error);
    }
    caching::write(session, (layers, spots), targets, &caches, &pushed)?;
    summary.elapsed = started.elapsed();
    session.reporter.report(Event::Summary(summary));
    Ok(built)
}

/// What the records of builds know a definition by: where its lockfile is or would be, else what it is called.
pub(super) fn definition_of(targets: &[Target], place: &LockPlace) -> String {
    if let Some(path) = place.path() {
        return std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    }
    match targets.first().map(|target| (&target.remote_context, &target.dockerfile)) {
        Some((Some(url), _)) => shown(url),
        Some((None, Dockerfile::Text { name, .. })) => name.clone(),
        _ => String::new(),
    }
}

/// The steps of all targets, by name and platform.
pub(super) fn named_steps(targets: &[Target], lowered: &[Lowered]) -> Vec<(String, Platform, StepId)> {
    let of_target = |(target, lowered): (&Target, &Lowered)| -> Vec<_> {
        lowered.platforms.iter().map(|build| (target.name.clone(), build.platform.clone(), build.step)).collect()
    };
    targets.iter().zip(lowered).flat_map(of_target).collect()
}
