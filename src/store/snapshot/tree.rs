//! A folder whose content nobody vouches for, reached through its descriptor only.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{At, SnapshotError};
use crate::fstree::TreePath;

/// What is resolved stays below the root, and goes through no symbolic link.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The longest path that a system call takes, in bytes, without the final zero.
const LONGEST: usize = 4095;

/// Folders kept open. Paths come in order, so few are needed.
const KEPT: usize = 8;

/// Opens what is below a folder. Remembers the folders it used last, so that many files in one are reached in one step.
pub struct Tree<'a> {
    root: BorrowedFd<'a>,
    /// Latest last.
    recent: Vec<(TreePath, Arc<OwnedFd>)>,
}

/// A single component of a path, or any other bytes, as system calls take them.
pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

impl<'a> Tree<'a> {
    /// Everything below `root`.
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, recent: Vec::new() }
    }

    /// Opens `path`, the root included, with these flags; never through a symbolic link.
    pub fn open(&self, path: &TreePath, flags: OFlags) -> Result<OwnedFd, SnapshotError> {
        open_beneath(self.root, path, flags)
    }

    /// The folder at `path`, to do things in; it cannot be listed (`O_PATH`).
    pub fn folder(&mut self, path: &TreePath) -> Result<Arc<OwnedFd>, SnapshotError> {
        if let Some(at) = self.recent.iter().rposition(|(known, _)| known == path) {
            let found = self.recent.remove(at);
            let folder = found.1.clone();
            self.recent.push(found);
            return Ok(folder);
        }
        let folder = Arc::new(self.open(path, OFlags::PATH | OFlags::DIRECTORY)?);
        if self.recent.len() == KEPT {
            self.recent.remove(0);
        }
        self.recent.push((path.clone(), folder.clone()));
        Ok(folder)
    }

    /// The folder that holds `path`. The root is held by itself, under the name `.`.
    pub fn parent(&mut self, path: &TreePath) -> Result<Arc<OwnedFd>, SnapshotError> {
        self.folder(&path.parent().unwrap_or_default())
    }

    /// Forgets folders at and below `path`, which was removed.
    pub fn forget(&mut self, path: &TreePath) {
        self.recent.retain(|(known, _)| !known.starts_with(path));
    }
}

/// Opens a regular file to read it, not through a symbolic link. Anything else that stands there is not opened at all: a
/// process that still changes the folder may have put a device in the file's place, and to open one can do things already.
pub(super) fn open_file(parent: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_named(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Opens what is named by a descriptor (`O_PATH`), if it is a regular file.
pub(super) fn open_named(file: OwnedFd) -> io::Result<File> {
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file any more"));
    }
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The name of `path` in its folder; `.` for the root.
pub(super) fn name_in_parent(path: &TreePath) -> &OsStr {
    if path.is_root() { OsStr::new(".") } else { os(path.name()) }
}

/// Opens `path` below `root`, as [`Tree::open`] does.
pub(super) fn open_beneath(root: impl AsFd, path: &TreePath, flags: OFlags) -> Result<OwnedFd, SnapshotError> {
    let name = if path.is_root() { OsStr::new(".") } else { os(path.as_bytes()) };
    if path.as_bytes().len() > LONGEST {
        let head = &path.as_bytes()[..200];
        return Err(SnapshotError::TooLong { path: TreePath::clean(head) });
    }
    loop {
        match openat2(root.as_fd(), name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), BENEATH) {
            // A rename elsewhere in the file system raced with the resolution: the kernel asks to try again.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            result => return result.at(path, "open it"),
        }
    }
}
