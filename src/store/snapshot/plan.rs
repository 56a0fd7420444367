//! What a tar makes of a layer, entry by entry: pure bookkeeping, so that the part that touches the disk is simple.
//!
//! A tar is a list of orders in any order: entries twice, folders never mentioned, links above other entries. The plan
//! holds the tree that results so far, and turns each entry into few steps for the disk.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::SnapshotError;
use crate::digest::ContentDigest;
use crate::fstree::tar::{Dialect, RawEntry, RawKind};
use crate::fstree::{Entry, Kind, Merged, Meta, Node, NodeKind, Toc, TreePath, View, whiteout};

/// More links than this in one path are a circle, as for the kernel.
const MOST_LINKS: usize = 40;

pub(super) struct Plan<'a> {
    lower: &'a Merged,
    base: TreePath,
    implied: Meta,
    dialect: Dialect,
    /// Whether the layer's marks hold, whatever is below.
    alone: bool,
    tree: BTreeMap<TreePath, Slot>,
    inodes: Vec<Inode>,
    /// Whether the archive has an entry for the root.
    root_given: bool,
}

enum Slot {
    Folder(Folder),
    /// An index into the inodes.
    Inode(usize),
    Whiteout,
}

#[derive(Clone)]
struct Folder {
    meta: Meta,
    opaque: bool,
    /// Whether lower layers' content is seen in it.
    merges: bool,
}

struct Inode {
    meta: Meta,
    kind: Kind,
}

/// What must be done on the disk before an entry is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    RemoveFolder(TreePath),
    Remove(TreePath),
    MakeFolder(TreePath),
}

/// What then must be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Make {
    Nothing,
    /// A regular file from the archive's bytes.
    File {
        path: TreePath,
        inode: usize,
    },
    /// Anything else that is no folder.
    Special {
        path: TreePath,
        meta: Meta,
        kind: Kind,
    },
    Link {
        path: TreePath,
        target: TreePath,
    },
    /// A regular file with the bytes that a lower layer has.
    Copy {
        path: TreePath,
        layer: usize,
        from: TreePath,
        meta: Meta,
    },
}

impl<'a> Plan<'a> {
    /// Entries go below `base`; folders that nobody describes get `implied`.
    pub(super) fn new(lower: &'a Merged, base: TreePath, implied: Meta, dialect: Dialect) -> Self {
        let node = lower.entry(&TreePath::root()).map(|(_, entry)| entry.meta.clone());
        let root = Folder { meta: node.unwrap_or_else(|| implied.clone()), opaque: false, merges: true };
        let tree = BTreeMap::from([(TreePath::root(), Slot::Folder(root))]);
        Self { lower, base, implied, dialect, alone: false, tree, inodes: Vec::new(), root_given: false }
    }

    /// The same for a layer that says what it hides without being asked what is below: one that a step made.
    pub(super) fn alone(mut self, alone: bool) -> Self {
        self.alone = alone;
        self
    }

    /// Takes one entry in.
    pub(super) fn add(&mut self, raw: RawEntry, steps: &mut Vec<Step>) -> Result<Make, SnapshotError> {
        let wanted = self.base.join_path(&raw.path);
        if raw.path.parent().is_some_and(|above| above.components().any(|part| part.starts_with(whiteout::PREFIX))) {
            return Ok(Make::Nothing);
        }
        if matches!(raw.kind, RawKind::Opaque) {
            let path = self.folder(&wanted, &wanted, steps)?;
            self.make_opaque(&path);
            return Ok(Make::Nothing);
        }
        let path = if raw.path.is_root() {
            self.folder(&wanted, &wanted, steps)?
        } else {
            let parent = wanted.parent().unwrap_or_default();
            self.folder(&parent, &wanted, steps)?.join(wanted.name())
        };
        // What others will take for a mark is one, also where this archive did not mean it.
        match whiteout::meaning(path.name()) {
            whiteout::Name::Plain => {}
            whiteout::Name::Nothing => return Ok(Make::Nothing),
            whiteout::Name::Opaque => {
                self.make_opaque(&path.parent().unwrap_or_default());
                return Ok(Make::Nothing);
            }
            whiteout::Name::Whiteout(gone) => {
                let gone = path.parent().unwrap_or_default().join(gone);
                return Ok(self.add_whiteout(gone));
            }
        }
        match raw.kind {
            RawKind::Dir => {
                self.add_folder(path, raw.meta, steps);
                Ok(Make::Nothing)
            }
            RawKind::Whiteout => Ok(self.add_whiteout(path)),
            RawKind::Hardlink(target) => self.add_link(path, &target, steps),
            RawKind::File(size) => {
                let content = ContentDigest::from_bytes([0; 32]);
                let inode = self.add_inode(path.clone(), raw.meta, Kind::File { size, content }, steps);
                Ok(Make::File { path, inode })
            }
            RawKind::Symlink(target) => Ok(self.add_special(path, raw.meta, Kind::Symlink(target), steps)),
            // A character device 0:0 is how an overlay says that nothing is here.
            RawKind::Char(0, 0) => Ok(self.add_whiteout(path)),
            RawKind::Char(major, minor) => Ok(self.add_special(path, raw.meta, Kind::Char(major, minor), steps)),
            RawKind::Block(major, minor) => Ok(self.add_special(path, raw.meta, Kind::Block(major, minor), steps)),
            RawKind::Fifo => Ok(self.add_special(path, raw.meta, Kind::Fifo, steps)),
            RawKind::Opaque => Ok(Make::Nothing),
        }
    }

