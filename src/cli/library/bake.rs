//! `bake`: a build file is read and resolved, and its targets are handed to [`ops::build`](crate::ops::build) together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::BakeArgs;
use crate::cli::args::attest::Attest;
use crate::cli::args::bake::List;
use crate::cli::args::values::{Secret, Ssh};
use crate::cli::library::build::{
    apply_attest, apply_cache, apply_image, apply_run, apply_values, cache_from, cache_to, check_signing, defines,
    lock_mode, named_context, no_gateway, outputs, push_too, read_secret, references, ssh_agent, warnings,
    write_results,
};
use crate::cli::library::foreign::{self, Chosen};
use crate::cli::library::{changes, include, network, running, trust};
use crate::cli::{Session, interrupt};
use crate::event::Reporter;
use crate::frontend::buildfile::foreign::Read;
use crate::frontend::buildfile::{self, BuildFile, ContextSource, Plan, Printed};
use crate::frontend::diagnostic::{Diagnostic, Part};
use crate::frontend::dockerfile::{LineStarts, line_starts};
use crate::graph;
use crate::ops::Error;
use crate::ops::build::{self, Dockerfile, Folder, LockPlace, NamedContext, NoCache, Target, Wording, Written};
use crate::ops::error::Diagnostics;
use crate::remote_cache::Place;
use crate::solve::SecretValue;
use crate::source::regular;
use crate::trust::Policy;

pub(super) fn bake(args: &BakeArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
    let Definition { targets, lock, remarks } = Definition::read(args, session)?;
    let run = running::Run::start(session, args.run.jobs)?;
    run.report_to(&reporter);
    make_output_folders(&targets)?;
    let built = build::build(&run.session(reporter.as_ref())?, &targets, &lock, lock_mode(args.lock))
        .map_err(|error| if interrupt::is_interrupted() { Error::Interrupted } else { error })?;
    let requested = built.iter().zip(&targets).filter(|(_, target)| target.requested);
    write_results(&args.output, &requested.map(|(built, _)| built.clone()).collect::<Vec<_>>())?;
    let mut told = warnings(built);
    if !remarks.list.is_empty() {
        told.insert(0, remarks);
    }
    Ok(told)
}

/// What a build file asks for.
pub(super) struct Definition {
    /// The targets, each after those it is linked to.
    pub targets: Vec<Target>,
    /// Where the lockfile is.
    pub lock: LockPlace,
    /// What there is to say about the build file.
    pub remarks: Diagnostics,
}

impl Definition {
    /// Reads the build file, and resolves what is asked for.
    pub(super) fn read(args: &BakeArgs, session: &Session) -> Result<Self, Error> {
        let file = File::read(args, session)?;
        let plan = file.plan(args, session)?;
        let policies: Arc<[Policy]> = file.policies(args)?.into();
        let written = file.written(&plan, args, session);
        let target = |resolved: &buildfile::Target| {
            let mut target = file.target(resolved, args, session)?;
            if let Some(written) = &written {
                match written.get(&resolved.name) {
                    Some(wording) => target.is_written(wording.clone()),
                    None => target.written = Written::Nothing,
                }
            }
            Ok::<_, Error>(Target { policies: policies.clone(), ..target })
        };
        let targets = plan.targets.iter().map(target).collect::<Result<_, _>>()?;
        let lock = LockPlace::File(file.lock.join("build.lock"));
        let list = [file.notes, plan.warnings].concat();
        let remarks = Diagnostics { parts: file.parts.to_vec(), ..Diagnostics::new(&file.name, &*file.text, list) };
        Ok(Self { targets, lock, remarks })
    }
}

/// The names of the targets that can be built: all but those that are there only to be inherited, which nobody lists in
/// a group and whose Dockerfile does not exist.
pub(super) fn buildable(args: &BakeArgs, session: &Session) -> Result<Vec<String>, Error> {
    let file = File::read(args, session)?;
    let plan = file.resolve(args, session, &file.names())?;
    let exists = |target: &buildfile::Target| match (&target.context, &target.dockerfile) {
        (ContextSource::Path(context), buildfile::Dockerfile::Path(path)) => {
            file.folder.join(context).join(path).is_file()
        }
        _ => true,
    };
    let mut names: Vec<String> = plan
        .targets
        .iter()
        .filter(|target| exists(target) || !file.model.is_template(&target.name))
        .map(|target| target.name.clone())
        .collect();
    names.sort();
    Ok(names)
}

