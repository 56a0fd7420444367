//! Takes away from a folder that a step left behind what only says when the step ran, where the user asks for it.
//!
//! That happens on disk and before the folder is [committed](super::commit()), so that data and folder agree by
//! construction, and a later step sees what the image will hold. Which files it is about, and what becomes of their
//! bytes, is decided in [`fstree::scrub`](crate::fstree::scrub). Here is only how it is done to a folder that nobody vouches for: just
//! regular files are touched, they are reached through no link, and what was there before the step is left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, futimens, openat, unlinkat, utimensat};
use rustix::io::Errno;

use super::tree::{name_in_parent, os};
use super::walk::{Item, describe, first_names, look_inside, walk};
use super::{At, LowerFiles, Overlay, Settle, SnapshotError, Tree, node};
use crate::fstree::scrub::rewrite::{self, COMPILED_HEADER, Compiled, Validity};
use crate::fstree::scrub::{self, Action};
use crate::fstree::{Entry, Kind, Merged, Meta, NodeKind, Scrub, TreePath, View};
use crate::store::Stop;

/// The most bytes of a file that is read as a whole. Longer ones stay as they are.
const LONGEST: u64 = 16 << 20;

/// Seconds in a day.
const DAY: i64 = 86_400;

/// How a folder is scrubbed.
pub struct ScrubOptions<'a> {
    /// What is taken away.
    pub scrubs: &'a BTreeSet<Scrub>,
    /// The layers below.
    pub view: &'a Merged,
    /// Their bytes.
    pub files: &'a dyn LowerFiles,
    /// How the overlay stored its own notes.
    pub overlay: Overlay,
    /// How times become data.
    pub settle: Settle,
    /// Ends it early.
    pub stop: Stop,
}

/// Scrubs `root`, the upper folder of an overlay that nobody uses any more and that is about to be committed with the
/// same layers below and the same times.
///
/// When this fails, the folder is worth nothing.
pub fn scrub(root: BorrowedFd<'_>, options: &ScrubOptions<'_>) -> Result<(), SnapshotError> {
    if options.scrubs.is_empty() {
        return Ok(());
    }
    let items = walk(root)?;
    let mut scrubber = Scrubber { root, items: &items, options, tree: Tree::new(root), touched: BTreeSet::new() };
    for (at, action) in actions(&items, options.scrubs) {
        scrubber.apply(at, action)?;
    }
    scrubber.remove_folders()?;
    scrubber.restore_times()
}

/// What becomes of which items. Names of one file are one file: it is only touched if the same becomes of all of them.
fn actions(items: &[Item], scrubs: &BTreeSet<Scrub>) -> Vec<(usize, Action)> {
    let action = |item: &Item| match item.file_type() {
        FileType::RegularFile => scrub::action(scrubs, &item.path),
        _ => None,
    };
    let mut found: Vec<Option<Action>> = items.iter().map(action).collect();
    let first = first_names(items);
    let mut kept: BTreeMap<usize, bool> = BTreeMap::new();
    for (at, &first) in first.iter().enumerate().filter(|(at, _)| items[*at].links().is_some()) {
        *kept.entry(first).or_default() |= found[at].is_none() || found[at] != found[first];
    }
    for (at, first) in first.into_iter().enumerate() {
        // What is changed through its first name is changed.
        if kept.get(&first) == Some(&true) || (first != at && found[at] != Some(Action::Remove)) {
            found[at] = None;
        }
    }
    found.into_iter().enumerate().filter_map(|(at, action)| Some((at, action?))).collect()
}

struct Scrubber<'a> {
    root: BorrowedFd<'a>,
    items: &'a [Item],
    options: &'a ScrubOptions<'a>,
    tree: Tree<'a>,
    /// Folders in which something was removed.
    touched: BTreeSet<usize>,
}

