//! `cp`: files out of containers and into them.
//!
//! Both ends are folders that are open, and every name is resolved below one of them by the kernel: in the container as its
//! processes would (`RESOLVE_IN_ROOT`), within what is copied never through a link. What a container or an archive calls
//! its files can so lead nowhere else.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, openat2, readlinkat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::super::Error;
use super::look::{Below, overlay_failed};
use crate::fstree::tar::{self, Verify};
use crate::fstree::{Entry, Kind, Toc, TreePath};
use crate::sandbox;
use crate::store::containers::ContainerLock;
use crate::store::layers::Layers;
use crate::store::snapshot::{self, Settle, SnapshotFiles};
use crate::store::{confined_to, remove_tree};

/// The end of a copy that is on this machine.
pub enum Side<'a> {
    /// A file or folder.
    Path(&'a Path),
    /// A tar, read from or written to standard streams.
    Tar,
}

/// How is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransferOptions {
    /// Whether owners are kept. Else files in a container are root's, and files here are the caller's.
    pub archive: bool,
    /// Whether a symbolic link that is to be copied stands for what it leads to.
    pub follow: bool,
}

impl TransferOptions {
    fn read(self, root: Option<&Root>, path: &str) -> Result<Source, Error> {
        if self.follow { read_followed(root, path) } else { read_source(root, path) }
    }
}

/// The files of a container, open. A container that does not run is kept from being started meanwhile.
struct Root {
    folder: OwnedFd,
    _lock: Option<ContainerLock>,
}

impl Root {
    fn open(layers: &Arc<Layers>, name: &str) -> Result<Self, Error> {
        let container = layers.store().find_container(name)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if container.is_running() {
            let process =
                container.record.process.ok_or_else(|| Error::build("the container is only being started"))?;
            let failed = |error: Errno| Error::build("the container has just ended").caused_by(io::Error::from(error));
            let folder = openat(CWD, format!("/proc/{process}/root"), flags, Mode::empty()).map_err(failed)?;
            // Had it ended before, the number could be another's.
            if !container.is_running() {
                return Err(failed(Errno::SRCH));
            }
            return Ok(Self { folder, _lock: None });
        }
        if let Some(place) = &container.record.mounted {
            let folder = openat(CWD, place, flags, Mode::empty());
            let folder = folder.map_err(|error| Error::build(format!("{}: {error}", place.display())))?;
            return Ok(Self { folder, _lock: None });
        }
        let lock = container.lock()?;
        let Below { layers, state, .. } = Below::of(layers, &container)?;
        let mut lower = vec![container.stubs()];
        lower.extend(layers.folders(&state)?);
        let (upper, work) = (container.upper(), container.fresh_work()?);
        let folder = sandbox::open_merged(&lower, Some((&upper, &work))).map_err(overlay_failed)?;
        Ok(Self { folder, _lock: Some(lock) })
    }

    /// Opens something as the container's processes would find it.
    fn find(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        in_root(self.folder.as_fd(), path, flags)
    }
}

