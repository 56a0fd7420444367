//! How a layer says that something below is gone: names that start with `.wh.` (OCI image-spec, layer.md, "Whiteouts").
//!
//! In a layer as data, a whiteout is a [`Kind::Whiteout`](crate::fstree::Kind) and an emptied folder is opaque. Only a
//! tar spells them as names. A program in a step can create files with such names too; whoever unpacks the layer will
//! take them for marks, so they are marks from the moment that the step is committed.

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

#[cfg(test)]
mod tests {
    use super::*;

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
