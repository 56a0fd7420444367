//! `build` and everything that builds like it: targets are lowered into one graph, the graph is run once, and the
//! results are written.
//!
//! The order is always the same: read the definitions, look up what they name (in the lockfile first), lower, settle
//! the lockfile, run, export. Nothing is run before every definition was understood.

mod attest;
mod caching;
mod context;
mod credentials;
mod images;
mod locking;
mod lowering;
mod make;
mod output;
mod policy;
mod remote;
mod scene;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

pub use locking::LockPlace;
pub use target::{
    Attestations, Destination, Dockerfile, Entitlement, Folder, Line, LockMode, NamedContext, NoCache, Output,
    OutputKind, Target, Wording, Written,
};

use crate::compress::Compression;
use crate::event::{Event, ImageSummary, Reporter, Summary};
use crate::export;
use crate::graph::{Graph, StepId};
use crate::oci::{Descriptor, Platform};
use crate::ops::Error;
use crate::ops::error::{Diagnostics, Origin, StepExit, StepFailure, is_machine};
use crate::ops::record;
use crate::registry::{FetchOnNeed, Offline, Registries, origins};
use crate::remote_cache::{FetchFromSpots, Import, Spots};
use crate::sandbox::{Cancel, Executor, Exit, SandboxError};
use crate::solve::{self, Elsewhere, Observer, SolveError, StepError};
use crate::source::Sources;
use crate::source::http::shown;
use crate::store::layers::Layers;
use crate::store::{Fetch, Stop, Store};
use crate::trust::Policy;
pub(super) use locking::Lock;
pub(super) use lowering::Checked;
use lowering::{Lowered, lower_all};
pub(super) use make::{TargetImage, fetch, make};
pub(super) use scene::scene;

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
    caching::check(targets, mode)?;
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
    let mut each = targets.iter().zip(lowered).enumerate();
    let exported: Result<(), Error> = each.try_for_each(|(number, (target, lowered))| {
        let Exported { done, image, sent } =
            export(session, (graph, target, lowered), &solved, layers, &mut listing)
                .map_err(|error| if session.cancel.is_canceled() { Error::Interrupted } else { error })?;
        summary.images.push(image);
        pushed.extend(sent.into_iter().map(|sent| (number, sent)));
        built.push(done);
        Ok(())
    });
    // What is done is listed, whatever became of the rest.
    listing.write(&session.store)?;
    exported?;
    caching::write(session, (layers, spots), targets, &caches, &pushed)?;
    summary.elapsed = started.elapsed();
    session.reporter.report(Event::Summary(summary));
    Ok(built)
}

/// A build that is understood in full: nothing has run, and the lockfile is not written yet.
pub(super) struct Prepared {
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
    fn wanted(&self) -> Vec<StepId> {
        wanted(&self.lowered)
    }

    /// Runs what `steps` need, so that all of their results can be read.
    fn run(&self, session: &Session<'_>, targets: &[Target], steps: &[StepId]) -> Result<solve::Solved, Error> {
        let parts = (&self.graph, &self.lowered[..], &self.layers);
        let wanted = (steps, &BTreeSet::new());
        solving_for(session, self.lock.mode(), parts, targets, (&(), &()), wanted, |steps, environment| {
            solve::solve(&self.graph, steps, environment)
        })
    }
}

/// Reads the definitions, looks up what they name, and lowers them into one graph.
pub(super) fn prepare(
    session: &Session<'_>,
    targets: &[Target],
    lock: &LockPlace,
    mode: LockMode,
) -> Result<Prepared, Error> {
    prepare_with(session, targets, Lock::open(lock, mode)?)
}

