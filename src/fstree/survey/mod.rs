//! What the layers of an image do to its files, over time: what each adds, changes and removes, and what of it nobody sees
//! any more.
//!
//! All paths of all layers are one tree, made once; each node knows what happened to it in which layer. What is to be seen
//! with some layer on top is a [`Projection`] of that tree: a few numbers for each node, computed in one pass. Sizes are those
//! of files' bytes, before compression. Which instruction made a layer is not known here.

mod build;
mod project;

use std::sync::Arc;

use crate::fstree::{Toc, TreePath};

pub use project::{Mark, Projection, Scope, Shown};

/// A node's place in a [`Survey`]; the root's is 0.
pub type NodeId = usize;

/// What a layer did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Added,
    /// It was there, and this layer has it again: changed, or only stored once more.
    Changed,
    /// It is gone.
    Removed,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A folder.
    Folder,
    /// A file and its length in bytes, of which a further name of a file has none of its own.
    File(u64),
    /// A symbolic link.
    Link,
    /// A device or a pipe.
    Special,
}

/// Something that happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// In which layer, counted from 0 at the bottom.
    pub layer: usize,
    /// What.
    pub action: Action,
    /// What stands there since then; what stood there before if it was removed.
    pub what: What,
}

#[derive(Debug, Default)]
struct Node {
    name: Vec<u8>,
    parent: NodeId,
    /// Sorted by name.
    children: Vec<NodeId>,
    /// Bottom layer first, a layer once.
    history: Vec<Happened>,
}

/// A layer in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerSummary {
    /// The bytes of its files.
    pub size: u64,
    /// Those of them that are not seen in the image.
    pub wasted: u64,
    /// How many paths it adds.
    pub added: usize,
    /// How many paths it changes.
    pub changed: usize,
    /// How many paths it removes.
    pub removed: usize,
}

/// A path of which layers hold bytes that nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasted {
    /// Where.
    pub node: NodeId,
    /// How many bytes nobody sees.
    pub bytes: u64,
    /// How many layers hold a file there.
    pub copies: usize,
    /// Whether the image has none there in the end.
    pub removed: bool,
}

/// All that layers did.
#[derive(Debug)]
pub struct Survey {
    nodes: Vec<Node>,
    layers: Vec<LayerSummary>,
    /// The most wasteful first.
    wasted: Vec<Wasted>,
}

impl Survey {
    /// Looks at layers, bottom first.
    pub fn new(layers: &[Arc<Toc>]) -> Self {
        build::Builder::new(layers.len()).build(layers)
    }

    /// The layers in figures, bottom first.
    pub fn layers(&self) -> &[LayerSummary] {
        &self.layers
    }

    /// Paths that hold bytes in vain, the most wasteful first.
    pub fn wasted(&self) -> &[Wasted] {
        &self.wasted
    }

    /// The bytes of all files of all layers.
    pub fn stored_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// The bytes that nobody sees.
    pub fn wasted_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.wasted).sum()
    }

    /// How much of what is stored is seen: from 0 to 1, which is also that of an image without bytes.
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    pub fn efficiency(&self) -> f64 {
        match self.stored_bytes() {
            0 => 1.0,
            stored => (stored - self.wasted_bytes()) as f64 / stored as f64,
        }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The last component of a node's path; empty for the root.
    pub fn name(&self, node: NodeId) -> &[u8] {
        &self.nodes[node].name
    }

    /// The folder that holds a node; none for the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node != 0).then(|| self.nodes[node].parent)
    }

    /// What was ever in a folder, by name.
    pub fn children(&self, node: NodeId) -> &[NodeId] {
        &self.nodes[node].children
    }

    /// What happened to a node, bottom layer first.
    pub fn history(&self, node: NodeId) -> &[Happened] {
        &self.nodes[node].history
    }

    /// The path of a node.
    pub fn path(&self, mut node: NodeId) -> TreePath {
        let mut names = Vec::new();
        while let Some(parent) = self.parent(node) {
            names.push(self.name(node));
            node = parent;
        }
        names.reverse();
        TreePath::clean(names.join(&b'/'))
    }

    /// What is to be seen with this layer on top.
    pub fn project(&self, layer: usize, scope: Scope) -> Projection {
        Projection::new(self, layer, scope)
    }
}

#[cfg(test)]
mod tests;
