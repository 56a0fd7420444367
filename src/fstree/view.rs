//! What stands behind a path: one trait for stacked layers, contexts and anything else that `COPY` can read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// What a name in a [`View`] is, whiteouts and hard links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A folder.
    Dir,
    /// A regular file and its length in bytes.
    File(u64),
    /// A symbolic link and its target, as it is.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket: only contexts have them, and nothing copies them.
    Socket,
}

/// What a view has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permissions, owner, settled time.
    pub meta: Meta,
    /// What it is.
    pub kind: NodeKind,
    /// Equal for all names of one file, if it may have several. Means something only within one view.
    pub links: Option<u64>,
}

/// A view that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ViewError {
    /// The path in question, in words of the view (a host path for a context).
    pub path: String,
    /// What went wrong.
    pub reason: String,
}

/// A tree of files that can be looked at, lazily if it is large.
///
/// Paths are looked up by name: no method follows a symbolic link.
pub trait View: Send + Sync {
    /// What stands at `path`; the root is always there.
    fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError>;

    /// The names in the folder `path` with what they are, sorted by name; empty if it is no folder.
    fn children(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Node)>, ViewError>;

    /// The content digests of regular files, in order. A view may read them in parallel.
    fn contents(&self, paths: &[TreePath]) -> Result<Vec<ContentDigest>, ViewError>;
}

/// Layers on top of each other, as a container sees them.
#[derive(Clone, Default)]
pub struct Merged {
    layers: Vec<Arc<Toc>>,
}

impl Merged {
    /// Stacks layers, the bottom one first.
    pub fn new(layers: Vec<Arc<Toc>>) -> Self {
        Self { layers }
    }

    /// The entry that is seen at `path`, and the index of the layer that has it.
    ///
    /// Follows hard links to the first name's entry of the same layer.
    pub fn entry(&self, path: &TreePath) -> Option<(usize, &Entry)> {
        let (layer, entry) = self.raw_entry(path)?;
        match &entry.kind {
            Kind::Hardlink(target) => self.layers[layer].get(target).map(|entry| (layer, entry)),
            _ => Some((layer, entry)),
        }
    }

    fn raw_entry(&self, path: &TreePath) -> Option<(usize, &Entry)> {
        let ancestors: Vec<TreePath> = path.ancestors().collect();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            match layer.get(path) {
                Some(Entry { kind: Kind::Whiteout, .. }) => return None,
                Some(entry) => return Some((index, entry)),
                None => {}
            }
            // A layer that removed, replaced or emptied a folder above hides what lower layers have here.
            let hidden = ancestors
                .iter()
                .any(|above| layer.get(above).is_some_and(|entry| !matches!(entry.kind, Kind::Dir { opaque: false })));
            if hidden {
                return None;
            }
        }
        None
    }

    fn node(layer: usize, entry: &Entry) -> Node {
        let kind = match &entry.kind {
            Kind::Dir { .. } => NodeKind::Dir,
            Kind::File { size, .. } => NodeKind::File(*size),
            Kind::Symlink(target) => NodeKind::Symlink(target.clone()),
            Kind::Char(major, minor) => NodeKind::Char(*major, *minor),
            Kind::Block(major, minor) => NodeKind::Block(*major, *minor),
            // A whiteout is never seen, and a hard link was followed.
            Kind::Fifo | Kind::Whiteout | Kind::Hardlink(_) => NodeKind::Fifo,
        };
        let links = (!matches!(kind, NodeKind::Dir)).then(|| {
            let hash = blake3::hash(entry.path.as_bytes());
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&hash.as_bytes()[..8]);
            u64::from_le_bytes(bytes) ^ layer as u64
        });
        Node { meta: entry.meta.clone(), kind, links }
    }
}

impl View for Merged {
    fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError> {
        if let Some((layer, entry)) = self.entry(path) {
            return Ok(Some(Self::node(layer, entry)));
        }
        // The root need not be an entry of any layer; nor, in images of other builders, need a folder that has children.
        let implied = path.is_root() || !self.children(path)?.is_empty();
        Ok(implied.then(|| Node { meta: Meta { mode: 0o755, ..Meta::default() }, kind: NodeKind::Dir, links: None }))
    }

    fn children(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Node)>, ViewError> {
        let mut seen: BTreeMap<Vec<u8>, Option<Node>> = BTreeMap::new();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            for (name, entry) in layer.children(path) {
                seen.entry(name.to_vec()).or_insert_with(|| match entry.map(|entry| &entry.kind) {
                    Some(Kind::Whiteout) => None,
                    _ => self.lookup_child(path, name, index),
                });
            }
            let above = path.ancestors().chain([path.clone()]);
            if above.filter_map(|above| layer.get(&above)).any(|e| !matches!(e.kind, Kind::Dir { opaque: false })) {
                break;
            }
        }
        Ok(seen.into_iter().filter_map(|(name, node)| Some((name, node?))).collect())
    }

    fn contents(&self, paths: &[TreePath]) -> Result<Vec<ContentDigest>, ViewError> {
        let digest = |path: &TreePath| match self.entry(path).map(|(_, entry)| &entry.kind) {
            Some(Kind::File { content, .. }) => Ok(*content),
            _ => Err(ViewError { path: path.to_string(), reason: "it is not a regular file".into() }),
        };
        paths.iter().map(digest).collect()
    }
}

impl Merged {
    /// The child that is seen below `path`, where the topmost layer that mentions it is `index`.
    fn lookup_child(&self, path: &TreePath, name: &[u8], index: usize) -> Option<Node> {
        let below = Self { layers: self.layers[..=index].to_vec() };
        below.lookup(&path.join(name)).ok().flatten()
    }
}
