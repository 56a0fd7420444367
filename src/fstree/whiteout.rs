//! How a layer says that something below is gone: names that start with `.wh.` (OCI image-spec, layer.md, "Whiteouts").
//!
//! In a layer as data, a whiteout is a [`Kind::Whiteout`](crate::fstree::Kind) and an emptied folder is opaque. Only a
//! tar spells them as names. A program in a step can create files with such names too; whoever unpacks the layer will
//! take them for marks, so they are marks from the moment that the step is committed.

use std::collections::BTreeSet;

use crate::fstree::{Entry, Kind, Merged, Meta, NodeKind, Toc, TreePath, View};

/// What the name of a whiteout starts with; the name of what is gone follows.
pub const PREFIX: &[u8] = b".wh.";

/// The name of the mark that makes the folder it is in opaque.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name in a layer's tar means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// Itself.
    Plain,
    /// The name that follows the prefix is gone.
    Whiteout(&'a [u8]),
    /// The folder is opaque.
    Opaque,
    /// Nothing: bookkeeping of an old storage driver (`.wh..wh.plnk` and the like), or the prefix alone.
    Nothing,
}

/// What `name`, a single component of a path, means in a layer's tar.
pub fn meaning(name: &[u8]) -> Name<'_> {
    match name.strip_prefix(PREFIX) {
        None => Name::Plain,
        Some(_) if name == OPAQUE => Name::Opaque,
        Some(b"" | b"." | b"..") => Name::Nothing,
        Some(gone) if gone.starts_with(PREFIX) => Name::Nothing,
        Some(gone) => Name::Whiteout(gone),
    }
}

/// Turns entries whose names look like marks into what they look like, for a layer made above `view`.
///
/// Layers without such names, nearly all of them, come back as they are.
pub fn settle(toc: Toc, view: &Merged) -> Toc {
    let marked = |path: &TreePath| path.components().any(|part| part.starts_with(PREFIX));
    if !toc.entries().iter().any(|entry| marked(&entry.path)) {
        return toc;
    }
    let mut hidden: BTreeSet<TreePath> = BTreeSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    for entry in toc.entries() {
        let parent = entry.path.parent().unwrap_or_default();
        match meaning(entry.path.name()) {
            _ if marked(&parent) => {}
            Name::Plain => entries.push(entry.clone()),
            Name::Nothing => {}
            Name::Opaque => {
                hidden.insert(parent);
            }
            Name::Whiteout(gone) => {
                hidden.insert(parent.join(gone));
            }
        }
    }
    for path in hidden {
        let below = view.lookup(&path).ok().flatten().map(|node| node.kind);
        match (entries.binary_search_by(|entry| entry.path.cmp(&path)), below) {
            (Ok(at), Some(NodeKind::Dir)) => {
                if let Kind::Dir { opaque } = &mut entries[at].kind {
                    *opaque = true;
                }
            }
            (Err(at), Some(_)) => entries.insert(at, Entry { path, meta: Meta::default(), kind: Kind::Whiteout }),
            (_, None) | (Ok(_), _) => {}
        }
    }
    Toc::new(entries)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn toc(entries: &[(&str, Kind)]) -> Toc {
        let entry = |(path, kind): &(&str, Kind)| Entry {
            path: TreePath::clean(path),
            meta: Meta::default(),
            kind: kind.clone(),
        };
        Toc::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn settles_names_that_look_like_marks() {
        let folder = |opaque| Kind::Dir { opaque };
        let base = toc(&[("d", folder(false)), ("d/x", Kind::Fifo), ("d/y", Kind::Fifo), ("e", folder(false))]);
        let view = Merged::new(vec![Arc::new(base)]);
        let check = |layer: &[(&str, Kind)], expected: &[(&str, Kind)]| {
            assert_eq!(settle(toc(layer), &view), toc(expected));
        };
        let plain = [("d", folder(false)), ("d/.wh", Kind::Fifo)];
        check(&plain, &plain);
        check(
            &[
                ("d", folder(false)),
                ("d/.wh.x", Kind::Fifo),
                ("d/.wh.none", Kind::Fifo),
                ("d/.wh.y", folder(false)),
                ("d/.wh.y/z", Kind::Fifo),
            ],
            &[("d", folder(false)), ("d/x", Kind::Whiteout), ("d/y", Kind::Whiteout)],
        );
        check(&[("e", folder(false)), ("e/.wh..wh..opq", Kind::Fifo)], &[("e", folder(true))]);
        check(
            &[("d", folder(false)), ("d/.wh.x", Kind::Fifo), ("d/x", Kind::Fifo)],
            &[("d", folder(false)), ("d/x", Kind::Fifo)],
        );
        check(&[("new", folder(false)), ("new/.wh..wh..opq", Kind::Fifo)], &[("new", folder(false))]);
    }

    #[test]
    fn reads_names() {
        let check = |name: &str, expected: Name<'_>| assert_eq!(meaning(name.as_bytes()), expected, "{name}");
        check("file", Name::Plain);
        check(".wh", Name::Plain);
        check(".whx", Name::Plain);
        check(".wh.file", Name::Whiteout(b"file"));
        check(".wh..hidden", Name::Whiteout(b".hidden"));
        check(".wh..wh..opq", Name::Opaque);
        check(".wh..wh.plnk", Name::Nothing);
        check(".wh..wh..opq.x", Name::Nothing);
        check(".wh.", Name::Nothing);
        check(".wh..", Name::Nothing);
        check(".wh...", Name::Nothing);
    }
}