fn in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path: &[u8] = if path.iter().all(|&byte| byte == b'/') { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, OsStr::from_bytes(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// What is copied: names in a folder.
struct Source {
    folder: OwnedFd,
    /// What there is. Either all paths begin with the name, or the folder itself is what is copied.
    toc: Toc,
    /// The name; the root for the folder itself.
    name: TreePath,
    /// What it is called where it comes to; the root for what is spread there.
    called: TreePath,
    is_folder: bool,
}

/// A path in two: the folder and the last name, and whether it ends in a slash or in `/.`.
fn split(path: &str) -> (&str, &str, bool, bool) {
    let contents = path.ends_with("/.") || path == ".";
    let trimmed = path.strip_suffix("/.").unwrap_or(path);
    let slash = trimmed.len() > 1 && trimmed.ends_with('/');
    let trimmed = if trimmed.len() > 1 { trimmed.trim_end_matches('/') } else { trimmed };
    match trimmed.rsplit_once('/') {
        Some(("", name)) => ("/", name, slash, contents),
        Some((parent, name)) => (parent, name, slash, contents),
        None => (".", trimmed, slash, contents),
    }
}

/// How many links may lead to each other.
const MOST_LINKS: usize = 40;

/// The same as [`read_source`], but a link stands for what it leads to. That keeps the link's name.
fn read_followed(root: Option<&Root>, path: &str) -> Result<Source, Error> {
    let failed = |error: Errno| Error::build(format!("cannot read {path}: {}", io::Error::from(error)));
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let (parent, name, slash, contents) = split(&at);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match root {
            Some(root) => root.find(parent.as_bytes(), flags),
            None => openat(CWD, parent, flags, Mode::empty()),
        };
        let is_folder = slash || contents || matches!(name, "" | "." | "..");
        let link = if is_folder { None } else { readlinkat(folder.map_err(failed)?, name, Vec::new()).ok() };
        let Some(link) = link else {
            let source = read_source(root, &at)?;
            let called = if at == path { source.called.clone() } else { TreePath::clean(split(path).1) };
            return Ok(Source { called, ..source });
        };
        let link = link.into_string().map_err(|_| failed(Errno::ILSEQ))?;
        at = if link.starts_with('/') { link } else { format!("{parent}/{link}") };
    }
    Err(failed(Errno::LOOP))
}

/// Reads what stands at a path below `root`, for a container; or anywhere on this machine.
fn read_source(root: Option<&Root>, path: &str) -> Result<Source, Error> {
    let failed = |error: Errno| Error::build(format!("cannot read {path}: {}", io::Error::from(error)));
    let open = |path: &str, flags: OFlags| match root {
        Some(root) => root.find(path.as_bytes(), flags),
        None => openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
    };
    let (parent, name, slash, contents) = split(path);
    // Of the root, and of names that only mean something, the folder itself is opened and stands for its content.
    let whole = matches!(name, "" | "." | "..") || contents;
    let settle = Settle { clock: None, epoch: 0, ceiling: None };
    if whole || slash {
        let folder = open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        let toc = snapshot::import(folder.as_fd(), &settle)?;
        let name = if whole { TreePath::root() } else { TreePath::clean(name) };
        return Ok(Source { folder, toc, called: name.clone(), name, is_folder: true });
    }
    let folder = open(parent, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
    let name = TreePath::clean(name);
    statat(&folder, OsStr::from_bytes(name.as_bytes()), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let toc = snapshot::import_at(folder.as_fd(), &name, &settle)?;
    let is_folder = toc.get(&name).is_some_and(|entry| matches!(entry.kind, Kind::Dir { .. }));
    Ok(Source { folder, toc, called: name.clone(), name, is_folder })
}

impl Source {
    /// Whether the paths begin with the name.
    fn is_named(&self) -> bool {
        self.toc.get(&TreePath::root()).is_none()
    }

    /// The path of an entry below what is copied: the root for that itself.
    fn below(&self, path: &TreePath) -> TreePath {
        if self.is_named() { path.strip_prefix(&self.name).unwrap_or_default() } else { path.clone() }
    }

    /// The same with other paths: what is copied is called `name`, or is spread in the target if that is the root.
    fn renamed(&self, name: &TreePath) -> Toc {
        let rename = |path: &TreePath| name.join_path(&self.below(path));
        let entries = self.toc.entries().iter().map(|entry| {
            let kind = match &entry.kind {
                Kind::Hardlink(first) => Kind::Hardlink(rename(first)),
                kind => kind.clone(),
            };
            Entry { path: rename(&entry.path), meta: entry.meta.clone(), kind }
        });
        Toc::new(entries.collect())
    }

    /// Opens the bytes of a file that is copied under another name.
    fn open(&self, files: &SnapshotFiles, name: &TreePath, path: &TreePath) -> io::Result<File> {
        let below = path.strip_prefix(name).unwrap_or_default();
        files.file(&if self.is_named() { self.name.join_path(&below) } else { below })
    }
}

/// Copies out of a container. A tar goes to `out`.
pub fn copy_out(
    layers: &Arc<Layers>,
    container: &str,
    path: &str,
    to: &Side<'_>,
    options: TransferOptions,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let root = Root::open(layers, container)?;
    let source = options.read(Some(&root), path)?;
    match to {
        Side::Tar => {
            let toc = source.renamed(&source.called);
            let files = SnapshotFiles::new(source.folder.try_clone().map_err(|error| Error::build(error.to_string()))?);
            let contents = Renamed { source: &source, files: &files, name: &source.called };
            let out =
                tar::write(&toc, &contents, Verify::Size, out).map_err(|error| Error::build(error.to_string()))?;
            out.flush().map_err(|error| Error::build("cannot write the archive").caused_by(error))
        }
        Side::Path(path) => {
            let text = path.to_string_lossy();
            let (parent, name, slash, contents) = split(&text);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let owner = Owner::Here { keep: options.archive };
            place(&source, owner, (&text, name), slash || contents, |want| match want {
                Want::Target => openat(CWD, text.as_ref(), flags, Mode::empty()),
                Want::Parent => openat(CWD, parent, flags, Mode::empty()),
            })
        }
    }
}

struct Renamed<'a> {
    source: &'a Source,
    files: &'a SnapshotFiles,
    name: &'a TreePath,
}

impl tar::Contents for Renamed<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.source.open(self.files, self.name, &entry.path)?))
    }
}

