//! From the folder that a step left behind to data, and the folder tidied to match it.
//!
//! An overlay's upper folder says more than a layer needs: files that were opened for writing and never changed, marks that
//! hide nothing, attributes of the machine, times of the step. What it says is first reduced to what differs from the layers
//! below, and then the folder is made to say just that. So the same change makes the same layer, however it came about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, OFlags, XattrFlags, fremovexattr, fsetxattr, unlinkat, utimensat};

use super::tree::{name_in_parent, os};
use super::walk::{Inside, Item, describe, first_names, look_inside, walk, walk_from};
use super::{At, Overlay, Settle, SnapshotError, Tree, node};
use crate::fstree::{Entry, Kind, Merged, Meta, NodeKind, Toc, TreePath, View, whiteout};
use crate::store::Stop;

/// How a folder is committed.
#[derive(Clone)]
pub struct CommitOptions {
    /// How the overlay stored its own notes.
    pub overlay: Overlay,
    /// How times become data.
    pub settle: Settle,
    /// Ends it early.
    pub stop: Stop,
}

/// Turns `root`, the upper folder of an overlay over `view` that nobody uses any more, into a layer. Says what the layer
/// is, and changes the folder so that it is that and nothing else.
///
/// - Sockets go; if they replaced something, that is gone too.
/// - Whiteouts of names that the layers below do not have go, and so do marks of opaque folders that hide nothing.
/// - What is the same as in the layers below goes; folders stay if something in them does. The time of a folder that was only
///   stamped when something in it came and went is no difference, and no time of the root is.
/// - Files whose names a tar would take for whiteouts become what they look like.
/// - Extended attributes that do not belong to an image are not in the data; the folder keeps them.
///
/// When this fails, the folder is worth nothing.
pub fn commit(root: BorrowedFd<'_>, view: &Merged, options: &CommitOptions) -> Result<Toc, SnapshotError> {
    decide(root, view, options, |commit| commit.tidy(root))
}

/// Says what [`commit`] would make of `root`, and changes nothing: for a folder that is still in use, as a container's is.
/// The bytes of the layer's files are in the folder, under their paths, for as long as nobody changes them.
pub fn look(root: BorrowedFd<'_>, view: &Merged, options: &CommitOptions) -> Result<Toc, SnapshotError> {
    decide(root, view, options, |_| Ok(()))
}

fn decide(
    root: BorrowedFd<'_>,
    view: &Merged,
    options: &CommitOptions,
    act: impl FnOnce(&Commit<'_>) -> Result<(), SnapshotError>,
) -> Result<Toc, SnapshotError> {
    let items = walk(root)?;
    let inside = look_inside(root, &items, &options.stop)?;
    check_overlay(&items, &inside, options.overlay)?;
    if items.len() > 200 {
        view.prepare();
    }
    let mut commit = Commit::new(&items, &inside, view, options);
    commit.judge();
    commit.unify_links();
    commit.keep_needed_folders();
    act(&commit)?;
    Ok(commit.toc())
}

/// Reads any folder as a layer of its own, and changes nothing.
///
/// Sockets are left out, and so are character devices 0:0, which no snapshot can hold: an overlay takes them for whiteouts.
/// The overlay's other marks mean nothing.
pub fn import(root: BorrowedFd<'_>, settle: &Settle) -> Result<Toc, SnapshotError> {
    import_items(root, walk(root)?, settle)
}

/// The same for one name in a folder and what is below it, whatever that is. Paths begin with the name.
pub fn import_at(folder: BorrowedFd<'_>, name: &TreePath, settle: &Settle) -> Result<Toc, SnapshotError> {
    import_items(folder, walk_from(folder, name)?, settle)
}

fn import_items(root: BorrowedFd<'_>, items: Vec<Item>, settle: &Settle) -> Result<Toc, SnapshotError> {
    let inside = look_inside(root, &items, &Stop::NEVER)?;
    let first = first_names(&items);
    let entries = items.iter().enumerate().filter(|(_, item)| !is_whiteout(item)).filter_map(|(at, item)| {
        let (seconds, nanoseconds) = item.mtime();
        let (meta, kind) = describe(item, &inside[at], settle.mtime(seconds, nanoseconds).0)?;
        let kind = if first[at] == at { kind } else { Kind::Hardlink(items[first[at]].path.clone()) };
        Some(Entry { path: item.path.clone(), meta, kind })
    });
    Ok(Toc::new(entries.collect()))
}

/// Fails where the upper folder alone does not say what was seen.
fn check_overlay(items: &[Item], inside: &[Inside], overlay: Overlay) -> Result<(), SnapshotError> {
    for (item, inside) in items.iter().zip(inside) {
        for name in [&b"redirect"[..], b"metacopy"] {
            let attribute = [overlay.prefix(), name].concat();
            if inside.xattrs.contains_key(&attribute) {
                let attribute = String::from_utf8_lossy(&attribute).into_owned();
                return Err(SnapshotError::Redirected { path: item.path.clone(), attribute });
            }
        }
    }
    Ok(())
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// A folder that stays only if something in it does.
    KeepIfNeeded,
    Drop,
    /// Its place is taken by a whiteout.
    Hide,
}

struct Commit<'a> {
    items: &'a [Item],
    inside: &'a [Inside],
    view: &'a Merged,
    options: &'a CommitOptions,
    first: Vec<usize>,
    verdicts: Vec<Verdict>,
    /// For folders: whether the view's content is seen in them.
    merges: Vec<bool>,
    /// For folders: whether they are to be opaque.
    opaque: Vec<bool>,
    /// What items that may stay are, with settled times.
    described: Vec<Option<(Meta, Kind)>>,
    /// Whiteouts that the folder does not have yet.
    new_whiteouts: Vec<TreePath>,
}