pub(super) fn describe(args: &BakeArgs, session: &Session) -> Result<serde_json::Value, Error> {
    let file = File::read(args, session)?;
    let failed = |error| Error::build("the build file cannot be shown as JSON").caused_by(error);
    match args.list {
        Some(List::Targets) if changes::asked(args) => {
            let all = file.names();
            let plan = file.resolve(args, session, &all)?;
            let affected = changes::affected(args, &file.model, &plan, &file.folder)?;
            let mut listed = serde_json::to_value(buildfile::list(&file.model)).map_err(failed)?;
            if let Some(listed) = listed.as_array_mut() {
                let name = |one: &serde_json::Value| one["name"].as_str().unwrap_or_default().to_owned();
                listed.retain(|one| one["kind"] == "target" && affected.contains(&name(one)));
            }
            Ok(listed)
        }
        Some(List::Targets) => serde_json::to_value(buildfile::list(&file.model)).map_err(failed),
        Some(List::Variables) => {
            serde_json::to_value(buildfile::variables(&file.model, &file.environment(session))).map_err(failed)
        }
        None => serde_json::to_value(Printed::from(&file.plan(args, session)?)).map_err(failed),
    }
}

/// A build file that was read.
struct File {
    name: String,
    /// All of its text, with that of the files that it includes, and where each begins.
    text: Arc<str>,
    lines: LineStarts,
    parts: Arc<[Part]>,
    folder: PathBuf,
    /// Where the lockfile is.
    lock: PathBuf,
    model: BuildFile,
    /// What was remarked while reading it.
    notes: Vec<Diagnostic>,
    /// Of docker's files that were read as the environment has it, the same files as they are without.
    alone: Option<Box<Result<File, Error>>>,
}

impl File {
    fn read(args: &BakeArgs, session: &Session) -> Result<Self, Error> {
        if let Some(program) = &args.program {
            let name = "build.toml of this program";
            return Self::parse("", name.into(), &program.text, program.folder.clone());
        }
        let path = match foreign::choose(args)? {
            Chosen::Own(path) => path,
            Chosen::Docker(paths) => return Self::docker(&paths, session),
        };
        let name = path.display().to_string();
        let text = regular::text(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => foreign::missing(&name),
            _ => Error::build(format!("cannot read {name}")).caused_by(error),
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&file, name, &text, folder)
    }

    /// `file` is its name in the folder.
    fn parse(file: &str, name: String, text: &str, folder: PathBuf) -> Result<Self, Error> {
        let model = include::load(file, &name, text, &folder)
            .map_err(|broken| diagnostics(&name, &broken.text, &broken.parts, broken.list.clone()))?;
        let (text, parts) = model.sources();
        Ok(Self {
            name,
            lines: line_starts(text),
            text: text.into(),
            parts: parts.into(),
            lock: folder.clone(),
            folder,
            model,
            notes: Vec::new(),
            alone: None,
        })
    }

    /// Docker's files, whose paths start where the command runs. The lockfile is beside the first.
    fn docker(paths: &[PathBuf], session: &Session) -> Result<Self, Error> {
        let (read, told) = foreign::load(paths, session)?;
        let alone = told.then(|| Box::new(foreign::load_alone(paths).map(|read| Self::of_docker(paths, read))));
        Ok(Self { alone, ..Self::of_docker(paths, read) })
    }

    fn of_docker(paths: &[PathBuf], Read { file: model, notes, .. }: Read) -> Self {
        let (text, parts) = model.sources();
        let (lines, text, parts) = (line_starts(text), text.into(), parts.into());
        let lock = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();
        let (name, folder) = (foreign::names(paths), PathBuf::new());
        Self { name, text, lines, parts, folder, lock, model, notes, alone: None }
    }

    /// What may be built on: as the files say, and as flags say.
    fn policies(&self, args: &BakeArgs) -> Result<Vec<Policy>, Error> {
        let mut all = trust::policy_files(&args.policy.policies)?;
        for (name, folder, policy) in self.model.policies() {
            all.push(trust::load(policy.clone(), name, &self.folder.join(folder))?);
        }
        Ok(all)
    }

    /// The names of all targets.
    fn names(&self) -> Vec<String> {
        self.model.targets().map(str::to_owned).collect()
    }

