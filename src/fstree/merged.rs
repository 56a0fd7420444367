//! Layers on top of each other, as a container sees them.
//!
//! A single name is looked up layer by layer, which costs nothing to prepare. The first question about a whole folder
//! makes an index of all that is seen, once; from then on every question is a binary search.

use std::sync::{Arc, OnceLock};

use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta, Node, NodeKind, Toc, TreePath, View, ViewError, compare_paths};

/// Stacked layers.
#[derive(Clone, Default)]
pub struct Merged {
    layers: Vec<Arc<Toc>>,
    index: Arc<OnceLock<Vec<Place>>>,
}

/// An entry by its layer and its position there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    layer: u32,
    at: u32,
}

/// What stands at a path.
enum Found {
    Entry(Place),
    /// A folder that no layer has an entry for, only for something in it. Layers of other builders may be so.
    Implied,
    Nothing,
}

impl Merged {
    /// Stacks layers, the bottom one first.
    pub fn new(layers: Vec<Arc<Toc>>) -> Self {
        Self { layers, index: Arc::default() }
    }

    /// The layers, the bottom one first.
    pub fn layers(&self) -> &[Arc<Toc>] {
        &self.layers
    }

    /// These layers and one more on top.
    pub fn with(&self, layer: Arc<Toc>) -> Self {
        Self::new(self.layers.iter().cloned().chain([layer]).collect())
    }

    /// The entry that is seen at `path`, and the index of the layer that has it.
    ///
    /// Follows hard links to the first name's entry of the same layer.
    pub fn entry(&self, path: &TreePath) -> Option<(usize, &Entry)> {
        match self.find(path) {
            Found::Entry(place) => {
                let place = self.first_name(place)?;
                Some((place.layer as usize, self.at(place)))
            }
            Found::Implied | Found::Nothing => None,
        }
    }

    /// All entries that are seen, in path order, with the indices of their layers. There are no whiteouts among them;
    /// hard links are as their layer has them, also where their first name is not seen.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.index().iter().map(|&place| (place.layer as usize, self.at(place)))
    }

    /// Makes the index now, for those who will ask for hundreds of names.
    pub fn prepare(&self) {
        self.index();
    }

    fn at(&self, place: Place) -> &Entry {
        &self.layers[place.layer as usize].entries()[place.at as usize]
    }

    /// Where the entry is that a hard link means.
    fn first_name(&self, place: Place) -> Option<Place> {
        let Kind::Hardlink(target) = &self.at(place).kind else { return Some(place) };
        let at = self.layers[place.layer as usize].position(target.as_bytes())? as u32;
        let first = Place { at, ..place };
        // A table of contents that was not made by us could send us in circles.
        (!matches!(self.at(first).kind, Kind::Hardlink(_) | Kind::Whiteout)).then_some(first)
    }

    fn find(&self, path: &TreePath) -> Found {
        match self.index.get() {
            Some(index) => self.find_indexed(index, path),
            None => match self.find_layered(path) {
                // Whether anything that implies it is still seen takes the index to tell.
                Found::Implied => self.find_indexed(self.index(), path),
                found => found,
            },
        }
    }

    fn find_indexed(&self, index: &[Place], path: &TreePath) -> Found {
        match index.binary_search_by(|&place| self.at(place).path.cmp(path)) {
            Ok(at) => Found::Entry(index[at]),
            Err(next) if index.get(next).is_some_and(|&place| self.at(place).path.starts_with(path)) => Found::Implied,
            Err(_) => Found::Nothing,
        }
    }

    fn find_layered(&self, path: &TreePath) -> Found {
        let bytes = path.as_bytes();
        let mut found = Found::Nothing;
        for (index, layer) in self.layers.iter().enumerate().rev() {
            if let Some(at) = layer.position(bytes) {
                let place = Place { layer: index as u32, at: at as u32 };
                let is_dir = matches!(self.at(place).kind, Kind::Dir { .. });
                return match (&self.at(place).kind, found) {
                    (Kind::Whiteout, found) => found,
                    (_, Found::Implied) if !is_dir => Found::Implied,
                    _ => Found::Entry(place),
                };
            }
            if layer.below(path).iter().any(|entry| entry.kind != Kind::Whiteout) {
                found = Found::Implied;
            }
            if self.hides_below(index, bytes) {
                return found;
            }
        }
        found
    }

    /// Whether this layer removed, replaced or emptied a folder above `path`, so that lower layers are not seen there.
    fn hides_below(&self, layer: usize, path: &[u8]) -> bool {
        let layer = &self.layers[layer];
        let slashes = path.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        [0].into_iter().chain(slashes).filter(|&end| end < path.len()).any(|end| {
            let above = layer.position(&path[..end]).map(|at| &layer.entries()[at].kind);
            above.is_some_and(|kind| !matches!(kind, Kind::Dir { opaque: false }))
        })
    }

    fn index(&self) -> &[Place] {
        self.index.get_or_init(|| {
            let mut seen: Vec<Place> = Vec::new();
            for layer in 0..self.layers.len() {
                seen = self.stack(&seen, layer);
            }
            seen
        })
    }

    /// What is seen once `layer` is put on top of what is seen in `below`.
    fn stack(&self, below: &[Place], layer: usize) -> Vec<Place> {
        let mut seen = Vec::with_capacity(below.len() + self.layers[layer].entries().len());
        let mut rest = below;
        for (at, entry) in self.layers[layer].entries().iter().enumerate() {
            let path = entry.path.as_bytes();
            let before = gallop(rest, |&place| compare_paths(self.at(place).path.as_bytes(), path).is_lt());
            seen.extend_from_slice(&rest[..before]);
            rest = &rest[before..];
            if rest.first().is_some_and(|&place| self.at(place).path == entry.path) {
                rest = &rest[1..];
            }
            if !matches!(entry.kind, Kind::Dir { opaque: false }) {
                let hidden = gallop(rest, |&place| self.at(place).path.starts_with(&entry.path));
                rest = &rest[hidden..];
            }
            if entry.kind == Kind::Whiteout {
                continue;
            }
            // What stands in a folder without an entry of its own replaces whatever was there and no folder.
            while let Some(&last) = seen.last() {
                let last = self.at(last);
                if matches!(last.kind, Kind::Dir { .. }) || !entry.path.starts_with(&last.path) {
                    break;
                }
                seen.pop();
            }
            seen.push(Place { layer: layer as u32, at: at as u32 });
        }
        seen.extend_from_slice(rest);
        seen
    }

    fn node(&self, place: Place) -> Option<Node> {
        let place = self.first_name(place)?;
        let entry = self.at(place);
        let mut bytes = None;
        let kind = match &entry.kind {
            Kind::Dir { .. } => NodeKind::Dir,
            Kind::File { size, content } => {
                bytes = Some(*content);
                NodeKind::File(*size)
            }
            Kind::Symlink(target) => NodeKind::Symlink(target.clone()),
            Kind::Char(major, minor) => NodeKind::Char(*major, *minor),
            Kind::Block(major, minor) => NodeKind::Block(*major, *minor),
            Kind::Fifo => NodeKind::Fifo,
            Kind::Whiteout | Kind::Hardlink(_) => return None,
        };
        let links = (kind != NodeKind::Dir).then_some(u64::from(place.layer) << 32 | u64::from(place.at));
        Some(Node { meta: entry.meta.clone(), kind, links, content: bytes })
    }
}

