//! The caches of targets: which are read, and what of the build goes into which of those that are written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::compress::Compression;
use crate::event::{Event, Reporter};
use crate::export::ExportError;
use crate::graph::{Graph, MountKind, Op, StepId};
use crate::oci::{Descriptor, Reference};
use crate::ops::Error;
use crate::ops::build::lowering::Lowered;
use crate::ops::build::make::compression;
use crate::ops::build::target::Target;
use crate::ops::build::{LockMode, Session};
use crate::registry::actions::ActionsEnd;
use crate::remote_cache::{Destination, Export, Mode, Place, Source, Spots, Writer};
use crate::solve::{Environment, Reached, Solved, State, reached};
use crate::store::layers::Layers;

/// The number of the first task that writes a cache: above those of outputs.
const TASK: usize = 1 << 18;

/// Who hears of a build that is done a second time: its steps are known.
pub(super) struct Again<'a>(pub &'a dyn Reporter);

impl Reporter for Again<'_> {
    fn report(&self, event: Event) {
        if !matches!(event, Event::Planned(_)) {
            self.0.report(event);
        }
    }
}

/// The caches that targets are looked up in, each once.
pub(super) fn sources(targets: &[Target]) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::new();
    for source in targets.iter().flat_map(|target| &target.cache_from) {
        if !all.contains(source) {
            all.push(source.clone());
        }
    }
    all
}

/// An image that was pushed, and that a cache can go along with.
pub(super) struct Pushed {
    /// The image.
    pub image: Descriptor,
    /// How its layers are compressed.
    pub compression: Compression,
    /// Where it is.
    pub names: Vec<Reference>,
}

/// A cache that is to be written, with what goes into it.
pub(super) struct Pending {
    to: Destination,
    /// The targets' places in the list.
    targets: Vec<usize>,
    compression: Compression,
    reached: Vec<Reached>,
    results: Vec<State>,
    /// The ids of cache mounts, and what others have of them.
    mounts: BTreeMap<String, Option<Descriptor>>,
}

/// What caches are to be written. Targets that name the same place share what is there.
pub(super) fn pending(
    targets: &[Target],
    lowered: &[Lowered],
    graph: &Graph,
    environment: &Environment<'_>,
    solved: &Solved,
) -> Vec<Pending> {
    let mut all: Vec<Pending> = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        for to in &target.cache_to {
            let known = all.iter_mut().find(|known| to.place.is_some() && known.to.place == to.place);
            match known {
                Some(known) => {
                    known.targets.push(number);
                    known.to.ignore_error &= to.ignore_error;
                    known.to.mounts |= to.mounts;
                    if to.mode == Mode::Max {
                        known.to.mode = Mode::Max;
                    }
                }
                None => all.push(Pending {
                    to: to.clone(),
                    targets: vec![number],
                    compression: to.compression.unwrap_or_else(|| compression(target)),
                    reached: Vec::new(),
                    results: Vec::new(),
                    mounts: BTreeMap::new(),
                }),
            }
        }
    }
    for one in &mut all {
        let steps = one.targets.iter().filter_map(|target| lowered.get(*target)).flat_map(|target| &target.platforms);
        let steps: BTreeSet<StepId> = steps.map(|build| build.step).collect();
        let steps: Vec<StepId> = steps.into_iter().collect();
        one.results = steps.iter().map(|step| solved.state(*step).to_vec()).collect();
        one.reached = reached(graph, &steps, environment, solved);
        if one.to.mounts {
            let ids = graph.needed(&steps).into_iter().flat_map(|step| mounts_of(&graph[step].op));
            one.mounts = ids.map(|id| (id.clone(), environment.elsewhere.mount(id))).collect();
        }
    }
    all
}

/// The ids of the cache mounts of a step.
fn mounts_of(op: &Op) -> impl Iterator<Item = &String> {
    let mounts = match op {
        Op::Exec(exec) => &exec.mounts[..],
        _ => &[],
    };
    mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Cache { id, .. } => Some(id),
        _ => None,
    })
}

