//! Runs a step that is a process: turns it into a sandbox's description, runs that, and makes a layer of what it changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::{Event, Reporter, Stream};
use crate::fstree::select;
use crate::fstree::{Entry, Meta, Toc, passwd};
use crate::graph::{ExecOp, Mount, MountKind, Network, SecretMount, Times};
use crate::oci::Platform;
use crate::sandbox::{self, Cancel, Executor, Exit, SandboxMount, Spec, stubs};
use crate::solve::error::StepError;
use crate::solve::file::{InputTree, StateTree, mountable};
use crate::solve::observe::Failure;
use crate::solve::redact::{Redactor, Secrets};
use crate::solve::scene::Bound;
use crate::solve::{Credentials, Elsewhere, SecretValue, emulation};
use crate::store::cache_mount::{self, CacheMount};
use crate::store::layers::{LayerId, Layers};
use crate::store::snapshot::{self, FileSource, SnapshotFiles, Source};

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
    /// The secrets and agents that they may ask for.
    pub credentials: &'a Credentials,
    /// Who knows what their cache mounts can begin with.
    pub elsewhere: &'a dyn Elsewhere,
    /// What `/etc/resolv.conf` holds for steps that have a network.
    pub resolv_conf: &'a [u8],
    /// Is told when one fails, and may keep what it left; then it says under which name.
    pub failed: &'a (dyn Fn(Failure<'_>) -> Option<String> + Sync),
}

