//! Finding and making mount points inside a root that is not ours: every link is followed as the process would.
//!
//! All lookups are relative to a descriptor and let the kernel clamp them (`RESOLVE_IN_ROOT`): a cache folder may be
//! changed by another step while we look.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid};
use rustix::io::{Errno, Result};

/// What to make where a path ends that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A folder, 0755.
    Dir,
    /// An empty file, 0644.
    File,
}

/// Opens `path` below `root` with `O_PATH`, links followed inside the root.
pub(super) fn open(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_with(root, path, OFlags::PATH, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn open_with(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // A rename somewhere on the way: the kernel could not be sure that we stay inside.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Opens `path` below `root`, and makes what is missing if `may_make` agrees to the folder that it would be made in.
///
/// What is made belongs to `owner`, or to root. Dangling links are followed to where they point.
pub(super) fn open_or_make(
    root: BorrowedFd<'_>,
    path: &[u8],
    missing: Missing,
    owner: Option<(u32, u32)>,
    may_make: &dyn Fn(BorrowedFd<'_>) -> Result<()>,
) -> Result<OwnedFd> {
    match open(root, path) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut todo = reversed(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                done.pop();
                continue;
            }
            _ => {}
        }
        let parent = open_with(root, &done.join(&b'/'), OFlags::PATH, ResolveFlags::IN_ROOT)?;
        match rustix::fs::readlinkat(&parent, name.as_slice(), Vec::new()) {
            Ok(target) => {
                links += 1;
                if links > 40 {
                    return Err(Errno::LOOP);
                }
                if target.as_bytes().starts_with(b"/") {
                    done.clear();
                }
                todo.extend(reversed(target.as_bytes()));
                continue;
            }
            Err(Errno::NOENT) => {
                may_make(parent.as_fd())?;
                let last = todo.iter().all(|rest| matches!(rest.as_slice(), b"" | b"."));
                make(parent.as_fd(), &name, if last { missing } else { Missing::Dir }, owner)?;
            }
            // It exists and is no link.
            Err(Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
        done.push(name);
    }
    open_with(root, &done.join(&b'/'), OFlags::PATH, ResolveFlags::IN_ROOT)
}

/// The components of a path, the first one last, so that it is popped first.
fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/').rev().map(<[u8]>::to_vec).collect()
}

fn make(parent: BorrowedFd<'_>, name: &[u8], kind: Missing, owner: Option<(u32, u32)>) -> Result<()> {
    let made = match kind {
        Missing::Dir => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        // Another step was faster, in a folder that both have mounted.
        Err(Errno::EXIST) => return Ok(()),
        result => result?,
    }
    match owner {
        Some((uid, gid)) => chown(parent, name, uid, gid),
        None => Ok(()),
    }
}

/// Gives an entry of a folder to a user and group; a link itself, not what it points to.
pub(super) fn chown(folder: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> Result<()> {
    // The kernel takes this number for "leave it as it is".
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// The number of the mount that a file is in.
pub(super) fn mount_id(file: impl AsFd) -> Result<u64> {
    Ok(rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Whether an open file is a folder.
pub(super) fn is_dir(file: impl AsFd) -> Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}

/// A C string of bytes that may come from outside.
pub(super) fn c_string(bytes: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}
