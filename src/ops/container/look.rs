//! Containers from outside: what they changed, as a list, a layer or a tar; and their files as a mount.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::import::changes;
use super::super::{Error, ImportedImage};
use crate::compress::Compression;
use crate::export::{ImageSpec, assemble, write_tar};
use crate::fstree::tar::{self, Verify};
use crate::fstree::{Kind, Merged, TreePath, View};
use crate::graph::Times;
use crate::oci::{History, Platform, Reference};
use crate::sandbox;
use crate::store::containers::{Container, ContainerError, ContainerKind, ContainerRecord, random_id};
use crate::store::layers::{LayerBlob, LayerId, Layers};
use crate::store::snapshot::{self, Clock, CommitOptions, Overlay, Settle, SnapshotFiles};
use crate::store::{FindError, ResolvedImage, Stop, Store, StoreError, io_error};

/// What happened to a name in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The image does not have it.
    Added,
    /// It is different, or something in it is.
    Changed,
    /// Only the image has it.
    Deleted,
}

/// A name that is not as the image has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Which.
    pub path: TreePath,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// A container's image with its layers.
pub(super) struct Below {
    pub(super) image: ResolvedImage,
    pub(super) layers: Arc<Layers>,
    pub(super) state: Vec<LayerId>,
}

impl Below {
    pub(super) fn of(layers: &Arc<Layers>, container: &Container) -> Result<Self, Error> {
        let manifest = container.record.manifest;
        let image = layers.store().resolve_all(&manifest)?.into_iter().next().ok_or(StoreError::Missing(manifest))?;
        Ok(Self::new(layers, image))
    }

    fn new(layers: &Arc<Layers>, image: ResolvedImage) -> Self {
        let blob = |(descriptor, diff_id): &(crate::oci::Descriptor, crate::digest::DiffId)| LayerBlob {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
        };
        let state = layers.add_image(&image.layers.iter().map(blob).collect::<Vec<_>>());
        Self { image, layers: layers.clone(), state }
    }

    fn view(&self) -> Result<Merged, Error> {
        Ok(self.layers.merged(&self.state)?)
    }
}

/// What a container changed, by path. Something that is the same as in the image is no change.
pub fn changes(layers: &Arc<Layers>, name: &str) -> Result<Vec<Change>, Error> {
    let store = layers.store();
    let container = store.find_container(name)?;
    let view = Below::of(layers, &container)?.view()?;
    let toc = snapshot::look(open(&container.upper())?.as_fd(), &view, &commit_options(store, Times::default(), None))?;
    let mut all = Vec::new();
    for entry in toc.entries().iter().filter(|entry| !entry.path.is_root()) {
        let before = view.lookup(&entry.path).map_err(|error| Error::build(error.to_string()))?;
        let kind = match (&entry.kind, before) {
            (Kind::Whiteout, _) => ChangeKind::Deleted,
            (_, None) => ChangeKind::Added,
            (Kind::Dir { opaque: true }, Some(_)) => {
                let below = view.children(&entry.path).map_err(|error| Error::build(error.to_string()))?;
                let gone = below.iter().map(|(name, _)| entry.path.join(name)).filter(|path| toc.get(path).is_none());
                all.extend(gone.map(|path| Change { path, kind: ChangeKind::Deleted }));
                ChangeKind::Changed
            }
            (_, Some(_)) => ChangeKind::Changed,
        };
        all.push(Change { path: entry.path.clone(), kind });
    }
    all.sort();
    Ok(all)
}

/// What a commit says beside the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// What the image is called.
    pub references: Vec<Reference>,
    /// A remark for its history.
    pub message: String,
    /// Who is responsible.
    pub author: String,
    /// Instructions that change its configuration.
    pub changes: Vec<String>,
    /// Whether a container that runs is stopped meanwhile.
    pub pause: bool,
    /// What accidental times become.
    pub times: Times,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// Makes an image of a container: its image's layers and one more. The same changes make the same layer as in a build.
