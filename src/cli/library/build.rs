//! `build`: flags, looked up in the environment where they say so, become a target of [`ops::build`](crate::ops::build).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::BuildArgs;
use crate::cli::args::attest::Attest;
use crate::cli::args::cache::{CacheFrom, CachePlace, CacheTo};
use crate::cli::args::output::{self, OutputKind as Kind};
use crate::cli::args::shared::{CacheArgs, Entitlement, ImageArgs, LockArgs, Network, OutputArgs, RunArgs, ValueArgs};
use crate::cli::args::values::{
    AnnotationTarget, ContextSource, HostAddress, ImageAnnotation, Secret, SecurityOption, Ssh,
};
use crate::cli::env::ResolvedSecret;
use crate::cli::library::metadata::Metadata;
use crate::cli::library::{debug, running, trust};
use crate::cli::{Session, interrupt};
use crate::compress::{Compression, LevelError};
use crate::event::Reporter;
use crate::fstree::Scrub;
use crate::graph::{self, Limits};
use crate::oci::Reference;
use crate::ops::Error;
use crate::ops::build::{
    self, Built, Destination, Dockerfile, Folder, LockMode, LockPlace, NamedContext, NoCache, Output, OutputKind,
    Target,
};
use crate::ops::error::Diagnostics;
use crate::remote_cache::{self, Mode, Place, Source};
use crate::solve::SecretValue;
use crate::source::agent::{Agent, AgentError};
use crate::source::regular;

pub(super) fn build(
    args: &BuildArgs,
    session: &Session,
    reporter: Arc<dyn Reporter>,
) -> Result<Vec<Diagnostics>, Error> {
    let run = running::Run::start(session, args.run.jobs)?;
    run.report_to(&reporter);
    let built = target(args, session, &run)
        .and_then(|(target, lock)| {
            let (mut targets, mode) = ([target], lock_mode(args.lock));
            if let Some(place) = &args.until {
                debug::stop_at(&run, &mut targets, &lock, mode, place, false)?;
            }
            build::build(&run.session(reporter.as_ref())?, &targets, &lock, mode)
        })
        .map_err(|error| if interrupt::is_interrupted() { Error::Interrupted } else { error })?;
    write_results(&args.output, &built)?;
    Ok(warnings(built))
}

/// What the checks found, of targets of which they found anything.
pub(super) fn warnings(built: Vec<Built>) -> Vec<Diagnostics> {
    built.into_iter().map(|built| built.warnings).filter(|warnings| !warnings.list.is_empty()).collect()
}

/// The target, and where its lockfile is.
pub(super) fn target(args: &BuildArgs, session: &Session, run: &running::Run) -> Result<(Target, LockPlace), Error> {
    let (context, dockerfile, lock) = definition(&args.context, args.file.as_deref(), run)?;
    let mut target = Target::new(dockerfile);
    target.context = context;
    if let ContextSource::Remote(url) = &args.context {
        target.remote_context = Some(url.clone());
    }
    target.stage.clone_from(&args.target);
    let wording = target.wording();
    apply_values(&mut target, &args.values, session)?;
    apply_image(&mut target, &args.image)?;
    apply_attest(&mut target, args.attest.all());
    target.policies = trust::policy_files(&args.policy.policies)?.into();
    target.sign = trust::private_keys(&args.attest.sign, session)?;
    apply_cache(&mut target, &args.cache)?;
    apply_run(&mut target, &args.run)?;
    target.outputs = outputs(&args.output.outputs)?;
    push_too(&mut target, &args.output);
    check_signing(&target)?;
    target.is_written(wording);
    Ok((target, lock))
}

