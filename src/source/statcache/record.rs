//! The file of a [`StatCache`](super::StatCache), used as it is read.
//!
//! Numbers are little-endian. `imgstat` and the version in one byte, then a section for each folder, then the first 16 bytes
//! of the BLAKE3 hash of all that. A section: the length of the folder's path in four bytes and the path; how many
//! entries there are, in four bytes; where each of them ends, from the first one's start, in four bytes each; the
//! entries, sorted by name.
//!
//! An entry: the length of the name in two bytes and the name; inode and size in eight bytes each; the mode in four;
//! mtime and ctime, eight bytes of seconds and four of nanoseconds each; one byte of what follows: the digest (1),
//! extended attributes (2). These are name and value one after another, each with its length in four bytes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Folders, Known, Moment, Stamp};
use crate::digest::ContentDigest;
use crate::fstree::TreePath;

/// The first bytes of the file; the last one is the version.
const MAGIC: &[u8; 8] = b"imgstat\x02";

/// How much of the hash stands at the end.
pub(super) const CHECK: usize = 16;

const HAS_CONTENT: u8 = 1;
const HAS_XATTRS: u8 = 2;

/// What was known before.
#[derive(Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// Where each folder's section is, behind its path.
    folders: Folders<Range<usize>>,
}

impl Record {
    /// Reads what [`Record::encode_with`] wrote; none if it is something else, or damaged.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.len().checked_sub(CHECK)?;
        if blake3::hash(&bytes[..end]).as_bytes()[..CHECK] != bytes[end..] {
            return None;
        }
        let mut rest = bytes[..end].strip_prefix(MAGIC)?;
        let mut folders = Folders::default();
        while !rest.is_empty() {
            let path = TreePath::clean(take_bytes(&mut rest)?);
            let start = end - rest.len();
            let section = Section::read(&mut rest)?;
            // A folder is written for its entries.
            if section.len() == 0 {
                return None;
            }
            folders.insert(path, start..end - rest.len());
        }
        Some(Self { bytes, folders })
    }

    /// Whether these are the bytes of a record that this program cannot read.
    pub(super) fn is_of_another_version(bytes: &[u8]) -> bool {
        let (name, version) = MAGIC.split_at(MAGIC.len() - 1);
        bytes.strip_prefix(name).is_some_and(|rest| !rest.starts_with(version))
    }

    /// What is known of a folder.
    pub(super) fn section(&self, folder: &TreePath) -> Option<Section<'_>> {
        let range = self.folders.get(folder)?;
        Section::read(&mut &self.bytes[range.clone()])
    }

    /// The bytes of a record that says what this one does and what was found out since, without the entries that are
    /// gone and those that changed at `trusted_before` or later.
    pub(super) fn encode_with(
        &self,
        found: &Folders<BTreeMap<Vec<u8>, (Stamp, Known)>>,
        gone: &Folders<Vec<usize>>,
        trusted_before: Moment,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 1024);
        out.extend_from_slice(MAGIC);
        let none = BTreeMap::new();
        let mut paths: Vec<&TreePath> =
            self.folders.keys().chain(found.keys().filter(|path| !self.folders.contains_key(path))).collect();
        paths.sort_unstable();
        for path in paths {
            let mut section = Sheet { ends: Vec::new(), entries: Vec::new(), trusted_before };
            let mut newer = found.get(path).unwrap_or(&none).iter().peekable();
            let gone = gone.get(path).map_or(&[][..], Vec::as_slice);
            for (place, entry) in self.section(path).iter().flat_map(Section::entries).enumerate() {
                let Some(name) = entry_name(entry) else { continue };
                while let Some((name, state)) = newer.next_if(|(newer, _)| newer.as_slice() < name) {
                    section.add(name, state);
                }
                match newer.next_if(|(newer, _)| newer.as_slice() == name) {
                    Some((name, state)) => section.add(name, state),
                    None if gone.binary_search(&place).is_err() => section.copy(entry),
                    None => {}
                }
            }
            newer.for_each(|(name, state)| section.add(name, state));
            section.put(path, &mut out);
        }
        let check = blake3::hash(&out);
        out.extend_from_slice(&check.as_bytes()[..CHECK]);
        out
    }
}

/// A section that is being written.
struct Sheet {
    ends: Vec<u32>,
    entries: Vec<u8>,
    trusted_before: Moment,
}

impl Sheet {
    /// Adds an entry, if its state can be trusted to be the last one.
    fn add(&mut self, name: &[u8], (stamp, known): &(Stamp, Known)) {
        if stamp.ctime < self.trusted_before && stamp.mtime < self.trusted_before {
            encode_entry(&mut self.entries, name, stamp, known);
            self.ends.push(self.entries.len() as u32);
        }
    }