impl Scrubber<'_> {
    fn apply(&mut self, at: usize, action: Action) -> Result<(), SnapshotError> {
        match action {
            Action::Remove => self.remove(at),
            Action::Empty if self.items[at].stat.st_size == 0 => Ok(()),
            Action::Empty => self.rewrite(at, |_| Ok(Some(Change::Whole(Vec::new())))),
            Action::DayOfChange => self.day_of_change(at),
            Action::BySource => self.by_source(at),
        }
    }

    /// Whether the step made or changed a file: an overlay also has those that were only opened for writing.
    fn is_changed(&self, at: usize) -> Result<bool, SnapshotError> {
        let item = &self.items[at];
        let Some((_, below)) = self.options.view.entry(&item.path) else { return Ok(true) };
        if !matches!(below.kind, Kind::File { size, .. } if i128::from(size) == i128::from(item.stat.st_size)) {
            return Ok(true);
        }
        let inside = look_inside(self.root, std::slice::from_ref(item), &self.options.stop)?;
        let (seconds, nanoseconds) = item.mtime();
        let (mtime, _) = self.options.settle.mtime(seconds, nanoseconds);
        let found = inside.first().and_then(|inside| describe(item, inside, mtime));
        Ok(found.is_none_or(|(meta, kind)| meta != below.meta || kind != below.kind))
    }

    fn remove(&mut self, at: usize) -> Result<(), SnapshotError> {
        let path = &self.items[at].path;
        let below = self.options.view.lookup(path).ok().flatten();
        if below.is_some() && !self.is_changed(at)? {
            return Ok(());
        }
        let parent = self.tree.parent(path)?;
        unlinkat(&parent, os(path.name()), AtFlags::empty()).at(path, "remove it")?;
        if below.is_some() {
            node::make_special((*parent).as_fd(), path, &Meta::default(), &Kind::Whiteout, self.options.overlay)
                .at(path, "create a whiteout")?;
        }
        self.touched.insert(self.items[at].parent);
        Ok(())
    }

    fn day_of_change(&mut self, at: usize) -> Result<(), SnapshotError> {
        let item = &self.items[at];
        let mut known = Vec::new();
        for name in ["etc/shadow", "etc/shadow-"] {
            known.push(self.text_below(&TreePath::clean(name))?.unwrap_or_default());
        }
        let day = self.options.settle.epoch.div_euclid(DAY);
        self.rewrite(at, |file| {
            let Some(text) = read(file, &item.path)? else { return Ok(None) };
            let known = known.iter().flat_map(|text| rewrite::lines(text)).collect();
            let new = rewrite::shadow(&text, &known, day);
            Ok((new != text).then_some(Change::Whole(new)))
        })
    }

    /// What a file holds in the layers below; none if it is not there or too long.
    fn text_below(&self, path: &TreePath) -> Result<Option<Vec<u8>>, SnapshotError> {
        match self.options.view.entry(path) {
            Some((layer, Entry { path: first, kind: Kind::File { .. }, .. })) => {
                let file = self.options.files.open(layer, first).at(path, "open it in the layer below")?;
                read(&file, path)
            }
            _ => Ok(None),
        }
    }

    fn by_source(&mut self, at: usize) -> Result<(), SnapshotError> {
        let Some(path) = rewrite::compiled_for(&self.items[at].path) else { return Ok(()) };
        let Some(source) = self.source(&path) else { return Ok(()) };
        let parent = self.tree.parent(&self.items[at].path)?;
        let file = self.open(at, &parent, OFlags::RDONLY)?;
        let mut header = [0; COMPILED_HEADER];
        if file.read_exact_at(&mut header, 0).is_err() {
            return Ok(());
        }
        let Some(compiled) = Compiled::read(&header) else { return Ok(()) };
        let settle = self.options.settle;
        let accident = settle.is_second_of_step(i64::from(compiled.time));
        let epoch = settle.ceiling.map_or(settle.epoch, |ceiling| settle.epoch.min(ceiling));
        let (place, bytes) = match compiled.judge(source, accident, epoch) {
            None => return Ok(()),
            Some(Validity::Never(time)) => compiled.by_time(time),
            Some(Validity::BySource) => match self.text(&path)? {
                Some(text) => compiled.by_source(&text),
                // Too long to be anybody's source.
                None => return Ok(()),
            },
        };
        self.rewrite(at, |_| Ok(Some(Change::Part(place, bytes))))
    }

    /// What is known of a source: its times and length, or that it does not exist. None if it is behind a symbolic link.
    fn source(&self, path: &TreePath) -> Option<Option<rewrite::Source>> {
        if let Ok(at) = self.items.binary_search_by(|item| item.path.cmp(path)) {
            let item = &self.items[at];
            let (left, nanoseconds) = item.mtime();
            let (settled, _) = self.options.settle.mtime(left, nanoseconds);
            return match item.file_type() {
                FileType::RegularFile => Some(Some(rewrite::Source { left, settled, size: size(item) })),
                FileType::Symlink => None,
                _ => Some(None),
            };
        }
        match self.options.view.lookup(path).ok().flatten().map(|node| (node.kind, node.meta.mtime)) {
            Some((NodeKind::File(size), time)) => Some(Some(rewrite::Source { left: time, settled: time, size })),
            Some((NodeKind::Symlink(_), _)) => None,
            _ => Some(None),
        }
    }

    /// The bytes of a file as the step left it, whether it changed it or not; none if it is too long.
    fn text(&mut self, path: &TreePath) -> Result<Option<Vec<u8>>, SnapshotError> {
        match self.items.binary_search_by(|item| item.path.cmp(path)) {
            Ok(at) => {
                let parent = self.tree.parent(path)?;
                read(&self.open(at, &parent, OFlags::RDONLY)?, path)
            }
            Err(_) => self.text_below(path),
        }
    }

    /// Opens a regular file, not through a link.
    fn open(&self, at: usize, parent: &OwnedFd, mode: OFlags) -> Result<File, SnapshotError> {
        let path = &self.items[at].path;
        let flags = mode | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(parent, os(path.name()), flags, Mode::empty()).at(path, "open it")?.into())
    }

    /// Changes the bytes of a file that the step changed, and nothing else of it.
    fn rewrite(
        &mut self,
        at: usize,
        change: impl FnOnce(&File) -> Result<Option<Change>, SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let item = &self.items[at];
        let parent = self.tree.parent(&item.path)?;
        let file = self.open(at, &parent, OFlags::RDWR)?;
        let Some(change) = change(&file)? else { return Ok(()) };
        if !self.is_changed(at)? {
            return Ok(());
        }
        match change {
            Change::Whole(bytes) => file.write_all_at(&bytes, 0).and_then(|()| file.set_len(bytes.len() as u64)),
            Change::Part(at, bytes) => file.write_all_at(&bytes, at),
        }
        .at(&item.path, "write it")?;
        futimens(&file, &times(item)).at(&item.path, "set its time")
    }

    /// Removes folders that are about nothing else and have nothing left in them.
    fn remove_folders(&mut self) -> Result<(), SnapshotError> {
        for (at, item) in self.items.iter().enumerate().rev() {
            let goes = item.file_type() == FileType::Directory
                && scrub::takes_folder(self.options.scrubs, &item.path)
                && self.options.view.lookup(&item.path).ok().flatten().is_none();
            if !goes {
                continue;
            }
            self.tree.forget(&item.path);
            let parent = self.tree.parent(&item.path)?;
            match unlinkat(&parent, name_in_parent(&item.path), AtFlags::REMOVEDIR) {
                Ok(()) => {
                    self.touched.remove(&at);
                    self.touched.insert(item.parent);
                }
                Err(Errno::NOTEMPTY) => {}
                Err(error) => return Err(error).at(&item.path, "remove it"),
            }
        }
        Ok(())
    }

    /// Gives folders the times that they had before something was removed in them.
    fn restore_times(&mut self) -> Result<(), SnapshotError> {
        for &at in &self.touched {
            let item = &self.items[at];
            let parent = self.tree.parent(&item.path)?;
            utimensat(&parent, name_in_parent(&item.path), &times(item), AtFlags::SYMLINK_NOFOLLOW)
                .at(&item.path, "set its time")?;
        }
        Ok(())
    }
}

/// New bytes.
enum Change {
    /// All of them.
    Whole(Vec<u8>),
    /// These, from here on.
    Part(u64, Vec<u8>),
}

/// All bytes of a file, if it is not too long.
fn read(file: &File, path: &TreePath) -> Result<Option<Vec<u8>>, SnapshotError> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).at(path, "read it")?;
    Ok((bytes.len() as u64 <= LONGEST).then_some(bytes))
}

#[expect(clippy::cast_sign_loss, reason = "no file has a negative length")]
fn size(item: &Item) -> u64 {
    item.stat.st_size as u64
}

fn times(item: &Item) -> Timestamps {
    let (tv_sec, nanoseconds) = item.mtime();
    let time = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