/// Where the context, the Dockerfile and its lockfile are.
pub(super) fn definition(
    context: &ContextSource,
    named: Option<&Path>,
    run: &running::Run,
) -> Result<(Option<Folder>, Dockerfile, LockPlace), Error> {
    let from_stdin = named == Some(Path::new("-"));
    Ok(match context {
        ContextSource::Stdin if from_stdin => {
            return Err(Error::Usage("standard input cannot be both the context and the Dockerfile".into()));
        }
        ContextSource::Stdin => match run.context_from_stdin()? {
            running::Stdin::Dockerfile(text) => {
                (None, Dockerfile::Text { name: "Dockerfile (stdin)".into(), text }, LockPlace::None)
            }
            running::Stdin::Folder(path) => {
                let file = path.join(named.unwrap_or(Path::new("Dockerfile")));
                (Some(main_context(path)), Dockerfile::File(file), LockPlace::None)
            }
        },
        ContextSource::Folder(path) if from_stdin => {
            (Some(main_context(path.clone())), dockerfile_from_stdin(run)?, LockPlace::None)
        }
        ContextSource::Folder(path) => {
            if !path.is_dir() {
                return Err(Error::build(format!("the build context {} is not a folder", path.display()))
                    .help("give the folder that holds the Dockerfile and the files to copy"));
            }
            let file = dockerfile_of(path, named);
            let lock = LockPlace::beside(&file);
            (Some(main_context(path.clone())), Dockerfile::File(file), lock)
        }
        ContextSource::Remote(_) if from_stdin => (None, dockerfile_from_stdin(run)?, LockPlace::None),
        // As with docker buildx, only a whole path means a file of this machine.
        ContextSource::Remote(_) => match named {
            Some(file) if file.is_absolute() => (None, Dockerfile::File(file.to_owned()), LockPlace::beside(file)),
            file => {
                let path = file.map_or_else(|| "Dockerfile".into(), |file| file.to_string_lossy().into_owned());
                (None, Dockerfile::InContext(path), LockPlace::None)
            }
        },
        other => {
            return Err(Error::Usage(format!(
                "the build context must be a folder or -, not {other:?}; use --build-context NAME=… for others"
            )));
        }
    })
}

fn dockerfile_from_stdin(run: &running::Run) -> Result<Dockerfile, Error> {
    let text = run
        .stdin()
        .and_then(regular::read_text)
        .map_err(|error| Error::build("cannot read the Dockerfile from standard input").caused_by(error))?;
    Ok(Dockerfile::Text { name: "Dockerfile (stdin)".into(), text })
}

fn main_context(path: PathBuf) -> Folder {
    Folder { name: "context".into(), path }
}

/// Where the Dockerfile is: as named, else `Dockerfile` in the context, however it is capitalised there.
fn dockerfile_of(context: &Path, named: Option<&Path>) -> PathBuf {
    if let Some(path) = named {
        return path.to_owned();
    }
    let file = context.join("Dockerfile");
    let lower = context.join("dockerfile");
    if !file.exists() && lower.exists() { lower } else { file }
}

/// How the lockfile is used.
pub(super) fn lock_mode(args: LockArgs) -> LockMode {
    LockMode { locked: args.is_locked(), offline: args.is_offline(), ignored: args.no_lock }
}

/// Whether flags or the environment say anything of what defines a target.
pub(super) fn defines(values: &ValueArgs, image: &ImageArgs, run: &RunArgs, session: &Session) -> bool {
    let inputs = !values.build_arg.is_empty() || !values.build_context.is_empty() || !image.label.is_empty();
    let steps = run.network != Network::Default || !run.security_opt.is_empty() || !run.scrub.is_empty();
    inputs || steps || session.env.variable("SOURCE_DATE_EPOCH").is_some()
}

/// Build arguments, contexts, secrets and agents.
pub(super) fn apply_values(target: &mut Target, args: &ValueArgs, session: &Session) -> Result<(), Error> {
    // As with docker buildx, a variable of the environment counts unless an argument says otherwise.
    if let Some(epoch) = session.env.variable("SOURCE_DATE_EPOCH").and_then(|value| value.into_string().ok()) {
        target.args.entry("SOURCE_DATE_EPOCH".into()).or_insert(epoch);
    }
    target.args.extend(session.env.build_arguments(&args.build_arg)?);
    for context in &args.build_context {
        let source = named_context(&context.name, &context.source, Path::new(""))?;
        target.contexts.insert(context.name.clone(), source);
    }
    for secret in &args.secret {
        let (id, value) = read_secret(secret, session, Path::new(""))?;
        target.credentials.secrets.insert(id, SecretValue(value));
    }
    for agent in &args.ssh {
        let (id, agent) = ssh_agent(agent, session, Path::new(""))?;
        target.credentials.agents.insert(id, agent);
    }
    Ok(())
}

