//! What `COPY` and `ADD` do to a tree: where each selected file goes, and what it replaces.
//!
//! Follows BuildKit's copier, odd corners included; `tests/conformance/cases/copy` has one case for each rule here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fstree::chmod::ModeChange;
use crate::fstree::edit::{Bytes, EditError, Editor, New};
use crate::fstree::select::Match;
use crate::fstree::{Entry, Kind, Meta, Node, NodeKind, TreePath, ViewError};

/// What a copy does to everything it carries over, with names of owners resolved.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// The new owner and group, if not kept.
    pub owner: Option<(u32, u32)>,
    /// The new permissions, if not kept.
    pub mode: Option<ModeChange>,
    /// The time of folders and files that are made, in seconds since 1970.
    pub epoch: i64,
}

impl Attributes {
    fn carried_over(&self, node: &Node) -> Meta {
        let mut meta = node.meta.clone();
        if let Some((uid, gid)) = self.owner {
            (meta.uid, meta.gid) = (uid, gid);
        }
        // A link has no permissions of its own.
        if let (Some(change), false) = (&self.mode, matches!(node.kind, NodeKind::Symlink(_))) {
            meta.mode = change.apply(meta.mode, node.kind == NodeKind::Dir);
        }
        meta
    }

    fn made_folder(&self) -> Meta {
        let (uid, gid) = self.owner.unwrap_or_default();
        let mode = self.mode.as_ref().map_or(0o755, ModeChange::for_made_parent);
        Meta { mode, uid, gid, mtime: self.epoch, ..Meta::default() }
    }
}

/// A destination: absolute, `..` resolved by name; a slash or `/.` at its end says that it is a folder.
fn destination(dest: &str) -> (TreePath, bool) {
    let folder = dest.is_empty() || dest.ends_with('/') || dest.ends_with("/.") || dest == ".";
    (TreePath::clean(dest), folder)
}

/// Copies one match of input number `input` to `dest`.
pub fn copy(
    editor: &mut Editor<'_>,
    input: usize,
    found: &Match,
    dest: &str,
    parents: bool,
    attributes: &Attributes,
) -> Result<(), EditError> {
    let Some(source) = found.files.first() else { return Ok(()) };
    let (dest, folder) = destination(dest);
    let target = place(editor, &dest, folder || parents, &source.node, &found.name, attributes)?;
    let mut identities: HashMap<u64, u64> = HashMap::new();
    for file in &found.files {
        let path = target.join_path(&file.to);
        let meta = attributes.carried_over(&file.node);
        let there = editor.lookup(&path)?;
        let new = match &file.node.kind {
            NodeKind::Dir => {
                match there {
                    // The source's own attributes are not carried over, only those of folders in it.
                    Some(Node { kind: NodeKind::Dir, .. }) if file.to.is_root() => {}
                    Some(Node { kind: NodeKind::Dir, .. }) => editor.set_dir_meta(&path, meta),
                    Some(_) => return Err(EditError::FolderOntoOther(path)),
                    None => editor.mkdir(&path, meta),
                }
                continue;
            }
            NodeKind::Socket => continue,
            NodeKind::File(size) => {
                let identity = match file.node.links {
                    Some(link) => *identities.entry(link).or_insert_with(|| editor.new_identity()),
                    None => editor.new_identity(),
                };
                let bytes = Bytes::Input(input, file.from.clone());
                New::File { size: *size, content: file.node.content, bytes, identity }
            }
            NodeKind::Symlink(target) => New::Symlink(target.clone()),
            NodeKind::Char(major, minor) => New::Char(*major, *minor),
            NodeKind::Block(major, minor) => New::Block(*major, *minor),
            NodeKind::Fifo => New::Fifo,
        };
        put(editor, &path, there.as_ref(), meta, new)?;
    }
    Ok(())
}

/// Writes a file whose bytes the build file holds.
pub fn write(
    editor: &mut Editor<'_>,
    name: &str,
    data: &[u8],
    dest: &str,
    attributes: &Attributes,
) -> Result<(), EditError> {
    let (dest, folder) = destination(dest);
    let node = Node {
        meta: Meta { mode: 0o644, mtime: attributes.epoch, ..Meta::default() },
        kind: NodeKind::File(data.len() as u64),
        links: None,
        content: None,
    };
    let path = place(editor, &dest, folder, &node, name.as_bytes(), attributes)?;
    let there = editor.lookup(&path)?;
    let identity = editor.new_identity();
    let new = New::File { size: data.len() as u64, content: None, bytes: Bytes::Inline(Arc::from(data)), identity };
    put(editor, &path, there.as_ref(), attributes.carried_over(&node), new)
}