impl<'a> Commit<'a> {
    fn new(items: &'a [Item], inside: &'a [Inside], view: &'a Merged, options: &'a CommitOptions) -> Self {
        let count = items.len();
        Self {
            items,
            inside,
            view,
            options,
            first: first_names(items),
            verdicts: vec![Verdict::Drop; count],
            merges: vec![false; count],
            opaque: vec![false; count],
            described: vec![None; count],
            new_whiteouts: Vec::new(),
        }
    }

    /// Decides on each item by itself, folders first.
    fn judge(&mut self) {
        let marked = self.marks();
        for (at, item) in self.items.iter().enumerate() {
            if at == 0 {
                self.judge_root(&marked);
                continue;
            }
            let plain = whiteout::meaning(item.path.name()) == whiteout::Name::Plain;
            if !plain || self.is_dropped_folder(item.parent) {
                continue;
            }
            let below = match self.merges[item.parent] {
                true => self.view.lookup(&item.path).ok().flatten(),
                false => None,
            };
            if is_whiteout(item) {
                if below.is_some() {
                    self.verdicts[at] = Verdict::Keep;
                }
                continue;
            }
            let (seconds, nanoseconds) = item.mtime();
            let (mtime, stamped) = self.options.settle.mtime(seconds, nanoseconds);
            let Some((meta, kind)) = describe(item, &self.inside[at], mtime) else {
                self.verdicts[at] = if below.is_some() { Verdict::Hide } else { Verdict::Drop };
                continue;
            };
            let below_is_folder = below.as_ref().is_some_and(|node| node.kind == NodeKind::Dir);
            self.verdicts[at] = Verdict::Keep;
            if item.file_type() == FileType::Directory {
                self.opaque[at] = below_is_folder && (self.has_opaque_mark(at) || marked.contains(&item.path));
                self.merges[at] = below_is_folder && !self.opaque[at];
                let same = |mut node: Meta| {
                    if stamped {
                        node.mtime = meta.mtime;
                    }
                    node == meta
                };
                if self.merges[at] && below.is_some_and(|node| same(node.meta)) {
                    self.verdicts[at] = Verdict::KeepIfNeeded;
                }
            } else if below.is_some()
                && self.view.entry(&item.path).is_some_and(|(_, entry)| entry.meta == meta && entry.kind == kind)
            {
                self.verdicts[at] = Verdict::Drop;
            }
            self.described[at] = Some((meta, kind));
        }
        self.place_whiteouts(&marked);
    }