/// A named context; paths are relative to `base`.
pub(super) fn named_context(name: &str, source: &ContextSource, base: &Path) -> Result<NamedContext, Error> {
    Ok(match source {
        ContextSource::Folder(path) => {
            let path = base.join(path);
            if !path.is_dir() {
                return Err(Error::build(format!("the build context {name}={} is not a folder", path.display())));
            }
            NamedContext::Folder(Folder { name: format!("context:{name}"), path })
        }
        ContextSource::Image(reference) => NamedContext::Image(reference.clone()),
        ContextSource::OciLayout { path, tag, digest } => {
            NamedContext::OciLayout { path: base.join(path), reference: digest.clone().or_else(|| tag.clone()) }
        }
        ContextSource::Target(target) => NamedContext::Target(target.clone()),
        ContextSource::Stdin => {
            return Err(Error::Usage(format!("the context {name} cannot come from standard input")));
        }
        ContextSource::Remote(url) => NamedContext::Remote(url.clone()),
    })
}

/// A secret's id and value; a file is relative to `base`.
pub(super) fn read_secret(secret: &Secret, session: &Session, base: &Path) -> Result<(String, Vec<u8>), Error> {
    let value = match session.env.secret(secret)? {
        ResolvedSecret::Value(value) => value,
        ResolvedSecret::File(path) => {
            let path = base.join(path);
            std::fs::read(&path).map_err(|error| {
                Error::build(format!("cannot read the secret {} from {}", secret.id, path.display())).caused_by(error)
            })?
        }
    };
    Ok((secret.id.clone(), value))
}

/// An agent and its id; paths are relative to `base`.
pub(super) fn ssh_agent(ssh: &Ssh, session: &Session, base: &Path) -> Result<(String, Agent), Error> {
    let id = &ssh.id;
    let paths: Vec<PathBuf> = match &ssh.paths[..] {
        [] => match session.env.variable("SSH_AUTH_SOCK").filter(|value| !value.is_empty()) {
            Some(path) => vec![path.into()],
            None => {
                return Err(Error::Usage(format!(
                    "--ssh {id}: no agent is running, SSH_AUTH_SOCK is not set: start one, or give keys by --ssh {id}=KEY"
                )));
            }
        },
        paths => paths.iter().map(|path| base.join(path)).collect(),
    };
    match Agent::open(&paths) {
        Ok(agent) => Ok((id.clone(), agent)),
        Err(error @ AgentError::NotInstalled(_)) => Err(Error::environment(format!("--ssh {id}: {error}"))
            .help("install OpenSSH's client: on Debian and Ubuntu `apt-get install openssh-client`")),
        Err(error) => Err(Error::build(format!("--ssh {id}: {error}"))),
    }
}

/// Names, platforms, labels and annotations.
pub(super) fn apply_image(target: &mut Target, args: &ImageArgs) -> Result<(), Error> {
    target.tags.extend(references(&args.tags)?);
    if !args.platform.is_empty() {
        target.platforms = dedup(&args.platform);
    }
    target.labels.extend(args.label.iter().cloned());
    for annotation in &args.annotation {
        apply_annotation(target, annotation)?;
    }
    Ok(())
}

/// What is said about the image.
pub(super) fn apply_attest(target: &mut Target, asked: impl Iterator<Item = Attest>) {
    for one in asked {
        match one {
            Attest::Sbom(on) => target.attestations.sbom = on,
            Attest::Provenance(detail) => target.attestations.provenance = detail,
        }
    }
}

fn apply_annotation(target: &mut Target, annotation: &ImageAnnotation) -> Result<(), Error> {
    for (place, platform) in &annotation.targets {
        match (place, platform) {
            (AnnotationTarget::Manifest, None) => {
                target.annotations.insert(annotation.key.clone(), annotation.value.clone());
            }
            _ => {
                return Err(Error::Usage(format!(
                    "--annotation {}: only annotations of manifests are supported by this version",
                    annotation.key
                )));
            }
        }
    }
    Ok(())
}

/// Names of images, parsed.
pub(super) fn references(names: &[String]) -> Result<Vec<Reference>, Error> {
    let parse = |name: &String| Reference::parse(name).map_err(|error| Error::Usage(error.to_string()));
    names.iter().map(parse).collect()
}

