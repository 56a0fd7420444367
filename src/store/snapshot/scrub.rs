//! Takes away from a folder that a step left behind what only says when the step ran, where the user asks for it.
//!
//! That happens on disk and before the folder is [committed](super::commit()), so that data and folder agree by
//! construction, and a later step sees what the image will hold. Which files it is about, and what becomes of their
//! bytes, is decided in [`fstree::scrub`](crate::fstree::scrub). Here is only how it is done to a folder that nobody vouches for: just
//! regular files are touched, they are reached through no link, and what was there before the step is left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, futimens, openat, unlinkat, utimensat};
use rustix::io::Errno;

use super::tree::{name_in_parent, os};
use super::walk::{Item, describe, first_names, look_inside, walk};
use super::{At, LowerFiles, Overlay, Settle, SnapshotError, Tree, node};
use crate::fstree::scrub::rewrite::{self, COMPILED_HEADER, Compiled};
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
            Action::SourceTime => self.source_time(at),
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
            let folder = rustix::fd::AsFd::as_fd(&*parent);
            node::make_special(folder, path, &Meta::default(), &Kind::Whiteout, self.options.overlay)
                .at(path, "create a whiteout")?;
        }
        self.touched.insert(self.items[at].parent);
        Ok(())
    }

    fn day_of_change(&mut self, at: usize) -> Result<(), SnapshotError> {
        let item = &self.items[at];
        let mut known = Vec::new();
        for name in ["etc/shadow", "etc/shadow-"] {
            known.push(self.text_below(&TreePath::clean(name))?);
        }
        let day = self.options.settle.epoch.div_euclid(DAY);
        self.rewrite(at, |file| {
            let Some(text) = read(file, &item.path)? else { return Ok(None) };
            let known = known.iter().flat_map(|text| rewrite::lines(text)).collect();
            let new = rewrite::shadow(&text, &known, day);
            Ok((new != text).then_some(Change::Whole(new)))
        })
    }

    /// What a file holds in the layers below; nothing if it is not there or too long.
    fn text_below(&self, path: &TreePath) -> Result<Vec<u8>, SnapshotError> {
        match self.options.view.entry(path) {
            Some((layer, Entry { path: first, kind: Kind::File { .. }, .. })) => {
                let file = self.options.files.open(layer, first).at(path, "open it in the layer below")?;
                Ok(read(&file, path)?.unwrap_or_default())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn source_time(&mut self, at: usize) -> Result<(), SnapshotError> {
        let path = &self.items[at].path;
        let Some(source) = rewrite::compiled_for(path) else { return Ok(()) };
        let Source::Known(source) = self.source(&source) else { return Ok(()) };
        let settle = self.options.settle;
        self.rewrite(at, |file| {
            let mut header = [0; COMPILED_HEADER];
            if file.read_exact_at(&mut header, 0).is_err() {
                return Ok(None);
            }
            let Some(Compiled { at, time }) = Compiled::read(&header) else { return Ok(None) };
            let new = rewrite::source_time(time, source, settle.is_second_of_step(i64::from(time)));
            Ok(new.map(|time| Change::Word(at, time)))
        })
    }

    /// The time of a source, as the step left it and as it is settled.
    fn source(&self, path: &TreePath) -> Source {
        if let Ok(at) = self.items.binary_search_by(|item| item.path.cmp(path)) {
            let (seconds, nanoseconds) = self.items[at].mtime();
            return match self.items[at].file_type() {
                FileType::RegularFile => {
                    Source::Known(Some((seconds, self.options.settle.mtime(seconds, nanoseconds).0)))
                }
                FileType::Symlink => Source::Elsewhere,
                _ => Source::Known(None),
            };
        }
        match self.options.view.lookup(path).ok().flatten().map(|node| (node.kind, node.meta.mtime)) {
            Some((NodeKind::File(_), mtime)) => Source::Known(Some((mtime, mtime))),
            Some((NodeKind::Symlink(_), _)) => Source::Elsewhere,
            _ => Source::Known(None),
        }
    }

    /// Changes the bytes of a file that the step changed, and nothing else of it.
    fn rewrite(
        &mut self,
        at: usize,
        change: impl FnOnce(&File) -> Result<Option<Change>, SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let item = &self.items[at];
        let parent = self.tree.parent(&item.path)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&parent, os(item.path.name()), flags, Mode::empty()).at(&item.path, "open it")?;
        let file = File::from(file);
        let Some(change) = change(&file)? else { return Ok(()) };
        if !self.is_changed(at)? {
            return Ok(());
        }
        match change {
            Change::Whole(bytes) => file.write_all_at(&bytes, 0).and_then(|()| file.set_len(bytes.len() as u64)),
            Change::Word(at, word) => file.write_all_at(&word.to_le_bytes(), at),
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

/// Where the source of a compiled file is.
enum Source {
    /// Here, with these times, or nowhere.
    Known(Option<(i64, i64)>),
    /// Behind a symbolic link.
    Elsewhere,
}

/// New bytes.
enum Change {
    /// All of them.
    Whole(Vec<u8>),
    /// Four, little-endian, from here on.
    Word(u64, u32),
}

/// All bytes of a file, if it is not too long.
fn read(file: &File, path: &TreePath) -> Result<Option<Vec<u8>>, SnapshotError> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).at(path, "read it")?;
    Ok((bytes.len() as u64 <= LONGEST).then_some(bytes))
}

fn times(item: &Item) -> Timestamps {
    let (tv_sec, nanoseconds) = item.mtime();
    let time = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