    /// Adds an entry as it was.
    fn copy(&mut self, entry: &[u8]) {
        self.entries.extend_from_slice(entry);
        self.ends.push(self.entries.len() as u32);
    }

    fn put(&self, path: &TreePath, out: &mut Vec<u8>) {
        if self.ends.is_empty() {
            return;
        }
        put_bytes(out, path.as_bytes());
        out.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        out.extend_from_slice(&self.entries);
    }
}

/// What is known of one folder.
#[derive(Clone, Copy)]
pub(super) struct Section<'r> {
    /// Where entries end.
    ends: &'r [[u8; 4]],
    entries: &'r [u8],
}

impl<'r> Section<'r> {
    /// Takes a section off.
    fn read(rest: &mut &'r [u8]) -> Option<Self> {
        let count = u32::from_le_bytes(take(rest)?) as usize;
        let (ends, tail) = rest.split_at_checked(count.checked_mul(4)?)?;
        let (ends, _) = ends.as_chunks();
        let length = ends.last().map_or(0, |end| u32::from_le_bytes(*end) as usize);
        let (entries, tail) = tail.split_at_checked(length)?;
        *rest = tail;
        Some(Self { ends, entries })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn entry(&self, at: usize) -> Option<&'r [u8]> {
        let end = |at: usize| self.ends.get(at).map(|end| u32::from_le_bytes(*end) as usize);
        let start = at.checked_sub(1).map_or(Some(0), end)?;
        self.entries.get(start..end(at)?)
    }

    fn entries(&self) -> impl Iterator<Item = &'r [u8]> {
        (0..self.len()).filter_map(|at| self.entry(at))
    }

    /// The name of the entry at a place.
    pub(super) fn name(&self, at: usize) -> Option<&'r [u8]> {
        entry_name(self.entry(at)?)
    }

    /// What the entry at a place says of a file in this state.
    pub(super) fn known(&self, at: usize, stamp: &Stamp) -> Option<Known> {
        let mut rest = self.entry(at)?;
        take_name(&mut rest)?;
        (take_stamp(&mut rest)? == *stamp).then(|| take_known(&mut rest))?
    }

    /// What is known of the file `name` in this state.
    pub(super) fn find(&self, name: &[u8], stamp: &Stamp) -> Option<Known> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return self.known(middle, stamp),
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

fn encode_entry(out: &mut Vec<u8>, name: &[u8], stamp: &Stamp, known: &Known) {
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(&stamp.ino.to_le_bytes());
    out.extend_from_slice(&stamp.size.to_le_bytes());
    out.extend_from_slice(&stamp.mode.to_le_bytes());
    for (seconds, nanoseconds) in [stamp.mtime, stamp.ctime] {
        out.extend_from_slice(&seconds.to_le_bytes());
        out.extend_from_slice(&nanoseconds.to_le_bytes());
    }
    let flag = |bit, set: bool| if set { bit } else { 0 };
    out.push(flag(HAS_CONTENT, known.content.is_some()) | flag(HAS_XATTRS, !known.xattrs.is_empty()));
    out.extend_from_slice(known.content.as_ref().map_or(&[], |content| content.as_bytes().as_slice()));
    for (name, value) in &known.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
}

fn entry_name(mut entry: &[u8]) -> Option<&[u8]> {
    take_name(&mut entry)
}

fn take_name<'r>(rest: &mut &'r [u8]) -> Option<&'r [u8]> {
    let length = u16::from_le_bytes(take(rest)?);
    take_some(rest, length.into())
}

fn take_stamp(rest: &mut &[u8]) -> Option<Stamp> {
    let (ino, size, mode) = (take(rest)?, take(rest)?, take(rest)?);
    let mut moment = || Some((i64::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?)));
    let (mtime, ctime) = (moment()?, moment()?);
    let (ino, size, mode) = (u64::from_le_bytes(ino), u64::from_le_bytes(size), u32::from_le_bytes(mode));
    Some(Stamp { ino, size, mode, mtime, ctime })
}

fn take_known(rest: &mut &[u8]) -> Option<Known> {
    let [flags] = take(rest)?;
    let content = if flags & HAS_CONTENT != 0 { Some(ContentDigest::from_bytes(take(rest)?)) } else { None };
    let mut known = Known { content, ..Known::default() };
    while flags & HAS_XATTRS != 0 && !rest.is_empty() {
        let name = take_bytes(rest)?.to_vec();
        known.xattrs.insert(name, take_bytes(rest)?.to_vec());
    }
    Some(known)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn take_bytes<'r>(rest: &mut &'r [u8]) -> Option<&'r [u8]> {
    let length = u32::from_le_bytes(take(rest)?);
    take_some(rest, length as usize)
}

fn take_some<'r>(rest: &mut &'r [u8], length: usize) -> Option<&'r [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}
