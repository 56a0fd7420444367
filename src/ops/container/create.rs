//! Making a container of an image: what is to run, as whom, with what environment and mounts.
//!
//! The rules are Docker's: how ENTRYPOINT and CMD and the words of the command line become one command, which variables
//! are there without being asked for, what `USER` means.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Error;
use crate::fstree::{Entry, Kind, passwd};
use crate::graph::{Limits, Times};
use crate::oci::{ContainerConfig, Platform};
use crate::sandbox::{MountKind, Network, SandboxMount, Spec, stubs};
use crate::solve::StateTree;
use crate::store::containers::{Container, ContainerKind, ContainerLock, ContainerRecord, random_id};
use crate::store::io_error;
use crate::store::layers::{LayerBlob, Layers};

/// What images without a `PATH` get.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The largest `/etc/passwd` that is read, in bytes.
const MAX_PASSWD: u64 = 16 << 20;

/// Something that is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMount {
    /// A file or folder of the host.
    Bind {
        /// Which: absolute.
        source: PathBuf,
        /// Where in the container: absolute.
        target: String,
        /// Whether it cannot be written to.
        readonly: bool,
    },
    /// A folder in memory.
    Tmpfs {
        /// Where: absolute.
        target: String,
        /// Its limit in bytes.
        size: Option<u64>,
    },
}

/// What is wanted of a container. What is none or empty is the image's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// The image, by name or ID.
    pub image: String,
    /// The platform, of an image for several.
    pub platform: Option<Platform>,
    /// Its name; one is made up if it is empty.
    pub name: String,
    /// Variables, in order; they come before the image's.
    pub env: Vec<(String, String)>,
    /// The working folder.
    pub cwd: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// What is mounted.
    pub mounts: Vec<RunMount>,
    /// Its network.
    pub network: Network,
    /// Whether set-user-ID programs give its processes nothing.
    pub no_new_privileges: bool,
    /// The entry point instead of the image's; empty for none at all.
    pub entrypoint: Option<String>,
    /// The words after the image.
    pub args: Vec<String>,
    /// The host name; the start of the ID if none.
    pub hostname: Option<String>,
    /// More lines for `/etc/hosts`: (name, address).
    pub hosts: Vec<(String, String)>,
    /// Labels beside the image's.
    pub labels: Vec<(String, String)>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// What it may use.
    pub limits: Limits,
    /// What `/etc/resolv.conf` holds where there is a network.
    pub resolv_conf: Vec<u8>,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// A container that was made and not started yet.
pub struct Created {
    /// It.
    pub container: Container,
    /// The right to run it.
    pub lock: ContainerLock,
    /// What to run.
    pub spec: Spec,
}

