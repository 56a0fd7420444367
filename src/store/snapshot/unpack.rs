//! From a tar to a folder and data, in one pass over the tar.
//!
//! The calling thread reads (and so decompresses) and creates; small files are written, hashed and dressed by others.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, OFlags, linkat, unlinkat};

use super::plan::{Make, Plan, Step};
use super::tree::os;
use super::write::pump;
use super::{At, Overlay, SnapshotError, Tree, node};
use crate::digest::ContentDigest;
use crate::fstree::tar::{RawEntry, TarReader};
use crate::fstree::{Merged, Meta, Toc, TreePath};

/// Gives the bytes of files in the layers below, for hard links to them.
pub trait LowerFiles {
    /// Opens the regular file at `path` in the layer of this index.
    fn open(&self, layer: usize, path: &TreePath) -> io::Result<File>;
}

/// For the bottom of a stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLowerFiles;

impl LowerFiles for NoLowerFiles {
    fn open(&self, _: usize, _: &TreePath) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// How a tar is unpacked.
pub struct Unpack<'a> {
    /// The layers below.
    pub lower: &'a Merged,
    /// Their bytes.
    pub files: &'a dyn LowerFiles,
    /// The folder of the layer that entries go to; for them, it is the root, links included. The root for layers.
    pub base: TreePath,
    /// The attributes of folders that neither the tar nor a lower layer describes.
    pub implied: Meta,
    /// How the overlay's own notes are stored.
    pub overlay: Overlay,
    /// Changes entries before they are taken in, for example their owner.
    pub adjust: &'a dyn Fn(&mut RawEntry),
}

/// Files up to this size, in bytes, are handed to other threads whole.
const SMALL: u64 = 256 << 10;

/// Files that wait for other threads at most.
const WAITING: usize = 64;

/// Makes everything that the tar has in `root`, an empty folder, and says what that is.
///
/// Of several entries with one path the last one counts. Folders that the tar does not mention are as they are in lower
/// layers. In layers, links in the tar are followed above other entries but links of lower layers are replaced, as overlays
/// of other builders have it; in other archives, both are followed. All stays below `base`.
///
/// The tar is read to its own end, not to the end of the stream: see [`TarReader::drain`]. When this fails, the folder
/// is left half done.
pub fn unpack<R: Read>(
    tar: &mut TarReader<R>,
    root: BorrowedFd<'_>,
    options: &Unpack<'_>,
) -> Result<Toc, SnapshotError> {
    let mut plan = Plan::new(options.lower, options.base.clone(), options.implied.clone(), tar.dialect());
    let done = Done::default();
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(4);
        for _ in 0..workers {
            scope.spawn(|| work(&receiver, &done));
        }
        // The sender goes with this call: then the workers end.
        take_in(tar, root, options, &mut plan, sender, &done)
    })?;
    let (contents, error) = (done.contents.into_inner(), done.error.into_inner());
    if let Some(error) = error.unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    for (inode, content) in contents.unwrap_or_else(PoisonError::into_inner) {
        plan.set_content(inode, content);
    }
    let tree = Tree::new(root);
    for (path, meta, opaque) in plan.folders() {
        let folder = tree.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        node::dress_folder(folder, meta, opaque.then_some(options.overlay)).at(path, "set its attributes")?;
    }
    Ok(plan.finish())
}

/// A created file and all that goes into it.
struct Job {
    file: File,
    path: TreePath,
    inode: usize,
    meta: Meta,
    data: Vec<u8>,
}

#[derive(Default)]
struct Done {
    contents: Mutex<Vec<(usize, ContentDigest)>>,
    failed: AtomicBool,
    error: Mutex<Option<SnapshotError>>,
}

impl Done {
    fn content(&self, inode: usize, content: ContentDigest) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).push((inode, content));
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, done: &Done) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { mut file, path, inode, meta, data }) = job else { return };
        if done.failed.load(Ordering::Relaxed) {
            continue;
        }
        let content = ContentDigest::of(&data);
        let result = io::Write::write_all(&mut file, &data).at(&path, "write it");
        match result.and_then(|()| node::dress(&file, &meta).at(&path, "set its attributes")) {
            Ok(()) => done.content(inode, content),
            Err(error) => {
                done.failed.store(true, Ordering::Relaxed);
                done.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }
}

fn take_in<R: Read>(
    tar: &mut TarReader<R>,
    root: BorrowedFd<'_>,
    options: &Unpack<'_>,
    plan: &mut Plan<'_>,
    jobs: SyncSender<Job>,
    done: &Done,
) -> Result<(), SnapshotError> {
    let mut tree = Tree::new(root);
    let mut buffer = vec![0; 256 << 10];
    let mut steps = Vec::new();
    while let Some((mut raw, mut content)) = tar.next()? {
        if done.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        (options.adjust)(&mut raw);
        let make = plan.add(raw, &mut steps)?;
        for step in steps.drain(..) {
            apply(&mut tree, &step)?;
        }
        match make {
            Make::Nothing => {}
            Make::Special { path, meta, kind } => {
                let parent = tree.parent(&path)?;
                node::make_special((*parent).as_fd(), &path, &meta, &kind, options.overlay).at(&path, "create it")?;
            }
            Make::Link { path, target } => {
                let from = tree.parent(&target)?;
                let to = tree.parent(&path)?;
                let (from_name, to_name) = (os(target.name()), os(path.name()));
                linkat(&from, from_name, &to, to_name, AtFlags::empty()).at(&path, "create the hard link")?;
            }
            Make::Copy { path, layer, from, meta } => {
                let mut source = options.files.open(layer, &from).at(&from, "open it in its layer")?;
                let mut file = node::create(&tree.parent(&path)?, &path).at(&path, "create it")?;
                pump(&mut source, &mut file, false, &mut buffer).at(&path, "write it")?;
                node::dress(&file, &meta).at(&path, "set its attributes")?;
            }
            Make::File { path, inode } => {
                let mut file = node::create(&tree.parent(&path)?, &path).at(&path, "create it")?;
                let meta = plan.inode_meta(inode);
                let mut data = Vec::new();
                content.by_ref().take(SMALL).read_to_end(&mut data).at(&path, "read it from the archive")?;
                if (data.len() as u64) < SMALL {
                    // Fails only if every worker is gone, and then an error is noted.
                    let _ = jobs.send(Job { file, path, inode, meta, data });
                    continue;
                }
                let mut all = io::Cursor::new(data).chain(content);
                let (_, hash) = pump(&mut all, &mut file, true, &mut buffer).at(&path, "write it")?;
                node::dress(&file, &meta).at(&path, "set its attributes")?;
                if let Some(hash) = hash {
                    done.content(inode, ContentDigest::from_bytes(*hash.as_bytes()));
                }
            }
        }
    }
    Ok(())
}

fn apply(tree: &mut Tree<'_>, step: &Step) -> Result<(), SnapshotError> {
    match step {
        Step::MakeFolder(path) => {
            let parent = tree.parent(path)?;
            node::make_folder(&parent, path).at(path, "create the folder")
        }
        Step::Remove(path) => {
            let parent = tree.parent(path)?;
            match unlinkat(&parent, os(path.name()), AtFlags::empty()) {
                // A device that could not be made.
                Err(rustix::io::Errno::NOENT) => Ok(()),
                result => result.at(path, "replace it"),
            }
        }
        Step::RemoveFolder(path) => {
            tree.forget(path);
            let parent = tree.parent(path)?;
            unlinkat(&parent, os(path.name()), AtFlags::REMOVEDIR).at(path, "replace it")
        }
    }
}
