//! From targets to one graph: definitions are read and parsed, what they name is looked up, and each platform of each
//! target is lowered, linked targets first.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{CacheKey, DiffId};
use crate::frontend::diagnostic::{Diagnostic, Part};
use crate::frontend::dockerfile::{self, ContextSource, ImageBuild, Need};
use crate::fstree::pattern::{Matcher, parse_ignore_file};
use crate::graph::key::{KeyHasher, Visitor};
use crate::graph::{Graph, StepId, Times};
use crate::oci::{ImageConfig, Platform};
use crate::ops::Error;
use crate::ops::build::Session;
use crate::ops::build::context;
use crate::ops::build::images;
use crate::ops::build::locking::Lock;
use crate::ops::build::remote::Remote;
use crate::ops::build::target::{Dockerfile, Entitlement, Folder, NamedContext, NoCache, Target};
use crate::ops::error::Diagnostics;
use crate::source::agent::Agent;
use crate::source::http::shown;
use crate::store::layers::{LayerBlob, Layers};

/// The lockfiles of Dockerfiles by their usual names, as patterns of an ignore file.
const LOCKFILES: [&str; 3] = ["**/[Dd]ockerfile.lock", "**/[Dd]ockerfile.*.lock", "**/*.[Dd]ockerfile.lock"];

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

/// The ignore file of a context.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    path: PathBuf,
    /// The numbers of the lines that the patterns stand on.
    lines: Vec<(usize, String)>,
}

impl IgnoreFile {
    /// Where the pattern with this index stands, and the pattern.
    pub fn place(&self, index: usize) -> Option<String> {
        let (line, pattern) = self.lines.get(index)?;
        Some(format!("{}:{line}: {pattern}", self.path.display()))
    }

    /// The file that counts for a context: the first of these that exists.
    fn read(candidates: Vec<PathBuf>) -> Result<Self, Error> {
        for path in candidates {
            match std::fs::read(&path) {
                Ok(bytes) => {
                    let lines = parse_ignore_file(&String::from_utf8_lossy(&bytes));
                    let file = Self { path, lines };
                    return file.check().map(|()| file);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::build(format!("cannot read {}", path.display())).caused_by(error)),
            }
        }
        Ok(Self::default())
    }

    fn check(&self) -> Result<(), Error> {
        for (line, pattern) in &self.lines {
            Matcher::new(&[pattern])
                .map_err(|error| Error::build(format!("{}:{line}: {error}", self.path.display())))?;
        }
        Ok(())
    }
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
    let mut done: Vec<Lowered> = Vec::new();
    let mut known = Known::default();
    for target in targets {
        let others = &targets[..done.len()];
        let mut job = Job { session, target, lock, layers, others, done: &done, known: &mut known };
        let first_step = graph.len();
        let lowered = Lowered { first_step, ..job.lower(graph)? };
        done.push(lowered);
    }
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
    let known = &mut Known::default();
    let mut job = Job { session, target, lock, layers: &layers, others: &[], done: &[], known };
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
    known: &'a mut Known,
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
}

