//! What differs between two layers, entry by entry, in the words in which people look for the reason.
//!
//! Pure comparison of two tables of contents. That two files differ is known by their hashes; where they do, [`spot`] says
//! with the bytes of both. It is not known here what a difference means or who is to blame for it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::fstree::{Entry, Kind, Toc, TreePath};

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// What.
    pub change: Change,
}

/// How an entry differs: what it was, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is something else: a word for each.
    Kind(&'static str, &'static str),
    /// Its bytes differ: the sizes.
    Content(u64, u64),
    /// Its permissions differ.
    Mode(u32, u32),
    /// Its owner or group differs.
    Owner((u32, u32), (u32, u32)),
    /// Its modification time differs, in seconds since 1970.
    Time(i64, i64),
    /// An extended attribute differs: its name and both values, if there are any.
    Xattr(Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>),
    /// A symbolic link leads elsewhere.
    Target(Vec<u8>, Vec<u8>),
    /// It is another device.
    Device((u32, u32), (u32, u32)),
    /// It is another name of another file: the file's first name in the layer, none if it is that itself.
    Hardlink(Option<TreePath>, Option<TreePath>),
    /// A folder hides what is below it, or does not any more.
    Opaque(bool, bool),
    /// It comes at another place in the archive.
    Order,
}

impl Change {
    /// The word for the kind of difference.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Kind(..) => "kind",
            Self::Content(..) => "content",
            Self::Mode(..) => "mode",
            Self::Owner(..) => "owner",
            Self::Time(..) => "time",
            Self::Xattr(..) => "xattr",
            Self::Target(..) => "link target",
            Self::Device(..) => "device",
            Self::Hardlink(..) => "hard link",
            Self::Opaque(..) => "opaque",
            Self::Order => "order",
        }
    }
}

/// What differs between two layers, in path order.
pub fn compare(was: &Toc, is: &Toc) -> Vec<Difference> {
    let paths: BTreeMap<&TreePath, (Option<&Entry>, Option<&Entry>)> = {
        let mut paths: BTreeMap<_, (Option<&Entry>, Option<&Entry>)> = BTreeMap::new();
        for entry in was.entries() {
            paths.entry(&entry.path).or_default().0 = Some(entry);
        }
        for entry in is.entries() {
            paths.entry(&entry.path).or_default().1 = Some(entry);
        }
        paths
    };
    let mut found = Vec::new();
    for (path, both) in paths {
        let mut add = |change| found.push(Difference { path: path.clone(), change });
        match both {
            (None, None) => {}
            (None, Some(_)) => add(Change::Added),
            (Some(_), None) => add(Change::Removed),
            (Some(was_entry), Some(is_entry)) => {
                let (old, new) = (behind(was, was_entry), behind(is, is_entry));
                kinds((was_entry, old), (is_entry, new), &mut add);
                // Further names of a file have the metadata of the first, where it was told already.
                if !matches!((&was_entry.kind, &is_entry.kind), (Kind::Hardlink(_), Kind::Hardlink(_))) {
                    metadata(old, new, &mut add);
                }
            }
        }
    }
    found
}

/// The first entry at which two archives with the same names depart from each other's order; none if they do not.
pub fn order(was: &[TreePath], is: &[TreePath]) -> Option<Difference> {
    let at = was.iter().zip(is).position(|(was, is)| was != is)?;
    Some(Difference { path: is[at].clone(), change: Change::Order })
}

/// The entry itself, or the first name of the file that it is another name of.
fn behind<'a>(toc: &'a Toc, entry: &'a Entry) -> &'a Entry {
    match &entry.kind {
        Kind::Hardlink(first) => toc.get(first).unwrap_or(entry),
        _ => entry,
    }
}

type Named<'a> = (&'a Entry, &'a Entry);

/// Compares what two entries are; each with the one behind it, if it is a further name of that.
fn kinds((was, old): Named<'_>, (is, new): Named<'_>, add: &mut impl FnMut(Change)) {
    let first = |entry: &Entry| match &entry.kind {
        Kind::Hardlink(first) => Some(first.clone()),
        _ => None,
    };
    if first(was) != first(is) {
        add(Change::Hardlink(first(was), first(is)));
    }
    match (&old.kind, &new.kind) {
        // Of several names of one file, the first says what differs.
        (Kind::File { .. }, Kind::File { .. }) if first(was).is_some() && first(was) == first(is) => {}
        (Kind::File { size: a, content: was }, Kind::File { size: b, content: is }) if was != is => {
            add(Change::Content(*a, *b));
        }
        (Kind::Symlink(was), Kind::Symlink(is)) if was != is => add(Change::Target(was.clone(), is.clone())),
        (Kind::Char(a, b), Kind::Char(c, d)) | (Kind::Block(a, b), Kind::Block(c, d)) if (a, b) != (c, d) => {
            add(Change::Device((*a, *b), (*c, *d)));
        }
        (Kind::Dir { opaque: was }, Kind::Dir { opaque: is }) if was != is => add(Change::Opaque(*was, *is)),
        (was, is) if word(was) != word(is) => add(Change::Kind(word(was), word(is))),
        _ => {}
    }
}