pub fn commit(layers: &Arc<Layers>, name: &str, options: &Commit) -> Result<ImportedImage, Error> {
    let container = layers.store().find_container(name)?;
    let record = &container.record;
    let Below { image, layers, mut state } = Below::of(layers, &container)?;
    let platform = image.platform();
    let container_config = changes::apply_to(&options.changes, &platform, &record.config)
        .map_err(|found| Error::Diagnostics(Box::new(found)))?;
    let view = layers.merged(&state)?;
    let paused = options.pause.then(|| Paused::new(&container)).transpose()?;
    let upper = open(&container.upper())?;
    let clock = Clock::new(moment(record.created), moment(options.now.saturating_add(1)));
    let toc = snapshot::look(upper.as_fd(), &view, &commit_options(layers.store(), options.times, Some(clock)))?;
    state.push(layers.promise(toc, Arc::new(SnapshotFiles::new(upper.into()))));
    let mut config = image.config.clone();
    config.config = container_config;
    config.author.clone_from(&options.author);
    let mut history = config.history.clone();
    // Builders that forget instructions must not make this one's layer look like another's.
    let described = history.iter().filter(|entry| !entry.empty_layer).count();
    let missing = image.layers.len().saturating_sub(described);
    history.splice(0..0, std::iter::repeat_n(History::default(), missing));
    history.push(History {
        created_by: record.args.join(" "),
        author: options.author.clone(),
        comment: options.message.clone(),
        ..History::default()
    });
    let spec = ImageSpec {
        state: &state,
        config: &config,
        history: &history,
        platform: &platform,
        annotations: &BTreeMap::new(),
        times: options.times,
        compression: Compression::GZIP,
    };
    let made = assemble(&layers, &spec).map_err(|error| Error::build(error.to_string()))?;
    drop(paused);
    // An image that is listed has all of its layers.
    layers.bring(&made.layers.iter().map(|layer| layer.descriptor.clone()).collect::<Vec<_>>())?;
    layers.store().update_index(|index| {
        for reference in &options.references {
            index.set(reference, made.manifest.clone());
        }
        index.add_untagged(made.manifest.clone());
    })?;
    Ok(ImportedImage { id: made.config.digest, descriptor: made.manifest })
}

/// Writes the files of a container as a tar, without what is mounted in it.
pub fn export_container(layers: &Arc<Layers>, name: &str, out: impl Write) -> Result<(), Error> {
    let container = layers.store().find_container(name)?;
    let Below { layers, state, .. } = Below::of(layers, &container)?;
    let mut lower = vec![container.upper()];
    lower.extend(layers.folders(&state)?);
    let root = match &lower[..] {
        [only] => open(only)?.into(),
        lower => sandbox::open_merged(lower, None).map_err(overlay_failed)?,
    };
    let settle = Settle { clock: None, epoch: 0, ceiling: None };
    let toc = snapshot::import(root.as_fd(), &settle)?;
    let written = tar::write(&toc, &SnapshotFiles::new(root), Verify::Size, out);
    written
        .and_then(|mut out| out.flush().map_err(tar::WriteError::Out))
        .map_err(|error| Error::build(error.to_string()))
}

/// Writes the files of an image as a tar.
pub fn export_image(
    layers: &Arc<Layers>,
    name: &str,
    platform: Option<&Platform>,
    out: impl Write,
) -> Result<(), Error> {
    let (_, image) = layers.store().find_image(name, platform)?;
    let Below { layers, state, .. } = Below::new(layers, image);
    let mut out = write_tar(&layers, &state, out)?;
    out.flush().map_err(|error| Error::build("cannot write the archive").caused_by(error))
}

