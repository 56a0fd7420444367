//! The table of contents of a layer: its entries in order, and their canonical encoding.
//!
//! The encoding is what a layer's [`TreeDigest`] hashes, so it is fixed: little-endian integers, every string with its
//! length before it, entries in path order. A change here is a new version in [`MAGIC`].

use std::collections::BTreeMap;

use crate::digest::{ContentDigest, TreeDigest};
use crate::fstree::{Entry, Kind, Meta, TreePath, compare_paths};

/// The first bytes of an encoded table of contents; the last one is the version.
pub const MAGIC: &[u8; 8] = b"imgtoc\0\x01";

/// A table of contents that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table of contents of a layer is damaged: {0}")]
pub struct TocError(&'static str);

/// The entries of one layer, sorted by path, each path once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toc {
    entries: Vec<Entry>,
}

impl Toc {
    /// Sorts the entries; of several with one path the last one stays, as it does when a tar is unpacked.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|later, earlier| {
            let same = later.path == earlier.path;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self { entries }
    }

    /// All entries in path order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at exactly this path.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.position(path.as_bytes()).map(|at| &self.entries[at])
    }

    /// Where in [`Toc::entries`] the entry of exactly this path stands.
    pub(super) fn position(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| compare_paths(entry.path.as_bytes(), path)).ok()
    }

    /// Everything below `folder`, without itself.
    pub fn below(&self, folder: &TreePath) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.path <= *folder);
        let length = self.entries[start..].partition_point(|entry| entry.path.starts_with(folder));
        &self.entries[start..start + length]
    }

    /// The names directly below `folder`, each with its entry, if there is one for it and not only for something below.
    pub fn children<'a>(&'a self, folder: &TreePath) -> impl Iterator<Item = (&'a [u8], Option<&'a Entry>)> {
        let start = self.entries.partition_point(|entry| entry.path <= *folder);
        let skip = if folder.is_root() { 0 } else { folder.as_bytes().len() + 1 };
        let folder = folder.clone();
        let mut at = start;
        std::iter::from_fn(move || {
            let entry = self.entries.get(at).filter(|entry| entry.path.starts_with(&folder))?;
            let rest = &entry.path.as_bytes()[skip..];
            let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            let name = &rest[..end];
            let child = &entry.path.as_bytes()[..skip + end];
            let found = (rest.len() == end).then_some(entry);
            at += self.entries[at..].partition_point(|entry| {
                let path = entry.path.as_bytes();
                compare_paths(path, child).is_le()
                    || (path.len() > child.len() && path.starts_with(child) && path[child.len()] == b'/')
            });
            Some((name, found))
        })
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.entries.len() * 96);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            encode_entry(entry, &mut out);
        }
        out
    }

    /// The layer's identity: the hash of [`Toc::encode`].
    pub fn digest(&self) -> TreeDigest {
        TreeDigest::of(&self.encode())
    }

    /// Reads what [`Toc::encode`] wrote, and nothing else: there is one encoding of a layer.
    pub fn decode(bytes: &[u8]) -> Result<Self, TocError> {
        let mut input = Input(bytes);
        if input.take(MAGIC.len())? != MAGIC {
            return Err(TocError("it does not start with the mark of this version"));
        }
        let count = input.u64()?;
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..count {
            let entry = decode_entry(&mut input)?;
            if entries.last().is_some_and(|last| last.path >= entry.path) {
                return Err(TocError("its paths are not in order"));
            }
            entries.push(entry);
        }
        if !input.0.is_empty() {
            return Err(TocError("bytes follow its end"));
        }
        Ok(Self { entries })
    }
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    let pair = |out: &mut Vec<u8>, a: u32, b: u32| {
        out.extend_from_slice(&a.to_le_bytes());
        out.extend_from_slice(&b.to_le_bytes());
    };
    bytes(out, entry.path.as_bytes());
    let Meta { mode, uid, gid, mtime, xattrs } = &entry.meta;
    pair(out, *mode, *uid);
    out.extend_from_slice(&gid.to_le_bytes());
    out.extend_from_slice(&mtime.to_le_bytes());
    out.extend_from_slice(&(xattrs.len() as u32).to_le_bytes());
    for (name, value) in xattrs {
        bytes(out, name);
        bytes(out, value);
    }
    match &entry.kind {
        Kind::Dir { opaque } => out.extend_from_slice(&[b'd', u8::from(*opaque)]),
        Kind::File { size, content } => {
            out.push(b'f');
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(content.as_bytes());
        }
        Kind::Symlink(target) => {
            out.push(b'l');
            bytes(out, target);
        }
        Kind::Hardlink(target) => {
            out.push(b'h');
            bytes(out, target.as_bytes());
        }
        Kind::Char(major, minor) => {
            out.push(b'c');
            pair(out, *major, *minor);
        }
        Kind::Block(major, minor) => {
            out.push(b'b');
            pair(out, *major, *minor);
        }
        Kind::Fifo => out.push(b'p'),
        Kind::Whiteout => out.push(b'w'),
    }
}

