//! The mounts that a spec asks for, one by one.
//!
//! A mount is made without a place first and then attached to a descriptor of its target, so that nothing can be
//! swapped in between. Mount points in the root exist already (see [`stubs`](super::stubs)); those inside other mounts
//! are made here, if those can be written to.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use crate::fstree::TreePath;
use crate::sandbox::error::Failure;
use crate::sandbox::path::{self, Missing};
use crate::sandbox::root::{Overlay, open_folder};
use crate::sandbox::spec::{MountKind, SandboxMount, Spec};
use crate::sandbox::sys::{self, NOSUID_NODEV};

/// Makes mounts, with a place in memory for what they need.
pub(super) struct Mounter<'a> {
    /// The root that is mounted on.
    pub(super) root: BorrowedFd<'a>,
    /// The number of the root's own mount, in which no mount point is made.
    pub(super) root_mount: u64,
    /// A folder on a tmpfs that the process will not see.
    pub(super) scratch: BorrowedFd<'a>,
    /// Attributes of all mounts that show files of the host.
    pub(super) attributes: MountAttrFlags,
    /// The sockets that stand for [`MountKind::Socket`], by the mount's place in the spec.
    pub(super) sockets: BTreeMap<usize, OwnedFd>,
    /// How many names were taken in `scratch`.
    pub(super) names: usize,
}

