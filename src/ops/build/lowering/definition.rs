//! One target: its text is read and parsed, and each of its platforms is lowered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::CacheKey;
use crate::frontend::diagnostic::{Diagnostic, Part};
use crate::frontend::dockerfile::{self, ContextSource, ImageBuild, Need};
use crate::graph::key::{KeyHasher, Visitor};
use crate::graph::{Graph, Times};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::locking::Lock;
use crate::ops::build::lowering::ignore::{IgnoreFile, Lists};
use crate::ops::build::lowering::{Known, Lowered, LoweredPlatform};
use crate::ops::build::target::{Dockerfile, Entitlement, Folder, NamedContext, NoCache, Target};
use crate::ops::error::Diagnostics;
use crate::source::http::shown;
use crate::source::regular;

/// What all targets of a build share.
pub(super) struct Shared {
    /// The lockfile, which no context holds.
    lock: Option<PathBuf>,
    lists: Lists,
}

impl Shared {
    /// That of a build with this lockfile.
    pub(super) fn of(lock: &Lock) -> Self {
        Self { lock: lock.path().map(Path::to_owned), lists: Lists::default() }
    }
}

/// Who is asked for what is not in the definition itself.
pub(super) trait Outside {
    /// A named context that is neither a folder nor a reference.
    fn context(
        &mut self,
        name: &str,
        context: &NamedContext,
        platform: Option<&Platform>,
    ) -> Result<ContextSource, Error>;

    /// Looks up what lowering needs. What cannot be found is returned, as messages at the places that ask for it.
    fn resolve(
        &mut self,
        file: &dockerfile::Dockerfile,
        needs: &[Need],
        resolved: &mut dockerfile::Resolved,
        lowered: &mut Lowered,
    ) -> Result<Vec<Diagnostic>, Error>;
}

/// What lowering a target came to.
pub(super) struct Outcome {
    /// The target.
    pub lowered: Lowered,
    /// What defines it, for each platform.
    pub definitions: Vec<(Platform, CacheKey)>,
    /// The images that are known now, if they are more than were.
    pub known: Option<Known>,
}

/// A target, as what defines it.
pub(super) struct Definition<'a> {
    /// The target.
    pub target: &'a Target,
    /// What it shares with the others.
    pub shared: &'a Shared,
}

impl Definition<'_> {
    /// What the definition is called, and its text; none if it is in a context that has to be fetched first.
    pub(super) fn read(&self) -> Result<Option<(String, Arc<str>)>, Error> {
        match &self.target.dockerfile {
            Dockerfile::InContext(_) => Ok(None),
            Dockerfile::Text { name, text } => Ok(Some((name.clone(), text.as_str().into()))),
            Dockerfile::Steps { name, text, .. } => Ok(Some((name.clone(), text.clone()))),
            Dockerfile::File(path) => {
                let name = path.display().to_string();
                let bytes = regular::bytes(path).map_err(|error| match error.kind() {
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
                Ok(Some((name, text.into())))
            }
        }
    }

    /// The files that its text is made of, if they are several.
    fn parts(&self) -> &[Part] {
        if let Dockerfile::Steps { parts, .. } = &self.target.dockerfile { parts } else { &[] }
    }

    /// Lowers a text for each platform.
    pub(super) fn lower(
        &self,
        name: String,
        text: Arc<str>,
        known: &Known,
        outside: &mut dyn Outside,
        graph: &mut Graph,
    ) -> Result<Outcome, Error> {
        let told = |list: Vec<Diagnostic>| -> Error {
            Diagnostics { parts: self.parts().to_vec(), ..Diagnostics::new(&name, text.clone(), list) }.into()
        };
        let file = match &self.target.dockerfile {
            Dockerfile::Steps { definition, lines, .. } => {
                dockerfile::from_steps(definition, lines.clone()).map_err(told)?
            }
            Dockerfile::File(_) | Dockerfile::Text { .. } | Dockerfile::InContext(_) => {
                let parsed = dockerfile::parse(&text);
                let clean = parsed.dockerfile.filter(|_| parsed.diagnostics.is_empty());
                clean.ok_or_else(|| told(parsed.diagnostics))?
            }
        };
        let (file, stop) = self.cut(file, &name)?;
        let mut lowered = Lowered { stop, ..Lowered::default() };
        let (mut warnings, mut definitions) = (Vec::new(), Vec::new());
        let mut asked = !known.serves(self.target);
        let mut resolved = dockerfile::Resolved::default();
        if !asked {
            resolved.images.clone_from(&known.resolved);
            lowered.images.clone_from(&known.layers);
        }
        for platform in platforms(self.target) {
            let options = self.options(&name, platform, outside, &mut lowered)?;
            let times = times(&options);
            graph.set_times(times);
            let build = loop {
                match dockerfile::lower(&file, &options, &resolved, graph).map_err(told)? {
                    dockerfile::Lowered::Done(build) => break *build,
                    dockerfile::Lowered::Needs(needs) => {
                        asked = true;
                        let missing = outside.resolve(&file, &needs, &mut resolved, &mut lowered)?;
                        if !missing.is_empty() {
                            return Err(told(missing));
                        }
                    }
                }
            };
            // Of a half build, nobody wants to know later whether it is still the same.
            if self.target.until.is_none() {
                definitions.push((build.platform.clone(), definition(graph, &build)));
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
        let known = || Known { fresh: self.target.pull, resolved: resolved.images, layers: lowered.images.clone() };
        let known = asked.then(known);
        lowered.warnings = Diagnostics { name, text, list: warnings, parts: self.parts().to_vec() };
        Ok(Outcome { lowered, definitions, known })
    }

    /// The file up to where the build is to stop, and where that is.
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

    /// What lowering for a platform depends on besides the text.
    pub(super) fn options(
        &self,
        name: &str,
        platform: Option<Platform>,
        outside: &mut dyn Outside,
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
                NamedContext::Remote(url) => remote_source(url)?,
                NamedContext::OciLayout { .. } | NamedContext::Target(_) => {
                    outside.context(name, context, platform.as_ref())?
                }
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
        options.no_new_privileges = target.no_new_privileges;
        options.extra_hosts = target.hosts.clone();
        options.limits = target.limits.clone();
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
        let ignore = self.shared.lists.of(&folder.path, &file, self.shared.lock.as_deref())?;
        lowered.folders.insert(folder.name.clone(), folder.path.clone());
        lowered.ignores.insert(folder.name.clone(), file);
        Ok(ContextSource::Local { name: folder.name.clone(), ignore })
    }
}

/// The platforms that a target is for; without any, that of whoever builds.
pub(super) fn platforms(target: &Target) -> Vec<Option<Platform>> {
    match &target.platforms[..] {
        [] => vec![None],
        several => several.iter().cloned().map(Some).collect(),
    }
}

fn remote_source(url: &str) -> Result<ContextSource, Error> {
    dockerfile::remote_context(url)
        .map_err(|reason| Error::Usage(format!("{} cannot be a build context: {reason}", shown(url))))
}

/// The times of a build: `SOURCE_DATE_EPOCH` if it is set. That it is a number is checked by the front end.
fn times(options: &dockerfile::Options) -> Times {
    match options.build_args.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()) {
        Some(epoch) => Times { epoch, ceiling: Some(epoch) },
        None => Times::default(),
    }
}

/// The digest of everything that defines an image.
pub(super) fn definition(graph: &Graph, build: &ImageBuild) -> CacheKey {
    let mut hasher = KeyHasher::new("target");
    hasher.value("step", graph[build.step].definition.as_bytes());
    hasher.value("config", &build.config.to_json());
    hasher.finish()
}