fn dedup(platforms: &[crate::oci::Platform]) -> Vec<crate::oci::Platform> {
    let mut seen = BTreeSet::new();
    platforms.iter().filter(|platform| seen.insert(*platform)).cloned().collect()
}

/// What is taken from caches, and put into them. Caches of a flag come in place of those of a build file.
pub(super) fn apply_cache(target: &mut Target, args: &CacheArgs) -> Result<(), Error> {
    if args.no_cache {
        target.no_cache = NoCache::All;
    } else if !args.no_cache_filter.is_empty() {
        target.no_cache = NoCache::Stages(args.no_cache_filter.iter().cloned().collect());
    }
    target.pull |= args.pull;
    if !args.cache_from.is_empty() {
        target.cache_from = args.cache_from.iter().map(cache_from).collect();
    }
    if !args.cache_to.is_empty() {
        target.cache_to = args.cache_to.iter().map(cache_to).collect::<Result<_, _>>()?;
    }
    Ok(())
}

/// A cache that is read.
pub(super) fn cache_from(from: &CacheFrom) -> Source {
    Source { place: cache_place(&from.place), mounts: from.mounts }
}

/// A cache that is written.
pub(super) fn cache_to(to: &CacheTo) -> Result<remote_cache::Destination, Error> {
    let compression = match (to.compression, to.compression_level) {
        (None, None) => None,
        (named, level) => Some(layer_compression(named, level).map_err(|error| format!("--cache-to: {error}"))),
    };
    Ok(remote_cache::Destination {
        place: to.place.as_ref().map(cache_place),
        mode: if to.max { Mode::Max } else { Mode::Min },
        compression: compression.transpose().map_err(Error::Usage)?,
        ignore_error: to.ignore_error,
        mounts: to.mounts,
    })
}

fn cache_place(place: &CachePlace) -> Place {
    match place {
        CachePlace::Registry(reference) => Place::Registry(reference.clone()),
        CachePlace::Folder(path, name) => Place::Folder { path: path.clone(), name: name.clone() },
        CachePlace::Bucket(bucket, name) => Place::Bucket { bucket: bucket.clone(), name: name.clone() },
        CachePlace::Actions(service) => Place::Actions(service.clone()),
    }
}

/// How layers are compressed; one that does not say gets the layers that the store has without any.
fn layer_compression(named: Option<output::Compression>, level: Option<u8>) -> Result<Compression, LevelError> {
    let compression = match named {
        None | Some(output::Compression::Gzip) => Compression::GZIP,
        Some(output::Compression::Zstd) => Compression::ZSTD,
        Some(output::Compression::Uncompressed) => Compression::None,
    };
    let compression = level.map_or(compression, |level| compression.with_level(level));
    compression.check().map(|()| compression)
}

/// How steps run.
pub(super) fn apply_run(target: &mut Target, args: &RunArgs) -> Result<(), Error> {
    let allowed = args.allow.iter().map(|right| match right {
        Entitlement::NetworkHost => build::Entitlement::NetworkHost,
        Entitlement::SecurityInsecure => build::Entitlement::SecurityInsecure,
    });
    target.allow.extend(allowed);
    target.network = match args.network {
        Network::Default => target.network,
        Network::None => graph::Network::None,
        Network::Host => {
            // Whoever chooses it for all steps allows it to each.
            target.allow.insert(build::Entitlement::NetworkHost);
            graph::Network::Host
        }
        Network::Private => graph::Network::Private,
    };
    if !args.security_opt.is_empty() {
        target.no_new_privileges = SecurityOption::no_new_privileges(&args.security_opt);
    }
    target.limits = Limits { time: args.step_timeout, ..args.limits.limits() }.or(&target.limits);
    target.limits.check().map_err(Error::Usage)?;
    target.scrubs.extend(args.scrub.iter().filter_map(|name| Scrub::named(name)).flatten());
    for (name, address) in &args.add_host {
        let address = match address {
            HostAddress::Ip(address) => address.to_string(),
            HostAddress::Gateway if target.network == graph::Network::Private => return Err(no_gateway(name)),
            // Steps share this machine's network.
            HostAddress::Gateway => "127.0.0.1".into(),
        };
        target.hosts.push((name.clone(), address));
    }
    Ok(())
}