fn decode_entry(input: &mut Input<'_>) -> Result<Entry, TocError> {
    let path = input.path()?;
    let (mode, uid, gid, mtime) = (input.u32()?, input.u32()?, input.u32()?, input.u64()?.cast_signed());
    let mut xattrs = BTreeMap::new();
    for _ in 0..input.u32()? {
        let name = input.bytes()?.to_vec();
        if xattrs.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(TocError("extended attributes are not in order"));
        }
        xattrs.insert(name, input.bytes()?.to_vec());
    }
    let kind = match input.take(1)?[0] {
        b'd' => match input.take(1)?[0] {
            opaque @ (0 | 1) => Kind::Dir { opaque: opaque == 1 },
            _ => return Err(TocError("a folder is neither opaque nor not")),
        },
        b'f' => Kind::File { size: input.u64()?, content: ContentDigest::from_bytes(input.array()?) },
        b'l' => Kind::Symlink(input.bytes()?.to_vec()),
        b'h' => Kind::Hardlink(input.path()?),
        b'c' => Kind::Char(input.u32()?, input.u32()?),
        b'b' => Kind::Block(input.u32()?, input.u32()?),
        b'p' => Kind::Fifo,
        b'w' => Kind::Whiteout,
        _ => return Err(TocError("it has a kind of entry that this version does not know")),
    };
    Ok(Entry { path, meta: Meta { mode, uid, gid, mtime, xattrs }, kind })
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TocError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(TocError("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TocError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, TocError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, TocError> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], TocError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn path(&mut self) -> Result<TreePath, TocError> {
        let bytes = self.bytes()?;
        let path = TreePath::clean(bytes);
        if path.as_bytes() == bytes { Ok(path) } else { Err(TocError("a path is not in its shortest form")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: TreePath::clean(path), meta: Meta { mode: 0o644, mtime: -5, ..Meta::default() }, kind }
    }

    fn sample() -> Toc {
        Toc::new(vec![
            entry("b/c/d", Kind::Fifo),
            entry("a", Kind::Dir { opaque: true }),
            entry("a/f", Kind::File { size: 3, content: ContentDigest::of(b"abc") }),
            entry("a/h", Kind::Hardlink(TreePath::clean("a/f"))),
            entry("a.x", Kind::Symlink(b"../y".to_vec())),
            entry("b/c", Kind::Dir { opaque: false }),
            entry("b", Kind::Whiteout),
            entry("b", Kind::Dir { opaque: false }),
            entry("n", Kind::Char(1, 3)),
        ])
    }

    #[test]
    fn decodes_what_it_encodes() {
        let toc = sample();
        assert_eq!(Toc::decode(&toc.encode()), Ok(toc));
    }

    #[test]
    fn the_encoding_is_pinned() {
        assert_eq!(Toc::default().digest().short(), TreeDigest::of(&Toc::default().encode()).short());
        assert_eq!(
            sample().digest().to_string(),
            "tree:a9be9369b1fcdc3dd9fce40df43f0578faf6c6e5d6e7bf9ddfa695c02ac09144"
        );
    }

    #[test]
    fn refuses_damage() {
        let good = sample().encode();
        for cut in 0..good.len() {
            assert!(Toc::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Toc::decode(&[&good[..], b"x"].concat()).is_err());
    }

    #[test]
    fn there_is_one_encoding() {
        let meta = Meta {
            xattrs: [("user.a", "1"), ("user.b", "2")].map(|(name, value)| (name.into(), value.into())).into(),
            ..Meta::default()
        };
        let toc = Toc::new(vec![Entry { path: TreePath::clean("a"), meta, kind: Kind::Dir { opaque: true } }]);
        let good = toc.encode();
        assert_eq!(Toc::decode(&good), Ok(toc));
        let refuse = |from: &[u8], to: &[u8]| {
            let at = good.windows(from.len()).rposition(|window| window == from).unwrap();
            let bad = [&good[..at], to, &good[at + from.len()..]].concat();
            assert!(Toc::decode(&bad).is_err(), "{to:?}");
        };
        refuse(b"d\x01", b"d\x02");
        refuse(b"user.a", b"user.c");
        refuse(b"user.a", b"user.b");
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let path = || prop::collection::vec("[a-c.]{1,2}", 1..4).prop_map(|parts| TreePath::clean(parts.join("/")));
        let bytes = || prop::collection::vec(any::<u8>(), 0..4);
        let kind = prop_oneof![
            any::<bool>().prop_map(|opaque| Kind::Dir { opaque }),
            (any::<u64>(), any::<[u8; 32]>())
                .prop_map(|(size, content)| Kind::File { size, content: ContentDigest::from_bytes(content) }),
            bytes().prop_map(Kind::Symlink),
            path().prop_map(Kind::Hardlink),
            any::<(u32, u32)>().prop_map(|(major, minor)| Kind::Char(major, minor)),
            any::<(u32, u32)>().prop_map(|(major, minor)| Kind::Block(major, minor)),
            Just(Kind::Fifo),
            Just(Kind::Whiteout),
        ];
        let meta = (any::<[u32; 3]>(), any::<i64>(), prop::collection::btree_map(bytes(), bytes(), 0..3))
            .prop_map(|([mode, uid, gid], mtime, xattrs)| Meta { mode, uid, gid, mtime, xattrs });
        (path(), meta, kind).prop_map(|(path, meta, kind)| Entry { path, meta, kind })
    }

    proptest! {
        #[test]
        fn any_layer_decodes_to_itself(entries in prop::collection::vec(any_entry(), 0..12), at in any::<prop::sample::Index>(), by in 1u8..) {
            let toc = Toc::new(entries);
            let mut bytes = toc.encode();
            prop_assert_eq!(Toc::decode(&bytes), Ok(toc.clone()));
            // A changed byte is damage, or another layer.
            let at = at.index(bytes.len());
            bytes[at] = bytes[at].wrapping_add(by);
            if let Ok(other) = Toc::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
                prop_assert_ne!(other, toc);
            }
        }
    }

    #[test]
    fn lists_children() {
        let toc = sample();
        let names = |path: &str| -> Vec<String> {
            toc.children(&TreePath::clean(path)).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        assert_eq!(names(""), ["a", "a.x", "b", "n"]);
        assert_eq!(names("a"), ["f", "h"]);
        assert_eq!(names("b"), ["c"]);
        assert_eq!(names("a/f"), Vec::<String>::new());
        assert!(matches!(toc.get(&TreePath::clean("b")).unwrap().kind, Kind::Dir { .. }), "the last of two wins");
    }
}
