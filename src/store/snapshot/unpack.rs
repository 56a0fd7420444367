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

use rustix::fs::{AtFlags, OFlags, unlinkat};

use super::plan::{Make, Plan, Step};
use super::tree::os;
use super::write::pump;
use super::{At, Overlay, SnapshotError, Tree, node};
use crate::digest::ContentDigest;
use crate::fstree::tar::{Dialect, RawEntry, TarReader};
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
    /// Whether marks that something below is gone stay as they are, whatever is below.
    pub alone: bool,
    /// Their bytes.
    pub files: &'a (dyn LowerFiles + Sync),
    /// The folder of the layer that entries go to; for them, it is the root, links included. The root for layers.
    pub base: TreePath,
    /// The attributes of folders that neither the tar nor a lower layer describes.
    pub implied: Meta,
    /// How the overlay's own notes are stored.
    pub overlay: Overlay,
    /// Changes entries before they are taken in, for example their owner.
    pub adjust: &'a (dyn Fn(&mut RawEntry) + Sync),
}

/// Files up to this size, in bytes, are handed to other threads whole.
const SMALL: u64 = 256 << 10;

/// Files that wait for other threads at most.
const WAITING: usize = 64;

/// Makes everything that the tar has in `root`, an empty folder, and says what that is: an [`Unpacker`] with one archive.
pub fn unpack<R: Read>(
    tar: &mut TarReader<R>,
    root: BorrowedFd<'_>,
    options: &Unpack<'_>,
) -> Result<Toc, SnapshotError> {
    let mut unpacker = Unpacker::new(root, tar.dialect(), options);
    unpacker.archive(tar)?;
    unpacker.finish()
}

/// Makes one layer of any number of archives and single entries, one after another, in an empty folder.
///
/// Of several entries with one path the last one counts. Folders that nobody mentions are as they are in lower layers. In
/// [`Dialect::Layer`], links in the tar are followed above other entries but links of lower layers are replaced, as overlays
/// of other builders have it; in [`Dialect::Archive`], both are followed. All stays below `base`.
///
/// When anything fails, the folder is left half done.
pub struct Unpacker<'a> {
    plan: Plan<'a>,
    root: BorrowedFd<'a>,
    tree: Tree<'a>,
    options: &'a Unpack<'a>,
    buffer: Vec<u8>,
    steps: Vec<Step>,
}

impl<'a> Unpacker<'a> {
    /// Unpacks to `root`, which must be empty.
    pub fn new(root: BorrowedFd<'a>, dialect: Dialect, options: &'a Unpack<'a>) -> Self {
        Self {
            plan: Plan::new(options.lower, options.base.clone(), options.implied.clone(), dialect).alone(options.alone),
            root,
            tree: Tree::new(root),
            options,
            buffer: vec![0; SMALL as usize],
            steps: Vec::new(),
        }
    }

    /// Takes in all entries of an archive.
    ///
    /// It is read to its own end, not to the end of the stream: see [`TarReader::drain`].
    pub fn archive<R: Read>(&mut self, tar: &mut TarReader<R>) -> Result<(), SnapshotError> {
        let done = Done::default();
        let (sender, receiver) = sync_channel(WAITING);
        let receiver = Mutex::new(receiver);
        let result = thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(1, usize::from).min(4);
            for _ in 0..workers {
                scope.spawn(|| work(&receiver, &done));
            }
            let jobs = sender;
            while let Some((raw, mut content)) = tar.next()? {
                if done.failed.load(Ordering::Relaxed) {
                    break;
                }
                self.take(raw, &mut content, Some(&jobs))?;
            }
            // The sender goes here: then the workers end.
            Ok(())
        });
        let (contents, error) = (done.contents.into_inner(), done.error.into_inner());
        if let Some(error) = error.unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (inode, content) in contents.unwrap_or_else(PoisonError::into_inner) {
            self.plan.set_content(inode, content);
        }
        result
    }

    /// Takes in one entry, with its bytes if it is a regular file.
    pub fn entry(&mut self, raw: RawEntry, content: &mut dyn Read) -> Result<(), SnapshotError> {
        self.take(raw, content, None)
    }

    /// Gives folders their attributes, and says what the layer is.
    pub fn finish(self) -> Result<Toc, SnapshotError> {
        let tree = Tree::new(self.root);
        for (path, meta, opaque) in self.plan.folders() {
            let folder = tree.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            node::dress_folder(folder, meta, opaque.then_some(self.options.overlay)).at(path, "set its attributes")?;
        }
        Ok(self.plan.finish())
    }

    fn take(
        &mut self,
        mut raw: RawEntry,
        content: &mut dyn Read,
        jobs: Option<&SyncSender<Job>>,
    ) -> Result<(), SnapshotError> {
        (self.options.adjust)(&mut raw);
        let make = self.plan.add(raw, &mut self.steps)?;
        for step in self.steps.drain(..) {
            apply(&mut self.tree, &step)?;
        }
        match make {
            Make::Nothing => Ok(()),
            Make::Special { path, meta, kind } => {
                let parent = self.tree.parent(&path)?;
                node::make_special((*parent).as_fd(), &path, &meta, &kind, self.options.overlay).at(&path, "create it")
            }
            Make::Link { path, target } => {
                let from = self.tree.parent(&target)?;
                let to = self.tree.parent(&path)?;
                node::make_link(&from, &target, &to, &path, self.options.overlay).at(&path, "create the hard link")
            }
            Make::Copy { path, layer, from, meta } => {
                let mut source = self.options.files.open(layer, &from).at(&from, "open it in its layer")?;
                let mut file = node::create(&self.tree.parent(&path)?, &path).at(&path, "create it")?;
                pump(&mut source, &mut file, false, &mut self.buffer).at(&path, "write it")?;
                node::dress(&file, &meta).at(&path, "set its attributes")
            }
            Make::File { path, inode } => self.file(path, inode, content, jobs),
        }
    }

    fn file(
        &mut self,
        path: TreePath,
        inode: usize,
        mut content: &mut dyn Read,
        jobs: Option<&SyncSender<Job>>,
    ) -> Result<(), SnapshotError> {
        let mut file = node::create(&self.tree.parent(&path)?, &path).at(&path, "create it")?;
        let (meta, expected) = self.plan.file(inode);
        let mut head = Vec::new();
        if let Some(jobs) = jobs
            && expected <= SMALL
        {
            content.read_to_end(&mut head).at(&path, "read it from the archive")?;
            // Fails only if every worker is gone, and then an error is noted.
            let _ = jobs.send(Job { file, path, inode, meta, data: head });
            return Ok(());
        }
        let (size, hash) = pump(&mut content, &mut file, true, &mut self.buffer).at(&path, "write it")?;
        if size != expected {
            return Err(SnapshotError::Changed { path });
        }
        node::dress(&file, &meta).at(&path, "set its attributes")?;
        if let Some(hash) = hash {
            self.plan.set_content(inode, ContentDigest::from_bytes(*hash.as_bytes()));
        }
        Ok(())
    }
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