/// The same with a lockfile that was opened already.
pub(super) fn prepare_with(session: &Session<'_>, targets: &[Target], mut lock: Lock) -> Result<Prepared, Error> {
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
pub(super) fn prepare_also(session: &Session<'_>, prepared: &mut Prepared, targets: &[Target]) -> Result<(), Error> {
    let Prepared { lock, layers, .. } = prepared;
    lower_all(session, targets, lock, layers, &mut Graph::new()).map(drop)
}

/// What the checks say of a target's Dockerfile, or of `text` in its place, without building it. The lockfile is read
/// and not written.
pub(super) fn check(
    session: &Session<'_>,
    target: &Target,
    lock: &LockPlace,
    text: Option<String>,
) -> Result<Checked, Error> {
    let mut lock = Lock::open(lock, LockMode { offline: true, ..LockMode::default() })?;
    lowering::check(session, target, &mut lock, &mut Graph::new(), text)
}

/// The steps that the targets are.
fn wanted(lowered: &[Lowered]) -> Vec<StepId> {
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

/// Who hears of what happens, and who knows results that the store does not have.
pub(super) type Others<'a> = (&'a dyn Observer, &'a dyn Elsewhere);

/// The parts of a prepared build that running it needs.
type Parts<'a> = (&'a Graph, &'a [Lowered], &'a Arc<Layers>);

/// Gives `action` all that the solver wants, and the steps of the targets.
pub(super) fn solving<T>(
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
fn solving_for<T>(
    session: &Session<'_>,
    mode: LockMode,
    (graph, lowered, layers): Parts<'_>,
    targets: &[Target],
    (observer, elsewhere): Others<'_>,
    (steps, unread): (&[StepId], &BTreeSet<StepId>),
    action: impl FnOnce(&[StepId], &solve::Environment<'_>) -> Result<T, SolveError>,
) -> Result<T, Error> {
    let mut contexts = BTreeMap::new();
    let mut images = std::collections::HashMap::new();
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

/// An image as one of the outputs wants it.
struct Made {
    compression: Compression,
    image: Descriptor,
    /// The layers of all platforms. Those of base images may not be in the store.
    blobs: Vec<Descriptor>,
}

/// A target whose outputs are written.
struct Exported {
    done: Built,
    image: ImageSummary,
    /// The images that are in registries now.
    sent: Vec<caching::Pushed>,
}

/// Makes a target's image and writes its outputs.
fn export(
    session: &Session<'_>,
    (graph, target, lowered): (&Graph, &Target, &Lowered),
    solved: &solve::Solved,
    layers: &Layers,
    listing: &mut output::Listing,
) -> Result<Exported, Error> {
    let default = [Output { kind: OutputKind::Store(Vec::new()), compression: Compression::GZIP }];
    // A target that another one is linked to is built for that one.
    let outputs: &[Output] = match (&target.outputs[..], target.requested) {
        ([], true) => &default,
        ([], false) => &[],
        (outputs, _) => outputs,
    };
    let states: Vec<_> =
        lowered.platforms.iter().map(|build| (build.platform.clone(), solved.state(build.step).to_vec())).collect();
    let warnings = lowered.warnings.clone();
    let mut built = Built { target: target.name.clone(), image: None, config: None, warnings };
    let mut summary = ImageSummary { target: target.name.clone(), ..ImageSummary::default() };
    let (mut made, mut sent): (Vec<Made>, Vec<caching::Pushed>) = Default::default();
    for (number, output) in outputs.iter().enumerate() {
        if session.cancel.is_canceled() {
            return Err(Error::Interrupted);
        }
        if output::wants_image(&output.kind) && !made.iter().any(|made| made.compression == output.compression) {
            session.reporter.report(Event::TaskStarted(number, "exporting the image".into()));
            let started = Instant::now();
            let (mut manifests, mut described) = (Vec::new(), Vec::new());
            let mut blobs = Vec::new();
            let mut size = 0;
            let images = make::images(target, lowered, solved, layers, output.compression)?;
            for (build, image) in lowered.platforms.iter().zip(images) {
                let of = (target, build);
                described.extend(attest::describe(layers, graph, of, solved.state(build.step), &image)?);
                size += image.size();
                let parts: Vec<Descriptor> = image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
                blobs.extend(parts);
                built.config = Some(image.config.clone());
                manifests.push(image.manifest);
            }
            let image = match (&manifests[..], lowered.multi_platform) {
                ([only], false) if described.is_empty() => only.clone(),
                _ => export::index_of(layers, [manifests, described].concat())?,
            };
            if lowered.platforms.len() != 1 {
                built.config = None;
            }
            session.reporter.report(Event::TaskFinished(number, started.elapsed()));
            summary.digest = image.digest.to_string();
            summary.size = size;
            built.image = Some(image.clone());
            made.push(Made { compression: output.compression, image, blobs });
        }
        let made = made.iter().find(|made| made.compression == output.compression);
        if let Some(made) = made {
            if output::wants_layers(&output.kind) {
                // Base images are what their registries say; what a cache says is checked first.
                states.iter().try_for_each(|(_, state)| layers.secure(state))?;
                layers.bring(&made.blobs)?;
            } else {
                let elsewhere = |blob: &&Descriptor| !origins::known(layers.store(), &blob.digest).is_empty();
                let (_, only_here): (Vec<&Descriptor>, Vec<&Descriptor>) = made.blobs.iter().partition(elsewhere);
                layers.bring(&only_here.into_iter().cloned().collect::<Vec<_>>())?;
            }
        }
        let image = made.map(|made| &made.image);
        if let Some(image) = image {
            output::sign(layers.store(), &output.kind, target, image)?;
        }
        let finished = output::Finished { image, tags: &target.tags, states: &states };
        summary.outputs.extend(output::write(session, layers, &output.kind, &finished, listing)?);
        if let (OutputKind::Registry(names), Some(image)) = (&output.kind, image) {
            let names = target.tags.iter().chain(names).cloned().collect();
            sent.push(caching::Pushed { image: image.clone(), compression: output.compression, names });
        }
    }
    summary.tags = target.tags.iter().map(|tag| tag.familiar()).collect();
    Ok(Exported { done: built, image: summary, sent })
}

/// A failed step as people need to hear of it.
fn step_failure(graph: &Graph, lowered: &[Lowered], error: SolveError) -> Error {
    let SolveError { step, error } = error;
    let foreign = match &error {
        StepError::Emulation(missing) => Some((missing.to_string(), missing.advice())),
        _ => None,
    };
    let (exit, log, kept) = match error {
        StepError::Canceled => return Error::Interrupted,
        StepError::Failed { exit: Exit::Code(code), tail, kept } => (StepExit::Code(code), tail, kept),
        StepError::Failed { exit: Exit::Signal(signal), tail, kept } => (StepExit::Signal(signal), tail, kept),
        StepError::Failed { exit: Exit::Limit(limit, code), tail, kept } => (StepExit::Limit(limit, code), tail, kept),
        StepError::Store(error) => return error.into(),
        StepError::Layer(error) => return error.into(),
        StepError::Snapshot(error) => return error.into(),
        StepError::Sandbox(SandboxError::Canceled) => return Error::Interrupted,
        StepError::Sandbox(ref setup @ SandboxError::Setup { ref source, .. })
            if is_machine(source) || setup.is_overlay() =>
        {
            return Error::environment("this machine cannot run the step").caused_by(error);
        }
        StepError::Sandbox(error @ SandboxError::Limit { .. }) => {
            return Error::environment(error.to_string()).help(SandboxError::LIMIT_HELP);
        }
        StepError::Sandbox(error @ SandboxError::Network(_)) => {
            return Error::environment(error.to_string()).help(SandboxError::NETWORK_HELP);
        }
        StepError::NotInContext { path, context, pattern } => {
            (StepExit::Message(not_in_context(lowered, &path, &context, pattern)), Vec::new(), None)
        }
        error => (StepExit::Message(error.to_string()), Vec::new(), None),
    };
    let Some(step) = step else {
        return Error::build(exit.to_string());
    };
    let label = &graph[step].label;
    if let Some((message, advice)) = foreign {
        return Error::environment(format!("{}: {message}", label.text)).help(advice);
    }
    let origin = label.origin.as_ref().and_then(|origin| {
        let text = lowered.iter().find_map(|target| target.warnings.file(&origin.file))?;
        Some(Origin { file: origin.file.clone(), text: text.to_owned(), span: origin.span.clone() })
    });
    let name = if label.text.is_empty() { "the build context".to_owned() } else { label.text.clone() };
    StepFailure { name, origin, exit, log, kept }.into()
}

/// Says that a path is not in a build context, and why if it is in its folder.
fn not_in_context(lowered: &[Lowered], path: &str, context: &str, pattern: Option<usize>) -> String {
    let Some(target) = lowered.iter().find(|target| target.folders.contains_key(context)) else {
        return format!("{path:?} is not in the build context");
    };
    let folder = target.folders.get(context).map(|folder| folder.display().to_string()).unwrap_or_default();
    match pattern {
        None => format!("{path:?} is not in the build context {folder}"),
        Some(index) => match target.ignores.get(context).and_then(|file| file.place(index)) {
            Some(place) => format!("{path:?} is excluded from the build context by {place}"),
            None => format!("{path:?} is a lockfile of imgbuild, which is never part of a build context"),
        },
    }
}
