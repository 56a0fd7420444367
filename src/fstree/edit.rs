//! Changes on top of a view, collected until they are one layer.
//!
//! The result is *self-contained*: every entry's parents are in the layer, with the attributes they had, so a layer
//! means the same wherever it is unpacked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta, Node, NodeKind, Toc, TreePath, View, ViewError, resolve};

/// Where the bytes of a new regular file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytes {
    /// A file of one of the step's inputs.
    Input(usize, TreePath),
    /// These.
    Inline(Arc<[u8]>),
    /// A file that was unpacked from an archive, by its number.
    Spooled(usize),
}

/// What a new entry is. Folders are made by [`Editor::mkdir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum New {
    /// A regular file. Equal identities are one file with several names.
    File {
        /// Its length in bytes.
        size: u64,
        /// The hash of its bytes, if known already.
        content: Option<ContentDigest>,
        /// Where its bytes are.
        bytes: Bytes,
        /// Which file it is.
        identity: u64,
    },
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

#[derive(Debug, Clone)]
enum Change {
    /// A folder; `fresh` if it hides what was there.
    Dir {
        fresh: bool,
    },
    Other(New),
    Gone,
}

/// A change that is not possible.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A folder is wanted where something else is.
    #[error("cannot make the folder {0}: {1} is not a folder")]
    NotAFolder(TreePath, TreePath),
    /// A folder is to be copied onto something else.
    #[error("cannot copy a folder onto {0}, which is not one")]
    FolderOntoOther(TreePath),
    /// A folder would have to go for a file.
    #[error("cannot replace the folder {0} by a file")]
    OtherOntoFolder(TreePath),
    /// An entry of an archive has no place.
    #[error("its entry {0}: {1}")]
    Entry(TreePath, #[source] Box<EditError>),
    /// A path leads in a circle.
    #[error(transparent)]
    Resolve(#[from] resolve::ResolveError),
    /// The tree cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// A view with changes on top.
pub struct Editor<'a> {
    base: &'a dyn View,
    changes: BTreeMap<TreePath, (Meta, Change)>,
    identities: u64,
}

/// What an [`Editor`] came to: entries in path order, and where their bytes are.
#[derive(Debug, Default)]
pub struct Edited {
    /// The layer, but for digests of content that were not known.
    pub entries: Vec<Entry>,
    /// For each regular file: its place in `entries`, where its bytes are, and whether its digest is still to be
    /// computed (it is zero in `entries` then).
    pub files: Vec<(usize, Bytes, bool)>,
}

impl<'a> Editor<'a> {
    /// No changes yet.
    pub fn new(base: &'a dyn View) -> Self {
        Self { base, changes: BTreeMap::new(), identities: 0 }
    }

    /// A number that no file has yet.
    pub fn new_identity(&mut self) -> u64 {
        self.identities += 1;
        self.identities
    }

    /// What is at `path` now, links not followed.
    pub fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError> {
        if let Some((meta, change)) = self.changes.get(path) {
            let kind = match change {
                Change::Gone => return Ok(None),
                Change::Dir { .. } => NodeKind::Dir,
                Change::Other(New::File { size, .. }) => NodeKind::File(*size),
                Change::Other(New::Symlink(target)) => NodeKind::Symlink(target.clone()),
                Change::Other(New::Char(major, minor)) => NodeKind::Char(*major, *minor),
                Change::Other(New::Block(major, minor)) => NodeKind::Block(*major, *minor),
                Change::Other(New::Fifo) => NodeKind::Fifo,
            };
            return Ok(Some(Node { meta: meta.clone(), kind, links: None, content: None }));
        }
        // Asked first, since what is not below cannot be hidden either.
        let Some(below) = self.base.lookup(path)? else { return Ok(None) };
        let hidden = path.ancestors().any(|above| {
            self.changes.get(&above).is_some_and(|(_, change)| !matches!(change, Change::Dir { fresh: false }))
        });
        Ok((!hidden).then_some(below))
    }

    /// What was put here that is no folder, for another name of it.
    pub fn put_at(&self, path: &TreePath) -> Option<(&Meta, &New)> {
        match self.changes.get(path)? {
            (meta, Change::Other(new)) => Some((meta, new)),
            _ => None,
        }
    }

    /// Follows all symbolic links of `path`; what is missing is kept as named.
    pub fn follow(&self, path: &TreePath) -> Result<TreePath, EditError> {
        Ok(resolve::follow(path, |path| self.lookup(path))?)
    }

    /// Makes a folder and all that are missing above it. `path` must be resolved.
    pub fn mkdir_all(&mut self, path: &TreePath, meta: &Meta) -> Result<(), EditError> {
        if matches!(self.lookup(path)?, Some(Node { kind: NodeKind::Dir, .. })) {
            return Ok(());
        }
        for folder in path.ancestors().skip(1).chain([path.clone()]) {
            match self.lookup(&folder)? {
                Some(Node { kind: NodeKind::Dir, .. }) => {}
                Some(_) => return Err(EditError::NotAFolder(path.clone(), folder)),
                None => self.mkdir(&folder, meta.clone()),
            }
        }
        Ok(())
    }

    /// Makes a folder where there is none. Its parent must be one.
    pub fn mkdir(&mut self, path: &TreePath, meta: Meta) {
        // What a lower layer has below a name that is gone must not come back.
        let fresh = matches!(self.changes.get(path), Some((_, Change::Gone)))
            || self.base.lookup(path).is_ok_and(|node| node.is_some_and(|node| node.kind == NodeKind::Dir));
        self.changes.insert(path.clone(), (meta, Change::Dir { fresh }));
    }

    /// Changes the attributes of a folder that is there.
    pub fn set_dir_meta(&mut self, path: &TreePath, meta: Meta) {
        let fresh = matches!(self.changes.get(path), Some((_, Change::Dir { fresh: true })));
        self.changes.insert(path.clone(), (meta, Change::Dir { fresh }));
    }

    /// Puts something that is no folder at `path`, whose parent must be one; what is there goes, folders too.
    pub fn put(&mut self, path: &TreePath, meta: Meta, new: New) {
        self.forget_below(path);
        self.changes.insert(path.clone(), (meta, Change::Other(new)));
    }

    /// Removes what is at `path`, and all below.
    pub fn remove(&mut self, path: &TreePath) -> Result<(), ViewError> {
        self.forget_below(path);
        self.changes.remove(path);
        if self.lookup(path)?.is_some() {
            self.changes.insert(path.clone(), (Meta::default(), Change::Gone));
        }
        Ok(())
    }

    fn forget_below(&mut self, path: &TreePath) {
        let below: Vec<TreePath> = self
            .changes
            .range(path.clone()..)
            .map(|(at, _)| at)
            .skip_while(|at| *at == path)
            .take_while(|at| at.starts_with(path))
            .cloned()
            .collect();
        for at in below {
            self.changes.remove(&at);
        }
    }

    /// The layer that these changes make.
    pub fn finish(mut self) -> Result<Edited, ViewError> {
        let mut parents: Vec<Option<TreePath>> = self.changes.keys().map(TreePath::parent).collect();
        // Neighbours have the same folders above them.
        parents.dedup();
        for parent in parents {
            // What is above a change that is there already, is seen to with that.
            let mut next = parent;
            while let Some(above) = next.filter(|above| !self.changes.contains_key(above)) {
                next = above.parent();
                if let Some(node) = self.base.lookup(&above)? {
                    // The root that every file system has needs no entry, unless the image says more about it.
                    let implied = Meta { mode: 0o755, ..Meta::default() };
                    if !(above.is_root() && node.meta == implied) {
                        self.changes.insert(above, (node.meta, Change::Dir { fresh: false }));
                    }
                }
            }
        }
        let entries = Vec::with_capacity(self.changes.len());
        let mut edited = Edited { entries, ..Edited::default() };
        let mut first_names: HashMap<u64, usize> = HashMap::new();
        for (path, (meta, change)) in self.changes {
            let kind = match change {
                Change::Gone => Kind::Whiteout,
                Change::Dir { fresh } => Kind::Dir { opaque: fresh },
                Change::Other(New::Symlink(target)) => Kind::Symlink(target),
                Change::Other(New::Char(major, minor)) => Kind::Char(major, minor),
                Change::Other(New::Block(major, minor)) => Kind::Block(major, minor),
                Change::Other(New::Fifo) => Kind::Fifo,
                Change::Other(New::File { size, content, bytes, identity }) => {
                    if let Some(first) = first_names.get(&identity) {
                        let first = &edited.entries[*first];
                        let entry = Entry { path, meta: first.meta.clone(), kind: Kind::Hardlink(first.path.clone()) };
                        edited.entries.push(entry);
                        continue;
                    }
                    first_names.insert(identity, edited.entries.len());
                    edited.files.push((edited.entries.len(), bytes, content.is_none()));
                    Kind::File { size, content: content.unwrap_or(ContentDigest::from_bytes([0; 32])) }
                }
            };
            edited.entries.push(Entry { path, meta, kind });
        }
        Ok(edited)
    }
}

impl Edited {
    /// The table of contents, once every digest is known.
    pub fn toc(&self) -> Toc {
        Toc::new(self.entries.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fstree::Merged;

    fn path(text: &str) -> TreePath {
        TreePath::clean(text)
    }

    fn meta(mode: u32) -> Meta {
        Meta { mode, ..Meta::default() }
    }

    fn base() -> Merged {
        let entry = |at: &str, mode, kind| Entry { path: path(at), meta: meta(mode), kind };
        let file = Kind::File { size: 1, content: ContentDigest::of(b"x") };
        let dir = Kind::Dir { opaque: false };
        Merged::new(vec![Arc::new(Toc::new(vec![
            entry("d", 0o700, dir.clone()),
            entry("d/f", 0o644, file.clone()),
            entry("l", 0o777, Kind::Symlink(b"/d".to_vec())),
            entry("g", 0o644, file),
        ]))])
    }

    fn new_file(editor: &mut Editor<'_>) -> New {
        New::File { size: 0, content: None, bytes: Bytes::Inline(Arc::from(&b""[..])), identity: editor.new_identity() }
    }

    fn names(edited: &Edited) -> Vec<String> {
        edited.entries.iter().map(|entry| format!("{} {:o} {:?}", entry.path, entry.meta.mode, entry.kind)).collect()
    }

    #[test]
    fn brings_the_folders_above_along() {
        let base = base();
        let mut editor = Editor::new(&base);
        editor.put(&path("d/n"), meta(0o777), New::Fifo);
        assert_eq!(names(&editor.finish().unwrap()), ["/d 700 Dir { opaque: false }", "/d/n 777 Fifo"]);
    }

    #[test]
    fn a_folder_in_place_of_a_folder_hides_what_was_there() {
        let base = base();
        let mut editor = Editor::new(&base);
        editor.remove(&path("d")).unwrap();
        assert_eq!(editor.lookup(&path("d/f")).unwrap(), None);
        editor.mkdir(&path("d"), meta(0o755));
        assert_eq!(editor.lookup(&path("d/f")).unwrap(), None);
        assert_eq!(names(&editor.finish().unwrap()), ["/d 755 Dir { opaque: true }"]);
    }

    #[test]
    fn what_is_removed_leaves_a_mark_only_if_it_was_below() {
        let base = base();
        let mut editor = Editor::new(&base);
        editor.put(&path("new"), meta(0), New::Fifo);
        editor.remove(&path("new")).unwrap();
        editor.remove(&path("g")).unwrap();
        assert_eq!(names(&editor.finish().unwrap()), ["/g 0 Whiteout"]);
    }

    #[test]
    fn follows_links_and_makes_folders() {
        let base = base();
        let mut editor = Editor::new(&base);
        let target = editor.follow(&path("l/a/b")).unwrap();
        assert_eq!(target, path("d/a/b"));
        editor.mkdir_all(&target, &meta(0o755)).unwrap();
        assert!(editor.mkdir_all(&path("g/x"), &meta(0o755)).is_err());
        let made = names(&editor.finish().unwrap());
        assert_eq!(made.len(), 3, "{made:?}");
    }

    #[test]
    fn names_of_one_file_survive_the_loss_of_the_first() {
        let base = base();
        let mut editor = Editor::new(&base);
        let new = new_file(&mut editor);
        for name in ["a", "b", "c"] {
            editor.put(&path(name), meta(0o600), new.clone());
        }
        let other = new_file(&mut editor);
        editor.put(&path("a"), meta(0o640), other);
        let edited = editor.finish().unwrap();
        assert_eq!(edited.entries[2].kind, Kind::Hardlink(path("b")));
        assert_eq!(edited.files.len(), 2);
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let entry = |at: &str, target: &str| Entry {
            path: path(at),
            meta: meta(0o777),
            kind: Kind::Symlink(target.as_bytes().to_vec()),
        };
        let base = Merged::new(vec![Arc::new(Toc::new(vec![entry("a", "b"), entry("b", "a")]))]);
        assert!(Editor::new(&base).follow(&path("a/x")).is_err());
    }
}
