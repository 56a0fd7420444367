//! Limits of all processes of a sandbox together, by control groups: memory, processors, how many processes.
//!
//! A sandbox with such limits gets a group of its own in each tree that has a controller for them. In the tree of version 2 it
//! is made as near to this process's own group as somebody lets us: a group that has processes cannot hand its controllers on
//! (or only to groups in which no process can be), so it is mostly a sister. In those of version 1 it is a child. The command's process enters them itself, before it does
//! anything else, so that nothing it starts is ever outside.
//!
//! Whoever makes a group holds a lock on its folder. The kernel lets go of that when a builder dies, whatever it dies of, so a
//! group without a lock is a leftover, and whoever comes next removes it. What cannot be enforced is an error, never ignored.

mod controller;
pub(super) mod place;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::graph::Limits;
use crate::sandbox::{Exceeded, SandboxError};
use controller::{Controller, count};
use place::{Place, Version, legacy, unified};

/// How the names of the groups begin.
const PREFIX: &str = "imgbuild-limits-";
/// How often a name is tried that others take away.
const TRIES: usize = 64;
/// How long processes that were killed may take to be gone from their group, in tries and between two of them.
const PATIENCE: (usize, Duration) = (100, Duration::from_millis(5));

/// The groups of one sandbox. They are removed when this is dropped, after all processes in them have ended.
pub(super) struct Groups {
    limits: Limits,
    members: Vec<Group>,
}

/// A group in one tree.
struct Group {
    version: Version,
    path: PathBuf,
    folder: OwnedFd,
    controllers: Vec<Controller>,
}

impl Groups {
    /// Makes what these limits need; nothing if they need no groups.
    pub(super) fn make(limits: &Limits) -> Result<Self, SandboxError> {
        let mut groups = Self { limits: limits.clone(), members: Vec::new() };
        let needed = Controller::needed(limits);
        if needed.is_empty() {
            return Ok(groups);
        }
        let (mounts, own) = texts();
        let unified = unified(&mounts, &own);
        let (mut in_unified, mut flags) = (Vec::new(), Vec::new());
        for (controller, flag) in needed {
            let refused = |error: io::Error| SandboxError::Limit { flag, reason: reason(controller, &error) };
            let offered = unified.as_ref().is_some_and(|place| offers(&place.root, controller));
            match (offered, legacy(&mounts, &own, controller.name())) {
                (true, _) => {
                    in_unified.push(controller);
                    flags.push(flag);
                }
                (false, Some(place)) => groups.add(&place.own, Version::One, vec![controller]).map_err(refused)?,
                (false, None) => {
                    let reason = format!("this machine has no group in which the {} is counted", controller.name());
                    return Err(SandboxError::Limit { flag, reason });
                }
            }
        }
        if let (Some(place), Some((&controller, &flag))) = (unified, in_unified.iter().zip(&flags).next()) {
            let refused = |error: io::Error| SandboxError::Limit { flag, reason: reason(controller, &error) };
            groups.add_unified(&place, &in_unified).map_err(refused)?;
        }
        Ok(groups)
    }

