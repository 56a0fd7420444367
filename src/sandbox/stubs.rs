//! Mount points that an image lacks.
//!
//! A mount needs a file or folder to stand on, and the layer of a step must not show that there was one. So what is
//! missing does not come into the step's upper folder but into a lower layer of its own, right below it, which is then
//! forgotten: whatever a command makes beside a mount point is in the upper folder, with its parents, and nothing else.
//!
//! As with BuildKit, some of what is missing *is* kept: the working folder, and `/dev`, `/proc` and `/sys`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, XattrFlags};

use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta, NodeKind, TreePath, View, ViewError};
use crate::sandbox::spec::{MountKind, SandboxMount, Spec};

/// A place that something will be mounted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where: absolute. `..` goes up in the text, not in what links lead to.
    pub path: String,
    /// What is mounted.
    pub kind: TargetKind,
}

/// What a mount point must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A folder; 0755 if it is missing.
    Dir,
    /// A file; 0644 if it is missing.
    File,
    /// A folder whose permissions the mount takes over; 1777 if it is missing.
    Tmpfs,
}

/// What has to be made before a step runs. Both are sorted and complete with parents, the image's own among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stubs {
    /// For a folder of its own, to be the first of [`Spec::lower`](super::Spec::lower). Not needed if empty.
    pub hidden: Vec<Entry>,
    /// For the upper folder: it is part of the layer. Has at least the root itself, whose metadata overlayfs takes from there.
    pub kept: Vec<Entry>,
}

/// Mount points that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// The image cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The image has something else there.
    #[error("cannot mount at {target}: {path} is {found} in the image, where a {wanted} is needed")]
    Kind {
        /// The mount's target as written.
        target: String,
        /// What is in the way.
        path: TreePath,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// Symbolic links that lead to each other.
    #[error("cannot mount at {target}: too many symbolic links in the image")]
    Links {
        /// The mount's target as written.
        target: String,
    },
}

/// The targets of a spec's mounts, in the order in which they are made.
///
/// # Errors
/// If the source of a bind mount cannot be looked at.
pub fn targets(spec: &Spec) -> io::Result<Vec<Target>> {
    let target = |(_, mount): (usize, &SandboxMount)| {
        let kind = match &mount.kind {
            MountKind::Bind { source, .. } if !std::fs::metadata(source)?.is_dir() => TargetKind::File,
            MountKind::Overlay { is_file: true, .. } | MountKind::File { .. } | MountKind::Socket { .. } => {
                TargetKind::File
            }
            MountKind::Tmpfs { .. } => TargetKind::Tmpfs,
            MountKind::Bind { .. } | MountKind::Overlay { .. } => TargetKind::Dir,
        };
        Ok(Target { path: mount.target.clone(), kind })
    };
    spec.ordered_mounts().into_iter().map(target).collect()
}

/// What a step needs that its image lacks.
///
/// `cwd` is the working folder, which is made for its `owner` (user and group) if it is missing. New entries get
/// `mtime`, in seconds since 1970: not the moment, since some of them end up in a layer.
///
/// # Errors
/// See [`StubError`]. A target inside another mount is not looked at: it is made, or found wanting, in that mount.
pub fn stubs(
    view: &dyn View,
    cwd: &str,
    owner: (u32, u32),
    mtime: i64,
    targets: &[Target],
) -> Result<Stubs, StubError> {
    let mut maker = Maker { view, mtime, hidden: BTreeMap::new(), kept: BTreeMap::new(), covered: Vec::new() };
    maker.copy_with_parents(&TreePath::root(), true)?;
    let folder = |path: &str| Target { path: path.into(), kind: TargetKind::Dir };
    maker.make(&folder(cwd), Some(owner))?;
    for path in ["/dev", "/proc", "/sys"] {
        maker.make(&folder(path), Some((0, 0)))?;
        maker.covered.push(TreePath::clean(path));
    }
    let files = ["/etc/hosts", "/etc/resolv.conf"].map(|path| Target { path: path.into(), kind: TargetKind::File });
    for target in files.iter().chain(targets) {
        if let Some(place) = maker.make(target, None)? {
            maker.covered.push(place);
        }
    }
    Ok(Stubs { hidden: maker.hidden.into_values().collect(), kept: maker.kept.into_values().collect() })
}

struct Maker<'a> {
    view: &'a dyn View,
    mtime: i64,
    hidden: BTreeMap<TreePath, Entry>,
    kept: BTreeMap<TreePath, Entry>,
    /// Where mounts are, links resolved.
    covered: Vec<TreePath>,
}

