//! The merged file system of layers without a process in it: to look at, to copy from and to, or to mount for a person.
//!
//! A mount that has no place is seen by nobody else and is gone with its descriptor, so nothing has to be cleaned up.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Result;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::sandbox::root::{OPTIONS, open_folder};
use crate::sandbox::{sys, userns};

/// The longest text that a mount option may have, in bytes.
const LONGEST: usize = 255;

/// Layers on top of each other, the topmost first, with changes going to the folder `upper` by way of the empty folder
/// `work`; read-only if there are none. Two layers at least in that case.
///
/// # Errors
/// If the kernel refuses, as it does for those who are not root.
pub fn open_merged(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    // Descriptors that stand for names that are too long must live until the kernel has looked them up.
    let mut held: Vec<OwnedFd> = Vec::new();
    let mut set = |key: &str, path: &Path| -> Result<()> {
        if path.as_os_str().len() <= LONGEST {
            return rustix::mount::fsconfig_set_string(context, key, path);
        }
        let folder = open_folder(path)?;
        rustix::mount::fsconfig_set_string(context, key, format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        held.push(folder);
        Ok(())
    };
    rustix::mount::fsconfig_set_string(context, "source", "imgbuild")?;
    for folder in lower {
        set("lowerdir+", folder)?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    match upper {
        Some((upper, work)) => {
            set("upperdir", upper)?;
            set("workdir", work)?;
        }
        None => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
    for (key, value) in OPTIONS {
        rustix::mount::fsconfig_set_string(context, key, value)?;
    }
    if userns::inside() {
        rustix::mount::fsconfig_set_flag(context, "userxattr")?;
    }
    rustix::mount::fsconfig_create(context)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The same, mounted on a folder, where it stays when this process has ended.
///
/// # Errors
/// As there, or if the folder cannot be mounted on.
pub fn mount_merged(lower: &[PathBuf], upper: Option<(&Path, &Path)>, target: &Path) -> Result<()> {
    let mount = open_merged(lower, upper)?;
    sys::attach(&mount, open_folder(target)?.as_fd())
}