/// Copies into a container. A tar comes from `input`, and is spread in the folder `path`.
pub fn copy_in(
    layers: &Arc<Layers>,
    from: &Side<'_>,
    container: &str,
    path: &str,
    options: TransferOptions,
    input: Option<Box<dyn Read + Send>>,
) -> Result<(), Error> {
    let owner = Owner::Container { keep: options.archive };
    match (from, input) {
        (Side::Tar, Some(input)) => {
            // The archive is unpacked on its own first: what is wrong with it leaves the container as it is.
            let folder = super::super::unpack_context(layers.store(), input)?;
            let result = (|| {
                let root = Root::open(layers, container)?;
                let opened = File::open(&folder).map_err(|error| Error::build(error.to_string()))?;
                let toc = snapshot::import(opened.as_fd(), &Settle { clock: None, epoch: 0, ceiling: None })?;
                let (name, called) = (TreePath::root(), TreePath::root());
                let source = Source { folder: opened.into(), toc, name, called, is_folder: true };
                let target = root.find(path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY);
                let target = target.map_err(|error| not_a_folder(path, error))?;
                write_all(&source, &TreePath::root(), target.as_fd(), Owner::Container { keep: true })
            })();
            let _ = remove_tree(&folder);
            result
        }
        (Side::Path(local), _) => {
            let source = options.read(None, &local.to_string_lossy())?;
            let root = Root::open(layers, container)?;
            let (parent, name, slash, contents) = split(path);
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            place(&source, owner, (path, name), slash || contents, |want| match want {
                Want::Target => root.find(path.as_bytes(), flags),
                Want::Parent => root.find(parent.as_bytes(), flags),
            })
        }
        (Side::Tar, None) => Err(Error::Usage("there is no tar to read".into())),
    }
}

/// Which folder of the target is wanted.
enum Want {
    /// The one that was named.
    Target,
    /// The one that it stands in.
    Parent,
}

/// Puts a source where `cp` would: into a folder that is there, or under a new name.
fn place(
    source: &Source,
    owner: Owner,
    (shown, name): (&str, &str),
    wants_folder: bool,
    open: impl Fn(Want) -> Result<OwnedFd, Errno>,
) -> Result<(), Error> {
    match open(Want::Target) {
        Ok(target) => write_all(source, &source.called, target.as_fd(), owner),
        Err(Errno::NOENT) if wants_folder && !source.is_folder => Err(not_a_folder(shown, Errno::NOENT)),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let parent = open(Want::Parent).map_err(|error| not_a_folder(shown, error))?;
            write_all(source, &TreePath::clean(name), parent.as_fd(), owner)
        }
        Err(error) => Err(not_a_folder(shown, error)),
    }
}

fn not_a_folder(path: &str, error: Errno) -> Error {
    Error::build(format!("cannot copy to {path}: {}", io::Error::from(error)))
}

/// Whose the copies are.
#[derive(Clone, Copy)]
enum Owner {
    /// In a container: as they were, or root's.
    Container { keep: bool },
    /// On this machine: as they were, or the caller's.
    Here { keep: bool },
}

/// Writes everything below `target`, which nothing leads out of, in a thread that can write nowhere else.
fn write_all(source: &Source, name: &TreePath, target: BorrowedFd<'_>, owner: Owner) -> Result<(), Error> {
    let failed = |error| Error::build(format!("cannot copy {name}")).caused_by(error);
    confined_to(target, || write_entries(source, name, target, owner)).map_err(failed)?
}