/// How many items at the start satisfy `test`, which holds for a head of the list. Fast where that head is short.
fn gallop<T>(items: &[T], mut test: impl FnMut(&T) -> bool) -> usize {
    let mut high = 1;
    while high <= items.len() && test(&items[high - 1]) {
        high *= 2;
    }
    let low = high / 2;
    low + items[low..items.len().min(high)].partition_point(test)
}

/// A folder that nobody described.
fn implied() -> Node {
    Node { meta: Meta { mode: 0o755, ..Meta::default() }, kind: NodeKind::Dir, links: None, content: None }
}

impl View for Merged {
    fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError> {
        Ok(match self.find(path) {
            Found::Entry(place) => self.node(place),
            Found::Implied => Some(implied()),
            Found::Nothing => path.is_root().then(implied),
        })
    }

    fn children(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Node)>, ViewError> {
        let index = self.index();
        let start = index.partition_point(|&place| self.at(place).path <= *path);
        let mut rest = &index[start..];
        let mut children = Vec::new();
        while let Some(&first) = rest.first() {
            let Some(below) = self.at(first).path.strip_prefix(path) else { break };
            let Some(name) = below.components().next() else { break };
            let child = path.join(name);
            let node = if self.at(first).path == child { self.node(first) } else { Some(implied()) };
            children.extend(node.map(|node| (name.to_vec(), node)));
            rest = &rest[gallop(rest, |&place| self.at(place).path.starts_with(&child))..];
        }
        Ok(children)
    }

    fn contents(&self, paths: &[TreePath]) -> Result<Vec<ContentDigest>, ViewError> {
        let digest = |path: &TreePath| match self.entry(path).map(|(_, entry)| &entry.kind) {
            Some(Kind::File { content, .. }) => Ok(*content),
            _ => Err(ViewError { path: path.to_string(), reason: "it is not a regular file".into() }),
        };
        paths.iter().map(digest).collect()
    }
}

#[cfg(test)]
mod tests;