impl Job<'_> {
    fn lower(&mut self, graph: &mut Graph) -> Result<Lowered, Error> {
        let (name, text) = self.read()?;
        let (mut lowered, warnings) = self.lower_text(&name, &text, graph)?;
        lowered.warnings = Diagnostics { name, text, list: warnings, parts: self.parts().to_vec() };
        Ok(lowered)
    }

    /// What the definition is called, and its text.
    fn read(&mut self) -> Result<(String, Arc<str>), Error> {
        match &self.target.dockerfile {
            Dockerfile::InContext(path) => self.read_remote(path),
            Dockerfile::Text { name, text } => Ok((name.clone(), text.as_str().into())),
            Dockerfile::Steps { name, text, .. } => Ok((name.clone(), text.clone())),
            Dockerfile::File(path) => {
                let name = path.display().to_string();
                let bytes = std::fs::read(path).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Error::build(format!("there is no Dockerfile at {name}"))
                        .help("name it with -f FILE, or give the folder that holds it as the build context"),
                    _ => Error::build(format!("cannot read {name}")).caused_by(error),
                })?;
                let text = String::from_utf8(bytes).map_err(|error| {
                    let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                        .iter()
                        .filter(|b| **b == b'\n')
                        .count();
                    Error::build(format!("{name}:{line} is not UTF-8 text")).help("save the file as UTF-8")
                })?;
                Ok((name, text.into()))
            }
        }
    }

    /// The files that its text is made of, if they are several.
    fn parts(&self) -> &[Part] {
        if let Dockerfile::Steps { parts, .. } = &self.target.dockerfile { parts } else { &[] }
    }

    /// Reads the Dockerfile of a remote context, which is built for that: a stage that is nothing but the context.
    fn read_remote(&mut self, path: &str) -> Result<(String, Arc<str>), Error> {
        let url = self.target.remote_context.clone().unwrap_or_default();
        let name = format!("{}:{path}", shown(&url));
        let mut target = Target::new(Dockerfile::Text { name: name.clone(), text: "FROM remote-context\n".into() });
        target.contexts.insert("remote-context".into(), NamedContext::Remote(url.clone()));
        // What is noted of it in the lockfile is replaced by what is noted of the target itself.
        target.name.clone_from(&self.target.name);
        target.platforms = vec![self.target.platforms.first().cloned().unwrap_or_else(Platform::host)];
        target.credentials.agents.clone_from(&self.target.credentials.agents);
        target.pull = self.target.pull;
        let mut graph = Graph::new();
        let mut job = Job {
            target: &target,
            session: self.session,
            lock: self.lock,
            layers: self.layers,
            others: &[],
            done: &[],
            known: &mut Known::default(),
        };
        let lowered = match job.lower_text(&name, "FROM remote-context\n", &mut graph) {
            Ok((lowered, _)) => lowered,
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
        let platforms: Vec<Option<Platform>> = match &self.target.platforms[..] {
            [] => vec![None],
            several => several.iter().cloned().map(Some).collect(),
        };
        let (mut list, mut definitions) = (Vec::new(), Vec::new());
        for platform in platforms {
            let mut lowered = Lowered::default();
            let options = self.options(&name, platform.clone(), &mut lowered)?;
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

    fn lower_text(&mut self, name: &str, text: &str, graph: &mut Graph) -> Result<(Lowered, Vec<Diagnostic>), Error> {
        let parts = self.parts().to_vec();
        let told = |list: Vec<Diagnostic>| -> Error {
            Diagnostics { parts: parts.clone(), ..Diagnostics::new(name, text, list) }.into()
        };
        let file = match &self.target.dockerfile {
            Dockerfile::Steps { definition, lines, .. } => {
                dockerfile::from_steps(definition, lines.clone()).map_err(told)?
            }
            Dockerfile::File(_) | Dockerfile::Text { .. } | Dockerfile::InContext(_) => {
                let parsed = dockerfile::parse(text);
                let clean = parsed.dockerfile.filter(|_| parsed.diagnostics.is_empty());
                clean.ok_or_else(|| told(parsed.diagnostics))?
            }
        };
        let (file, stop) = self.cut(file, name)?;
        let mut lowered = Lowered { stop, ..Lowered::default() };
        let mut warnings = Vec::new();
        let platforms: Vec<Option<Platform>> = match &self.target.platforms[..] {
            [] => vec![None],
            several => several.iter().cloned().map(Some).collect(),
        };
        for platform in platforms {
            let options = self.options(name, platform.clone(), &mut lowered)?;
            let times = times(&options.build_args);
            graph.set_times(times);
            let mut resolved = dockerfile::Resolved::default();
            if self.known.fresh == self.target.pull && self.known.resolved.len() <= Known::MOST {
                resolved.images.clone_from(&self.known.resolved);
                lowered.images.extend(self.known.layers.clone());
            }
            let build = loop {
                match dockerfile::lower(&file, &options, &resolved, graph).map_err(told)? {
                    dockerfile::Lowered::Done(build) => break *build,
                    dockerfile::Lowered::Needs(needs) => {
                        let missing = self.resolve(&file, &needs, &mut resolved, &mut lowered)?;
                        if !missing.is_empty() {
                            return Err(told(missing));
                        }
                    }
                }
            };
            let layers = lowered.images.clone();
            *self.known = Known { fresh: self.target.pull, resolved: resolved.images, layers };
            if self.target.until.is_none() {
                self.lock.record_target(&self.target.lock_name(), &build.platform, definition(graph, &build));
            }
            lowered.multi_platform |= build.multi_platform;
            lowered.platforms.push(LoweredPlatform {
                platform: build.platform,
                step: build.step,
                config: build.config,
                times,
            });
            for warning in build.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok((lowered, warnings))
    }

    /// The definition up to where the build is to stop, and where that is.
    fn cut(
        &self,
        file: dockerfile::Dockerfile,
        name: &str,
    ) -> Result<(dockerfile::Dockerfile, Option<dockerfile::Stop>), Error> {
        let Some(place) = &self.target.until else { return Ok((file, None)) };
        let part = self.parts().iter().find(|part| Some(&part.name) == place.file.as_ref());
        // Of several files that are one text, the lines are counted on.
        let line = part.map_or(place.line, |part| file.line(part.start).saturating_add(place.line).saturating_sub(1));
        let until = file.until(line, place.before).map_err(|error| Error::Usage(format!("{name}: {error}")))?;
        Ok((until.file, Some(until.stop)))
    }

    fn options(
        &mut self,
        name: &str,
        platform: Option<Platform>,
        lowered: &mut Lowered,
    ) -> Result<dockerfile::Options, Error> {
        let target = self.target;
        let mut options = dockerfile::Options::new(name, Platform::host());
        options.context = match &target.context {
            Some(folder) => self.local(folder, None, lowered)?,
            None => match &target.remote_context {
                Some(url) => remote_source(url)?,
                None => ContextSource::Image("scratch".into()),
            },
        };
        for (name, context) in &target.contexts {
            let source = match context {
                NamedContext::Folder(folder) => self.local(folder, Some(name), lowered)?,
                NamedContext::Image(reference) => ContextSource::Image(reference.clone()),
                NamedContext::OciLayout { path, reference } => {
                    ContextSource::Image(self.layout(name, path, reference.as_deref())?)
                }
                NamedContext::Remote(url) => remote_source(url)?,
                NamedContext::Target(other) => self.linked(other, platform.as_ref())?,
            };
            options.contexts.insert(name.clone(), source);
        }
        options.parts = self.parts().to_vec();
        options.build_args = target.args.clone();
        // What is cut off ends with the stage that is wanted.
        options.target = target.stage.clone().filter(|_| target.until.is_none());
        options.platform = platform;
        options.labels = target.labels.clone();
        options.no_cache = match &target.no_cache {
            NoCache::Use => dockerfile::NoCache::None,
            NoCache::All => dockerfile::NoCache::All,
            NoCache::Stages(stages) => dockerfile::NoCache::Stages(stages.clone()),
        };
        options.network = target.network;
        options.allow_host_network = target.allow.contains(&Entitlement::NetworkHost);
        options.allow_insecure = target.allow.contains(&Entitlement::SecurityInsecure);
        options.extra_hosts = target.hosts.clone();
        options.shm_size = target.shm_size;
        options.scrubs.clone_from(&target.scrubs);
        options.name_platforms = target.platforms.len() > 1;
        Ok(options)
    }

    /// A folder as a context, with the patterns of its ignore file.
    fn local(&self, folder: &Folder, named: Option<&str>, lowered: &mut Lowered) -> Result<ContextSource, Error> {
        let shown = folder.path.display();
        if !folder.path.is_dir() {
            return Err(Error::build(format!("the build context {shown} is not a folder")));
        }
        let mut candidates = Vec::new();
        if let (Dockerfile::File(path), None) = (&self.target.dockerfile, named) {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".dockerignore");
            candidates.push(path.with_file_name(name));
        }
        candidates.push(folder.path.join(".dockerignore"));
        let file = IgnoreFile::read(candidates)?;
        let mut ignore: Vec<String> = file.lines.iter().map(|(_, pattern)| pattern.clone()).collect();
        // A lockfile is written by builds, so it must not be an input of them: neither this one nor that of another build.
        ignore.extend(self.lock.path().and_then(|lock| pattern_below(&folder.path, lock)));
        ignore.extend(LOCKFILES.iter().map(|pattern| (*pattern).to_owned()));
        if folder.path.join("build.toml").exists() {
            ignore.push("build.lock".into());
        }
        lowered.folders.insert(folder.name.clone(), folder.path.clone());
        lowered.ignores.insert(folder.name.clone(), file);
        Ok(ContextSource::Local { name: folder.name.clone(), ignore })
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

    /// Looks up what lowering needs. What cannot be found is returned, as messages at the places that ask for it.
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
                    let image = match images::resolve(self.session, self.lock, reference, platform, self.target.pull) {
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

fn remote_source(url: &str) -> Result<ContextSource, Error> {
    dockerfile::remote_context(url)
        .map_err(|reason| Error::Usage(format!("{} cannot be a build context: {reason}", shown(url))))
}

/// The times of a build: `SOURCE_DATE_EPOCH` if it is set. That it is a number is checked by the front end.
fn times(args: &BTreeMap<String, String>) -> Times {
    match args.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()) {
        Some(epoch) => Times { epoch, ceiling: Some(epoch) },
        None => Times::default(),
    }
}

/// The digest of everything that defines an image.
fn definition(graph: &Graph, build: &ImageBuild) -> CacheKey {
    let mut hasher = KeyHasher::new("target");
    hasher.value("step", graph[build.step].definition.as_bytes());
    hasher.value("config", &build.config.to_json());
    hasher.finish()
}

/// The pattern of an ignore file that means just `path`, if that is below `folder`.
fn pattern_below(folder: &Path, path: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let path = std::path::absolute(path).ok()?;
    let below = path.strip_prefix(&folder).ok()?.to_str()?;
    let escaped = below.chars().flat_map(|c| {
        let special = "*?[\\".contains(c);
        special.then_some('\\').into_iter().chain([c])
    });
    Some(escaped.collect())
}