fn metadata(was: &Entry, is: &Entry, add: &mut impl FnMut(Change)) {
    let (was, is) = (&was.meta, &is.meta);
    if was.mode != is.mode {
        add(Change::Mode(was.mode, is.mode));
    }
    if (was.uid, was.gid) != (is.uid, is.gid) {
        add(Change::Owner((was.uid, was.gid), (is.uid, is.gid)));
    }
    if was.mtime != is.mtime {
        add(Change::Time(was.mtime, is.mtime));
    }
    let mut names: Vec<&Vec<u8>> = was.xattrs.keys().chain(is.xattrs.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (was, is) = (was.xattrs.get(name), is.xattrs.get(name));
        if was != is {
            add(Change::Xattr(name.clone(), was.cloned(), is.cloned()));
        }
    }
}

/// A word for what an entry is.
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Dir { .. } => "folder",
        Kind::File { .. } => "file",
        Kind::Symlink(_) => "symbolic link",
        Kind::Hardlink(_) => "hard link",
        Kind::Char(..) => "character device",
        Kind::Block(..) => "block device",
        Kind::Fifo => "pipe",
        Kind::Whiteout => "whiteout",
    }
}

/// Where the bytes of two files differ first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// How many bytes are the same before.
    pub offset: u64,
    /// The line, if all up to it is text: its number, counted from 1, and what both have in it, cut after 160 bytes.
    pub line: Option<(u64, String, String)>,
}

/// How much of a line is shown, in bytes.
const LINE: usize = 160;

/// Finds the first difference; none if there is none.
pub fn spot(was: &mut dyn Read, is: &mut dyn Read) -> io::Result<Option<Spot>> {
    const CHUNK: usize = 64 << 10;
    let (mut a, mut b) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut offset, mut lines, mut text) = (0u64, 0u64, true);
    let mut start: Vec<u8> = Vec::new();
    loop {
        let (m, n) = (fill(was, &mut a)?, fill(is, &mut b)?);
        let (left, right) = (&a[..m], &b[..n]);
        let same = left.iter().zip(right).take_while(|(x, y)| x == y).count();
        text &= !left[..same].contains(&0);
        for byte in &left[..same] {
            match byte {
                b'\n' => {
                    lines += 1;
                    start.clear();
                }
                byte if start.len() < LINE => start.push(*byte),
                _ => {}
            }
        }
        if same < m || same < n {
            let rest = |bytes: &[u8]| {
                let rest = bytes[same..].iter().take_while(|byte| **byte != b'\n').take(LINE - start.len().min(LINE));
                start.iter().chain(rest).copied().collect::<Vec<u8>>()
            };
            let (left, right) = (rest(left), rest(right));
            let readable = text && !left.contains(&0) && !right.contains(&0) && is_text(&left) && is_text(&right);
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let line = readable.then(|| (lines + 1, shown(&left), shown(&right)));
            return Ok(Some(Spot { offset: offset + same as u64, line }));
        }
        if m < CHUNK {
            return Ok(None);
        }
        offset += m as u64;
    }
}