/// Makes a container. What the store lacks of its image is brought. When the store is dropped afterwards, what the container
/// needs stays.
pub fn create(layers: &Arc<Layers>, options: &CreateOptions) -> Result<Created, Error> {
    let store = layers.store();
    let (_, image) = store.find_image(&options.image, options.platform.as_ref())?;
    let config = merge(&image.config.config, options);
    let args = command(&image.config.config, options);
    if args.is_empty() {
        return Err(Error::build(format!("the image {:?} has no CMD and no ENTRYPOINT", options.image))
            .help("write the command behind the image's name"));
    }
    let blobs: Vec<LayerBlob> = image
        .layers
        .iter()
        .map(|(descriptor, diff_id)| LayerBlob { descriptor: descriptor.clone(), diff_id: *diff_id })
        .collect();
    let state = layers.add_image(&blobs);
    let mut lower = layers.folders(&state)?;
    let tree = StateTree::new(layers, &state).map_err(failed)?;
    let text = |path: &str| tree.text(path, MAX_PASSWD).map_err(failed);
    let (passwd, group) = (text("/etc/passwd")?, text("/etc/group")?);
    let user = passwd::resolve_user(&config.user, passwd.as_deref(), group.as_deref())
        .map_err(|error| Error::build(error.to_string()))?;

    let id = random_id()?;
    let hostname = options.hostname.clone().unwrap_or_else(|| id[..12].to_owned());
    let cwd = if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() };
    if !cwd.starts_with('/') {
        return Err(Error::Usage(format!("the working folder {cwd:?} is not absolute")));
    }
    let env = environment(&config.env, &hostname, options.terminal, &user.home);
    let mut spec = Spec {
        lower: Vec::new(),
        upper: PathBuf::new(),
        work: PathBuf::new(),
        args: args.clone(),
        env,
        cwd,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        hostname: hostname.clone(),
        mounts: options.mounts.iter().map(sandbox_mount).collect::<Result<_, _>>()?,
        network: options.network,
        privileged: false,
        no_new_privileges: options.no_new_privileges,
        hosts: hosts_file(&hostname, &options.hosts).into(),
        resolv_conf: if options.network == Network::None { Vec::new() } else { options.resolv_conf.clone() }.into(),
        limits: options.limits.clone(),
    };
    let targets = stubs::targets(&spec).map_err(|error| Error::build(error.to_string()))?;
    let found = stubs::stubs(&tree.view, &spec.cwd, (spec.uid, spec.gid), Times::default().epoch, &targets)
        .map_err(|error| Error::build(error.to_string()))?;
    let (kept, hidden) = share(found);

    let record = ContainerRecord {
        id,
        name: options.name.clone(),
        kind: ContainerKind::Container,
        image: options.image.clone(),
        image_id: image.config_digest,
        manifest: image.manifest.digest,
        layers: state,
        config,
        args,
        hostname,
        mounts: options.mounts.iter().map(shown).collect(),
        created: options.now,
        process: None,
        ended: None,
        mounted: None,
    };
    let (container, lock) = store.create_container(record, |folder| {
        let (upper, stubs) = (folder.join("upper"), folder.join("stubs"));
        std::fs::create_dir(&stubs).map_err(io_error("create", &stubs))?;
        stubs::write(&kept, &upper).map_err(io_error("fill", &upper))?;
        stubs::write(&hidden, &stubs).map_err(io_error("fill", &stubs))
    })?;
    lower.insert(0, container.stubs());
    spec.lower = lower;
    spec.upper = container.upper();
    spec.work = container.fresh_work()?;
    Ok(Created { container, lock, spec })
}

fn failed(error: crate::solve::StepError) -> Error {
    Error::build(error.to_string())
}

/// What of the mount points belongs to the container, and what is hidden below it: all but the root and the working folder.
fn share(found: stubs::Stubs) -> (Vec<Entry>, Vec<Entry>) {
    let system = |entry: &Entry| ["dev", "proc", "sys"].iter().any(|name| entry.path.as_bytes() == name.as_bytes());
    let (mut hidden, kept) = (found.hidden, found.kept);
    let (of_system, kept): (Vec<Entry>, Vec<Entry>) = kept.into_iter().partition(system);
    if hidden.is_empty() {
        hidden.extend(kept.iter().filter(|entry| entry.path.is_root()).cloned());
    }
    hidden.extend(of_system);
    hidden.sort_by(|a, b| a.path.cmp(&b.path));
    hidden.retain(|entry| matches!(entry.kind, Kind::Dir { .. } | Kind::File { .. }));
    (kept, hidden)
}

/// The image's configuration with what was asked for.
fn merge(image: &ContainerConfig, options: &CreateOptions) -> ContainerConfig {
    let mut config = image.clone();
    for (name, value) in &options.env {
        let pair = format!("{name}={value}");
        match config.env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
            Some(known) => *known = pair,
            None => config.env.push(pair),
        }
    }
    if let Some(cwd) = &options.cwd {
        config.working_dir.clone_from(cwd);
    }
    if let Some(user) = &options.user {
        config.user.clone_from(user);
    }
    config.labels.extend(options.labels.iter().cloned());
    if let Some(entrypoint) = &options.entrypoint {
        config.entrypoint = Some(vec![entrypoint.clone()]).filter(|_| !entrypoint.is_empty());
        config.cmd = None;
    }
    if !options.args.is_empty() {
        config.cmd = Some(options.args.clone());
    }
    config
}

/// ENTRYPOINT, CMD and the words of the command line as one command. An entry point that was asked for makes the image's CMD
/// meaningless, and words take CMD's place.
fn command(image: &ContainerConfig, options: &CreateOptions) -> Vec<String> {
    let entrypoint = match &options.entrypoint {
        Some(given) if given.is_empty() => Vec::new(),
        Some(given) => vec![given.clone()],
        None => image.entrypoint.clone().unwrap_or_default(),
    };
    let cmd = match (options.args.is_empty(), &options.entrypoint) {
        (false, _) => options.args.clone(),
        (true, Some(_)) => Vec::new(),
        (true, None) => image.cmd.clone().unwrap_or_default(),
    };
    entrypoint.into_iter().chain(cmd).collect()
}

