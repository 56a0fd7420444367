//! From a place to stand to a process there: a sandbox over the place's layers, with everything writable on top.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::Standing;
use super::lent::LentShell;
use crate::fstree::{Merged, NodeKind, TreePath, View, passwd, resolve};
use crate::graph::{Network, Times};
use crate::ops::Error;
use crate::sandbox::{MountKind, SandboxMount, Spec, stubs};
use crate::solve::{Credentials, SecretValue, StateTree};
use crate::store::layers::{LayerId, Layers};
use crate::store::scenes::{KeptScene, Scene, SceneLock, SceneMount, SceneMountKind};
use crate::store::snapshot::{self, CommitOptions, Settle};
use crate::store::{Stop, Store, cache_mount, io_error};

/// What there is when nothing says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The largest `/etc/passwd` that is read, in bytes.
const MAX_PASSWD: u64 = 16 << 20;
/// Shells of images, the most comfortable first.
const SHELLS: [&str; 5] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh"];
/// Where a shell is lent: in a file system that every sandbox makes for itself, so that no layer knows of it.
const LENT: &str = "/dev/imgbuild";

/// What is wanted there. What is none or empty is the place's own.
#[derive(Debug, Clone, Default)]
pub struct EnterOptions {
    /// The program and its arguments; a shell if empty.
    pub command: Vec<String>,
    /// The user.
    pub user: Option<String>,
    /// The working folder.
    pub cwd: Option<String>,
    /// Variables, over those of the step.
    pub env: Vec<(String, String)>,
    /// Secrets and agents that are given again.
    pub credentials: Credentials,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether this machine's shell is lent although there is one.
    pub lend: bool,
    /// What `/etc/resolv.conf` holds where there is a network.
    pub resolv_conf: Vec<u8>,
}

/// A process that is about to run.
pub struct Visit {
    /// What to run.
    pub spec: Spec,
    /// Whether its shell is this machine's.
    pub is_lent: bool,
    /// The secrets and agents that the step had and that were not given.
    pub missing: Vec<String>,
    kept: KeptScene,
    lock: SceneLock,
    _failure: Option<SceneLock>,
}

impl Visit {
    /// Removes what it changed.
    pub fn leave(self, store: &Store) -> Result<(), Error> {
        drop(self.lock);
        store.remove_scene(&self.kept.folder)?;
        Ok(())
    }
}