fn write_entries(source: &Source, name: &TreePath, target: BorrowedFd<'_>, owner: Owner) -> Result<(), Error> {
    let toc = source.renamed(name);
    let files = SnapshotFiles::new(source.folder.try_clone().map_err(|error| Error::build(error.to_string()))?);
    let mut new_folders = Vec::new();
    for entry in toc.entries().iter().filter(|entry| !entry.path.is_root()) {
        let written =
            write_entry(source, &files, name, entry, target, owner).map_err(|error| match error.raw_os_error() {
                Some(errno) if errno == Errno::ISDIR.raw_os_error() => {
                    Error::build(format!("cannot copy {}: there is a folder of that name", entry.path))
                }
                Some(errno) if [Errno::NOTDIR, Errno::LOOP].iter().any(|known| known.raw_os_error() == errno) => {
                    Error::build(format!("cannot copy {}: something that is no folder is in the way", entry.path))
                }
                _ => Error::build(format!("cannot copy {}", entry.path)).caused_by(error),
            })?;
        if written {
            new_folders.push(entry);
        }
    }
    // What is written into a folder changes its time, and one that cannot be written to must be filled first.
    for entry in new_folders.into_iter().rev() {
        let dress = || -> io::Result<()> {
            let folder = beneath(target, &entry.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            dress(&folder, entry, owner)
        };
        dress().map_err(|error| Error::build(format!("cannot copy {}", entry.path)).caused_by(error))?;
    }
    Ok(())
}

fn beneath(root: BorrowedFd<'_>, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
    let name: &[u8] = if path.is_root() { b"." } else { path.as_bytes() };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, OsStr::from_bytes(name), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Writes one entry; whether it is a folder that was not there.
fn write_entry(
    source: &Source,
    files: &SnapshotFiles,
    name: &TreePath,
    entry: &Entry,
    target: BorrowedFd<'_>,
    owner: Owner,
) -> io::Result<bool> {
    let parent = beneath(target, &entry.path.parent().unwrap_or_default(), OFlags::PATH | OFlags::DIRECTORY)?;
    let own = OsStr::from_bytes(entry.path.name());
    if !matches!(entry.kind, Kind::Dir { .. }) {
        match unlinkat(&parent, own, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match &entry.kind {
        Kind::Dir { .. } => {
            return match mkdirat(&parent, own, Mode::RWXU) {
                Err(Errno::EXIST) => {
                    beneath(target, &entry.path, OFlags::PATH | OFlags::DIRECTORY)?;
                    Ok(false)
                }
                made => Ok(made.map(|()| true)?),
            };
        }
        Kind::File { size, .. } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&parent, own, flags, Mode::RUSR | Mode::WUSR)?);
            // No more than there was: a container that runs may go on writing.
            io::copy(&mut source.open(files, name, &entry.path)?.take(*size), &mut file)?;
            dress(&file, entry, owner)?;
        }
        Kind::Hardlink(first) => {
            let from = beneath(target, &first.parent().unwrap_or_default(), OFlags::PATH | OFlags::DIRECTORY)?;
            linkat(&from, OsStr::from_bytes(first.name()), &parent, own, AtFlags::empty())?;
        }
        Kind::Symlink(link) => {
            symlinkat(OsStr::from_bytes(link), &parent, own)?;
            let (uid, gid) = owner_of(entry, owner);
            chownat(&parent, own, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            utimensat(&parent, own, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Kind::Char(major, minor) => special(&parent, own, entry, FileType::CharacterDevice, (*major, *minor), owner)?,
        Kind::Block(major, minor) => special(&parent, own, entry, FileType::BlockDevice, (*major, *minor), owner)?,
        Kind::Fifo => special(&parent, own, entry, FileType::Fifo, (0, 0), owner)?,
        Kind::Whiteout => {}
    }
    Ok(false)
}

fn special(
    parent: &OwnedFd,
    name: &OsStr,
    entry: &Entry,
    kind: FileType,
    (major, minor): (u32, u32),
    owner: Owner,
) -> io::Result<()> {
    // A device that a container made must not become one of this machine.
    if kind != FileType::Fifo && matches!(owner, Owner::Here { .. }) {
        return Ok(());
    }
    mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor))?;
    let (uid, gid) = owner_of(entry, owner);
    chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    chmodat(parent, name, Mode::from_raw_mode(entry.meta.mode), AtFlags::empty())?;
    Ok(utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives an open file or folder what its entry says: owner, attributes, mode and time, in the order in which they hold.
fn dress(file: impl AsFd, entry: &Entry, owner: Owner) -> io::Result<()> {
    let (uid, gid) = owner_of(entry, owner);
    fchown(&file, uid, gid)?;
    if matches!(owner, Owner::Container { .. } | Owner::Here { keep: true }) {
        for (name, value) in &entry.meta.xattrs {
            fsetxattr(&file, name.as_slice(), value, XattrFlags::empty())?;
        }
    }
    // A program of a container's must not become root's on this machine without somebody asking for it.
    let mask = if matches!(owner, Owner::Here { keep: false }) { 0o1777 } else { 0o7777 };
    fchmod(&file, Mode::from_raw_mode(entry.meta.mode & mask))?;
    Ok(futimens(&file, &times(entry))?)
}

fn owner_of(entry: &Entry, owner: Owner) -> (Option<Uid>, Option<Gid>) {
    let given = (Some(Uid::from_raw(entry.meta.uid)), Some(Gid::from_raw(entry.meta.gid)));
    match owner {
        Owner::Container { keep: true } | Owner::Here { keep: true } => given,
        Owner::Container { keep: false } => (Some(Uid::ROOT), Some(Gid::ROOT)),
        Owner::Here { keep: false } => (None, None),
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.meta.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_apart() {
        let check = |path: &str, expected: (&str, &str, bool, bool)| assert_eq!(split(path), expected, "{path}");
        check("/a/b", ("/a", "b", false, false));
        check("/a", ("/", "a", false, false));
        check("a", (".", "a", false, false));
        check("/a/b/", ("/a", "b", true, false));
        check("/a/b/.", ("/a", "b", false, true));
        check("/", ("/", "", false, false));
        check(".", (".", ".", false, true));
    }
}
