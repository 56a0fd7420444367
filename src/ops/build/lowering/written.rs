//! Targets as the files alone define them, where flags or the environment make them others: the lockfile knows a target by
//! what is in the files, so that whoever builds it with an argument of his own finds it up to date.
//!
//! Such targets are lowered a second time, into a graph that is forgotten, along with those that they are linked to. Nothing
//! is built on what they name there, and much of it is perhaps to be had by nobody: a base image that is always another
//! one, the URL of a version that is always given. So only what is pinned is looked up. Everything else stands for itself, by
//! its name, which is the same on every machine. Whoever builds nothing else than what the files say pays nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::digest::{CacheKey, DiffId, Digest};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::{self, ContextSource, Need, ResolvedGit, ResolvedHttp, ResolvedImage};
use crate::graph::Graph;
use crate::oci::{ImageConfig, Platform};
use crate::ops::Error;
use crate::ops::build::Session;
use crate::ops::build::locking::Lock;
use crate::ops::build::lowering::ahead::Ahead;
use crate::ops::build::lowering::definition::{Definition, Outcome, Outside, Shared};
use crate::ops::build::lowering::{Job, Known, Lowered};
use crate::ops::build::target::{Dockerfile, NamedContext, Target, Written};
use crate::source::git;
use crate::store::layers::Layers;

/// What defines a target, for each platform.
type Definitions = Vec<(Platform, CacheKey)>;

/// Which targets are not what the files alone define: themselves, or in what they are linked to.
pub(super) fn changed(targets: &[Target], lock: &Lock) -> Vec<bool> {
    let mut changed: Vec<bool> = Vec::with_capacity(targets.len());
    for target in targets {
        let itself = !matches!(target.written, Written::Same);
        let known = itself
            || links(target, targets).any(|(_, other)| other.and_then(|other| changed.get(other)) == Some(&true));
        // Of a half build, nobody wants to know later whether it is still the same.
        changed.push(known && lock.path().is_some() && target.until.is_none());
    }
    changed
}

/// The targets that a target is linked to: their names, and their places if they are there.
fn links<'a>(target: &'a Target, targets: &'a [Target]) -> impl Iterator<Item = (&'a str, Option<usize>)> {
    let names = target.contexts.values().filter_map(|context| match context {
        NamedContext::Target(other) => Some(other.as_str()),
        _ => None,
    });
    names.map(|name| (name, targets.iter().position(|target| target.name == name)))
}

/// What came of a target as it is written.
#[derive(Clone)]
enum Found {
    /// It is defined by this.
    Defined(Definitions),
    /// The files alone define nothing.
    Nothing,
    /// What it is cannot be told here.
    Unknown(String),
}

/// Notes what the targets that were changed are in the files, and what they were built as.
pub(super) fn note(
    session: &Session<'_>,
    targets: &[Target],
    (changed, built): (&[bool], &[Definitions]),
    lock: &mut Lock,
    (layers, shared): (&Arc<Layers>, &Shared),
) -> Result<(), Error> {
    if !changed.contains(&true) {
        return Ok(());
    }
    // Nothing is built on what is only looked up to be compared.
    let session = Session { policies: &[], ..session.reporting_to(session.reporter) };
    let found = lock.aside(|lock| lower(&session, targets, changed, lock, (layers, shared)))?;
    for (place, found) in found.into_iter().filter(|(place, _)| changed[*place]) {
        let name = targets[place].lock_name();
        for (platform, built) in &built[place] {
            match &found {
                Found::Unknown(why) => lock.doubt(&name, platform, *built, why),
                Found::Nothing => lock.record_changed(&name, platform, *built, None),
                Found::Defined(written) => {
                    let written = written.iter().find(|(other, _)| other == platform).map(|(_, key)| *key);
                    lock.record_changed(&name, platform, *built, written);
                }
            }
        }
    }
    Ok(())
}

/// Lowers the targets that were changed, and those that they are linked to, as they are written.
fn lower(
    session: &Session<'_>,
    targets: &[Target],
    changed: &[bool],
    lock: &mut Lock,
    (layers, shared): (&Arc<Layers>, &Shared),
) -> Result<BTreeMap<usize, Found>, Error> {
    let mut found = BTreeMap::new();
    let (mut written, mut places) = (Vec::new(), Vec::new());
    for place in needed(targets, changed) {
        match targets[place].as_written() {
            Some(target) => {
                written.push(Target { policies: Arc::new([]), ..target });
                places.push(place);
            }
            None => drop(found.insert(place, Found::Nothing)),
        }
    }
    let mut graph = Graph::new();
    let mut done: Vec<Lowered> = Vec::new();
    let mut known = Known::default();
    let mut ahead = Ahead::default();
    for (number, (target, place)) in written.iter().zip(places).enumerate() {
        ahead.advance(&written, number, shared, &known);
        let result = match ahead.take(&mut graph) {
            Some(outcome) => Ok(outcome),
            None => match obstacle(target, targets, &found) {
                Some(obstacle) => Err(obstacle),
                None => {
                    let others = &written[..number];
                    let job = Job { session, target, lock: &mut *lock, layers, others, done: &done, shared };
                    Reader { job, unknown: None }.lower(&targets[place], &known, &mut graph)?
                }
            },
        };
        let (lowered, is) = match result {
            Ok(outcome) => {
                known = outcome.known.unwrap_or(known);
                (outcome.lowered, Found::Defined(outcome.definitions))
            }
            Err(is) => (Lowered::default(), is),
        };
        done.push(lowered);
        found.insert(place, is);
    }
    Ok(found)
}

