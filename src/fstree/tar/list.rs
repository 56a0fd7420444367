//! A layer's archive as data, without unpacking it: what it holds, and in which order.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::{RawKind, TarError, TarReader};
use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// What an archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its entries.
    pub toc: Toc,
    /// Their names, as they come.
    pub order: Vec<TreePath>,
}

/// Reads and hashes a layer. What it says of folders that it has no entry for is left out, but for their being emptied.
pub fn list<R: Read>(reader: &mut TarReader<R>) -> Result<Listing, TarError> {
    let (mut entries, mut order, mut opaque) = (Vec::new(), Vec::new(), BTreeSet::new());
    while let Some((entry, mut content)) = reader.next()? {
        let kind = match entry.kind {
            RawKind::Dir => Kind::Dir { opaque: false },
            RawKind::File(size) => {
                let mut hasher = blake3::Hasher::new();
                io::copy(&mut content, &mut hasher).map_err(|error| TarError {
                    entry: Some(entry.path.to_string()),
                    offset: 0,
                    reason: error.into(),
                })?;
                Kind::File { size, content: ContentDigest::from_bytes(*hasher.finalize().as_bytes()) }
            }
            RawKind::Symlink(target) => Kind::Symlink(target),
            RawKind::Hardlink(first) => Kind::Hardlink(first),
            RawKind::Char(major, minor) => Kind::Char(major, minor),
            RawKind::Block(major, minor) => Kind::Block(major, minor),
            RawKind::Fifo => Kind::Fifo,
            RawKind::Whiteout => Kind::Whiteout,
            RawKind::Opaque => {
                opaque.insert(entry.path);
                continue;
            }
        };
        order.push(entry.path.clone());
        entries.push(Entry { path: entry.path, meta: entry.meta, kind });
    }
    for entry in &mut entries {
        if matches!(entry.kind, Kind::Dir { .. }) && opaque.remove(&entry.path) {
            entry.kind = Kind::Dir { opaque: true };
        }
    }
    let emptied = |path| Entry { path, meta: Meta::default(), kind: Kind::Dir { opaque: true } };
    entries.extend(opaque.into_iter().map(emptied));
    Ok(Listing { toc: Toc::new(entries), order })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fstree::tar::{Dialect, Limits, NoContents, Verify, write};

    #[test]
    fn lists_what_was_written() {
        let entry = |path: &str, kind: Kind| Entry {
            path: TreePath::clean(path),
            meta: if kind == Kind::Whiteout { Meta::default() } else { Meta { mode: 0o755, ..Meta::default() } },
            kind,
        };
        let toc = Toc::new(vec![
            entry("a", Kind::Dir { opaque: true }),
            entry("a/f", Kind::File { size: 0, content: ContentDigest::of(b"") }),
            entry("a/h", Kind::Hardlink(TreePath::clean("a/f"))),
            entry("d", Kind::Char(1, 3)),
            entry("gone", Kind::Whiteout),
            entry("p", Kind::Fifo),
        ]);
        let bytes = write(&toc, &NoContents, Verify::Content, Vec::new()).unwrap();
        let mut reader = TarReader::new(&bytes[..], Dialect::Layer, Limits::default());
        let listing = list(&mut reader).unwrap();
        assert_eq!(listing.toc, toc);
        assert_eq!(listing.order, toc.entries().iter().map(|entry| entry.path.clone()).collect::<Vec<_>>());
    }
}
