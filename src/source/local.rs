//! A folder of this machine as a build context: a lazy view of it, cut down by its `.dockerignore`.
//!
//! Owners and times of a checkout are accidents, so every file is root's and as old as the epoch. Nothing is read that
//! no step asks for, and no name in the folder can lead out of it: everything is opened relative to its root.

mod exceptions;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};

use crate::digest::ContentDigest;
use crate::fstree::pattern::Matcher;
use crate::fstree::select::LONGEST_PATH;
use crate::fstree::xattr::belongs_to_image;
use crate::fstree::{Meta, Node, NodeKind, TreePath, View, ViewError};
use crate::source::statcache::{self, Known, Stamp, StatCache};
use crate::store::{Stop, target_of};
use exceptions::Judged;

/// A build context.
pub struct LocalContext {
    path: PathBuf,
    root: OwnedFd,
    ignore: Matcher,
    epoch: i64,
    cache: StatCache,
    /// Folders that were looked at ahead of a walk.
    ahead: Mutex<HashMap<TreePath, Children>>,
    judged: Judged,
    stop: Stop,
}

/// How files are opened: what stands there instead of one must not hold the builder up.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// The names in a folder with what they are, sorted.
type Children = Vec<(Vec<u8>, Node)>;

impl LocalContext {
    /// Opens the folder `path`. `epoch` is the time that its files get, in seconds since 1970. Hashing files ends early
    /// once `stop` says so.
    pub fn open(path: &Path, ignore: Matcher, epoch: i64, cache: StatCache, stop: Stop) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            path: path.to_owned(),
            root,
            ignore,
            epoch,
            cache,
            ahead: Mutex::default(),
            judged: Judged::default(),
            stop,
        })
    }

    /// The folder as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What decides which files are there.
    pub fn ignore(&self) -> &Matcher {
        &self.ignore
    }

    /// The pattern that excludes what is at `path`, by its index; none if it is not excluded, or not there anyway.
    pub fn excluded_by(&self, path: &TreePath) -> Option<usize> {
        let verdict = self.ignore.decide(path);
        let parent = self.open_beneath(&path.parent()?, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC).ok()?;
        rustix::fs::statat(&parent, OsStr::from_bytes(path.name()), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        verdict.decided_by.filter(|_| verdict.excluded)
    }

    /// Writes down what was found out about the files, for the next build.
    pub fn save_cache(&self) -> io::Result<()> {
        self.cache.save()
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, path: &TreePath) -> io::Result<File> {
        let file = File::from(self.open_beneath(path, READ)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
    }

    fn open_beneath(&self, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
        let name: &[u8] = if path.is_root() { b"." } else { path.as_bytes() };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(&self.root, OsStr::from_bytes(name), flags, Mode::empty(), resolve);
        match opened {
            Err(rustix::io::Errno::NAMETOOLONG) => self.open_deep(path, flags),
            other => Ok(other?),
        }
    }

    /// Opens a path that is too long for one system call, component by component.
    fn open_deep(&self, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let flags = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC };
            folder = rustix::fs::openat(&folder, OsStr::from_bytes(part), flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(folder)
    }

    fn error(&self, path: &TreePath, error: impl Into<io::Error>) -> ViewError {
        let full = self.path.join(OsStr::from_bytes(path.as_bytes()));
        ViewError { path: full.display().to_string(), reason: error.into().to_string() }
    }

    /// What `name` in an open folder is, and the state in which it was found.
    fn stat(&self, folder: &OwnedFd, name: &CStr) -> io::Result<Option<(NodeKind, rustix::fs::Statx)>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
        let stat = match rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            other => other?,
        };
        let kind = match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
            FileType::Directory => NodeKind::Dir,
            FileType::RegularFile => NodeKind::File(stat.stx_size),
            FileType::Symlink => NodeKind::Symlink(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes()),
            FileType::CharacterDevice => NodeKind::Char(stat.stx_rdev_major, stat.stx_rdev_minor),
            FileType::BlockDevice => NodeKind::Block(stat.stx_rdev_major, stat.stx_rdev_minor),
            FileType::Fifo => NodeKind::Fifo,
            _ => NodeKind::Socket,
        };
        Ok(Some((kind, stat)))
    }

    /// The node of what was found in a state, of which this is known.
    fn node(&self, kind: NodeKind, stat: &rustix::fs::Statx, known: Known) -> Node {
        let mode = match kind {
            NodeKind::Symlink(_) => 0o777,
            _ => u32::from(stat.stx_mode) & 0o7777,
        };
        let links = (stat.stx_nlink > 1 && kind != NodeKind::Dir).then_some(stat.stx_ino);
        let meta = Meta { mode, uid: 0, gid: 0, mtime: self.epoch, xattrs: known.xattrs };
        Node { meta, kind, links, content: known.content }
    }

    /// The node of one name in an open folder.
    fn look_up(&self, folder: &OwnedFd, path: &TreePath) -> io::Result<Option<Node>> {
        let name = CString::new(path.name()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let Some((kind, stat)) = self.stat(folder, &name)? else { return Ok(None) };
        let known = match kind {
            NodeKind::File(_) => match self.cache.get(path, &stamp(&stat)) {
                Some(known) => known,
                None => {
                    let known = Known { content: None, xattrs: read_xattrs(folder, name.to_bytes())? };
                    self.cache.put(path, stamp(&stat), known.clone());
                    known
                }
            },
            NodeKind::Dir => Known { content: None, xattrs: read_xattrs(folder, name.to_bytes())? },
            _ => Known::default(),
        };
        Ok(Some(self.node(kind, &stat, known)))
    }

    /// Opens a folder; the names in it, sorted.
    fn list(&self, path: &TreePath) -> io::Result<Option<(OwnedFd, Vec<CString>)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = match self.open_beneath(path, flags) {
            Ok(folder) => folder,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut names = Vec::new();
        let mut entries = rustix::fs::RawDir::new(&folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." && !is_unfinished_lockfile(name.to_bytes()) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(Some((folder, names)))
    }

    fn content(&self, path: &TreePath, buffer: &mut Vec<u8>) -> io::Result<ContentDigest> {
        let mut file = File::from(self.open_beneath(path, READ)?);
        let state = |file: &File| rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
        let before = state(&file)?;
        if FileType::from_raw_mode(before.stx_mode.into()) != FileType::RegularFile {
            return Err(no_file());
        }
        let before = stamp(&before);
        let known = self.cache.get(path, &before);
        if let Some(content) = known.as_ref().and_then(|known| known.content) {
            return Ok(content);
        }
        let content = hash(self.stop.watch(&mut file), before.size, buffer)?;
        let after = stamp(&state(&file)?);
        if before != after {
            return Err(io::Error::other("it changed while it was read; build again once nothing writes to it"));
        }
        let xattrs = known.map(|known| known.xattrs).unwrap_or_default();
        self.cache.put(path, after, Known { content: Some(content), xattrs });
        Ok(content)
    }
}

impl View for LocalContext {
    fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError> {
        let parent = path.parent().unwrap_or_default();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = match self.open_beneath(&parent, flags) {
            Ok(folder) => self.look_up(&folder, path),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        };
        let node = found.map_err(|error| self.error(path, error))?;
        match node {
            Some(Node { kind: NodeKind::Dir, .. }) if !path.is_root() && self.ignore.excluded(path) => {
                Ok(if self.holds_exceptions(path, &self.ignore.decide(path))? { node } else { None })
            }
            Some(_) if !path.is_root() && self.ignore.excluded(path) => Ok(None),
            node => Ok(node),
        }
    }

    fn children(&self, path: &TreePath) -> Result<Children, ViewError> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        ahead.map_or_else(|| self.read_folder(path), Ok)
    }

    fn look_ahead(&self, path: &TreePath) {
        // Threads are not worth waking for a folder without folders.
        match self.read_folder(path) {
            Ok(children) if children.iter().any(|(_, node)| node.kind == NodeKind::Dir) => {
                rayon::scope(|scope| self.spread(path.clone(), children, scope));
            }
            Ok(children) => self.keep(path.clone(), children),
            Err(_) => {}
        }
    }

    fn contents(&self, paths: &[TreePath]) -> Result<Vec<ContentDigest>, ViewError> {
        let one =
            |buffer: &mut Vec<u8>, path: &TreePath| self.content(path, buffer).map_err(|error| self.error(path, error));
        // A few files are not worth waking threads for.
        if paths.len() < 4 {
            paths.iter().map(|path| one(&mut Vec::new(), path)).collect()
        } else {
            paths.par_iter().map_init(Vec::new, one).collect()
        }
    }
}