/// A name was asked for that has no address.
pub(super) fn no_gateway(name: &str) -> Error {
    Error::Usage(format!("{name}=host-gateway: this machine has no address of its own in a private network; name one"))
}

/// Where results go.
pub(super) fn outputs(outputs: &[output::Output]) -> Result<Vec<Output>, Error> {
    let mut all = Vec::new();
    for output in outputs {
        let one = one_output(output)?;
        if let (OutputKind::Store(names), true) = (&one.kind, output.push) {
            all.push(Output { kind: OutputKind::Registry(names.clone()), ..one.clone() });
        }
        all.push(one);
    }
    Ok(all)
}

/// `--push`: the result is pushed as well as what else is done with it.
pub(super) fn push_too(target: &mut Target, args: &OutputArgs) {
    let pushed = target.outputs.iter().any(|output| matches!(output.kind, OutputKind::Registry(_)));
    if args.push && !pushed && target.requested {
        target.outputs.push(Output { kind: OutputKind::Registry(Vec::new()), compression: Compression::GZIP });
    }
}

/// Fails if a target is to be signed and nothing of it can be.
pub(super) fn check_signing(target: &Target) -> Result<(), Error> {
    let named = |output: &Output| match &output.kind {
        OutputKind::Store(names) | OutputKind::Registry(names) => !target.tags.is_empty() || !names.is_empty(),
        OutputKind::Oci(_) | OutputKind::OciFolder(_) | OutputKind::Docker(_) => !target.tags.is_empty(),
        OutputKind::Tar(_) | OutputKind::Local(_) | OutputKind::CacheOnly => false,
    };
    let fits = if target.outputs.is_empty() { !target.tags.is_empty() } else { target.outputs.iter().any(named) };
    if target.sign.is_empty() || fits || !target.requested {
        return Ok(());
    }
    Err(Error::Usage("an image is signed by its name: give one with -t NAME, and an output that is an image".into()))
}

fn one_output(output: &output::Output) -> Result<Output, Error> {
    let compression = layer_compression(output.compression, output.compression_level)
        .map_err(|error| Error::Usage(format!("--output: {error}")))?;
    if output.force_compression {
        return Err(Error::Usage(
            "--output: force-compression is not supported: layers of base images stay as they are".into(),
        ));
    }
    let file = || match &output.destination {
        None | Some(output::Destination::Stdout) => Destination::Stdout,
        Some(output::Destination::Path(path)) => Destination::File(path.clone()),
    };
    let kind = match (output.kind, &output.destination) {
        (Kind::Image, _) | (Kind::Docker, None) => OutputKind::Store(references(&output.names)?),
        (Kind::Oci, Some(output::Destination::Path(path))) if !output.tar => OutputKind::OciFolder(path.clone()),
        (Kind::Oci, _) => OutputKind::Oci(file()),
        (Kind::Docker, _) => OutputKind::Docker(file()),
        (Kind::Tar, _) => OutputKind::Tar(file()),
        (Kind::Local, Some(output::Destination::Path(path))) => OutputKind::Local(path.clone()),
        (Kind::Local, _) => return Err(Error::Usage("--output type=local needs dest=FOLDER".into())),
        (Kind::CacheOnly, _) => OutputKind::CacheOnly,
        (Kind::Registry, _) => OutputKind::Registry(references(&output.names)?),
    };
    Ok(Output { kind, compression })
}

/// Writes `--iidfile` and `--metadata-file`.
pub(super) fn write_results(args: &OutputArgs, built: &[Built]) -> Result<(), Error> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Error::build(format!("cannot write {}", path.display())).caused_by(error))
    };
    if let Some(path) = &args.iidfile {
        // Docker's ID is the configuration's digest; of several platforms only the index has one.
        let id = built.iter().find_map(|built| built.config.as_ref().or(built.image.as_ref()));
        write(path, id.map(|id| id.digest.to_string()).unwrap_or_default())?;
    }
    if let Some(path) = &args.metadata_file {
        let document = serde_json::to_value(Metadata::of(built))
            .map_err(|error| Error::build("the metadata cannot be written as JSON").caused_by(error))?;
        write(path, format!("{document:#}\n"))?;
    }
    Ok(())
}