/// The whole environment: what every container has, unless the image or the user says otherwise.
fn environment(given: &[String], hostname: &str, terminal: bool, home: &str) -> Vec<(String, String)> {
    let given: Vec<(String, String)> = given
        .iter()
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut usual = vec![("PATH", DEFAULT_PATH), ("HOSTNAME", hostname)];
    if terminal {
        usual.push(("TERM", "xterm"));
    }
    usual.push(("HOME", home));
    let missing = usual.into_iter().filter(|(name, _)| !given.iter().any(|(known, _)| known == name));
    let mut env: Vec<(String, String)> = missing.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.extend(given);
    env
}

fn sandbox_mount(mount: &RunMount) -> Result<SandboxMount, Error> {
    let absolute = |target: &str| match target.starts_with('/') && target != "/" {
        true => Ok(target.to_owned()),
        false => Err(Error::Usage(format!("cannot mount at {target:?}: an absolute path below / is needed"))),
    };
    Ok(match mount {
        RunMount::Bind { source, target, readonly } => {
            let missing = |error: io::Error| {
                let error = Error::build(format!("cannot mount {}: {error}", source.display()));
                error.help("make it first: nothing is made on this machine by mounting it")
            };
            std::fs::metadata(source).map_err(missing)?;
            SandboxMount {
                target: absolute(target)?,
                kind: MountKind::Bind { source: source.clone(), readonly: *readonly },
            }
        }
        RunMount::Tmpfs { target, size } => {
            SandboxMount { target: absolute(target)?, kind: MountKind::Tmpfs { size: *size } }
        }
    })
}

fn shown(mount: &RunMount) -> (String, String) {
    match mount {
        RunMount::Bind { source, target, readonly: false } => (source.display().to_string(), target.clone()),
        RunMount::Bind { source, target, readonly: true } => (source.display().to_string(), format!("{target}:ro")),
        RunMount::Tmpfs { target, .. } => ("tmpfs".into(), target.clone()),
    }
}

fn hosts_file(hostname: &str, more: &[(String, String)]) -> Vec<u8> {
    let more: String = more.iter().map(|(name, address)| format!("{address}\t{name}\n")).collect();
    format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\t{hostname}\n{more}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_put_together_as_docker_does() {
        let check = |entrypoint: Option<&str>, cmd: Option<&str>, given: Option<&str>, args: &str, expected: &str| {
            let image = ContainerConfig {
                entrypoint: entrypoint.map(words),
                cmd: cmd.map(words),
                ..ContainerConfig::default()
            };
            let options =
                CreateOptions { entrypoint: given.map(Into::into), args: words(args), ..CreateOptions::default() };
            assert_eq!(command(&image, &options), words(expected), "{entrypoint:?} {cmd:?} {given:?} {args:?}");
        };
        check(None, Some("c d"), None, "", "c d");
        check(None, Some("c d"), None, "x y", "x y");
        check(Some("e f"), None, None, "", "e f");
        check(Some("e f"), Some("c d"), None, "", "e f c d");
        check(Some("e f"), Some("c d"), None, "x", "e f x");
        check(Some("e f"), Some("c d"), Some("g"), "", "g");
        check(Some("e f"), Some("c d"), Some("g"), "x", "g x");
        check(Some("e f"), Some("c d"), Some(""), "x", "x");
        check(Some("e f"), Some("c d"), Some(""), "", "");
        check(None, None, None, "", "");
    }

    #[test]
    fn what_is_given_comes_before_what_is_usual() {
        let env = |given: &str, terminal| {
            let env = environment(&words(given), "box", terminal, "/root");
            env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(env("PATH=/bin A=b=c", false), "HOSTNAME=box HOME=/root PATH=/bin A=b=c");
        assert_eq!(env("HOME=/h TERM=dumb", true), format!("PATH={DEFAULT_PATH} HOSTNAME=box HOME=/h TERM=dumb"));
        let image = ContainerConfig { env: words("A=1 B=2"), ..ContainerConfig::default() };
        let given = |name: &str| (name.to_owned(), "x".to_owned());
        let options = CreateOptions { env: vec![given("A"), given("C")], ..CreateOptions::default() };
        assert_eq!(merge(&image, &options).env, words("A=x B=2 C=x"));
    }
}