/// Fails if a cache is to be sent where nothing may be sent, or where it is known already that nothing can be.
pub(super) fn check(session: &Session<'_>, targets: &[Target], mode: LockMode) -> Result<(), Error> {
    let sends = |to: &Destination| !matches!(to.place, Some(Place::Folder { .. }));
    if mode.offline && targets.iter().flat_map(|target| &target.cache_to).any(sends) {
        return Err(Error::Usage("--offline forbids to send the cache: leave out one of the two".into()));
    }
    for to in targets.iter().flat_map(|target| &target.cache_to).filter(|to| !to.ignore_error) {
        if let Some(place @ Place::Actions(service)) = &to.place {
            let checked = ActionsEnd::new(&session.registries, service).check_access();
            checked.map_err(|error| Error::environment(format!("the cache {place} cannot be written: {error}")))?;
        }
    }
    Ok(())
}

/// Writes the caches. What was pushed comes with its target's place in the list.
pub(super) fn write(
    session: &Session<'_>,
    (layers, spots): (&Layers, &Spots),
    targets: &[Target],
    pending: &[Pending],
    pushed: &[(usize, Pushed)],
) -> Result<(), Error> {
    let writer = Writer { layers, spots, registries: &session.registries, reporter: session.reporter };
    for (number, one) in pending.iter().enumerate() {
        if session.cancel.is_canceled() {
            return Err(Error::Interrupted);
        }
        let started = Instant::now();
        let name = match &one.to.place {
            Some(place) => format!("exporting the cache to {place}"),
            None => "exporting the cache along with the image".into(),
        };
        session.reporter.report(Event::TaskStarted(TASK + number, name));
        let written = match &one.to.place {
            Some(place) => {
                let what = Export {
                    reached: &one.reached,
                    results: &one.results,
                    mode: one.to.mode,
                    compression: one.compression,
                    mounts: &one.mounts,
                };
                writer.write(&what, place)
            }
            None => along(&writer, targets, one, pushed),
        };
        session.reporter.report(Event::TaskFinished(TASK + number, started.elapsed()));
        match written.map_err(Error::from) {
            Err(_) if session.cancel.is_canceled() => return Err(Error::Interrupted),
            Err(error) if one.to.ignore_error => warn(session.reporter, &one.to, &error),
            written => written.map_err(|error| match (error, &one.to.place) {
                (Error::Build { message, help, source }, Some(place)) => {
                    let message = format!("the cache {place} cannot be written: {message}");
                    // Nobody logs in to a service.
                    let help = if matches!(place, Place::Actions(_)) { Vec::new() } else { help };
                    Error::Build { message, help, source }.help("to go on without it: ignore-error=true")
                }
                (error, _) => error,
            })?,
        }
    }
    Ok(())
}

fn warn(reporter: &dyn Reporter, to: &Destination, error: &Error) {
    let place = to.place.as_ref().map_or_else(|| "of the image".to_owned(), Place::to_string);
    reporter.report(Event::Warning(format!("the cache {place} was not written: {error}")));
}

/// Adds a cache to each image of a target that was pushed.
fn along(
    writer: &Writer<'_>,
    targets: &[Target],
    pending: &Pending,
    pushed: &[(usize, Pushed)],
) -> Result<(), ExportError> {
    let of_these = pushed.iter().filter(|(target, _)| pending.targets.contains(target));
    let mut images = of_these.map(|(_, image)| image).peekable();
    if images.peek().is_none()
        && pending.targets.iter().filter_map(|place| targets.get(*place)).any(|one| one.requested)
    {
        let text = "--cache-to type=inline has no effect: a cache goes along with an image that is pushed";
        writer.reporter.report(Event::Warning(text.into()));
    }
    for image in images {
        let what = Export {
            reached: &pending.reached,
            results: &pending.results,
            mode: Mode::Min,
            compression: image.compression,
            mounts: &pending.mounts,
        };
        let mut repositories: Vec<String> = Vec::new();
        for name in &image.names {
            let repository = writer.registries.repository(name);
            if !repositories.iter().any(|known| known == repository.name()) {
                repositories.push(repository.name().to_owned());
                writer.refer(&what, &image.image, &repository)?;
            }
        }
    }
    Ok(())
}