    /// Notes the hash of a file's bytes.
    pub(super) fn set_content(&mut self, inode: usize, hash: ContentDigest) {
        if let Some(Inode { kind: Kind::File { content, .. }, .. }) = self.inodes.get_mut(inode) {
            *content = hash;
        }
    }

    /// The attributes and the size of a regular file.
    pub(super) fn file(&self, inode: usize) -> (Meta, u64) {
        let Inode { meta, kind } = &self.inodes[inode];
        (meta.clone(), if let Kind::File { size, .. } = kind { *size } else { 0 })
    }

    /// All folders with their attributes and whether they are opaque, each before what is in it; the root too.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&TreePath, &Meta, bool)> {
        self.tree.iter().filter_map(|(path, slot)| match slot {
            Slot::Folder(folder) => Some((path, &folder.meta, folder.opaque)),
            _ => None,
        })
    }

    /// The layer as data. Of several names of a file, the first in path order stands for it.
    pub(super) fn finish(self) -> Toc {
        let mut first: HashMap<usize, TreePath> = HashMap::new();
        let root_given = self.root_given;
        let entries =
            self.tree.into_iter().filter(|(path, _)| !path.is_root() || root_given).map(|(path, slot)| match slot {
                Slot::Folder(folder) => Entry { path, meta: folder.meta, kind: Kind::Dir { opaque: folder.opaque } },
                Slot::Whiteout => Entry { path, meta: Meta::default(), kind: Kind::Whiteout },
                Slot::Inode(at) => {
                    let inode = &self.inodes[at];
                    let kind = match first.get(&at) {
                        Some(first) => Kind::Hardlink(first.clone()),
                        None => {
                            first.insert(at, path.clone());
                            inode.kind.clone()
                        }
                    };
                    Entry { path, meta: inode.meta.clone(), kind }
                }
            });
        Toc::new(entries.collect())
    }

    /// What lower layers show at `path`, as far as this layer does not hide it.
    fn below(&self, path: &TreePath) -> Option<Node> {
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.tree.get(&folder) {
                None => above = folder.parent(),
                Some(Slot::Folder(Folder { merges: true, .. })) => break,
                Some(_) => return None,
            }
        }
        self.lower.lookup(path).ok().flatten()
    }

    fn add_folder(&mut self, path: TreePath, meta: Meta, steps: &mut Vec<Step>) {
        self.root_given |= path.is_root();
        let merges = self.below(&path).is_some_and(|node| node.kind == NodeKind::Dir);
        let gone = match self.tree.get_mut(&path) {
            Some(Slot::Folder(folder)) => {
                folder.meta = meta;
                return;
            }
            slot => slot.map(|slot| matches!(slot, Slot::Whiteout)),
        };
        if gone.is_some() {
            steps.push(Step::Remove(path.clone()));
        }
        steps.push(Step::MakeFolder(path.clone()));
        let opaque = gone == Some(true) && merges;
        self.tree.insert(path, Slot::Folder(Folder { meta, opaque, merges: merges && !opaque }));
    }

    fn make_opaque(&mut self, path: &TreePath) {
        // The roots of all layers are one folder, says every overlay: a mark there hides nothing.
        if path.is_root() {
            return;
        }
        let hides = self.alone || self.below(path).is_some_and(|node| node.kind == NodeKind::Dir);
        for (below, slot) in self.tree.range_mut((Bound::Included(path), Bound::Unbounded)) {
            if !below.starts_with(path) {
                break;
            }
            if let Slot::Folder(folder) = slot {
                (folder.merges, folder.opaque) = (false, below == path && hides);
            }
        }
    }

    fn add_whiteout(&mut self, path: TreePath) -> Make {
        match self.tree.get(&path) {
            // What the layer itself has here stays; only what is below it goes.
            Some(Slot::Folder(_)) => self.make_opaque(&path),
            Some(_) => {}
            None if self.alone || self.below(&path).is_some() => {
                self.tree.insert(path.clone(), Slot::Whiteout);
                return Make::Special { path, meta: Meta::default(), kind: Kind::Whiteout };
            }
            None => {}
        }
        Make::Nothing
    }

    fn add_inode(&mut self, path: TreePath, meta: Meta, kind: Kind, steps: &mut Vec<Step>) -> usize {
        self.inodes.push(Inode { meta, kind });
        let inode = self.inodes.len() - 1;
        self.put(path, inode, steps);
        inode
    }

    fn add_special(&mut self, path: TreePath, mut meta: Meta, kind: Kind, steps: &mut Vec<Step>) -> Make {
        // Only files and folders have attributes that belong to an image.
        meta.xattrs.clear();
        self.add_inode(path.clone(), meta.clone(), kind.clone(), steps);
        Make::Special { path, meta, kind }
    }

    /// Puts a name of a file where it belongs, in place of whatever is there.
    fn put(&mut self, path: TreePath, inode: usize, steps: &mut Vec<Step>) {
        if let Some(Slot::Folder(_)) = self.tree.get(&path) {
            let range = (Bound::Included(&path), Bound::Unbounded);
            let below: Vec<TreePath> = self
                .tree
                .range(range)
                .map(|(below, _)| below.clone())
                .take_while(|below| below.starts_with(&path))
                .collect();
            for below in below.into_iter().rev() {
                match self.tree.remove(&below) {
                    Some(Slot::Folder(_)) => steps.push(Step::RemoveFolder(below)),
                    _ => steps.push(Step::Remove(below)),
                }
            }
        } else if self.tree.contains_key(&path) {
            steps.push(Step::Remove(path.clone()));
        }
        self.tree.insert(path, Slot::Inode(inode));
    }

    fn add_link(&mut self, path: TreePath, target: &TreePath, steps: &mut Vec<Step>) -> Result<Make, SnapshotError> {
        let wanted = self.base.join_path(target);
        let missing = || SnapshotError::MissingTarget { path: path.clone(), target: wanted.clone() };
        let target = self.locate(&wanted).ok_or_else(missing)?;
        match self.tree.get(&target) {
            Some(Slot::Inode(_)) if target == path => Ok(Make::Nothing),
            Some(&Slot::Inode(inode)) => {
                self.put(path.clone(), inode, steps);
                Ok(Make::Link { path, target })
            }
            Some(_) => Err(missing()),
            None => {
                // A name of a file in a lower layer: this layer gets a copy, as an overlay would make one.
                self.below(&target).ok_or_else(missing)?;
                let (layer, entry) = self.lower.entry(&target).ok_or_else(missing)?;
                let (kind, meta, from) = (entry.kind.clone(), entry.meta.clone(), entry.path.clone());
                match kind {
                    Kind::Dir { .. } => Err(missing()),
                    Kind::File { .. } => {
                        self.add_inode(path.clone(), meta.clone(), kind, steps);
                        Ok(Make::Copy { path, layer, from, meta })
                    }
                    kind => Ok(self.add_special(path, meta, kind, steps)),
                }
            }
        }
    }

    /// Where `path` is once links above it are followed, without making anything.
    fn locate(&self, path: &TreePath) -> Option<TreePath> {
        if self.tree.contains_key(path) {
            return Some(path.clone());
        }
        let mut walk = Walk::new(&self.base, path);
        if walk.rest.is_empty() {
            return None;
        }
        let name = walk.rest.remove(0);
        while let Some(part) = walk.next_part() {
            let Some(next) = walk.enter(&part) else { continue };
            let link = match self.tree.get(&next) {
                Some(Slot::Inode(inode)) => match &self.inodes[*inode].kind {
                    Kind::Symlink(target) => Some(target.clone()),
                    _ => return None,
                },
                Some(Slot::Folder(_)) => None,
                Some(Slot::Whiteout) => return None,
                None => match self.below(&next).map(|node| node.kind) {
                    Some(NodeKind::Dir) => None,
                    Some(NodeKind::Symlink(target)) if self.dialect == Dialect::Archive => Some(target),
                    _ => return None,
                },
            };
            match link {
                Some(target) => walk.follow(&next, &target, path).ok()?,
                None => walk.at = next,
            }
        }
        Some(walk.at.join(&name))
    }

    /// The folder that `wanted` leads to, for `entry` to stand in. Folders on the way are made.
    fn folder(
        &mut self,
        wanted: &TreePath,
        entry: &TreePath,
        steps: &mut Vec<Step>,
    ) -> Result<TreePath, SnapshotError> {
        if let Some(Slot::Folder(_)) = self.tree.get(wanted) {
            return Ok(wanted.clone());
        }
        for path in self.base.clone().ancestors().skip(1).chain([self.base.clone()]).filter(|path| !path.is_root()) {
            match self.tree.get(&path) {
                Some(Slot::Folder(_)) => {}
                _ => self.imply(path, entry, false, steps)?,
            }
        }
        let mut walk = Walk::new(&self.base, wanted);
        while let Some(part) = walk.next_part() {
            let Some(next) = walk.enter(&part) else { continue };
            let link = match self.tree.get(&next) {
                Some(Slot::Folder(_)) => None,
                Some(Slot::Inode(inode)) => match &self.inodes[*inode].kind {
                    Kind::Symlink(target) => Some(target.clone()),
                    _ => return Err(SnapshotError::NotAFolder { path: entry.clone(), above: next }),
                },
                Some(Slot::Whiteout) => {
                    self.add_folder(next.clone(), self.implied.clone(), steps);
                    None
                }
                None => match self.below(&next).map(|node| node.kind) {
                    Some(NodeKind::Symlink(target)) if self.dialect == Dialect::Archive => Some(target),
                    None if walk.link.is_some() && self.dialect == Dialect::Archive => {
                        let link = walk.link.clone().unwrap_or_default();
                        return Err(SnapshotError::Dangling { path: entry.clone(), link });
                    }
                    _ => {
                        self.imply(next.clone(), entry, self.dialect == Dialect::Layer, steps)?;
                        None
                    }
                },
            };
            match link {
                Some(target) => walk.follow(&next, &target, entry)?,
                None => walk.at = next,
            }
        }
        Ok(walk.at)
    }

    /// Makes a folder that the archive has no entry for, as it is in lower layers if it is there.
    fn imply(
        &mut self,
        path: TreePath,
        entry: &TreePath,
        replace: bool,
        steps: &mut Vec<Step>,
    ) -> Result<(), SnapshotError> {
        let meta = match self.below(&path) {
            Some(Node { kind: NodeKind::Dir, meta, .. }) => meta,
            Some(_) if !replace => return Err(SnapshotError::NotAFolder { path: entry.clone(), above: path }),
            _ => self.implied.clone(),
        };
        self.add_folder(path, meta, steps);
        Ok(())
    }
}