/// A process step with everything it works on.
pub struct ExecStep<'a> {
    /// Its number in events.
    pub number: usize,
    /// What to run.
    pub op: &'a ExecOp,
    /// For which machine its programs are.
    pub platform: &'a Platform,
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
        let store = context.layers.store();
        let scratch = store.tmp_path("step")?;
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        for folder in [&scratch, &upper, &work] {
            std::fs::create_dir(folder).map_err(|error| StepError::store(folder, error))?;
        }
        let mut spec = Spec {
            lower: context.layers.folders(&self.root.layers)?,
            upper: upper.clone(),
            work,
            args: self.op.args.clone(),
            env,
            cwd: self.op.cwd.clone(),
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
            hostname: self.op.hostname.clone(),
            mounts,
            network: self.op.network.into(),
            privileged: self.op.insecure,
            no_new_privileges: self.op.no_new_privileges,
            hosts: hosts_file(self.op).into(),
            resolv_conf: match self.op.network {
                Network::None => Vec::new().into(),
                Network::Default | Network::Host | Network::Private => context.resolv_conf.to_vec().into(),
            },
            limits: self.op.limits.clone(),
        };
        let started = SystemTime::now();
        self.make_mount_points(context, &mut spec)?;
        // All of them, not only its own: one that an earlier step has left in a file may be printed by any.
        let secrets = Secrets::new(context.credentials.secrets.values().map(|value| value.0.as_slice()));
        let mut log = Log { number: self.number, reporter: context.reporter, tail: Vec::new() };
        let mut redactors = [Redactor::new(&secrets), Redactor::new(&secrets)];
        let mut output = |stream, bytes: &[u8]| {
            let shown = redactors[stream as usize].push(bytes);
            log.write(stream, shown);
        };
        let exit = context.executor.run(&spec, &mut output, context.cancel);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held_back = redactors[stream as usize].finish();
            log.write(stream, held_back);
        }
        drop(held);
        let result = match exit {
            Ok(Exit::Code(0)) => {
                let clock = Some(snapshot::Clock::new(started, SystemTime::now()));
                let Times { epoch, ceiling } = self.times;
                let settle = snapshot::Settle { clock, epoch, ceiling };
                let overlay = store.overlay();
                let stop = context.layers.stop().clone();
                let root = File::open(&upper).map_err(|error| StepError::store(&upper, error))?;
                self.scrub(context, &root, overlay, settle)?;
                let options = snapshot::CommitOptions { overlay, settle, stop };
                let toc = snapshot::commit(root.as_fd(), &self.root.view, &options)?;
                Ok(context.layers.adopt(toc, &upper)?)
            }
            _ if context.cancel.is_canceled() => Err(StepError::Canceled),
            Ok(exit) => {
                // What cannot be kept can only not be looked at.
                let scene = self.scene(context.layers).ok();
                let kept = scene.and_then(|scene| (context.failed)(Failure { scene, exit, upper: &upper }));
                Err(StepError::Failed { exit, tail: log.into_tail(), kept })
            }
            Err(error) => Err(emulation::explain(error, self.platform)),
        };
        // What cannot be removed now is swept with this process's folder.
        let _ = crate::store::remove_tree(&scratch);
        result
    }

    /// Takes away what the step's scrubs say.
    fn scrub(
        &self,
        context: &ExecContext<'_>,
        root: &File,
        overlay: snapshot::Overlay,
        settle: snapshot::Settle,
    ) -> Result<(), StepError> {
        if self.op.scrubs.is_empty() {
            return Ok(());
        }
        let files = context.layers.files(&self.root.layers)?;
        let options = snapshot::ScrubOptions {
            scrubs: &self.op.scrubs,
            view: &self.root.view,
            files: &files.as_slice(),
            overlay,
            settle,
            stop: context.layers.stop().clone(),
        };
        Ok(snapshot::scrub(root.as_fd(), &options)?)
    }

    /// Gives the process the folders and files that something will be mounted on and that its image lacks.
    fn make_mount_points(&self, context: &ExecContext<'_>, spec: &mut Spec) -> Result<(), StepError> {
        let targets = stubs::targets(spec).map_err(|error| StepError::other(&error))?;
        let found = stubs::stubs(&self.root.view, &spec.cwd, (spec.uid, spec.gid), self.times.epoch, &targets)
            .map_err(|error| StepError::other(&error))?;
        stubs::write(&found.kept, &spec.upper).map_err(|error| StepError::store(&spec.upper, error))?;
        if !found.hidden.is_empty() || spec.lower.is_empty() {
            // The folder is the same for each step that lacks the same, so it is kept like a layer.
            let layer = context.layers.promise(Toc::new(found.hidden), Arc::new(Empty));
            spec.lower.insert(0, context.layers.folder(layer)?);
        }
        Ok(())
    }

    fn user(&self) -> Result<passwd::ResolvedUser, StepError> {
        let passwd = self.root.text("/etc/passwd", 16 << 20)?;
        let group = self.root.text("/etc/group", 16 << 20)?;
        passwd::resolve_user(&self.op.user, passwd.as_deref(), group.as_deref())
            .map_err(|error| StepError::other(&error))
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
                if cache.fresh && !begin_with(context, &cache, id, (*mode, *uid, *gid))? {
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
            MountKind::Secret(secret) => match context.credentials.secrets.get(&secret.id) {
                Some(SecretValue(value)) => {
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
                None => {
                    // A variable that was asked for is there, empty.
                    env.extend(secret.env.iter().map(|name| (name.clone(), String::new())));
                    None
                }
            },
            MountKind::Ssh(agent) => match context.credentials.agents.get(&agent.id) {
                Some(given) => {
                    if !env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
                        env.push(("SSH_AUTH_SOCK".into(), mount.target.clone()));
                    }
                    let SecretMount { mode, uid, gid, .. } = *agent;
                    Some(sandbox::MountKind::Socket { path: given.socket().to_owned(), mode, uid, gid })
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
        let Bound { layers, source, is_file } = self.bound(context.layers, input, source)?;
        let lower = context.layers.folders(&layers)?;
        Ok(sandbox::MountKind::Overlay { lower, source, is_file, writable, scratch: None })
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
        let matches = select::select_hashed(
            tree.view(),
            select::Source { path: source, wildcard: false, parents: false, exclude: &[] },
        )?;
        let found = matches.first().ok_or_else(|| StepError::message("the source of the cache mount is empty"))?;
        let layer = mountable(context.layers, tree, found, self.times.epoch)?;
        let toc = context.layers.toc(layer)?;
        let from = context.layers.folder(layer)?;
        let files = SnapshotFiles::new(File::open(&from).map_err(|error| StepError::store(&from, error))?.into());
        Ok(cache.create_from(&toc, &files)?)
    }
}

/// Makes the folder of a new cache mount with what it held elsewhere; whether there is such a thing.
fn begin_with(
    context: &ExecContext<'_>,
    cache: &CacheMount,
    id: &str,
    (mode, uid, gid): (u32, u32, u32),
) -> Result<bool, StepError> {
    let Some(blob) = context.elsewhere.mount(id) else { return Ok(false) };
    let fill = || -> Result<(), StepError> {
        context.layers.bring(std::slice::from_ref(&blob))?;
        let tar = context.layers.stop().watch(context.layers.store().reader(&blob.digest)?);
        let store = context.layers.store();
        let fill = || cache.create_from_tar(tar, Meta { mode, uid, gid, ..Meta::default() }, store.archives());
        Ok(store.confined(fill).map_err(|error| StepError::other(&error))??)
    };
    match fill() {
        Ok(()) => Ok(true),
        Err(_) if context.cancel.is_canceled() => Err(StepError::Canceled),
        // It is there for speed only.
        Err(error) => {
            let text = format!("the cache mount {id} does not begin with what a cache has for it: {error}");
            context.reporter.report(Event::Warning(text));
            Ok(false)
        }
    }
}

/// What a process writes: told as it comes, and the last of it kept.
struct Log<'a> {
    number: usize,
    reporter: &'a dyn Reporter,
    tail: Vec<u8>,
}

impl Log<'_> {
    fn write(&mut self, stream: Stream, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.tail.extend_from_slice(&bytes);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.reporter.report(Event::Output(self.number, stream, bytes));
    }

    fn into_tail(mut self) -> Vec<u8> {
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.tail
    }
}

/// Has the bytes of files that have none.
struct Empty;

impl FileSource for Empty {
    fn open(&self, _: &Entry) -> io::Result<Source> {
        Ok(Source::Reader(Box::new(io::empty())))
    }
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