impl Maker<'_> {
    /// Finds a target, and makes what is missing: kept, with this owner, or hidden. Returns where it is with all links
    /// followed; nothing if it is inside another mount.
    fn make(&mut self, target: &Target, kept_for: Option<(u32, u32)>) -> Result<Option<TreePath>, StubError> {
        let mut done = TreePath::root();
        let mut todo: Vec<Vec<u8>> = reversed(TreePath::clean(&target.path).as_bytes());
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    done = done.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            if self.covered.iter().any(|mount| done.starts_with(mount)) {
                return Ok(None);
            }
            let path = done.join(&name);
            let is_last = todo.iter().all(|rest| matches!(rest.as_slice(), b"" | b"."));
            let wants_dir = !is_last || target.kind != TargetKind::File;
            match self.lookup(&path)? {
                Some(NodeKind::Symlink(to)) => {
                    links += 1;
                    if links > 40 {
                        return Err(StubError::Links { target: target.path.clone() });
                    }
                    if to.starts_with(b"/") {
                        done = TreePath::root();
                    }
                    todo.extend(reversed(&to));
                    continue;
                }
                Some(NodeKind::Dir) if wants_dir => {}
                // Anything that is no folder can have a file mounted over it.
                Some(NodeKind::Dir) => return Err(wrong_kind(target, path, "a folder", "file")),
                Some(_) if wants_dir => return Err(wrong_kind(target, path, "no folder", "folder")),
                Some(_) => {}
                None => self.add(&path, if is_last { target.kind } else { TargetKind::Dir }, kept_for)?,
            }
            done = path;
        }
        Ok(Some(done))
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<NodeKind>, StubError> {
        if let Some(entry) = self.kept.get(path).or_else(|| self.hidden.get(path)) {
            let is_dir = matches!(entry.kind, Kind::Dir { .. });
            return Ok(Some(if is_dir { NodeKind::Dir } else { NodeKind::File(0) }));
        }
        Ok(self.view.lookup(path)?.map(|node| node.kind))
    }

    fn add(&mut self, path: &TreePath, kind: TargetKind, kept_for: Option<(u32, u32)>) -> Result<(), StubError> {
        if let Some(parent) = path.parent() {
            self.copy_with_parents(&parent, kept_for.is_some())?;
        }
        let mode = match kind {
            TargetKind::Dir => 0o755,
            TargetKind::File => 0o644,
            TargetKind::Tmpfs => 0o1777,
        };
        let (uid, gid) = kept_for.unwrap_or((0, 0));
        let meta = Meta { mode, uid, gid, mtime: self.mtime, ..Meta::default() };
        let kind = match kind {
            TargetKind::File => Kind::File { size: 0, content: ContentDigest::of(b"") },
            TargetKind::Dir | TargetKind::Tmpfs => Kind::Dir { opaque: false },
        };
        let entry = Entry { path: path.clone(), meta, kind };
        let entries = if kept_for.is_some() { &mut self.kept } else { &mut self.hidden };
        entries.insert(path.clone(), entry);
        Ok(())
    }

    /// Sees to it that a folder and those above are among the entries, as the image has them.
    fn copy_with_parents(&mut self, folder: &TreePath, kept: bool) -> Result<(), StubError> {
        for path in folder.ancestors().chain([folder.clone()]) {
            let entries = if kept { &mut self.kept } else { &mut self.hidden };
            if entries.contains_key(&path) {
                continue;
            }
            let other = if kept { &self.hidden } else { &self.kept };
            let meta = match other.get(&path) {
                Some(entry) => Some(entry.meta.clone()),
                None => self.view.lookup(&path)?.map(|node| node.meta),
            };
            let meta = meta.unwrap_or(Meta { mode: 0o755, mtime: self.mtime, ..Meta::default() });
            let entry = Entry { path: path.clone(), meta, kind: Kind::Dir { opaque: false } };
            let entries = if kept { &mut self.kept } else { &mut self.hidden };
            entries.insert(path, entry);
        }
        Ok(())
    }
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/').rev().map(<[u8]>::to_vec).collect()
}

fn wrong_kind(target: &Target, path: TreePath, found: &'static str, wanted: &'static str) -> StubError {
    StubError::Kind { target: target.path.clone(), path, found, wanted }
}

