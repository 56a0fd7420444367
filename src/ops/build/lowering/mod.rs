//! From targets to one graph: definitions are read and parsed, what they name is looked up, and each platform of each
//! target is lowered, linked targets first.
//!
//! [`definition`] reads and lowers one target and asks [`Outside`] for what it needs; here is who answers. Most targets
//! of a large build need nothing that the ones before did not need: [`ahead`] lowers those side by side. What the lockfile
//! knows of targets that flags or the environment change is found out by [`written`].

mod ahead;
mod definition;
mod ignore;
mod written;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{CacheKey, DiffId};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::{self, ContextSource, Need};
use crate::graph::{Graph, StepId, Times};
use crate::oci::{ImageConfig, Platform};
use crate::ops::Error;
use crate::ops::build::Session;
use crate::ops::build::context;
use crate::ops::build::images;
use crate::ops::build::locking::Lock;
use crate::ops::build::remote::Remote;
use crate::ops::build::target::{Dockerfile, NamedContext, Target};
use crate::ops::error::Diagnostics;
use crate::source::agent::Agent;
use crate::source::http::shown;
use crate::store::layers::{LayerBlob, Layers};

use ahead::Ahead;
use definition::{Definition, Outcome, Outside, Shared, definition, platforms};
pub use ignore::IgnoreFile;

/// A target as steps.
#[derive(Default)]
pub struct Lowered {
    /// Each of its platforms, in the order asked for.
    pub platforms: Vec<LoweredPlatform>,
    /// Whether the result is an index even for one platform.
    pub multi_platform: bool,
    /// The folders of its contexts, by the names that the graph uses.
    pub folders: BTreeMap<String, PathBuf>,
    /// The ignore files of its contexts, by the same names.
    pub ignores: BTreeMap<String, IgnoreFile>,
    /// The layers of its base images.
    pub images: HashMap<Vec<DiffId>, Vec<LayerBlob>>,
    /// Where it was cut off, if it was.
    pub stop: Option<dockerfile::Stop>,
    /// The number of steps before its own: those that no target before it has.
    pub first_step: usize,
    /// Its definition, and what the checks found in it.
    pub warnings: Diagnostics,
}

/// One platform of a target.
pub struct LoweredPlatform {
    /// For what.
    pub platform: Platform,
    /// The step whose output is the file system.
    pub step: StepId,
    /// The image's configuration.
    pub config: ImageConfig,
    /// The times of what is made.
    pub times: Times,
}

/// Lowers all targets, each of which comes after those that it is linked to.
pub fn lower_all(
    session: &Session<'_>,
    targets: &[Target],
    lock: &mut Lock,
    layers: &Arc<Layers>,
    graph: &mut Graph,
) -> Result<Vec<Lowered>, Error> {
    let shared = Shared::of(lock);
    let changed = written::changed(targets, lock);
    let mut built = Vec::new();
    let mut done: Vec<Lowered> = Vec::new();
    let mut known = Known::default();
    let mut ahead = Ahead::default();
    for (number, target) in targets.iter().enumerate() {
        let first_step = graph.len();
        ahead.advance(targets, number, &shared, &known);
        let outcome = match ahead.take(graph) {
            Some(outcome) => outcome,
            None => {
                let others = &targets[..number];
                let mut job = Job { session, target, lock, layers, others, done: &done, shared: &shared };
                job.lower(&known, graph)?
            }
        };
        known = outcome.known.unwrap_or(known);
        if !changed[number] {
            for (platform, definition) in &outcome.definitions {
                lock.record_target(&target.lock_name(), platform, *definition);
            }
        }
        built.push(outcome.definitions);
        done.push(Lowered { first_step, ..outcome.lowered });
    }
    written::note(session, targets, (&changed, &built), lock, (layers, &shared))?;
    Ok(done)
}

/// What checking a definition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Everything that there is to say.
    pub found: Diagnostics,
    /// What it defines, for each platform, as far as that is known; none where there are errors.
    pub definitions: Vec<Option<CacheKey>>,
}

/// Checks a target's definition, or `text` in its place.
pub fn check(
    session: &Session<'_>,
    target: &Target,
    lock: &mut Lock,
    graph: &mut Graph,
    text: Option<String>,
) -> Result<Checked, Error> {
    let layers = Arc::new(Layers::new(session.store.clone()));
    let shared = Shared::of(lock);
    let mut job = Job { session, target, lock, layers: &layers, others: &[], done: &[], shared: &shared };
    let (name, text) = match (text, &target.dockerfile) {
        (Some(text), Dockerfile::Text { name, .. }) => (name.clone(), text.into()),
        (Some(text), Dockerfile::File(path)) => (path.display().to_string(), text.into()),
        _ => job.read()?,
    };
    job.check(name, text, graph)
}