    fn judge_root(&mut self, marked: &HashSet<TreePath>) {
        self.opaque[0] =
            (self.has_opaque_mark(0) || marked.contains(&TreePath::root())) && !self.view.layers().is_empty();
        self.merges[0] = !self.opaque[0];
        let (seconds, nanoseconds) = self.items[0].mtime();
        let (mtime, _) = self.options.settle.mtime(seconds, nanoseconds);
        let Some((mut meta, kind)) = describe(&self.items[0], &self.inside[0], mtime) else { return };
        if let Ok(Some(below)) = self.view.lookup(&TreePath::root()) {
            let same = meta.clone() == Meta { mtime: meta.mtime, ..below.meta.clone() };
            if same && !self.opaque[0] {
                self.verdicts[0] = Verdict::KeepIfNeeded;
                meta.mtime = match self.view.entry(&TreePath::root()) {
                    Some((_, entry)) => entry.meta.mtime,
                    None => self.options.settle.epoch,
                };
            } else {
                self.verdicts[0] = Verdict::Keep;
            }
        }
        self.described[0] = Some((meta, kind));
    }

    fn is_dropped_folder(&self, at: usize) -> bool {
        self.verdicts[at] == Verdict::Drop
    }

    fn has_opaque_mark(&self, at: usize) -> bool {
        self.inside[at].xattrs.get(self.options.overlay.opaque().as_bytes()).is_some_and(|value| value == b"y")
    }

    /// Paths that files with names like whiteouts speak of: folders that are opaque, and names that are gone.
    fn marks(&self) -> HashSet<TreePath> {
        let mark = |item: &Item| {
            let parent = item.path.parent()?;
            match whiteout::meaning(item.path.name()) {
                whiteout::Name::Opaque => Some(parent),
                whiteout::Name::Whiteout(gone) if !is_whiteout(item) => Some(parent.join(gone)),
                _ => None,
            }
        };
        self.items.iter().filter_map(mark).collect()
    }

    /// Whiteouts for marked names that the folder itself does not have.
    fn place_whiteouts(&mut self, marked: &HashSet<TreePath>) {
        if marked.is_empty() {
            return;
        }
        let known: HashMap<&TreePath, usize> =
            self.items.iter().enumerate().map(|(at, item)| (&item.path, at)).collect();
        let mut new: Vec<TreePath> = Vec::new();
        for path in marked {
            let parent = path.parent().and_then(|parent| known.get(&parent));
            let merges = parent.is_some_and(|&at| self.merges[at] && !self.is_dropped_folder(at));
            match known.get(path) {
                // What was the same as below is needed now that what is below goes.
                Some(&at) if merges && self.described[at].is_some() && self.verdicts[at] == Verdict::Drop => {
                    self.verdicts[at] = Verdict::Keep;
                }
                Some(_) => {}
                None if merges && self.view.lookup(path).ok().flatten().is_some() => new.push(path.clone()),
                None => {}
            }
        }
        new.sort();
        self.new_whiteouts = new;
    }

