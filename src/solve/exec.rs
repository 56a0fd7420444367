//! Runs a step that is a process: turns it into a sandbox's description, runs that, and makes a layer of what it changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::{Event, Reporter};
use crate::fstree::{Entry, NodeKind, Toc, TreePath, View, passwd};
use crate::fstree::select::{Source, select};
use crate::fstree::tar::NoContents;
use crate::graph::{ExecOp, Mount, MountKind, Network, SecretMount, Times};
use crate::sandbox::{self, Cancel, Executor, Exit, SandboxMount, Spec};
use crate::solve::error::StepError;
use crate::solve::file::{InputTree, StateTree, mountable};
use crate::store::cache_mount::{self, CacheMount};
use crate::store::layers::{LayerId, Layers};
use crate::store::snapshot;

/// How much of a process's last output is kept for the report of its failure, in bytes.
const TAIL: usize = 64 << 10;

/// What processes are given beside their step.
pub struct ExecContext<'a> {
    /// Where layers are and go.
    pub layers: &'a Arc<Layers>,
    /// What runs processes.
    pub executor: &'a dyn Executor,
    /// Who is told what they write.
    pub reporter: &'a dyn Reporter,
    /// Stops them.
    pub cancel: &'a Cancel,
    /// The values of secrets, by their ids.
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
    /// The sockets of ssh agents, by their ids.
    pub agents: &'a BTreeMap<String, PathBuf>,
    /// What `/etc/resolv.conf` holds for steps that have a network.
    pub resolv_conf: &'a [u8],
}

/// A process step with everything it works on.
pub struct ExecStep<'a> {
    /// Its number in events.
    pub number: usize,
    /// What to run.
    pub op: &'a ExecOp,
    /// The times of what it makes.
    pub times: Times,
    /// Its root file system.
    pub root: &'a StateTree,
    /// Its other inputs.
    pub inputs: &'a BTreeMap<usize, InputTree>,
}