struct Job<'a> {
    session: &'a Session<'a>,
    target: &'a Target,
    lock: &'a mut Lock,
    layers: &'a Arc<Layers>,
    others: &'a [Target],
    done: &'a [Lowered],
    shared: &'a Shared,
}

/// Images of the targets before, a few: most targets stand on the same ones, and what is known need not be asked for,
/// which costs lowering up to there.
#[derive(Default)]
struct Known {
    /// Whether they were looked up anew.
    fresh: bool,
    resolved: BTreeMap<(String, Platform), dockerfile::ResolvedImage>,
    layers: HashMap<Vec<DiffId>, Vec<LayerBlob>>,
}

impl Known {
    /// With more images than this they are forgotten, since each target takes them over.
    const MOST: usize = 16;

    /// Whether a target may take them over.
    fn serves(&self, target: &Target) -> bool {
        self.fresh == target.pull && self.resolved.len() <= Self::MOST
    }
}

impl Job<'_> {
    fn definition(&self) -> Definition<'_> {
        Definition { target: self.target, shared: self.shared }
    }

    fn lower(&mut self, known: &Known, graph: &mut Graph) -> Result<Outcome, Error> {
        let (name, text) = self.read()?;
        let definition = Definition { target: self.target, shared: self.shared };
        definition.lower(name, text, known, self, graph)
    }

    /// What the definition is called, and its text.
    fn read(&mut self) -> Result<(String, Arc<str>), Error> {
        match (self.definition().read()?, &self.target.dockerfile) {
            (None, Dockerfile::InContext(path)) => self.read_remote(path),
            (found, _) => Ok(found.unwrap_or_default()),
        }
    }

    /// Reads the Dockerfile of a remote context, which is built for that: a stage that is nothing but the context.
    fn read_remote(&mut self, path: &str) -> Result<(String, Arc<str>), Error> {
        let url = self.target.remote_context.clone().unwrap_or_default();
        let name = format!("{}:{path}", shown(&url));
        let mut target = Target::new(Dockerfile::Text { name: name.clone(), text: "FROM remote-context\n".into() });
        target.contexts.insert("remote-context".into(), NamedContext::Remote(url.clone()));
        target.platforms = vec![self.target.platforms.first().cloned().unwrap_or_else(Platform::host)];
        target.credentials.agents.clone_from(&self.target.credentials.agents);
        target.pull = self.target.pull;
        target.policies.clone_from(&self.target.policies);
        let mut graph = Graph::new();
        let mut job = Job {
            target: &target,
            session: self.session,
            lock: self.lock,
            layers: self.layers,
            others: &[],
            done: &[],
            shared: self.shared,
        };
        let lowered = match job.lower(&Known::default(), &mut graph) {
            Ok(outcome) => outcome.lowered,
            // It is not that line that is wrong.
            Err(Error::Diagnostics(diagnostics)) => {
                let said = diagnostics.list.into_iter().next().unwrap_or_else(|| Diagnostic::error(0..0, ""));
                let error = Error::build(format!("the build context cannot be had: {}", said.message));
                return Err(said.help.into_iter().fold(error, Error::help));
            }
            Err(error) => return Err(error),
        };
        let step = lowered.platforms.first().map(|platform| platform.step);
        let state = context::run(self.session, self.lock.offline(), &target, &graph, step, self.layers)?;
        match state.text(path)? {
            Some(text) => Ok((name, text.into())),
            None => match state.text("context")?.filter(|_| path == "Dockerfile") {
                // A URL can be that of a Dockerfile alone.
                Some(text) => Ok((shown(&url), text.into())),
                None => Err(Error::build(format!("there is no {path} in the build context {}", shown(&url)))
                    .help("name it with -f FILE, from the context's root")),
            },
        }
    }

    /// Checks a text for each platform. Images that cannot be looked up are done without.
    fn check(&mut self, name: String, text: Arc<str>, graph: &mut Graph) -> Result<Checked, Error> {
        let parsed = dockerfile::parse(&text);
        let Some(file) = parsed.dockerfile.filter(|_| parsed.diagnostics.is_empty()) else {
            let found = Diagnostics::new(name, text, parsed.diagnostics);
            return Ok(Checked { found, definitions: Vec::new() });
        };
        let (mut list, mut definitions) = (Vec::new(), Vec::new());
        for platform in platforms(self.target) {
            let mut lowered = Lowered::default();
            let target = Definition { target: self.target, shared: self.shared };
            let options = target.options(&name, platform.clone(), self, &mut lowered)?;
            let host = platform.unwrap_or_else(Platform::host);
            let mut resolved = dockerfile::Resolved::default();
            let checked = loop {
                let is_pinned = |reference: &str| self.lock.image(reference, &host, false).is_some();
                let checked = dockerfile::check(&file, &options, &resolved, graph, &is_pinned);
                let before = resolved.images.len();
                // What would have to be fetched is done without, too.
                let images: Vec<Need> =
                    checked.needs.iter().filter(|need| matches!(need, Need::Image { .. })).cloned().collect();
                self.resolve(&file, &images, &mut resolved, &mut lowered)?;
                if resolved.images.len() == before {
                    break checked;
                }
            };
            definitions.push(checked.build.as_ref().map(|build| definition(graph, build)));
            for one in checked.diagnostics {
                if !list.contains(&one) {
                    list.push(one);
                }
            }
        }
        Ok(Checked { found: Diagnostics::new(name, text, list), definitions })
    }

    /// Brings an image of an OCI layout into the store; a reference to it.
    fn layout(&self, name: &str, path: &Path, wanted: Option<&str>) -> Result<String, Error> {
        let digest = crate::ops::load_layout(&self.session.store, path, wanted)?;
        Ok(format!("{}{}@{digest}", images::OCI_LAYOUT, name.to_ascii_lowercase()))
    }

    fn linked(&self, other: &str, platform: Option<&Platform>) -> Result<ContextSource, Error> {
        let place = self.others.iter().position(|target| target.name == other);
        let lowered = place
            .map(|place| &self.done[place])
            .ok_or_else(|| Error::build(format!("the target {other:?} is not part of this build")))?;
        let found = match platform {
            Some(platform) => lowered.platforms.iter().find(|one| one.platform == *platform),
            None => lowered.platforms.first(),
        };
        let found = found.ok_or_else(|| {
            Error::build(format!(
                "the target {:?} needs {other:?} for {}, which that is not built for",
                self.target.name,
                platform.map(ToString::to_string).unwrap_or_default()
            ))
        })?;
        Ok(ContextSource::State { step: found.step, config: Box::new(found.config.clone()) })
    }

    fn remote(&mut self) -> Remote<'_> {
        let agent = self.target.credentials.agents.get("default").map(Agent::socket);
        Remote { session: self.session, lock: self.lock, agent, fresh: self.target.pull }
    }
}