    /// Makes a group as near to our own as possible that has all of these controllers.
    fn add_unified(&mut self, place: &Place, controllers: &[Controller]) -> io::Result<()> {
        let mut refused = None;
        for parent in place.own.ancestors().take_while(|parent| parent.starts_with(&place.root)) {
            let made = hand_on(parent, controllers).and_then(|()| self.add(parent, Version::Two, controllers.to_vec()));
            match made {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// Makes a group in a parent, with its limits set.
    fn add(&mut self, parent: &Path, version: Version, controllers: Vec<Controller>) -> io::Result<()> {
        let (path, folder) = make_locked(parent)?;
        // From here on it is removed whatever happens.
        let group = Group { version, path, folder, controllers };
        let set = group.set(parent, &self.limits);
        if set.is_ok() {
            self.members.push(group);
        } else {
            group.remove();
        }
        set
    }

    /// The files through which a process enters the groups, by writing 0 to each.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        self.members.iter().map(|group| group.path.join("cgroup.procs")).collect()
    }

    /// The group in the tree of version 2, if one was needed: the processes are not in any other there.
    pub(super) fn unified(&self) -> Option<&OwnedFd> {
        self.members.iter().find(|group| group.version == Version::Two).map(|group| &group.folder)
    }

    /// Which limit the processes met, as the kernel counted: that of memory if one was killed for it, that of processes if one
    /// was refused.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        let met = |wanted: Controller| self.members.iter().any(|group| group.events(wanted) > 0);
        let memory = self.limits.memory.filter(|_| met(Controller::Memory)).map(Exceeded::Memory);
        memory.or_else(|| self.limits.pids.filter(|_| met(Controller::Pids)).map(Exceeded::Processes))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.members.iter().for_each(Group::remove);
    }
}

impl Group {
    fn set(&self, parent: &Path, limits: &Limits) -> io::Result<()> {
        for controller in &self.controllers {
            if (*controller, self.version) == (Controller::Cpuset, Version::One) {
                // It begins with none, and with none nobody can enter.
                let memories = fs::read_to_string(parent.join("cpuset.mems"))?;
                write(&self.path.join("cpuset.mems"), memories.trim())?;
            }
            for setting in controller.settings(self.version, limits) {
                match write(&self.path.join(setting.file), &setting.value) {
                    Err(error) if setting.optional && error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        Ok(())
    }

    fn events(&self, controller: Controller) -> u64 {
        let file = self.controllers.contains(&controller).then(|| controller.events(self.version)).flatten();
        file.map_or(0, |(file, word)| count(&fs::read_to_string(self.path.join(file)).unwrap_or_default(), word))
    }

    /// Removes it, once the kernel is done with its processes. What cannot be removed is left to the next one.
    fn remove(&self) {
        let (tries, pause) = PATIENCE;
        for _ in 0..tries {
            match remove_tree(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(pause),
                _ => return,
            }
        }
    }
}

/// Removes groups that builders left which were killed.
pub(super) fn sweep() {
    let (mounts, own) = texts();
    let names = ["memory", "cpu", "cpuset", "pids"];
    for place in names.iter().filter_map(|name| legacy(&mounts, &own, name)) {
        sweep_below(&place.own);
    }
    if let Some(place) = unified(&mounts, &own) {
        place.own.ancestors().take_while(|parent| parent.starts_with(&place.root)).for_each(sweep_below);
    }
}

fn sweep_below(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(folder) = open(&entry.path())
            && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            // Somebody else may do the same at the same time.
            let _ = remove_tree(&entry.path());
        }
    }
}

/// A new group that nobody takes for a leftover.
fn make_locked(parent: &Path) -> io::Result<(PathBuf, OwnedFd)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..TRIES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            result => result?,
        }
        let Ok(folder) = open(&path) else { continue };
        // It may have been taken for one between the two.
        let locked = flock(&folder, FlockOperation::NonBlockingLockShared).is_ok();
        if locked && fs::metadata(&path)?.ino() == rustix::fs::fstat(&folder)?.st_ino {
            return Ok((path, folder));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// Has a group of version 2 hand these controllers on to its children.
fn hand_on(parent: &Path, controllers: &[Controller]) -> io::Result<()> {
    // Controllers that count threads are handed on all the same, but then the children are for threads of these processes only.
    // The root, which is no group and has no type, is free of that.
    if parent.join("cgroup.type").exists() && !fs::read_to_string(parent.join("cgroup.procs"))?.is_empty() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let file = parent.join("cgroup.subtree_control");
    let handed = fs::read_to_string(&file)?;
    let missing: Vec<String> = controllers
        .iter()
        .filter(|controller| !handed.split_whitespace().any(|name| name == controller.name()))
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    if missing.is_empty() { Ok(()) } else { write(&file, &missing.join(" ")) }
}

/// Whether the tree of version 2 has a controller.
fn offers(root: &Path, controller: Controller) -> bool {
    let text = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().any(|name| name == controller.name())
}

/// Removes a group and those that its processes made in it.
fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// In one call, as the kernel wants it, and never making a file.
fn write(path: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(text.as_bytes())
}

fn texts() -> (String, String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    (read("/proc/self/mountinfo"), read("/proc/self/cgroup"))
}

/// Why a group cannot be had or be told its limits.
fn reason(controller: Controller, error: &io::Error) -> String {
    let name = controller.name();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("no control group with the {name} controller can be made by this user")
        }
        io::ErrorKind::ResourceBusy => format!("the control groups here do not hand on the {name} controller"),
        io::ErrorKind::NotFound => format!("the kernel's {name} controller does not know this limit"),
        _ => format!("the kernel's {name} controller refuses it: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_has_processes_hands_nothing_on() {
        let check = |kind: Option<&str>, processes: &str, handed: &str, expected: Option<&str>| {
            let folder = tempfile::tempdir().unwrap();
            let file = |name: &str| folder.path().join(name);
            if let Some(kind) = kind {
                fs::write(file("cgroup.type"), kind).unwrap();
            }
            fs::write(file("cgroup.procs"), processes).unwrap();
            fs::write(file("cgroup.subtree_control"), handed).unwrap();
            let done = hand_on(folder.path(), &[Controller::Pids, Controller::Cpu]);
            assert_eq!(
                done.as_ref().err().map(io::Error::kind),
                expected.is_none().then_some(io::ErrorKind::ResourceBusy)
            );
            assert_eq!(fs::read_to_string(file("cgroup.subtree_control")).unwrap(), expected.unwrap_or(handed));
        };
        check(Some("domain"), "", "", Some("+pids +cpu"));
        check(Some("domain"), "", "cpu memory pids", Some("cpu memory pids"));
        check(Some("domain"), "7\n", "", None);
        check(Some("domain threaded"), "7\n", "cpu pids", None);
        check(None, "1\n7\n", "", Some("+pids +cpu"));
    }
}
