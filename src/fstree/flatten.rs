//! A stack of layers made one: for exporters that write a file system and not an image.

use std::collections::HashMap;

use crate::fstree::{Entry, Kind, Merged, Toc, TreePath};

/// All that is seen in a stack of layers, as if it were one layer, and which layer each entry is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flattened {
    toc: Toc,
    /// Parallel to the entries.
    layers: Vec<u32>,
}

impl Flattened {
    /// Flattens. Names of one file within a layer stay hard links, as far as they are seen.
    pub fn new(merged: &Merged) -> Self {
        let mut first_seen: HashMap<(usize, &TreePath), &TreePath> = HashMap::new();
        let (mut entries, mut layers) = (Vec::new(), Vec::new());
        for (layer, entry) in merged.entries() {
            let (first_name, kind) = match &entry.kind {
                Kind::Hardlink(target) => match merged.layers()[layer].get(target) {
                    Some(first) => (target, first.kind.clone()),
                    None => continue,
                },
                Kind::Dir { .. } => (&entry.path, Kind::Dir { opaque: false }),
                kind => (&entry.path, kind.clone()),
            };
            let first = *first_seen.entry((layer, first_name)).or_insert(&entry.path);
            let kind = if *first == entry.path { kind } else { Kind::Hardlink(first.clone()) };
            entries.push(Entry { path: entry.path.clone(), meta: entry.meta.clone(), kind });
            layers.push(layer as u32);
        }
        Self { toc: Toc::new(entries), layers }
    }

    /// The one layer.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The index of the layer that has the entry of exactly this path. Its bytes are found there, by the same path.
    pub fn layer(&self, path: &TreePath) -> Option<usize> {
        self.toc.position(path.as_bytes()).map(|at| self.layers[at] as usize)
    }
}