    /// Names of one file stay or go together: to keep one alone would make it another file. They may go only if the
    /// layers below have them as one file too.
    fn unify_links(&mut self) {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, item) in self.items.iter().enumerate() {
            if item.links().is_some() && self.described[at].is_some() {
                groups.entry(self.first[at]).or_default().push(at);
            }
        }
        for group in groups.values().filter(|group| group.len() > 1) {
            let links = |&at: &usize| self.view.lookup(&self.items[at].path).ok().flatten().and_then(|node| node.links);
            let one = links(&group[0]);
            let same = group.iter().all(|at| self.verdicts[*at] == Verdict::Drop && links(at) == one);
            if !same {
                for &at in group {
                    self.verdicts[at] = Verdict::Keep;
                }
            }
        }
    }

    /// Folders above what stays, stay; others that are only there for that go.
    fn keep_needed_folders(&mut self) {
        let mut needed: Vec<bool> = self.verdicts.iter().map(|v| matches!(v, Verdict::Keep | Verdict::Hide)).collect();
        let folders: HashMap<&TreePath, usize> = match self.new_whiteouts.is_empty() {
            true => HashMap::new(),
            false => self.items.iter().enumerate().map(|(at, item)| (&item.path, at)).collect(),
        };
        for path in &self.new_whiteouts {
            if let Some(&at) = path.parent().and_then(|parent| folders.get(&parent)) {
                needed[at] = true;
            }
        }
        for at in (1..self.items.len()).rev() {
            if needed[at] {
                needed[self.items[at].parent] = true;
            }
        }
        for (at, verdict) in self.verdicts.iter_mut().enumerate().skip(1) {
            if *verdict == Verdict::KeepIfNeeded {
                *verdict = if needed[at] { Verdict::Keep } else { Verdict::Drop };
            }
        }
    }

    /// Changes the folder on disk: removes, adds marks, and sets times, those of folders last.
    fn tidy(&self, root: BorrowedFd<'_>) -> Result<(), SnapshotError> {
        let mut tree = Tree::new(root);
        for (at, item) in self.items.iter().enumerate().rev() {
            if at == 0 || !matches!(self.verdicts[at], Verdict::Drop | Verdict::Hide) {
                continue;
            }
            let flags = match item.file_type() {
                FileType::Directory => {
                    tree.forget(&item.path);
                    AtFlags::REMOVEDIR
                }
                _ => AtFlags::empty(),
            };
            let parent = tree.parent(&item.path)?;
            unlinkat(&parent, os(item.path.name()), flags).at(&item.path, "remove it")?;
        }
        let hidden = self.items.iter().zip(&self.verdicts).filter(|(_, verdict)| **verdict == Verdict::Hide);
        for path in hidden.map(|(item, _)| &item.path).chain(&self.new_whiteouts) {
            let parent = tree.parent(path)?;
            node::make_special((*parent).as_fd(), path, &Meta::default(), &Kind::Whiteout, self.options.overlay)
                .at(path, "create a whiteout")?;
        }
        for (at, item) in self.items.iter().enumerate() {
            let Some((meta, kind)) = &self.described[at] else { continue };
            if self.verdicts[at] == Verdict::Drop {
                continue;
            }
            if let Kind::Dir { .. } = kind {
                self.set_opaque(&tree, at)?;
            } else if item.mtime() == (meta.mtime, 0) {
                continue;
            }
            let parent = tree.parent(&item.path)?;
            utimensat(&parent, name_in_parent(&item.path), &node::times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
                .at(&item.path, "set its time")?;
        }
        Ok(())
    }

    fn set_opaque(&self, tree: &Tree<'_>, at: usize) -> Result<(), SnapshotError> {
        let item = &self.items[at];
        let name = self.options.overlay.opaque();
        if self.inside[at].xattrs.contains_key(name.as_bytes()) == self.opaque[at] {
            return Ok(());
        }
        let folder = tree.open(&item.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let result = match self.opaque[at] {
            true => fsetxattr(&folder, name, b"y", XattrFlags::empty()),
            false => fremovexattr(&folder, name),
        };
        result.at(&item.path, "change its mark of an opaque folder")
    }

    fn toc(self) -> Toc {
        let mut entries: Vec<Entry> = Vec::new();
        let mut first: HashMap<usize, TreePath> = HashMap::new();
        let whiteout = |path: &TreePath| Entry { path: path.clone(), meta: Meta::default(), kind: Kind::Whiteout };
        for (at, (item, described)) in self.items.iter().zip(self.described).enumerate() {
            match (self.verdicts[at], described) {
                (Verdict::Hide, _) | (Verdict::Keep, None) => entries.push(whiteout(&item.path)),
                (Verdict::Keep, Some((meta, kind))) => {
                    let kind = match kind {
                        Kind::Dir { .. } => Kind::Dir { opaque: self.opaque[at] },
                        kind => match first.get(&self.first[at]) {
                            Some(first) => Kind::Hardlink(first.clone()),
                            None => {
                                first.insert(self.first[at], item.path.clone());
                                kind
                            }
                        },
                    };
                    entries.push(Entry { path: item.path.clone(), meta, kind });
                }
                (Verdict::KeepIfNeeded | Verdict::Drop, _) => {}
            }
        }
        entries.extend(self.new_whiteouts.iter().map(whiteout));
        Toc::new(entries)
    }
}

fn is_whiteout(item: &Item) -> bool {
    item.file_type() == FileType::CharacterDevice && item.device() == (0, 0)
}