    /// What is to be built: of what is asked for, only what is affected if a change is given.
    fn plan(&self, args: &BakeArgs, session: &Session) -> Result<Plan, Error> {
        let plan = self.resolve(args, session, &args.targets)?;
        if !changes::asked(args) {
            return Ok(plan);
        }
        let affected = changes::affected(args, &self.model, &plan, &self.folder)?;
        let wanted = plan.targets.iter().filter(|target| target.requested && affected.contains(&target.name));
        let wanted: Vec<String> = wanted.map(|target| target.name.clone()).collect();
        if wanted.is_empty() { Ok(Plan::default()) } else { self.resolve(args, session, &wanted) }
    }

    /// What the environment says about the variables of the file.
    fn environment(&self, session: &Session) -> BTreeMap<String, String> {
        let value = |variable: &buildfile::Variable| {
            let value = session.env.variable(&variable.name)?;
            Some((variable.name.clone(), value.into_string().ok()?))
        };
        self.model.variables().iter().filter_map(value).collect()
    }

    fn resolve(&self, args: &BakeArgs, session: &Session, names: &[String]) -> Result<Plan, Error> {
        let overrides = args
            .set
            .iter()
            .map(|set| format!("{}.{}={}", set.target, set.key, set.value).parse())
            .collect::<Result<Vec<buildfile::Override>, _>>()
            .map_err(|error| Error::Usage(error.to_string()))?;
        buildfile::resolve(&self.model, names, &self.environment(session), &overrides).map_err(|error| match error {
            buildfile::Error::File(list) => diagnostics(&self.name, &self.text, &self.parts, list),
            error => Error::Usage(error.to_string()),
        })
    }

    /// What defines the targets of a plan by the files alone, of those of which they say enough; none if nobody else says
    /// anything that could define a target.
    fn written(&self, plan: &Plan, args: &BakeArgs, session: &Session) -> Option<BTreeMap<String, Wording>> {
        let chosen = !args.set.is_empty() || self.alone.is_some() || !self.environment(session).is_empty();
        if !chosen && !defines(&args.values, &args.image, &args.run, session) {
            return None;
        }
        let file = match self.alone.as_deref() {
            None => self,
            Some(Ok(file)) => file,
            Some(Err(_)) => return Some(BTreeMap::new()),
        };
        let names: Vec<String> = plan.targets.iter().map(|target| target.name.clone()).collect();
        let resolved = match buildfile::as_written(&file.model, &names) {
            _ if !chosen => plan.targets.clone(),
            Ok(plan) => plan.targets,
            // One that cannot be told says nothing of the others.
            Err(_) => {
                let alone = |name| buildfile::as_written(&file.model, &[name]).ok();
                names.into_iter().filter_map(alone).flat_map(|plan| plan.targets).collect()
            }
        };
        let wording =
            |resolved: &buildfile::Target| Some((resolved.name.clone(), file.defined(resolved).ok()?.wording()));
        Some(resolved.iter().filter_map(wording).collect())
    }

    /// What defines a resolved target: paths against the build file's folder.
    fn defined(&self, resolved: &buildfile::Target) -> Result<Target, Error> {
        let name = &resolved.name;
        let file = self.file_of(name);
        let context = match &resolved.context {
            ContextSource::Path(path) => {
                let folder = self.folder.join(path);
                if !folder.is_dir() {
                    let message =
                        format!("{file}: the context of the target {name}, {}, is not a folder", folder.display());
                    return Err(Error::build(message));
                }
                Some(Folder { name: graph_name(path), path: folder })
            }
            ContextSource::Url(_) => None,
            other => {
                let problem = format!("the context {other:?} is no folder, which this version needs");
                return Err(self.usage(name, problem));
            }
        };
        let dockerfile = match &resolved.dockerfile {
            buildfile::Dockerfile::Path(path) if matches!(resolved.context, ContextSource::Url(_)) => {
                Dockerfile::InContext(path.clone())
            }
            buildfile::Dockerfile::Path(path) => {
                let base = context.as_ref().map(|folder| folder.path.clone()).unwrap_or_default();
                Dockerfile::File(base.join(path))
            }
            buildfile::Dockerfile::Inline(text) => {
                Dockerfile::Text { name: format!("{file}: dockerfile-inline of {name}"), text: text.clone() }
            }
            buildfile::Dockerfile::Steps(definition) => Dockerfile::Steps {
                name: self.name.clone(),
                text: self.text.clone(),
                lines: self.lines.clone(),
                parts: self.parts.clone(),
                definition: definition.clone(),
            },
        };
        let mut target = Target::new(dockerfile);
        target.name.clone_from(name);
        target.context = context;
        if let ContextSource::Url(url) = &resolved.context {
            target.remote_context = Some(url.clone());
        }
        target.stage.clone_from(&resolved.stage);
        target.args.clone_from(&resolved.args);
        target.labels.clone_from(&resolved.labels);
        target.network = resolved.network;
        target.no_new_privileges = resolved.no_new_privileges;
        target.scrubs.clone_from(&resolved.scrubs);
        for (name, source) in &resolved.contexts {
            target.contexts.insert(name.clone(), self.context(&resolved.name, name, source)?);
        }
        Ok(target)
    }

