//! Overlays: the root file system of a step, and mounts made of stacked snapshots.
//!
//! Everything that overlayfs could do beyond plain layers is switched off: the upper folder must be readable without
//! overlayfs, and the lower ones come from images that anybody may have made. So folders are opaque or not, and that is all.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags};

use crate::sandbox::{path, sys, userns};

/// An overlay to be mounted.
pub(super) struct Overlay<'a> {
    /// Folders, the topmost first; two at least if there is no `upper`.
    pub(super) lower: Vec<OwnedFd>,
    /// Where changes go, and the folder that overlayfs works in; read-only if none.
    pub(super) upper: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// Attributes of the mount.
    pub(super) attributes: MountAttrFlags,
}

/// What overlayfs must not do beyond plain layers.
pub(super) const OPTIONS: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")];

impl Overlay<'_> {
    /// Mounts it on a new folder of this name and returns its root. Changes the working folder.
    pub(super) fn mount(&self, parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        let place = path::open(parent, name.as_bytes())?;
        match self.mount_by_fd() {
            Ok(mount) => {
                sys::attach(&mount, place.as_fd())?;
                Ok(mount)
            }
            // Linux before 6.5 takes layers only as one string, and only through the old call.
            Err(Errno::INVAL) => {
                self.mount_by_string(place.as_fd())?;
                // `place` is still what is under the mount; the name leads to what is on it.
                let root = path::open(parent, name.as_bytes())?;
                sys::add_mount_attributes(&root, self.attributes, false)?;
                Ok(root)
            }
            Err(error) => Err(error),
        }
    }

    fn mount_by_fd(&self) -> Result<OwnedFd> {
        let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context = context.as_fd();
        rustix::mount::fsconfig_set_string(context, "source", "overlay")?;
        for lower in &self.lower {
            set_folder(context, "lowerdir+", lower.as_fd())?;
        }
        if let Some((upper, work)) = self.upper {
            set_folder(context, "upperdir", upper)?;
            set_folder(context, "workdir", work)?;
            rustix::mount::fsconfig_set_flag(context, "volatile")?;
        }
        for (key, value) in OPTIONS {
            rustix::mount::fsconfig_set_string(context, key, value)?;
        }
        if userns::inside() {
            rustix::mount::fsconfig_set_flag(context, "userxattr")?;
        }
        rustix::mount::fsconfig_create(context)?;
        rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, self.attributes)
    }

    fn mount_by_string(&self, place: BorrowedFd<'_>) -> Result<()> {
        // Names of descriptors are short enough that 200 layers fit into the one page that the kernel takes.
        let name = |file: BorrowedFd<'_>| format!("/proc/self/fd/{}", file.as_raw_fd());
        let lower: Vec<String> = self.lower.iter().map(|lower| name(lower.as_fd())).collect();
        let mut data = format!("lowerdir={}", lower.join(":"));
        for (key, value) in OPTIONS {
            data += &format!(",{key}={value}");
        }
        if let Some((upper, work)) = self.upper {
            data += &format!(",upperdir={},workdir={},volatile", name(upper), name(work));
        }
        if userns::inside() {
            data += ",userxattr";
        }
        let data = path::c_string(data)?;
        rustix::mount::mount("overlay", name(place), "overlay", MountFlags::empty(), Some(data.as_c_str()))
    }
}

/// Hands a folder to a mount option. The kernel looks the name up at once, so it can be that of the working folder:
/// no name is then too long, and none has characters with a meaning.
fn set_folder(context: BorrowedFd<'_>, key: &str, folder: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(folder)?;
    rustix::mount::fsconfig_set_string(context, key, ".")
}

/// Opens a folder of the host, to name it only.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