impl Mounter<'_> {
    /// All mounts of a spec, and before them the files that every step has in `/etc`.
    pub(super) fn mount_all(&mut self, spec: &Spec) -> std::result::Result<(), Failure> {
        for (target, data) in [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)] {
            let mount = self.file(&data.0, 0o644, 0, 0).and_then(|file| self.attach(&file, target));
            mount.map_err(|errno| explain("mount a file at", target, errno))?;
        }
        for (index, mount) in spec.ordered_mounts() {
            self.mount(index, mount)?;
        }
        Ok(())
    }

    fn mount(&mut self, index: usize, mount: &SandboxMount) -> std::result::Result<(), Failure> {
        let target = mount.target.as_str();
        match &mount.kind {
            MountKind::Bind { source, readonly } => {
                let name = source.to_string_lossy().into_owned();
                let bind =
                    self.bind(source, *readonly).map_err(|errno| Failure::new("open the mount source", name, errno))?;
                self.attach(&bind, target).map_err(|errno| explain("bind a file or folder at", target, errno))
            }
            MountKind::Overlay { lower, source, writable, scratch, .. } => {
                let mount = self.overlay(lower, source, *writable, scratch.as_ref());
                let mount =
                    mount.map_err(|errno| explain("mount an overlay of the mount's layers at", target, errno))?;
                self.attach(&mount, target).map_err(|errno| explain("mount files at", target, errno))
            }
            MountKind::Tmpfs { size } => {
                self.tmpfs(target, *size).map_err(|errno| explain("mount a tmpfs at", target, errno))
            }
            MountKind::File { data, mode, uid, gid } => {
                let file = self.file(&data.0, *mode, *uid, *gid);
                let file = file.map_err(|errno| explain("write the file for", target, errno))?;
                self.attach(&file, target).map_err(|errno| explain("mount a file at", target, errno))
            }
            MountKind::Socket { .. } => {
                let socket = self.sockets.get(&index).ok_or(Errno::NOENT).and_then(socket);
                let socket = socket.map_err(|errno| explain("open the socket for", target, errno))?;
                self.attach(&socket, target).map_err(|errno| explain("mount a socket at", target, errno))
            }
        }
    }

    /// Attaches a mount of a file or a folder to its target.
    fn attach(&self, mount: &OwnedFd, target: &str) -> Result<()> {
        let is_dir = path::is_dir(mount)?;
        let target = self.target(target, if is_dir { Missing::Dir } else { Missing::File })?;
        if path::is_dir(&target)? != is_dir {
            return Err(Errno::NOTDIR);
        }
        sys::attach(mount, target.as_fd())
    }

    /// The mount point, made if it is missing inside another mount.
    fn target(&self, path: &str, missing: Missing) -> Result<OwnedFd> {
        let outside_root = |folder: BorrowedFd<'_>| {
            if path::mount_id(folder)? == self.root_mount { Err(Errno::NOENT) } else { Ok(()) }
        };
        path::open_or_make(self.root, TreePath::clean(path).as_bytes(), missing, None, &outside_root)
    }

    fn bind(&self, source: &Path, readonly: bool) -> Result<OwnedFd> {
        let source = rustix::fs::openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let copy = sys::clone_mount(&source, true)?;
        let readonly = if readonly { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
        sys::add_mount_attributes(&copy, self.attributes | readonly, true)?;
        Ok(copy)
    }

    fn overlay(
        &mut self,
        lower: &[PathBuf],
        source: &str,
        writable: bool,
        scratch: Option<&PathBuf>,
    ) -> Result<OwnedFd> {
        let mut attributes = self.attributes;
        if !writable {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        let mut folders = lower.iter().map(|path| open_folder(path)).collect::<Result<Vec<OwnedFd>>>()?;
        // Overlayfs wants one lower folder at least, and two if nothing is above.
        while folders.len() < if writable { 1 } else { 2 } {
            folders.push(self.folder()?);
        }
        let upper = match (writable, scratch) {
            (false, _) => None,
            (true, None) => Some((self.folder()?, self.folder()?)),
            (true, Some(path)) => Some((make_folder(path, "upper")?, make_folder(path, "work")?)),
        };
        let upper = upper.as_ref().map(|(upper, work)| (upper.as_fd(), work.as_fd()));
        let overlay = Overlay { lower: folders, upper, attributes };
        // Mounted in the scratch folder first: only what has a place can be copied in part by older kernels.
        let name = self.name();
        let root = overlay.mount(self.scratch, &name)?;
        let part = path::open(root.as_fd(), source.as_bytes())?;
        sys::clone_mount(&part, false)
    }

    fn tmpfs(&self, target: &str, size: Option<u64>) -> Result<()> {
        let target = self.target(target, Missing::Dir)?;
        let mode = format!("{:o}", rustix::fs::fstat(&target)?.st_mode & 0o7777);
        let size = size.map(|size| size.to_string());
        let mut options = vec![("mode", mode.as_str())];
        options.extend(size.as_deref().map(|size| ("size", size)));
        sys::attach(sys::new_mount(c"tmpfs", &options, NOSUID_NODEV)?, target.as_fd())
    }

    /// A mount of one new file in memory.
    fn file(&mut self, data: &[u8], mode: u32, uid: u32, gid: u32) -> Result<OwnedFd> {
        let name = self.name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.scratch, &name, flags, Mode::from_raw_mode(0o600))?;
        let mut rest = data;
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
            rest = &rest[written..];
        }
        path::chown(self.scratch, name.as_bytes(), uid, gid)?;
        // After the owner: a change of that drops set-user-ID bits.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
        let mount = sys::clone_mount(&file, false)?;
        sys::add_mount_attributes(&mount, NOSUID_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
        Ok(mount)
    }

    fn name(&mut self) -> String {
        self.names += 1;
        self.names.to_string()
    }

    fn folder(&mut self) -> Result<OwnedFd> {
        let name = self.name();
        rustix::fs::mkdirat(self.scratch, &name, Mode::from_raw_mode(0o755))?;
        path::open(self.scratch, name.as_bytes())
    }
}

/// A mount of a socket. Read-only: one can be connected to all the same, but its owner and its mode stay as they are.
fn socket(socket: &OwnedFd) -> Result<OwnedFd> {
    let mount = sys::clone_mount(socket, false)?;
    sys::add_mount_attributes(&mount, NOSUID_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    Ok(mount)
}

fn make_folder(parent: &Path, name: &str) -> Result<OwnedFd> {
    let parent = open_folder(parent)?;
    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
    path::open(parent.as_fd(), name.as_bytes())
}

/// A failure at a mount point; two of the kernel's answers need more words.
fn explain(action: &str, target: &str, errno: Errno) -> Failure {
    let action = match errno {
        Errno::NOTDIR => format!("{action} (the image has a file where a folder is needed, or a folder for a file)"),
        Errno::ROFS => format!("{action} (the mount point is missing inside a read-only mount)"),
        _ => action.to_owned(),
    };
    Failure::new(&action, target, errno)
}