impl LocalContext {
    /// Keeps a folder's children and reads those of its folders, on other threads. What cannot be read is left to the
    /// walk, which tells of it.
    fn spread<'s>(&'s self, path: TreePath, children: Children, scope: &rayon::Scope<'s>) {
        for (name, node) in &children {
            if node.kind == NodeKind::Dir && path.as_bytes().len() < LONGEST_PATH {
                let below = path.join(name);
                scope.spawn(move |scope| {
                    if let Ok(children) = self.read_folder(&below) {
                        self.spread(below, children, scope);
                    }
                });
            }
        }
        self.keep(path, children);
    }

    fn keep(&self, path: TreePath, children: Children) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).insert(path, children);
    }

    fn read_folder(&self, path: &TreePath) -> Result<Children, ViewError> {
        let Some((folder, names)) = self.list(path).map_err(|error| self.error(path, error))? else {
            return Ok(Vec::new());
        };
        let mut children = Vec::with_capacity(names.len());
        let above = self.judged.take(path).unwrap_or_else(|| self.ignore.decide(path));
        let mut cached = self.cache.walk(path);
        let mut found_out = Vec::new();
        let mut child = path.clone();
        for name in names {
            child.push(name.to_bytes());
            cached.enter(name.to_bytes());
            let verdict = self.ignore.enter(&above, &child);
            let excluded = verdict.excluded;
            if !excluded || self.ignore.may_hold_exceptions(&child) {
                let node = self.read_one(&folder, &name, &cached, &mut found_out);
                let node = node.map_err(|error| self.error(&child, error))?;
                let is_folder = node.as_ref().is_some_and(|node| node.kind == NodeKind::Dir);
                let shown = !excluded || (is_folder && self.holds_exceptions(&child, &verdict)?);
                if shown && is_folder {
                    self.judged.keep(child.clone(), verdict);
                }
                children.extend(node.filter(|_| shown).map(|node| (name.into_bytes(), node)));
            }
            child.pop();
        }
        cached.finish();
        self.cache.put_all(path, found_out);
        Ok(children)
    }

    /// The node of a name in an open folder, beside which `cached` goes. What was not known of it is added to `found_out`.
    fn read_one(
        &self,
        folder: &OwnedFd,
        name: &CStr,
        cached: &statcache::Walk<'_>,
        found_out: &mut Vec<(Vec<u8>, Stamp, Known)>,
    ) -> io::Result<Option<Node>> {
        let Some((kind, stat)) = self.stat(folder, name)? else { return Ok(None) };
        let (name, stamp) = (name.to_bytes(), stamp(&stat));
        let known = match kind {
            NodeKind::File(_) => match cached.get(name, &stamp) {
                Some(known) => known,
                None => {
                    let known = Known { content: None, xattrs: read_xattrs(folder, name)? };
                    found_out.push((name.to_vec(), stamp, known.clone()));
                    known
                }
            },
            NodeKind::Dir => Known { content: None, xattrs: read_xattrs(folder, name)? },
            _ => Known::default(),
        };
        Ok(Some(self.node(kind, &stat, known)))
    }
}

