//! Making one file of each kind, with exactly the attributes it must have.
//!
//! The order matters: changing the owner clears setuid bits and capabilities, an ACL changes the mode, and anything
//! changes the time. So: bytes, owner, extended attributes, mode, time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::tree::{name_in_parent, os};
use super::{Overlay, attributes};
use crate::fstree::{Kind, Meta, TreePath};
use crate::users::Users;

/// A modification time; the access time is the same, so that nothing depends on the clock.
pub(super) fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn owner(meta: &Meta) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))
}

/// Judges a change of owner. In a user namespace not all users exist; where only root does, everything is root's and only
/// the data says otherwise.
fn owned(result: Result<(), Errno>, meta: &Meta) -> io::Result<()> {
    match result {
        Err(Errno::INVAL) if Users::of_process() == Users::OnlyRoot => Ok(()),
        Err(Errno::INVAL) => Err(io::Error::other(format!(
            "it belongs to user {} and group {}, which are beyond the ranges of this user in /etc/subuid and /etc/subgid",
            meta.uid, meta.gid
        ))),
        result => Ok(result?),
    }
}

/// A new, empty regular file, open for writing.
pub(super) fn create(parent: impl AsFd, path: &TreePath) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, os(path.name()), flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Gives an open file or folder its owner, attributes, mode and time.
pub(super) fn dress(file: impl AsFd, meta: &Meta) -> io::Result<()> {
    let (uid, gid) = owner(meta);
    owned(fchown(&file, uid, gid), meta)?;
    attributes::write(&file, &meta.xattrs)?;
    fchmod(&file, Mode::from_raw_mode(meta.mode))?;
    futimens(&file, &times(meta.mtime))?;
    Ok(())
}

/// A new folder that only we can enter yet; it is dressed when all is in it.
pub(super) fn make_folder(parent: impl AsFd, path: &TreePath) -> io::Result<()> {
    Ok(mkdirat(parent, os(path.name()), Mode::RWXU)?)
}

/// Gives a finished folder its attributes.
pub(super) fn dress_folder(folder: OwnedFd, meta: &Meta, opaque: Option<Overlay>) -> io::Result<()> {
    if let Some(overlay) = opaque {
        fsetxattr(&folder, overlay.opaque(), b"y", XattrFlags::empty())?;
    }
    dress(folder, meta)
}

/// Makes a link, device, pipe or whiteout. Regular files, folders and hard links are made elsewhere.
pub(super) fn make_special(
    parent: BorrowedFd<'_>,
    path: &TreePath,
    meta: &Meta,
    kind: &Kind,
    overlay: Overlay,
) -> io::Result<()> {
    let name = name_in_parent(path);
    let (file_type, device) = match kind {
        Kind::Whiteout => {
            mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?;
            return Ok(());
        }
        Kind::Symlink(target) => {
            symlinkat(os(target), parent, name)?;
            return dress_by_name(parent, path, meta, false);
        }
        Kind::Char(major, minor) => (FileType::CharacterDevice, makedev(*major, *minor)),
        Kind::Block(major, minor) => (FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Fifo => (FileType::Fifo, 0),
        Kind::Dir { .. } | Kind::File { .. } | Kind::Hardlink(_) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a special file"));
        }
    };
    match mknodat(parent, name, file_type, Mode::RUSR | Mode::WUSR, device) {
        // No user namespace may make devices.
        Err(Errno::PERM) if overlay == Overlay::User && file_type != FileType::Fifo => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => dress_by_name(parent, path, meta, true),
    }
}

/// Makes a hard link to something that the data has. One to a device that could not be made is not made either.
pub(super) fn make_link(
    from: impl AsFd,
    target: &TreePath,
    to: impl AsFd,
    path: &TreePath,
    overlay: Overlay,
) -> io::Result<()> {
    match linkat(from, os(target.name()), to, os(path.name()), AtFlags::empty()) {
        Err(Errno::NOENT) if overlay == Overlay::User => Ok(()),
        result => Ok(result?),
    }
}

fn dress_by_name(parent: BorrowedFd<'_>, path: &TreePath, meta: &Meta, mode: bool) -> io::Result<()> {
    let name = name_in_parent(path);
    let (uid, gid) = owner(meta);
    owned(chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW), meta)?;
    if mode {
        // Not a link: it was made by us, in a folder that nobody else can enter.
        chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    }
    utimensat(parent, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