    /// A resolved target as the library wants it, flags on top.
    fn target(&self, resolved: &buildfile::Target, args: &BakeArgs, session: &Session) -> Result<Target, Error> {
        let usage = |error: String| self.usage(&resolved.name, error);
        let mut target = self.defined(resolved)?;
        target.requested = resolved.requested;
        target.annotations.clone_from(&resolved.annotations);
        target.platforms.clone_from(&resolved.platforms);
        target.limits.clone_from(&resolved.limits);
        for (name, address) in &resolved.extra_hosts {
            // Steps share this machine's network.
            let address = if address == "host-gateway" { "127.0.0.1" } else { address };
            target.hosts.push((name.clone(), address.to_owned()));
        }
        target.pull = resolved.pull;
        target.no_cache = match (resolved.no_cache, resolved.no_cache_filter.is_empty()) {
            (true, _) => NoCache::All,
            (false, true) => NoCache::Use,
            (false, false) => NoCache::Stages(resolved.no_cache_filter.iter().cloned().collect()),
        };
        for secret in &resolved.secrets {
            let secret: Secret = secret.to_argument().parse().map_err(usage)?;
            let (id, value) = read_secret(&secret, session, &self.folder)?;
            target.credentials.secrets.insert(id, SecretValue(value));
        }
        for agent in &resolved.ssh {
            let agent: Ssh = agent.to_argument().parse().map_err(usage)?;
            let (id, agent) = ssh_agent(&agent, session, &self.folder)?;
            target.credentials.agents.insert(id, agent);
        }
        for cache in resolved.cache_from.iter().filter(|cache| !cache.is_other_cache()) {
            target.cache_from.push(cache_from(&cache.to_argument().parse().map_err(usage)?));
        }
        for cache in resolved.cache_to.iter().filter(|cache| !cache.is_other_cache()) {
            let mut to = cache_to(&cache.to_argument().parse().map_err(usage)?)?;
            // The same file is for machines that are no runners.
            if let Some(Place::Actions(service)) = &to.place {
                to.ignore_error |= service.check(&network::actions(&session.env)).is_err();
            }
            target.cache_to.push(to);
        }
        if resolved.requested {
            target.tags = references(&resolved.tags)?;
            let parsed = resolved.outputs.iter().map(|output| output.to_argument().parse().map_err(usage));
            target.outputs = outputs(&parsed.collect::<Result<Vec<_>, _>>()?)?;
            self.place_outputs(&mut target);
            apply_image(&mut target, &args.image)?;
            let asked = resolved.attest.iter().map(|attest| attest.to_argument().parse().map_err(usage));
            let asked = asked.collect::<Result<Vec<Attest>, _>>()?;
            apply_attest(&mut target, asked.into_iter().chain(args.attest.all()));
            if !args.output.outputs.is_empty() {
                target.outputs = outputs(&args.output.outputs)?;
            }
            push_too(&mut target, &args.output);
            let keys: Vec<PathBuf> = resolved.sign.iter().map(|key| self.folder.join(key)).collect();
            let keys = if args.attest.sign.is_empty() { &keys } else { &args.attest.sign };
            target.sign = trust::private_keys(keys, session)?;
            check_signing(&target).map_err(|error| usage(error.to_string()))?;
        }
        apply_values(&mut target, &args.values, session)?;
        self.place_caches(&mut target);
        apply_cache(&mut target, &args.cache)?;
        apply_run(&mut target, &args.run)?;
        let gateway = resolved.extra_hosts.iter().find(|(_, address)| *address == "host-gateway");
        if let (graph::Network::Private, Some((name, _))) = (target.network, gateway) {
            return Err(no_gateway(name));
        }
        self.check_rights(resolved, &target)?;
        Ok(target)
    }