/// Whether a name is that of a lockfile while another build writes it. What it will be is no part of any context either.
fn is_unfinished_lockfile(name: &[u8]) -> bool {
    target_of(OsStr::from_bytes(name)).is_some_and(|of| of.as_bytes().ends_with(b".lock"))
}

fn stamp(stat: &rustix::fs::Statx) -> Stamp {
    Stamp {
        ino: stat.stx_ino,
        size: stat.stx_size,
        mode: u32::from(stat.stx_mode),
        mtime: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ctime: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file any more")
}

/// The hash of a file's bytes, which are so many. A large one is spread over all processors.
fn hash(mut file: impl Read + Send, size: u64, buffer: &mut Vec<u8>) -> io::Result<ContentDigest> {
    const LARGE: u64 = 8 << 20;
    const PIECE: usize = 128 << 10;
    let mut hasher = blake3::Hasher::new();
    if size > LARGE {
        hash_ahead(&mut file, &mut hasher)?;
    } else {
        buffer.resize(PIECE, 0);
        let mut total = 0;
        // Whether more follows is for the states before and after to say. Some file systems give no sizes.
        while total < size || size == 0 {
            let read = file.read(buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            total += read as u64;
        }
    }
    Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes()))
}

/// Hashes on all processors, and reads the next piece meanwhile.
fn hash_ahead(file: &mut (impl Read + Send), hasher: &mut blake3::Hasher) -> io::Result<()> {
    const PIECE: usize = 4 << 20;
    let (mut piece, mut next) = (vec![0; PIECE], vec![0; PIECE]);
    let mut length = file.read(&mut piece)?;
    while length > 0 {
        let (read, _) = rayon::join(|| file.read(&mut next), || hasher.update_rayon(&piece[..length]));
        length = read?;
        std::mem::swap(&mut piece, &mut next);
    }
    Ok(())
}