/// Makes what a process at a place needs. When the store is dropped afterwards, all of it stays.
///
/// # Errors
/// Also if there is no shell, neither in the place nor on this machine.
pub fn enter(store: &Arc<Store>, standing: &Standing, options: &EnterOptions) -> Result<Visit, Error> {
    let scene = &standing.scene;
    let layers = Arc::new(Layers::new(store.clone()));
    if !scene.all_layers().all(|layer| layers.available(layer)) {
        return Err(Error::build("the layers of this state are not in the store any more").help("build it again"));
    }
    let mut lower = layers.folders(&scene.layers)?;
    let tree = StateTree::new(&layers, &scene.layers).map_err(failed)?;
    let (mut view, mut inside) = (tree.view.clone(), None);
    if let Some(failure) = standing.failure.as_ref().filter(|_| !standing.before) {
        inside = failure.enter()?;
        if inside.is_none() {
            return Err(Error::build("the state of the failed step is not kept any more"));
        }
        view = with_upper(store, &view, &failure.upper())?;
        lower.insert(0, failure.upper());
    }
    let user = user(&tree, options.user.as_ref().unwrap_or(&scene.user))?;

    let shell = SHELLS.iter().find(|shell| is_program(&view, shell)).filter(|_| !options.lend);
    let lent = if shell.is_none() { LentShell::find() } else { None };
    let args = match (&options.command[..], shell, &lent) {
        ([], Some(shell), _) => vec![(*shell).to_owned()],
        ([], None, Some(_)) => vec![format!("{LENT}/sh")],
        ([], None, None) => {
            return Err(Error::environment("the image has no shell, and this machine has no static one to lend").help(
                "install one, on Debian and Ubuntu with `apt-get install busybox-static`, or write a command after --",
            ));
        }
        (command, ..) => command.to_vec(),
    };
    let mut env = scene.env.clone();
    if options.terminal && !env.iter().any(|(name, _)| name == "TERM") {
        env.push(("TERM".into(), "xterm".into()));
    }
    if !env.iter().any(|(name, _)| name == "HOME") {
        env.push(("HOME".into(), user.home.clone()));
    }
    for (name, value) in &options.env {
        set(&mut env, name, value);
    }
    let cwd = options.cwd.clone().unwrap_or_else(|| scene.cwd.clone());
    if !cwd.starts_with('/') {
        return Err(Error::Usage(format!("the working folder {cwd:?} is not absolute")));
    }
    let mut mounter = Mounter { layers: &layers, credentials: &options.credentials, env, missing: Vec::new() };
    let mut mounts = mounter.mounts(&scene.mounts)?;
    let Mounter { mut env, missing, .. } = mounter;
    if lent.is_some() {
        let path = env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
        let path = format!("{path}:{LENT}");
        set(&mut env, "PATH", &path);
    }

    let (kept, lock) = store.visit(scene.clone(), |folder| {
        for name in ["upper", "work", "stubs", "lent", "mounts"] {
            let path = folder.join(name);
            fs::create_dir(&path).map_err(io_error("create", &path))?;
        }
        if let Some(lent) = &lent {
            lent.fill(&folder.join("lent")).map_err(io_error("fill", &folder.join("lent")))?;
        }
        Ok(())
    })?;
    let folder = kept.folder.clone();
    if lent.is_some() {
        mounts.push(SandboxMount {
            target: LENT.into(),
            kind: MountKind::Bind { source: folder.join("lent"), readonly: true },
        });
    }
    let spec = Spec {
        lower,
        upper: folder.join("upper"),
        work: folder.join("work"),
        args,
        env,
        cwd,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        hostname: scene.hostname.clone(),
        mounts,
        network: scene.network.into(),
        privileged: scene.privileged,
        // Whoever looks around may do more than the step.
        no_new_privileges: false,
        hosts: hosts_file(scene).into(),
        resolv_conf: if scene.network == Network::None { Vec::new() } else { options.resolv_conf.clone() }.into(),
        limits: scene.limits.clone(),
    };
    let mut visit =
        Visit { spec, is_lent: options.command.is_empty() && lent.is_some(), missing, kept, lock, _failure: inside };
    match prepare(&mut visit.spec, &view, &folder) {
        Ok(()) => Ok(visit),
        Err(error) => {
            visit.leave(store)?;
            Err(error)
        }
    }
}

/// Makes folders for what is written to mounts, and the mount points that the image lacks.
fn prepare(spec: &mut Spec, view: &Merged, folder: &Path) -> Result<(), Error> {
    for (number, mount) in spec.mounts.iter_mut().enumerate() {
        if let MountKind::Overlay { writable: true, scratch, .. } = &mut mount.kind {
            let path = folder.join("mounts").join(number.to_string());
            fs::create_dir(&path).map_err(io_error("create", &path))?;
            *scratch = Some(path);
        }
    }
    let targets = stubs::targets(spec).map_err(|error| Error::build(error.to_string()))?;
    let found = stubs::stubs(view, &spec.cwd, (spec.uid, spec.gid), Times::default().epoch, &targets)
        .map_err(|error| Error::build(error.to_string()))?;
    let stubs = folder.join("stubs");
    stubs::write(&found.kept, &spec.upper).map_err(io_error("fill", &spec.upper))?;
    stubs::write(&found.hidden, &stubs).map_err(io_error("fill", &stubs))?;
    spec.lower.insert(0, stubs);
    Ok(())
}

fn failed(error: crate::solve::StepError) -> Error {
    Error::build(error.to_string())
}

fn user(tree: &StateTree, user: &str) -> Result<passwd::ResolvedUser, Error> {
    let text = |path: &str| tree.text(path, MAX_PASSWD).map_err(failed);
    passwd::resolve_user(user, text("/etc/passwd")?.as_deref(), text("/etc/group")?.as_deref())
        .map_err(|error| Error::build(error.to_string()))
}