    /// Fails if a target needs what the caller does not grant, or something else than to be built.
    fn check_rights(&self, resolved: &buildfile::Target, target: &Target) -> Result<(), Error> {
        let name = &resolved.name;
        let file = self.model.file_of(name).unwrap_or(&self.name);
        for right in &resolved.entitlements {
            let granted = match right {
                buildfile::Entitlement::NetworkHost => build::Entitlement::NetworkHost,
                buildfile::Entitlement::SecurityInsecure => build::Entitlement::SecurityInsecure,
            };
            if !target.allow.contains(&granted) {
                let right = right.name();
                let message = format!("{file}: the target {name} needs {right}, which must be granted");
                return Err(Error::build(message).help(format!("if you trust it: --allow {right}")));
            }
        }
        if resolved.call != buildfile::Call::Build {
            let call = resolved.call.name();
            let message = format!("{file}: the target {name} says call = \"{call}\", and bake only builds");
            let help = "check its Dockerfile with `imgbuild check`, or build it: --set ";
            return Err(Error::build(message).help(format!("{help}{name}.call=build")));
        }
        Ok(())
    }

    /// The file that says what a target is.
    fn file_of(&self, target: &str) -> &str {
        self.model.file_of(target).unwrap_or(&self.name)
    }

    /// That something about a target cannot be.
    fn usage(&self, target: &str, error: String) -> Error {
        Error::Usage(format!("{}: target {target}: {error}", self.file_of(target)))
    }

    /// A named context of a target.
    fn context(&self, target: &str, name: &str, source: &ContextSource) -> Result<NamedContext, Error> {
        use crate::cli::args::values::ContextSource as Argument;
        let usage = |error| self.usage(target, error);
        let argument = match source {
            ContextSource::Path(path) => Argument::Folder(path.into()),
            ContextSource::Image(reference) => Argument::Image(reference.clone()),
            ContextSource::OciLayout(layout) => format!("oci-layout://{layout}").parse().map_err(usage)?,
            ContextSource::Target(target) => Argument::Target(target.clone()),
            ContextSource::Url(url) => Argument::Remote(url.clone()),
        };
        Ok(match (named_context(name, &argument, &self.folder)?, source) {
            (NamedContext::Folder(folder), ContextSource::Path(path)) => {
                NamedContext::Folder(Folder { name: graph_name(path), ..folder })
            }
            (other, _) => other,
        })
    }

    /// The same for caches that are folders.
    fn place_caches(&self, target: &mut Target) {
        let from = target.cache_from.iter_mut().map(|from| &mut from.place);
        let to = target.cache_to.iter_mut().filter_map(|to| to.place.as_mut());
        for place in from.chain(to) {
            if let Place::Folder { path, .. } = place {
                *path = self.folder.join(&path);
            }
        }
    }

    /// Files that the build file names are beside it, wherever the command runs.
    fn place_outputs(&self, target: &mut Target) {
        use build::{Destination, OutputKind};
        for output in &mut target.outputs {
            match &mut output.kind {
                OutputKind::Oci(Destination::File(path))
                | OutputKind::Docker(Destination::File(path))
                | OutputKind::Tar(Destination::File(path))
                | OutputKind::OciFolder(path)
                | OutputKind::Local(path) => *path = self.folder.join(&path),
                _ => {}
            }
        }
    }
}

pub(super) fn diagnostics(name: &str, text: &str, parts: &[Part], list: Vec<Diagnostic>) -> Error {
    Diagnostics { parts: parts.to_vec(), ..Diagnostics::new(name, text, list) }.into()
}

/// Makes the folders that output files go to, as a clean checkout does not have them.
fn make_output_folders(targets: &[Target]) -> Result<(), Error> {
    use build::{Destination, OutputKind};
    for output in targets.iter().flat_map(|target| &target.outputs) {
        let (OutputKind::Oci(Destination::File(path))
        | OutputKind::Docker(Destination::File(path))
        | OutputKind::Tar(Destination::File(path))) = &output.kind
        else {
            continue;
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::build(format!("cannot make the folder of {}", path.display())).caused_by(error))?;
    }
    Ok(())
}

/// What the graph calls a folder: its path as the build file has it, so that two targets with one folder share it.
fn graph_name(path: &str) -> String {
    let clean: PathBuf =
        Path::new(path).components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    match clean.as_os_str().is_empty() {
        true => "context".into(),
        false => format!("context:{}", clean.display()),
    }
}