impl ExecStep<'_> {
    /// Runs the process and makes a layer of its changes.
    pub fn run(&self, context: &ExecContext<'_>) -> Result<LayerId, StepError> {
        let user = self.user()?;
        let mut held = Vec::new();
        let mut env = self.op.env.clone();
        let mut mounts = Vec::new();
        for mount in &self.op.mounts {
            if let Some(kind) = self.mount(context, mount, &mut env, &mut held)? {
                mounts.push(SandboxMount { target: mount.target.clone(), kind });
            }
        }
        for (name, value) in &self.op.proxy {
            if !env.iter().any(|(known, _)| known == name) {
                env.push((name.clone(), value.clone()));
            }
        }
        if !env.iter().any(|(name, _)| name == "HOME") {
            env.push(("HOME".into(), user.home.clone()));
        }
        let mut lower = context.layers.folders(&self.root.layers)?;
        let stubs = sandbox::stubs(&self.root.view, &mounts).map_err(|error| StepError::other(&error))?;
        if !stubs.is_empty() || lower.is_empty() {
            lower.insert(0, stub_folder(context.layers, stubs)?);
        }
        let store = context.layers.store();
        let scratch = store.tmp_path("step")?;
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        std::fs::create_dir(&scratch).map_err(|error| StepError::store(&scratch, error))?;
        // The upper folder is what the process sees as its root, so it must look like the one below.
        let root = self.root.view.lookup(&TreePath::root()).map_err(|error| StepError::other(&error))?;
        snapshot::create_root(&upper, &root.map(|node| node.meta).unwrap_or_default())?;
        std::fs::create_dir(&work).map_err(|error| StepError::store(&work, error))?;
        let spec = Spec {
            lower,
            upper: upper.clone(),
            work,
            userxattr: false,
            args: self.op.args.clone(),
            env,
            cwd: self.op.cwd.clone(),
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
            hostname: self.op.hostname.clone(),
            mounts,
            network: match self.op.network {
                Network::None => sandbox::Network::None,
                Network::Default | Network::Host => sandbox::Network::Host,
            },
            privileged: self.op.insecure,
            hosts: hosts_file(self.op).into(),
            resolv_conf: match self.op.network {
                Network::None => Vec::new().into(),
                Network::Default | Network::Host => context.resolv_conf.to_vec().into(),
            },
            shm_size: 64 << 20,
        };
        let started = SystemTime::now();
        let mut tail = Vec::new();
        let mut output = |stream, bytes: &[u8]| {
            tail.extend_from_slice(bytes);
            if tail.len() > 2 * TAIL {
                tail.drain(..tail.len() - TAIL);
            }
            context.reporter.report(Event::Output(self.number, stream, bytes.to_vec()));
        };
        let exit = context.executor.run(&spec, &mut output, context.cancel);
        drop(held);
        let result = match exit {
            Ok(Exit::Code(0)) => {
                let window = snapshot::Window { start: started, end: SystemTime::now() };
                let toc = snapshot::commit(&upper, &self.root.view, window, self.times)?;
                Ok(context.layers.adopt(toc, &upper)?)
            }
            _ if context.cancel.is_canceled() => Err(StepError::Canceled),
            Ok(exit) => {
                tail.drain(..tail.len().saturating_sub(TAIL));
                Err(StepError::Failed { exit, tail })
            }
            Err(error) => Err(error.into()),
        };
        store.discard(&scratch);
        result
    }

    fn user(&self) -> Result<passwd::ResolvedUser, StepError> {
        let passwd = self.root.text("/etc/passwd", 16 << 20)?;
        let group = self.root.text("/etc/group", 16 << 20)?;
        passwd::resolve_user(&self.op.user, passwd.as_deref(), group.as_deref()).map_err(|error| StepError::other(&error))
    }

    fn mount(
        &self,
        context: &ExecContext<'_>,
        mount: &Mount,
        env: &mut Vec<(String, String)>,
        held: &mut Vec<CacheMount>,
    ) -> Result<Option<sandbox::MountKind>, StepError> {
        Ok(match &mount.kind {
            MountKind::Bind { input, source, writable } => Some(self.bind(context, *input, source, *writable)?),
            MountKind::Cache { id, sharing, seed, mode, uid, gid, readonly } => {
                let store = context.layers.store();
                let canceled = || context.cancel.is_canceled();
                let Some(cache) = cache_mount::acquire(store, id, *sharing, &canceled)? else {
                    return Err(StepError::Canceled);
                };
                if cache.fresh {
                    self.seed(context, &cache, seed.as_ref(), (*mode, *uid, *gid))?;
                }
                let kind = sandbox::MountKind::Bind { source: cache.folder.clone(), readonly: *readonly };
                held.push(cache);
                Some(kind)
            }
            MountKind::Tmpfs { size } => Some(sandbox::MountKind::Tmpfs { size: *size }),
            MountKind::File { data, mode } => {
                Some(sandbox::MountKind::File { data: data.clone().into(), mode: *mode, uid: 0, gid: 0 })
            }
            MountKind::Secret(secret) => match context.secrets.get(&secret.id) {
                Some(value) => {
                    if let Some(name) = &secret.env {
                        let text = String::from_utf8_lossy(value).into_owned();
                        env.retain(|(known, _)| known != name);
                        env.push((name.clone(), text));
                    }
                    let SecretMount { mode, uid, gid, .. } = *secret;
                    secret.file.then(|| sandbox::MountKind::File { data: value.clone().into(), mode, uid, gid })
                }
                None if secret.required => {
                    return Err(StepError::message(format!(
                        "the secret {:?} is required and was not given: add --secret id={},src=FILE",
                        secret.id, secret.id
                    )));
                }
                None => None,
            },
            MountKind::Ssh(agent) => match context.agents.get(&agent.id) {
                Some(path) => {
                    if !env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
                        env.push(("SSH_AUTH_SOCK".into(), mount.target.clone()));
                    }
                    let SecretMount { mode, uid, gid, .. } = *agent;
                    Some(sandbox::MountKind::Socket { path: path.clone(), mode, uid, gid })
                }
                None if agent.required => {
                    return Err(StepError::message(format!(
                        "the ssh agent {:?} is required and was not given: start an agent and add --ssh {}",
                        agent.id, agent.id
                    )));
                }
                None => None,
            },
        })
    }

    fn bind(
        &self,
        context: &ExecContext<'_>,
        input: usize,
        source: &str,
        writable: bool,
    ) -> Result<sandbox::MountKind, StepError> {
        let tree = self.inputs.get(&input).ok_or_else(|| StepError::message("an input of the step is missing"))?;
        match tree {
            InputTree::State(state) => {
                let path = crate::fstree::resolve::follow(&TreePath::clean(source), |path| state.view.lookup(path))
                    .map_err(|error| StepError::other(&error))?;
                let node = state.view.lookup(&path).map_err(|error| StepError::other(&error))?;
                let Some(node) = node else {
                    return Err(StepError::message(format!("the source {source:?} of the mount does not exist")));
                };
                Ok(sandbox::MountKind::Overlay {
                    lower: context.layers.folders(&state.layers)?,
                    source: String::from_utf8_lossy(path.as_bytes()).into_owned(),
                    is_file: node.kind != NodeKind::Dir,
                    writable,
                    scratch: None,
                })
            }
            InputTree::Context(_) => {
                let matches = select(tree.view(), Source { path: source, wildcard: false, parents: false, exclude: &[] })?;
                let found = matches.first().ok_or_else(|| StepError::message("the source of the mount is empty"))?;
                let files = crate::fstree::select::regular_files(&matches);
                let contents = tree.view().contents(&files).map_err(|error| StepError::other(&error))?;
                let layer = mountable(context.layers, tree, found, &contents, self.times.epoch)?;
                let is_file = found.files.first().is_some_and(|file| file.node.kind != NodeKind::Dir);
                Ok(sandbox::MountKind::Overlay {
                    lower: context.layers.folders(&[layer])?,
                    source: if is_file { "file".into() } else { String::new() },
                    is_file,
                    writable,
                    scratch: None,
                })
            }
        }
    }

    /// Makes the folder of a new cache mount, with what it starts with.
    fn seed(
        &self,
        context: &ExecContext<'_>,
        cache: &CacheMount,
        seed: Option<&(usize, String)>,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<(), StepError> {
        let Some((input, source)) = seed else {
            return Ok(cache.create(mode, uid, gid)?);
        };
        let tree = self.inputs.get(input).ok_or_else(|| StepError::message("an input of the step is missing"))?;
        let matches = select(tree.view(), Source { path: source, wildcard: false, parents: false, exclude: &[] })?;
        let found = matches.first().ok_or_else(|| StepError::message("the source of the cache mount is empty"))?;
        let files = crate::fstree::select::regular_files(&matches);
        let contents = tree.view().contents(&files).map_err(|error| StepError::other(&error))?;
        let layer = mountable(context.layers, tree, found, &contents, self.times.epoch)?;
        let toc = context.layers.toc(layer)?;
        let from = context.layers.folder(layer)?;
        let files = snapshot::FolderContents::open(&from)?;
        Ok(cache.create_from(|folder| snapshot::write(folder, &toc, &files))?)
    }
}

/// A layer with just the mount points that an image lacks.
fn stub_folder(layers: &Layers, entries: Vec<Entry>) -> Result<PathBuf, StepError> {
    let layer = layers.promise(Toc::new(entries), Arc::new(NoContents));
    Ok(layers.folder(layer)?)
}

fn hosts_file(op: &ExecOp) -> Vec<u8> {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    if !op.hostname.is_empty() {
        text.push_str(&format!("127.0.0.1\t{}\n", op.hostname));
    }
    for (name, address) in &op.extra_hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
}