/// The extended attributes that belong to an image.
fn read_xattrs(folder: &OwnedFd, name: &[u8]) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut path = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    let path = Path::new(OsStr::from_bytes(&path));
    let list = |buffer: &mut Vec<u8>| -> rustix::io::Result<usize> {
        if name.is_empty() {
            rustix::fs::listxattr(path, buffer.as_mut_slice())
        } else {
            rustix::fs::llistxattr(path, buffer.as_mut_slice())
        }
    };
    let mut xattrs = BTreeMap::new();
    let mut names = vec![0; 1024];
    let length = match list(&mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(xattrs),
        Err(rustix::io::Errno::RANGE) => {
            names = vec![0; 64 << 10];
            list(&mut names)?
        }
        Err(error) => return Err(error.into()),
    };
    for name in names[..length].split(|&b| b == 0) {
        if belongs_to_image(name) && !name.starts_with(b"system.") {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice())?;
            value.truncate(length);
            xattrs.insert(name.to_vec(), value);
        }
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(folder: &Path, ignore: &[&str]) -> LocalContext {
        let patterns: Vec<String> = ignore.iter().map(ToString::to_string).collect();
        LocalContext::open(folder, Matcher::new(&patterns).unwrap(), 7, StatCache::forgetful(), Stop::NEVER).unwrap()
    }

    #[test]
    fn shows_files_without_their_accidents() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/f"), b"abc").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("l")).unwrap();
        let context = context(folder.path(), &[]);
        let names: Vec<Vec<u8>> =
            context.children(&TreePath::root()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"d".to_vec(), b"l".to_vec()]);
        let node = context.lookup(&TreePath::clean("d/f")).unwrap().unwrap();
        assert_eq!((node.kind, node.meta.uid, node.meta.mtime), (NodeKind::File(3), 0, 7));
        assert_eq!(context.contents(&[TreePath::clean("d/f")]).unwrap(), [ContentDigest::of(b"abc")]);
        assert_eq!(
            context.lookup(&TreePath::clean("l")).unwrap().unwrap().kind,
            NodeKind::Symlink(b"/etc/passwd".to_vec())
        );
    }

    #[test]
    fn lockfiles_that_are_being_written_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Dockerfile.lock.12-0.new", "a.lock.new", "a.12-0.new"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let children = context(folder.path(), &[]).children(&TreePath::root()).unwrap();
        let names: Vec<Vec<u8>> = children.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"a.12-0.new".to_vec(), b"a.lock.new".to_vec()]);
    }

    #[test]
    fn says_what_excludes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/f"), b"abc").unwrap();
        let context = context(folder.path(), &["*.md", "d", "!d/f", "d/f*"]);
        let check = |path: &str, expected| assert_eq!(context.excluded_by(&TreePath::clean(path)), expected, "{path}");
        check("d/f", Some(3));
        check("d/none", None);
        check("d", Some(1));
        check("x.md", None);
        check("", None);
    }

    #[test]
    fn links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        let context = context(folder.path(), &[]);
        assert_eq!(context.lookup(&TreePath::clean("out/passwd")).unwrap(), None);
        assert!(context.children(&TreePath::clean("out")).unwrap().is_empty());
        assert!(context.open_file(&TreePath::clean("out/passwd")).is_err());
    }
}