/// The places of the targets that were changed, and of those that they are linked to.
fn needed(targets: &[Target], changed: &[bool]) -> Vec<usize> {
    let mut needed = changed.to_vec();
    for place in (0..targets.len()).rev() {
        if needed[place]
            && let Some(target) = targets[place].as_written()
        {
            links(&target, targets).filter_map(|(_, other)| other).for_each(|other| needed[other] = true);
        }
    }
    (0..targets.len()).filter(|place| needed[*place]).collect()
}

/// What is said of a target because of those that it is linked to, if they leave nothing to be found out.
fn obstacle(target: &Target, targets: &[Target], found: &BTreeMap<usize, Found>) -> Option<Found> {
    links(target, targets).find_map(|(name, other)| match other.and_then(|other| found.get(&other)) {
        Some(Found::Defined(_)) => None,
        Some(other) => Some(other.clone()),
        None => Some(Found::Unknown(format!("it is linked to {name}, which is not part of this build"))),
    })
}

/// Who reads a target as it is written.
struct Reader<'a> {
    job: Job<'a>,
    /// Why what is pinned could not be had.
    unknown: Option<String>,
}

impl Reader<'_> {
    fn lower(&mut self, built: &Target, known: &Known, graph: &mut Graph) -> Result<Result<Outcome, Found>, Error> {
        let target = self.job.target;
        if matches!(target.dockerfile, Dockerfile::InContext(_)) && target.remote_context != built.remote_context {
            return Ok(Err(Found::Unknown("its Dockerfile is in another context".into())));
        }
        let lowered = self.job.read().and_then(|(name, text)| {
            let definition = Definition { target, shared: self.job.shared };
            definition.lower(name, text, known, self, graph)
        });
        match (lowered, self.unknown.take()) {
            (Ok(outcome), _) => Ok(Ok(outcome)),
            (Err(Error::Interrupted), _) => Err(Error::Interrupted),
            (Err(_), Some(why)) => Ok(Err(Found::Unknown(why))),
            (Err(_), None) => Ok(Err(Found::Nothing)),
        }
    }
}

impl Outside for Reader<'_> {
    fn context(
        &mut self,
        name: &str,
        context: &NamedContext,
        platform: Option<&Platform>,
    ) -> Result<ContextSource, Error> {
        self.job.context(name, context, platform)
    }

    fn resolve(
        &mut self,
        file: &dockerfile::Dockerfile,
        needs: &[Need],
        resolved: &mut dockerfile::Resolved,
        lowered: &mut Lowered,
    ) -> Result<Vec<Diagnostic>, Error> {
        let pinned: Vec<Need> = needs.iter().filter(|need| !stand_in(need, self.job.lock, resolved)).cloned().collect();
        let missing = self.job.resolve(file, &pinned, resolved, lowered).inspect_err(|error| {
            self.unknown = Some(error.to_string());
        })?;
        if let Some(first) = missing.first() {
            self.unknown = Some(first.message.clone());
        }
        Ok(missing)
    }
}

/// Has something that is not pinned stand for itself; returns whether it is not.
fn stand_in(need: &Need, lock: &Lock, resolved: &mut dockerfile::Resolved) -> bool {
    let pinned = lock.pinned();
    match need {
        Need::Image { reference, platform, .. } if pinned.lookup_image(reference, platform).is_none() => {
            let mut config = ImageConfig {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                ..ImageConfig::default()
            };
            config.rootfs.diff_ids.push(DiffId::from_bytes(*nobodys("image", reference).as_bytes()));
            let image = ResolvedImage { reference: reference.clone(), config };
            resolved.images.insert((reference.clone(), platform.clone()), image);
        }
        Need::Http { url, .. } if pinned.lookup_http(url).is_none() => {
            resolved.http.insert(url.clone(), ResolvedHttp { digest: nobodys("http", url), modified: None });
        }
        Need::Git { url, reference, .. }
            if !git::is_commit(reference) && pinned.lookup_git(url, reference).is_none() =>
        {
            let commit = nobodys("git", &format!("{url}#{reference}")).hex();
            resolved.git.insert((url.clone(), reference.clone()), ResolvedGit { commit });
        }
        _ => return false,
    }
    true
}

/// A digest that nothing has: that of a name.
fn nobodys(kind: &str, name: &str) -> Digest {
    Digest::of(format!("{kind} {name}, which is not pinned").as_bytes())
}