/// Mounts a container, to be written to, or an image, to be read; returns where. It stays until [`umount`].
pub fn mount(
    layers: &Arc<Layers>,
    name: &str,
    platform: Option<&Platform>,
    target: Option<&Path>,
    now: i64,
) -> Result<PathBuf, Error> {
    if layers.store().overlay() == Overlay::User {
        let error = Error::environment("without root, a mount would be seen by nobody else and end with this command");
        return Err(error.help("look at the files with `imgbuild cp`, `imgbuild export` or `imgbuild run`"));
    }
    match layers.store().find_container(name) {
        Ok(container) => mount_container(layers, container, target),
        Err(ContainerError::NotFound(_)) => mount_image(layers, name, platform, target, now),
        Err(error) => Err(error.into()),
    }
}

fn mount_container(layers: &Arc<Layers>, mut container: Container, target: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(place) = &container.record.mounted {
        return Err(Error::build(format!("it is mounted at {} already", place.display())));
    }
    let _lock = container.lock()?;
    let Below { layers, state, .. } = Below::of(layers, &container)?;
    let mut lower = layers.folders(&state)?;
    if lower.is_empty() {
        lower.push(container.stubs());
    }
    let place = place(&container, target)?;
    let (upper, work) = (container.upper(), container.fresh_work()?);
    sandbox::mount_merged(&lower, Some((&upper, &work)), &place).map_err(overlay_failed)?;
    container.record.mounted = Some(place.clone());
    container.save()?;
    Ok(place)
}

fn mount_image(
    layers: &Arc<Layers>,
    name: &str,
    platform: Option<&Platform>,
    target: Option<&Path>,
    now: i64,
) -> Result<PathBuf, Error> {
    let store = layers.store();
    let (_, image) = store.find_image(name, platform).map_err(|error| match error {
        FindError::NotFound(_) => Error::build(format!("there is no container and no image {name:?} in the store")),
        error => error.into(),
    })?;
    let (image_id, manifest) = (image.config_digest, image.manifest.digest);
    let Below { layers, state, .. } = Below::new(layers, image);
    let record = ContainerRecord {
        id: random_id()?,
        name: String::new(),
        kind: ContainerKind::Mount,
        image: name.to_owned(),
        image_id,
        manifest,
        layers: state.clone(),
        config: crate::oci::ContainerConfig::default(),
        args: Vec::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        created: now,
        process: None,
        ended: None,
        mounted: None,
    };
    let (mut container, lock) = store.create_container(record, |_| Ok(()))?;
    let mounted = || -> Result<PathBuf, Error> {
        let mut lower = layers.folders(&state)?;
        // Empty, and there because an overlay without an upper folder wants two.
        lower.extend([container.upper(), container.fresh_work()?]);
        let place = place(&container, target)?;
        sandbox::mount_merged(&lower, None, &place).map_err(overlay_failed)?;
        Ok(place)
    };
    match mounted() {
        Ok(place) => {
            container.record.mounted = Some(place.clone());
            container.save()?;
            Ok(place)
        }
        Err(error) => {
            let _ = store.remove_container(&container, lock);
            Err(error)
        }
    }
}

/// Where something is mounted: the folder that was asked for, or one in the store.
fn place(container: &Container, target: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(target) = target {
        let absolute = std::path::absolute(target).map_err(io_error("find", target))?;
        return match absolute.is_dir() {
            true => Ok(absolute),
            false => Err(Error::build(format!("{} is not a folder that can be mounted on", target.display()))),
        };
    }
    let place = container.folder.join("merged");
    match std::fs::create_dir(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(io_error("create", &place)(error).into())
        }
        _ => Ok(place),
    }
}

