//! From data to a folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{OFlags, copy_file_range, ioctl_ficlone};

use super::{At, Overlay, SnapshotError, Tree, node};
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// Where the bytes of a regular file are.
pub enum Source {
    /// In a file, from its start: they are cloned where the file system can, and copied by the kernel where not.
    File(File),
    /// Wherever the reader has them.
    Reader(Box<dyn Read + Send>),
}

/// Gives the bytes of regular files. Is asked from several threads at once, for each entry once, in no order.
pub trait FileSource: Sync {
    /// The bytes of `entry`.
    fn open(&self, entry: &Entry) -> io::Result<Source>;
}

/// How a folder is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// How the overlay's own notes are stored.
    pub overlay: Overlay,
    /// The attributes of the folder itself if the layer has no entry for the root. In a stack, the topmost folder's are
    /// seen: give what the layers below have.
    pub root: Meta,
    /// Whether every file is read and hashed on its way, so that one that is not what the layer says is noticed. Needed
    /// where others can change the source; not for snapshots.
    pub verify: bool,
}

/// Makes everything that `toc` has in `root`, an empty folder.
///
/// Folders without an entry get mode 0755 and the time of `options.root`. When this fails, the folder is left half done.
pub fn write(
    toc: &Toc,
    source: &dyn FileSource,
    root: BorrowedFd<'_>,
    options: &WriteOptions,
) -> Result<(), SnapshotError> {
    let mut tree = Tree::new(root);
    let mut implied: BTreeMap<TreePath, Meta> = BTreeMap::new();
    for entry in toc.entries() {
        make_parents(&mut tree, toc, entry, &mut implied, options)?;
        match &entry.kind {
            Kind::Dir { .. } if entry.path.is_root() => {}
            Kind::Dir { .. } => {
                let parent = tree.parent(&entry.path)?;
                node::make_folder(&parent, &entry.path).at(&entry.path, "create the folder")?;
            }
            Kind::File { .. } | Kind::Hardlink(_) => {}
            kind => {
                let parent = tree.parent(&entry.path)?;
                node::make_special((*parent).as_fd(), &entry.path, &entry.meta, kind, options.overlay)
                    .at(&entry.path, "create it")?;
            }
        }
    }
    write_files(toc, source, root, options)?;
    for entry in toc.entries() {
        if let Kind::Hardlink(target) = &entry.kind {
            let from = tree.parent(target)?;
            let to = tree.parent(&entry.path)?;
            node::make_link(&from, target, &to, &entry.path, options.overlay)
                .at(&entry.path, "create the hard link")?;
        }
    }
    if toc.get(&TreePath::root()).is_none() {
        implied.insert(TreePath::root(), options.root.clone());
    }
    let described = toc.entries().iter().filter_map(|entry| match entry.kind {
        Kind::Dir { opaque } => Some((&entry.path, &entry.meta, opaque.then_some(options.overlay))),
        _ => None,
    });
    for (path, meta, opaque) in described.chain(implied.iter().map(|(path, meta)| (path, meta, None))) {
        let folder = tree.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        node::dress_folder(folder, meta, opaque).at(path, "set its attributes")?;
    }
    Ok(())
}

/// Makes folders above `entry` that have no entry of their own.
fn make_parents(
    tree: &mut Tree<'_>,
    toc: &Toc,
    entry: &Entry,
    implied: &mut BTreeMap<TreePath, Meta>,
    options: &WriteOptions,
) -> Result<(), SnapshotError> {
    let Some(parent) = entry.path.parent() else { return Ok(()) };
    if implied.contains_key(&parent) || toc.get(&parent).is_some() {
        return Ok(());
    }
    for path in parent.ancestors().chain([parent.clone()]) {
        if path.is_root() || implied.contains_key(&path) || toc.get(&path).is_some() {
            continue;
        }
        let holder = tree.parent(&path)?;
        node::make_folder(&holder, &path).at(&path, "create the folder")?;
        implied.insert(path, Meta { mode: 0o755, mtime: options.root.mtime, ..Meta::default() });
    }
    Ok(())
}

/// Files that one thread takes at a time: neighbours, so that it stays in few folders.
const BATCH: usize = 128;

fn write_files(
    toc: &Toc,
    source: &dyn FileSource,
    root: BorrowedFd<'_>,
    options: &WriteOptions,
) -> Result<(), SnapshotError> {
    let files: Vec<&Entry> = toc.entries().iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), SnapshotError> {
        let mut tree = Tree::new(root);
        let mut buffer = vec![0; 128 << 10];
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(batch) = files.get(start..files.len().min(start + BATCH)).filter(|batch| !batch.is_empty()) else {
                return Ok(());
            };
            for entry in batch {
                let parent = tree.parent(&entry.path)?;
                let result = write_file((*parent).as_fd(), entry, source, options, &mut buffer);
                if result.is_err() {
                    // The others stop at the end of their batch.
                    next.store(files.len(), Ordering::Relaxed);
                    return result;
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8).min(files.len().div_ceil(BATCH));
    if threads < 2 {
        return work();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut result = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(outcome) => result = result.and(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
}

/// Up to this size, in bytes, reading and writing is faster than asking the kernel to copy.
const SMALL: u64 = 128 << 10;

fn write_file(
    parent: BorrowedFd<'_>,
    entry: &Entry,
    source: &dyn FileSource,
    options: &WriteOptions,
    buffer: &mut [u8],
) -> Result<(), SnapshotError> {
    let Kind::File { size, content } = &entry.kind else { return Ok(()) };
    let mut file = node::create(parent, &entry.path).at(&entry.path, "create it")?;
    let changed = || SnapshotError::Changed { path: entry.path.clone() };
    if *size > 0 || options.verify {
        let from = source.open(entry).at(&entry.path, "open its source")?;
        let (copied, hash) = match from {
            Source::File(from) if !options.verify && *size > SMALL => {
                (copy(&from, &file).at(&entry.path, "copy it")?, None)
            }
            Source::File(mut from) => pump(&mut from, &mut file, options.verify, buffer).at(&entry.path, "copy it")?,
            Source::Reader(mut from) => {
                pump(&mut from, &mut file, options.verify, buffer).at(&entry.path, "write it")?
            }
        };
        if copied != *size || hash.is_some_and(|hash| hash.as_bytes() != content.as_bytes()) {
            return Err(changed());
        }
    }
    node::dress(&file, &entry.meta).at(&entry.path, "set its attributes")
}

/// Copies between files without bringing the bytes into this process. Both stand at their start.
fn copy(from: &File, to: &File) -> io::Result<u64> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(from.metadata()?.len());
    }
    let mut copied = 0;
    loop {
        match copy_file_range(from, None, to, None, 1 << 30) {
            Ok(0) => return Ok(copied),
            Ok(bytes) => copied += bytes as u64,
            Err(rustix::io::Errno::INTR) => {}
            // Not between these two file systems: through memory, from where we are.
            Err(_) => return Ok(copied + io::copy(&mut &*from, &mut &*to)?),
        }
    }
}

/// Copies bytes, and hashes them if asked to.
pub(super) fn pump(
    from: &mut dyn Read,
    to: &mut File,
    hash: bool,
    buffer: &mut [u8],
) -> io::Result<(u64, Option<blake3::Hash>)> {
    let mut hasher = hash.then(blake3::Hasher::new);
    let mut copied = 0;
    loop {
        let read = match from.read(buffer) {
            Ok(0) => return Ok((copied, hasher.map(|hasher| hasher.finalize()))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..read]);
        }
        to.write_all(&buffer[..read])?;
        copied += read as u64;
    }
}