/// Writes entries as [`stubs`] makes them (folders and empty files, parents first) into a folder that exists.
///
/// # Errors
/// If the file system refuses; also for a kind of entry that stubs never are.
pub fn write(entries: &[Entry], folder: &Path) -> io::Result<()> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = |entry: &Entry| folder.join(OsStr::from_bytes(entry.path.as_bytes()));
    for entry in entries {
        let path = place(entry);
        match &entry.kind {
            Kind::Dir { .. } if entry.path.is_root() => {}
            Kind::Dir { .. } => std::fs::create_dir(&path)?,
            Kind::File { size: 0, .. } => drop(std::fs::File::create_new(&path)?),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no stub", entry.path))),
        }
        let meta = &entry.meta;
        if meta.uid == u32::MAX || meta.gid == u32::MAX {
            // The kernel takes this number for "leave it as it is".
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} has no valid owner", entry.path)));
        }
        rustix::fs::chown(&path, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(meta.mode & 0o7777))?;
        for (name, value) in &meta.xattrs {
            rustix::fs::setxattr(&path, name.as_slice(), value, XattrFlags::empty())?;
        }
    }
    // Last and from the bottom up: to make an entry changes the time of its folder.
    for entry in entries.iter().rev() {
        let time = Timespec { tv_sec: entry.meta.mtime, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, place(entry), &times, AtFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fstree::{Merged, Toc};

    /// An image: folders end in a slash, links have an arrow.
    fn image(lines: &[&str]) -> Merged {
        let entry = |line: &&str| {
            let (path, kind) = match line.split_once(" -> ") {
                Some((path, target)) => (path, Kind::Symlink(target.into())),
                None if line.ends_with('/') => (*line, Kind::Dir { opaque: false }),
                None => (*line, Kind::File { size: 0, content: ContentDigest::of(b"") }),
            };
            // Not what new folders get, so that copies can be told from them.
            let meta = Meta { mode: 0o711, uid: 9, gid: 9, mtime: 99, ..Meta::default() };
            Entry { path: TreePath::clean(path), meta, kind }
        };
        Merged::new(vec![Arc::new(Toc::new(lines.iter().map(entry).collect()))])
    }

    fn show(entries: &[Entry]) -> Vec<String> {
        let line = |entry: &Entry| {
            let slash = if matches!(entry.kind, Kind::Dir { .. }) && !entry.path.is_root() { "/" } else { "" };
            let Meta { mode, uid, mtime, .. } = entry.meta;
            format!("{}{slash} {mode:o} {uid} {mtime}", entry.path)
        };
        entries.iter().map(line).collect()
    }

    const USUAL: [&str; 9] =
        ["", "dev/", "proc/", "sys/", "etc/", "etc/hosts", "etc/resolv.conf", "real/", "link -> /real"];

    #[track_caller]
    fn check(lines: &[&str], cwd: &str, targets: &[(&str, TargetKind)], hidden: &[&str], kept: &[&str]) {
        let targets: Vec<Target> = targets.iter().map(|&(path, kind)| Target { path: path.into(), kind }).collect();
        let made = stubs(&image(lines), cwd, (7, 7), 1000, &targets).unwrap();
        assert_eq!(show(&made.hidden), hidden);
        assert_eq!(show(&made.kept), kept);
    }

    #[test]
    fn makes_only_what_is_missing() {
        use TargetKind::{Dir, File, Tmpfs};
        let root = "/ 711 9 99";
        check(&USUAL, "/", &[], &[], &[root]);
        check(&USUAL, "/real", &[("/real/f", File)], &[root, "/real/ 711 9 99", "/real/f 644 0 1000"], &[root]);
        let new = ["/ 711 9 99", "/a/ 755 0 1000", "/a/b/ 755 0 1000", "/a/b/t/ 1777 0 1000", "/a/d/ 755 0 1000"];
        check(&USUAL, "/", &[("/a/b/t", Tmpfs), ("/a/./x/../d", Dir)], &new, &[root]);
        check(
            &USUAL,
            "/work/in",
            &[("/work/in/f", File)],
            &[root, "/work/ 755 7 1000", "/work/in/ 755 7 1000", "/work/in/f 644 0 1000"],
            &[root, "/work/ 755 7 1000", "/work/in/ 755 7 1000"],
        );
    }

    #[test]
    fn makes_all_on_scratch() {
        let hidden = ["/ 755 0 0", "/etc/ 755 0 1000", "/etc/hosts 644 0 1000", "/etc/resolv.conf 644 0 1000"];
        let kept = ["/ 755 0 0", "/dev/ 755 0 1000", "/proc/ 755 0 1000", "/sys/ 755 0 1000"];
        check(&[], "/", &[], &hidden, &kept);
    }

    #[test]
    fn follows_links_and_leaves_other_mounts_alone() {
        use TargetKind::{Dir, File};
        let root = "/ 711 9 99";
        let real = [root, "/real/ 711 9 99", "/real/f 644 0 1000"];
        check(&USUAL, "/", &[("/link/f", File)], &real, &[root]);
        check(&USUAL, "/", &[("/dev/pipes/EOF", File), ("/real", Dir), ("/link/x/y", Dir)], &[], &[root]);
        let dangling = [&USUAL[..], &["etc/localtime -> ../zone/here"]].concat();
        let hidden = [root, "/zone/ 755 0 1000", "/zone/here 644 0 1000"];
        check(&dangling, "/", &[("/etc/localtime", File)], &hidden, &[root]);
    }

    #[test]
    fn says_what_is_in_the_way() {
        let check = |path: &str, kind: TargetKind, expected: &str| {
            let lines = [&USUAL[..], &["loop -> loop"]].concat();
            let target = Target { path: path.into(), kind };
            let error = stubs(&image(&lines), "/", (0, 0), 0, &[target]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            "/real",
            TargetKind::File,
            "cannot mount at /real: /real is a folder in the image, where a file is needed",
        );
        check(
            "/etc/hosts/x",
            TargetKind::Dir,
            "cannot mount at /etc/hosts/x: /etc/hosts is no folder in the image, where a folder is needed",
        );
        check("/loop/x", TargetKind::Dir, "cannot mount at /loop/x: too many symbolic links in the image");
    }
}