/// Takes mounts away: of a container, of an image, or at a folder. Returns where they were.
pub fn umount(store: &Store, name: &str) -> Result<Vec<PathBuf>, Error> {
    let path = std::path::absolute(name).unwrap_or_default();
    let image = store.find(name).ok().map(|found| store.blobs_of(&found.descriptor.digest)).transpose()?;
    let container = store.find_container(name).ok().map(|container| container.record.id);
    let mut gone = Vec::new();
    for mut found in store.containers()?.into_iter().filter(|it| it.record.mounted.is_some()) {
        let record = &found.record;
        let place = record.mounted.clone().unwrap_or_default();
        let meant = match record.kind {
            ContainerKind::Container => container.as_ref() == Some(&record.id),
            ContainerKind::Mount => {
                record.image == name || image.as_ref().is_some_and(|blobs| blobs.contains(&record.manifest))
            }
        };
        if !meant && place != path {
            continue;
        }
        match rustix::mount::unmount(&place, UnmountFlags::NOFOLLOW) {
            // The machine was started again since then, or somebody was faster.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => {
                let error = Error::build(format!("cannot take the mount at {} away: {error}", place.display()));
                return Err(error.help("something in it is in use: `fuser -vm FOLDER` says by whom"));
            }
        }
        if record.kind == ContainerKind::Mount {
            let lock = found.lock()?;
            store.remove_container(&found, lock)?;
        } else {
            found.record.mounted = None;
            found.save()?;
        }
        gone.push(place);
    }
    match gone.is_empty() {
        true => Err(Error::build(format!("nothing called {name:?} is mounted"))),
        false => Ok(gone),
    }
}

/// The processes of a container that runs, as this machine numbers them.
pub fn processes(container: &Container) -> Vec<u32> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let Some(own) = container.record.process.and_then(|process| namespace(&process.to_string())) else {
        return Vec::new();
    };
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let numbers = names.filter_map(|name| name.to_str().and_then(|name| name.parse::<u32>().ok()));
    numbers.filter(|number| namespace(&number.to_string()).as_ref() == Some(&own)).collect()
}

/// Ends a container that runs, and waits until it has.
pub(super) fn kill(container: &Container) -> Result<(), Error> {
    if let Some(process) = open_process(container) {
        // Another one may have got the number; not while somebody holds the lock.
        if container.is_running() {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
    }
    let path = container.folder.join("lock");
    match File::open(&path).and_then(|file| file.lock()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => Ok(result.map_err(io_error("lock", &path))?),
    }
}

fn open_process(container: &Container) -> Option<OwnedFd> {
    let number = Pid::from_raw(container.record.process?.try_into().ok()?)?;
    pidfd_open(number, PidfdFlags::empty()).ok()
}

/// The processes of a container, stopped until this is dropped.
struct Paused(Vec<OwnedFd>);

impl Paused {
    fn new(container: &Container) -> Result<Self, Error> {
        let mut paused = Self(Vec::new());
        if !container.is_running() {
            return Ok(paused);
        }
        let mut known: Vec<u32> = Vec::new();
        // One that was not stopped yet may have started others meanwhile.
        loop {
            let new: Vec<u32> = processes(container).into_iter().filter(|number| !known.contains(number)).collect();
            if new.is_empty() {
                return Ok(paused);
            }
            for number in new {
                known.push(number);
                let number = number.try_into().ok().and_then(Pid::from_raw);
                let Some(process) = number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok()) else {
                    continue;
                };
                if pidfd_send_signal(&process, Signal::STOP).is_ok() {
                    paused.0.push(process);
                }
            }
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = pidfd_send_signal(process, Signal::CONT);
        }
    }
}

fn commit_options(store: &Store, times: Times, clock: Option<Clock>) -> CommitOptions {
    let settle = Settle { clock, epoch: times.epoch, ceiling: times.ceiling };
    CommitOptions { overlay: store.overlay(), settle, stop: Stop::NEVER }
}

fn moment(seconds: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap_or(0))
}

pub(super) fn open(folder: &Path) -> Result<File, Error> {
    Ok(File::open(folder).map_err(io_error("open", folder))?)
}

pub(super) fn overlay_failed(error: rustix::io::Errno) -> Error {
    let error =
        Error::environment("the layers cannot be mounted on top of each other").caused_by(std::io::Error::from(error));
    error.help("this needs root, Linux 6.5 or later, and a file system that overlayfs can use")
}