/// Whether bytes are UTF-8, but for a character that was cut off at the end.
fn is_text(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// Reads until the buffer is full or the reader ends.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ContentDigest;
    use crate::fstree::Meta;

    fn file(bytes: &str) -> Kind {
        Kind::File { size: bytes.len() as u64, content: ContentDigest::of(bytes.as_bytes()) }
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: TreePath::clean(path), meta: Meta { mode: 0o644, ..Meta::default() }, kind }
    }

    #[track_caller]
    fn check(was: &[Entry], is: &[Entry], expected: &[(&str, Change)]) {
        let found = compare(&Toc::new(was.to_vec()), &Toc::new(is.to_vec()));
        let found: Vec<(String, Change)> =
            found.into_iter().map(|found| (found.path.to_string(), found.change)).collect();
        let expected: Vec<(String, Change)> =
            expected.iter().map(|(path, change)| ((*path).to_owned(), change.clone())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_each_kind_of_difference() {
        let one = |kind: Kind| [entry("a", kind)];
        let with = |change: &dyn Fn(&mut Meta)| {
            let mut entry = entry("a", file("x"));
            change(&mut entry.meta);
            [entry]
        };
        let plain = one(file("x"));
        check(&plain, &plain, &[]);
        check(&[], &plain, &[("/a", Change::Added)]);
        check(&plain, &[], &[("/a", Change::Removed)]);
        check(&plain, &one(file("yy")), &[("/a", Change::Content(1, 2))]);
        check(&plain, &one(Kind::Fifo), &[("/a", Change::Kind("file", "pipe"))]);
        check(&plain, &with(&|meta| meta.mode = 0o4755), &[("/a", Change::Mode(0o644, 0o4755))]);
        check(&plain, &with(&|meta| meta.gid = 5), &[("/a", Change::Owner((0, 0), (0, 5)))]);
        check(&plain, &with(&|meta| meta.mtime = -1), &[("/a", Change::Time(0, -1))]);
        check(
            &plain,
            &with(&|meta| drop(meta.xattrs.insert(b"user.x".to_vec(), b"1".to_vec()))),
            &[("/a", Change::Xattr(b"user.x".to_vec(), None, Some(b"1".to_vec())))],
        );
        let link = |target: &str| one(Kind::Symlink(target.into()));
        check(&link("b"), &link("c"), &[("/a", Change::Target(b"b".to_vec(), b"c".to_vec()))]);
        check(&one(Kind::Char(1, 3)), &one(Kind::Char(1, 5)), &[("/a", Change::Device((1, 3), (1, 5)))]);
        check(
            &one(Kind::Char(1, 3)),
            &one(Kind::Block(1, 3)),
            &[("/a", Change::Kind("character device", "block device"))],
        );
        let folder = |opaque| one(Kind::Dir { opaque });
        check(&folder(false), &folder(true), &[("/a", Change::Opaque(false, true))]);
        check(&plain, &one(Kind::Whiteout), &[("/a", Change::Kind("file", "whiteout"))]);
    }

    #[test]
    fn hard_links_are_told_apart_from_copies() {
        let link = |path: &str, first: &str| entry(path, Kind::Hardlink(TreePath::clean(first)));
        let first = Some(TreePath::clean("a"));
        let linked = [entry("a", file("x")), link("b", "a")];
        check(&linked, &linked, &[]);
        let copied = [entry("a", file("x")), entry("b", file("x"))];
        check(&linked, &copied, &[("/b", Change::Hardlink(first.clone(), None))]);
        let other = [entry("a", file("x")), entry("b", file("y"))];
        check(&linked, &other, &[("/b", Change::Hardlink(first, None)), ("/b", Change::Content(1, 1))]);
        let changed = [entry("a", file("y")), link("b", "a")];
        check(&linked, &changed, &[("/a", Change::Content(1, 1))]);
    }

    #[test]
    fn finds_another_order() {
        let paths = |names: &str| -> Vec<TreePath> { names.split(' ').map(TreePath::clean).collect() };
        assert_eq!(order(&paths("a b c"), &paths("a b c")), None);
        let found = order(&paths("a b c"), &paths("a c b")).unwrap();
        assert_eq!((found.path.to_string().as_str(), found.change), ("/c", Change::Order));
    }

    #[test]
    fn finds_the_spot() {
        #[track_caller]
        fn check(was: &[u8], is: &[u8], offset: Option<u64>, line: Option<(u64, &str, &str)>) {
            let found = spot(&mut &*was, &mut &*is).unwrap();
            let line = line.map(|(number, was, is)| (number, was.to_owned(), is.to_owned()));
            assert_eq!(found, offset.map(|offset| Spot { offset, line }));
        }
        check(b"same", b"same", None, None);
        check(b"", b"", None, None);
        check(b"one\ntwo 1\nthree", b"one\ntwo 22\nthree", Some(8), Some((2, "two 1", "two 22")));
        check(b"one\n", b"one\nmore\n", Some(4), Some((2, "", "more")));
        check(b"a\0b", b"a\0c", Some(2), None);
        check(b"a\xffb", b"a\xffc", Some(2), None);
        let long = vec![b'x'; 200_000];
        let mut longer = long.clone();
        longer[150_000] = b'y';
        let shown = "x".repeat(LINE);
        check(&long, &longer, Some(150_000), Some((1, &shown, &shown)));
        longer.truncate(150_000);
        check(&long, &longer, Some(150_000), Some((1, &shown, &shown)));
    }
}