impl Outside for Job<'_> {
    fn context(
        &mut self,
        name: &str,
        context: &NamedContext,
        platform: Option<&Platform>,
    ) -> Result<ContextSource, Error> {
        match context {
            NamedContext::OciLayout { path, reference } => {
                Ok(ContextSource::Image(self.layout(name, path, reference.as_deref())?))
            }
            NamedContext::Target(other) => self.linked(other, platform),
            NamedContext::Folder(_) | NamedContext::Image(_) | NamedContext::Remote(_) => {
                Err(Error::build(format!("the context {name:?} needs nothing from outside")))
            }
        }
    }

    fn resolve(
        &mut self,
        file: &dockerfile::Dockerfile,
        needs: &[Need],
        resolved: &mut dockerfile::Resolved,
        lowered: &mut Lowered,
    ) -> Result<Vec<Diagnostic>, Error> {
        let mut missing = Vec::new();
        for need in needs {
            match need {
                Need::Image { reference, platform, span } => {
                    let Target { policies, pull, .. } = self.target;
                    let image = match images::resolve(self.session, policies, self.lock, reference, platform, *pull) {
                        Ok(image) => image,
                        Err(error) => {
                            let error = error.told(span)?;
                            missing.push(match file.stage_like(reference) {
                                Some(stage) => error.help(format!("did you mean the stage `{stage}`?")),
                                None => error,
                            });
                            continue;
                        }
                    };
                    let blobs = image
                        .layers
                        .iter()
                        .map(|(descriptor, diff_id)| LayerBlob { descriptor: descriptor.clone(), diff_id: *diff_id });
                    lowered.images.insert(image.diff_ids(), blobs.collect());
                    let shown = format!("{reference}@{}", image.manifest_digest());
                    let found = dockerfile::ResolvedImage { reference: shown, config: image.config };
                    resolved.images.insert((reference.clone(), platform.clone()), found);
                }
                Need::Http { url, span } => match self.remote().http(url) {
                    Ok(found) => drop(resolved.http.insert(url.clone(), found)),
                    Err(error) => missing.push(error.told(span)?),
                },
                Need::Git { url, reference, span } => match self.remote().git(url, reference) {
                    Ok(found) => drop(resolved.git.insert((url.clone(), reference.clone()), found)),
                    Err(error) => missing.push(error.told(span)?),
                },
            }
        }
        Ok(missing)
    }
}