/// Unpacks an archive's entries, in the archive's order, below `dest`. `bytes` says where a regular file's bytes are,
/// by the entry's place.
///
/// Names in the archive, and links on the way, cannot leave `dest`.
pub fn unpack(
    editor: &mut Editor<'_>,
    entries: &[Entry],
    bytes: &dyn Fn(usize) -> Bytes,
    dest: &str,
    attributes: &Attributes,
) -> Result<(), EditError> {
    let root = editor.follow(&destination(dest).0)?;
    let made = Meta { mode: 0o755, ..attributes.made_folder() };
    editor.mkdir_all(&root, &made)?;
    for (number, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.path.is_root()) {
        // The archive's own root says nothing about a folder that the image has.
        unpack_entry(editor, entry, || bytes(number), &root, &made, attributes)
            .map_err(|error| EditError::Entry(entry.path.clone(), Box::new(error)))?;
    }
    Ok(())
}

fn unpack_entry(
    editor: &mut Editor<'_>,
    entry: &Entry,
    bytes: impl FnOnce() -> Bytes,
    root: &TreePath,
    made: &Meta,
    attributes: &Attributes,
) -> Result<(), EditError> {
    let mut meta = entry.meta.clone();
    if let Some((uid, gid)) = attributes.owner {
        (meta.uid, meta.gid) = (uid, gid);
    }
    let parent = inside(editor, root, &entry.path.parent().unwrap_or_default(), made)?;
    let path = parent.join(entry.path.name());
    let new = match &entry.kind {
        Kind::Dir { .. } => {
            match editor.lookup(&path)? {
                Some(Node { kind: NodeKind::Dir, .. }) => editor.set_dir_meta(&path, meta),
                other => {
                    if other.is_some() {
                        editor.remove(&path)?;
                    }
                    editor.mkdir(&path, meta);
                }
            }
            return Ok(());
        }
        Kind::Hardlink(target) => {
            let missing = || ViewError {
                path: target.to_string(),
                reason: "a hard link means it, but it is not in the archive before that, or is a folder".into(),
            };
            let above = target.parent().ok_or_else(missing)?;
            let target = inside(editor, root, &above, made)?.join(target.name());
            let (first, new) = editor.put_at(&target).ok_or_else(missing)?;
            let (first, new) = (first.clone(), new.clone());
            editor.put(&path, first, new);
            return Ok(());
        }
        Kind::File { size, content } => {
            let identity = editor.new_identity();
            New::File { size: *size, content: Some(*content), bytes: bytes(), identity }
        }
        Kind::Symlink(target) => New::Symlink(target.clone()),
        Kind::Char(major, minor) => New::Char(*major, *minor),
        Kind::Block(major, minor) => New::Block(*major, *minor),
        Kind::Fifo => New::Fifo,
        Kind::Whiteout => return Ok(()),
    };
    editor.put(&path, meta, new);
    Ok(())
}

/// The folder `path` below `root`, links followed as if `root` were all there is; made if it is missing.
fn inside(editor: &mut Editor<'_>, root: &TreePath, path: &TreePath, made: &Meta) -> Result<TreePath, EditError> {
    let below = crate::fstree::resolve::follow(path, |path| editor.lookup(&root.join_path(path)))?;
    let folder = root.join_path(&below);
    if below != *path && editor.lookup(&folder)?.is_none() {
        // A link led to where nothing is: the archive cannot mean that folder.
        return Err(EditError::View(ViewError {
            path: root.join_path(path).to_string(),
            reason: format!("its links lead to {folder}, which does not exist"),
        }));
    }
    editor.mkdir_all(&folder, made)?;
    Ok(folder)
}

/// Where a source goes: makes the folders above, and puts a file into a folder that is there.
fn place(
    editor: &mut Editor<'_>,
    dest: &TreePath,
    folder: bool,
    source: &Node,
    name: &[u8],
    attributes: &Attributes,
) -> Result<TreePath, EditError> {
    let made = attributes.made_folder();
    if folder {
        let dest = editor.follow(dest)?;
        editor.mkdir_all(&dest, &made)?;
    } else if let Some(parent) = dest.parent() {
        let parent = editor.follow(&parent)?;
        editor.mkdir_all(&parent, &made)?;
    }
    let dest = editor.follow(dest)?;
    let there = editor.lookup(&dest)?;
    let into = matches!(there, Some(Node { kind: NodeKind::Dir, .. })) || dest.is_root();
    if source.kind == NodeKind::Dir {
        if there.is_none() {
            editor.mkdir_all(&dest, &made)?;
        }
        return Ok(dest);
    }
    let path = if into && !name.is_empty() { dest.join(name) } else { dest };
    if let Some(parent) = path.parent() {
        editor.mkdir_all(&parent, &made)?;
    }
    Ok(path)
}

fn put(editor: &mut Editor<'_>, path: &TreePath, there: Option<&Node>, meta: Meta, new: New) -> Result<(), EditError> {
    if matches!(there, Some(Node { kind: NodeKind::Dir, .. })) {
        return Err(EditError::OtherOntoFolder(path.clone()));
    }
    editor.put(path, meta, new);
    Ok(())
}

#[cfg(test)]
mod tests;