/// What is seen with the changes of a process that failed.
fn with_upper(store: &Store, view: &Merged, upper: &Path) -> Result<Merged, Error> {
    let root = File::open(upper).map_err(io_error("open", upper))?;
    let settle = Settle { clock: None, epoch: Times::default().epoch, ceiling: None };
    let options = CommitOptions { overlay: store.overlay(), settle, stop: Stop::NEVER };
    Ok(view.with(Arc::new(snapshot::look(root.as_fd(), view, &options)?)))
}

/// Whether there is a program of this name, as far as can be seen from outside.
fn is_program(view: &Merged, path: &str) -> bool {
    let lookup = |path: &TreePath| view.lookup(path);
    let Ok(path) = resolve::follow(&TreePath::clean(path), lookup) else { return false };
    let found = view.lookup(&path).ok().flatten();
    found.is_some_and(|node| matches!(node.kind, NodeKind::File(_)) && node.meta.mode & 0o111 != 0)
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => env.push((name.to_owned(), value.to_owned())),
    }
}

/// Makes the mounts of a scene.
struct Mounter<'a> {
    layers: &'a Layers,
    credentials: &'a Credentials,
    env: Vec<(String, String)>,
    missing: Vec<String>,
}

impl Mounter<'_> {
    fn mounts(&mut self, mounts: &[SceneMount]) -> Result<Vec<SandboxMount>, Error> {
        let mut made = Vec::new();
        for mount in mounts {
            if let Some(kind) = self.mount(mount)? {
                made.push(SandboxMount { target: mount.target.clone(), kind });
            }
        }
        Ok(made)
    }

    fn mount(&mut self, mount: &SceneMount) -> Result<Option<MountKind>, Error> {
        Ok(match &mount.kind {
            SceneMountKind::Bind { layers, source, is_file, writable } => {
                Some(self.bind(layers, source, *is_file, *writable)?)
            }
            SceneMountKind::Cache { id, readonly } => {
                // What is there now, and nothing that is written to it reaches it. The folder that it is in comes along,
                // so that its own owner and permissions are seen, which the root of an overlay has from its upper folder.
                let folder = cache_mount::folder(self.layers.store(), id);
                let (lower, source) = match (folder.is_dir(), folder.parent(), folder.file_name()) {
                    (true, Some(home), Some(name)) => (vec![home.to_owned()], name.to_string_lossy().into_owned()),
                    _ => (Vec::new(), String::new()),
                };
                Some(MountKind::Overlay { lower, source, is_file: false, writable: !readonly, scratch: None })
            }
            SceneMountKind::Tmpfs { size } => Some(MountKind::Tmpfs { size: *size }),
            SceneMountKind::File { text, mode } => {
                Some(MountKind::File { data: text.clone().into_bytes().into(), mode: *mode, uid: 0, gid: 0 })
            }
            SceneMountKind::Secret { id, file, env, mode, uid, gid } => match self.credentials.secrets.get(id) {
                Some(SecretValue(value)) => {
                    if let Some(name) = env {
                        set(&mut self.env, name, &String::from_utf8_lossy(value));
                    }
                    let data = value.clone().into();
                    file.then_some(MountKind::File { data, mode: *mode, uid: *uid, gid: *gid })
                }
                None => {
                    self.missing.push(format!("--secret id={id},src=FILE"));
                    None
                }
            },
            SceneMountKind::Ssh { id } => match self.credentials.agents.get(id) {
                Some(agent) => {
                    if !self.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
                        self.env.push(("SSH_AUTH_SOCK".into(), mount.target.clone()));
                    }
                    // It can be talked to all the same.
                    Some(MountKind::Bind { source: agent.socket().to_owned(), readonly: true })
                }
                None => {
                    self.missing.push(format!("--ssh {id}"));
                    None
                }
            },
        })
    }

    fn bind(&self, layers: &[LayerId], source: &str, is_file: bool, writable: bool) -> Result<MountKind, Error> {
        let lower = self.layers.folders(layers)?;
        Ok(MountKind::Overlay { lower, source: source.to_owned(), is_file, writable, scratch: None })
    }
}

fn hosts_file(scene: &Scene) -> Vec<u8> {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    if !scene.hostname.is_empty() {
        text.push_str(&format!("127.0.0.1\t{}\n", scene.hostname));
    }
    for (name, address) in &scene.hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
}