/// A path being resolved, component by component.
struct Walk {
    base: TreePath,
    at: TreePath,
    /// What is left of the path, last component first.
    rest: Vec<Vec<u8>>,
    links: usize,
    /// The link that was followed last.
    link: Option<TreePath>,
}

impl Walk {
    fn new(base: &TreePath, path: &TreePath) -> Self {
        let below = path.strip_prefix(base).unwrap_or_default();
        let mut rest: Vec<Vec<u8>> = below.components().map(<[u8]>::to_vec).collect();
        rest.reverse();
        Self { base: base.clone(), at: base.clone(), rest, links: 0, link: None }
    }

    fn next_part(&mut self) -> Option<Vec<u8>> {
        self.rest.pop()
    }

    /// The path of the next component; none if it needs no looking up. `..` stops at the base.
    fn enter(&mut self, part: &[u8]) -> Option<TreePath> {
        match part {
            b"" | b"." => None,
            b".." => {
                if self.at != self.base {
                    self.at = self.at.parent().unwrap_or_default();
                }
                None
            }
            name => Some(self.at.join(name)),
        }
    }

    fn follow(&mut self, link: &TreePath, target: &[u8], entry: &TreePath) -> Result<(), SnapshotError> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(SnapshotError::Dangling { path: entry.clone(), link: link.clone() });
        }
        if target.starts_with(b"/") {
            self.at = self.base.clone();
        }
        self.link = Some(link.clone());
        self.rest.extend(target.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
        Ok(())
    }
}
