//! Lays layers on each other, bottom first, and writes down what happens.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::{Action, Happened, LayerSummary, Node, NodeId, Survey, Wasted, What};
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// The bytes of a file, which may have several names.
struct Content {
    size: u64,
    /// The layer that holds them.
    layer: usize,
    /// The first name.
    node: NodeId,
    /// How many names are still seen.
    names: usize,
}

/// What is seen at a node.
struct Seen<'a> {
    what: What,
    entry: Option<&'a Entry>,
    content: Option<usize>,
}

pub(super) struct Builder<'a> {
    nodes: Vec<Node>,
    by_path: HashMap<Vec<u8>, NodeId>,
    /// Parallel to the nodes.
    seen: Vec<Option<Seen<'a>>>,
    contents: Vec<Content>,
    layers: Vec<LayerSummary>,
    /// Bytes in vain and copies, by node.
    wasted: HashMap<NodeId, u64>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(layers: usize) -> Self {
        Self {
            nodes: vec![Node::default()],
            by_path: HashMap::from_iter([(Vec::new(), 0)]),
            seen: vec![Some(Seen { what: What::Folder, entry: None, content: None })],
            contents: Vec::new(),
            layers: vec![LayerSummary::default(); layers],
            wasted: HashMap::new(),
        }
    }

    pub(super) fn build(mut self, layers: &'a [Arc<Toc>]) -> Survey {
        for (layer, toc) in layers.iter().enumerate() {
            // The contents of this layer's files by their first names, for the further ones.
            let mut firsts: HashMap<&TreePath, usize> = HashMap::new();
            for entry in toc.entries() {
                self.put(layer, entry, toc, &mut firsts);
            }
        }
        self.finish()
    }

    fn put(&mut self, layer: usize, entry: &'a Entry, toc: &'a Toc, firsts: &mut HashMap<&'a TreePath, usize>) {
        let Some(node) = self.node(entry, layer) else { return };
        let (what, behind) = match &entry.kind {
            Kind::Whiteout => return self.remove(layer, node),
            Kind::Dir { .. } => (What::Folder, entry),
            Kind::File { size, .. } => (What::File(*size), entry),
            Kind::Symlink(_) => (What::Link, entry),
            Kind::Char(..) | Kind::Block(..) | Kind::Fifo => (What::Special, entry),
            Kind::Hardlink(first) => match toc.get(first) {
                Some(behind) if matches!(behind.kind, Kind::File { .. }) => (What::File(0), behind),
                Some(behind) => (What::Special, behind),
                None => return,
            },
        };
        if !matches!(entry.kind, Kind::Dir { opaque: false }) {
            for child in self.nodes[node].children.clone() {
                self.remove(layer, child);
            }
        }
        let action = match &self.seen[node] {
            None => Action::Added,
            // A folder that is as it was is there because of what is in it.
            Some(before) if what == What::Folder && before.what == What::Folder => {
                let as_it_was = |was: &Entry| same_folder(&was.meta, &entry.meta);
                if node == 0 || before.entry.is_some_and(as_it_was) {
                    self.seen[node] = Some(Seen { what, entry: Some(entry), content: None });
                    return;
                }
                Action::Changed
            }
            Some(_) => Action::Changed,
        };
        self.forget(node);
        let content = match &entry.kind {
            Kind::File { size, .. } => {
                self.layers[layer].size += size;
                self.contents.push(Content { size: *size, layer, node, names: 1 });
                firsts.insert(&entry.path, self.contents.len() - 1);
                Some(self.contents.len() - 1)
            }
            Kind::Hardlink(first) => firsts.get(first).copied().inspect(|content| self.contents[*content].names += 1),
            _ => None,
        };
        self.seen[node] = Some(Seen { what, entry: Some(behind), content });
        self.note(node, Happened { layer, action, what });
    }

    /// The node of an entry, and those of the folders above it; none if nothing was ever there that it could remove.
    fn node(&mut self, entry: &Entry, layer: usize) -> Option<NodeId> {
        if let Some(node) = self.by_path.get(entry.path.as_bytes()) {
            let node = *node;
            if entry.kind != Kind::Whiteout {
                self.see_above(node, layer);
            }
            return Some(node);
        }
        if entry.kind == Kind::Whiteout {
            return None;
        }
        let mut at = 0;
        for above in entry.path.ancestors().skip(1).chain([entry.path.clone()]) {
            at = match self.by_path.get(above.as_bytes()) {
                Some(node) => *node,
                None => {
                    let node = self.nodes.len();
                    self.nodes.push(Node { name: above.name().to_vec(), parent: at, ..Node::default() });
                    self.seen.push(None);
                    self.nodes[at].children.push(node);
                    self.by_path.insert(above.as_bytes().to_vec(), node);
                    node
                }
            };
        }
        self.see_above(at, layer);
        Some(at)
    }

    /// Folders that no layer has an entry for are there as soon as something in them is.
    fn see_above(&mut self, node: NodeId, layer: usize) {
        let mut above = Vec::new();
        let mut at = node;
        while at != 0 {
            at = self.nodes[at].parent;
            if self.seen[at].as_ref().is_some_and(|seen| seen.what == What::Folder) {
                break;
            }
            above.push(at);
        }
        for folder in above.into_iter().rev() {
            let action = if self.seen[folder].is_some() { Action::Changed } else { Action::Added };
            self.forget(folder);
            self.seen[folder] = Some(Seen { what: What::Folder, entry: None, content: None });
            self.note(folder, Happened { layer, action, what: What::Folder });
        }
    }

    /// Takes a node away with everything in it.
    fn remove(&mut self, layer: usize, node: NodeId) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let Some(seen) = &self.seen[node] else { continue };
            let what = seen.what;
            open.extend(&self.nodes[node].children);
            self.forget(node);
            self.note(node, Happened { layer, action: Action::Removed, what });
        }
    }

    /// What was seen at a node is not seen any more; bytes whose last name it was are wasted.
    fn forget(&mut self, node: NodeId) {
        let Some(content) = self.seen[node].take().and_then(|seen| seen.content) else { return };
        let content = &mut self.contents[content];
        content.names -= 1;
        if content.names == 0 {
            self.layers[content.layer].wasted += content.size;
            *self.wasted.entry(content.node).or_default() += content.size;
        }
    }

    fn note(&mut self, node: NodeId, happened: Happened) {
        let history = &mut self.nodes[node].history;
        // What a layer removes and brings anew, it changes; what it brings and removes never was.
        let before = history.pop_if(|last| last.layer == happened.layer).map(|last| last.action);
        let action = match (before, happened.action) {
            (Some(Action::Added), Action::Removed) => return,
            (Some(Action::Added), _) => Action::Added,
            (Some(_), Action::Added) => Action::Changed,
            (_, action) => action,
        };
        history.push(Happened { action, ..happened });
    }

    fn finish(mut self) -> Survey {
        let mut order: Vec<NodeId> = Vec::new();
        for node in 0..self.nodes.len() {
            order.clone_from(&self.nodes[node].children);
            order.sort_by(|a, b| self.nodes[*a].name.cmp(&self.nodes[*b].name));
            self.nodes[node].children.clone_from(&order);
            for happened in &self.nodes[node].history {
                let layer = &mut self.layers[happened.layer];
                match happened.action {
                    Action::Added => layer.added += 1,
                    Action::Changed => layer.changed += 1,
                    Action::Removed => layer.removed += 1,
                }
            }
        }
        let summed = |(node, bytes): (NodeId, u64)| {
            let stores =
                |happened: &&Happened| happened.action != Action::Removed && matches!(happened.what, What::File(_));
            let history = &self.nodes[node].history;
            Wasted { node, bytes, copies: history.iter().filter(stores).count(), removed: self.seen[node].is_none() }
        };
        let mut wasted: Vec<Wasted> = self.wasted.drain().filter(|(_, bytes)| *bytes > 0).map(summed).collect();
        // Nodes are numbered as they come, which is always the same.
        wasted.sort_by_key(|wasted| (std::cmp::Reverse(wasted.bytes), wasted.node));
        Survey { nodes: self.nodes, layers: self.layers, wasted }
    }
}

/// Whether a folder is as it was. Its time says nothing: builders do not agree on whose it is.
fn same_folder(was: &Meta, is: &Meta) -> bool {
    (was.mode, was.uid, was.gid) == (is.mode, is.uid, is.gid) && was.xattrs == is.xattrs
}
