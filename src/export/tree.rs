//! A result as plain files: all layers flattened to one tar, or written to a folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

use crate::export::ExportError;
use crate::fstree::tar::{self, Contents, Verify};
use crate::fstree::{Entry, Flattened, Kind, TreePath};
use crate::store::layers::{LayerId, Layers};
use crate::store::snapshot::Source;

struct StateContents<'a> {
    layers: &'a Layers,
    state: &'a [LayerId],
    flattened: &'a Flattened,
}

impl Contents for StateContents<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let layer = self.flattened.layer(&entry.path).and_then(|layer| self.state.get(layer));
        let layer = *layer.ok_or(io::ErrorKind::NotFound)?;
        let stop = self.layers.stop();
        Ok(match self.layers.open_entry(layer, entry).map_err(io::Error::other)? {
            Source::File(file) => Box::new(stop.watch(file)),
            Source::Reader(reader) => Box::new(stop.watch(reader)),
        })
    }
}

/// Writes the merged file system as one tar.
pub fn write_tar<W: Write>(layers: &Layers, state: &[LayerId], out: W) -> Result<W, ExportError> {
    layers.unpack_images(state)?;
    let flattened = Flattened::new(&layers.merged(state)?);
    let contents = StateContents { layers, state, flattened: &flattened };
    Ok(tar::write(flattened.toc(), &contents, Verify::Size, out)?)
}

/// Writes the merged file system below `folder`, which is made if it is missing. Files that are there are replaced,
/// others stay. Owners are not kept, devices are left out: these are files for the user.
pub fn write_folder(layers: &Layers, state: &[LayerId], folder: &Path) -> Result<(), ExportError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| ExportError::Write { path, error }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let root = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed(folder)(error.into()))?;
    layers.unpack_images(state)?;
    let flattened = Flattened::new(&layers.merged(state)?);
    let toc = flattened.toc();
    let contents = StateContents { layers, state, flattened: &flattened };
    let mut folders = Vec::new();
    for entry in toc.entries().iter().filter(|entry| !entry.path.is_root()) {
        let full = folder.join(OsStr::from_bytes(entry.path.as_bytes()));
        write_entry(&root, entry, &contents).map_err(failed(&full))?;
        if let Kind::Dir { .. } = entry.kind {
            folders.push(entry);
        }
    }
    // What is written into a folder changes its time, and one that cannot be written to must be filled first.
    for entry in folders.into_iter().rev() {
        let full = folder.join(OsStr::from_bytes(entry.path.as_bytes()));
        finish_folder(&root, entry).map_err(failed(&full))?;
    }
    Ok(())
}

fn beneath(root: &OwnedFd, path: &TreePath) -> io::Result<OwnedFd> {
    let name: &[u8] = if path.is_root() { b"." } else { path.as_bytes() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A link that is already in the folder is not followed: the result must land where the user said.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(root, OsStr::from_bytes(name), flags, Mode::empty(), resolve)?)
}

fn write_entry(root: &OwnedFd, entry: &Entry, contents: &StateContents<'_>) -> io::Result<()> {
    let parent = beneath(root, &entry.path.parent().unwrap_or_default())?;
    let name = OsStr::from_bytes(entry.path.name());
    let mode = Mode::from_raw_mode(entry.meta.mode);
    let toc = contents.flattened.toc();
    // Each name of a file gets bytes of its own; so does each name of whatever else a hard link means.
    let first = match &entry.kind {
        Kind::Hardlink(first) => toc.get(first).unwrap_or(entry),
        _ => entry,
    };
    match &first.kind {
        Kind::Dir { .. } => match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Err(rustix::io::Errno::EXIST) => beneath(root, &entry.path).map(drop),
            other => Ok(other?),
        },
        Kind::File { .. } => {
            remove(&parent, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
            io::copy(&mut contents.open(first)?, &mut file)?;
            rustix::fs::fchmod(&file, mode)?;
            Ok(rustix::fs::futimens(&file, &times(entry))?)
        }
        Kind::Symlink(target) => {
            remove(&parent, name)?;
            rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, name)?;
            Ok(rustix::fs::utimensat(&parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
        }
        Kind::Char(..) | Kind::Block(..) | Kind::Fifo | Kind::Whiteout | Kind::Hardlink(_) => Ok(()),
    }
}

fn finish_folder(root: &OwnedFd, entry: &Entry) -> io::Result<()> {
    let parent = beneath(root, &entry.path.parent().unwrap_or_default())?;
    let name = OsStr::from_bytes(entry.path.name());
    rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(entry.meta.mode), AtFlags::empty())?;
    Ok(rustix::fs::utimensat(&parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.meta.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
