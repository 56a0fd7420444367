//! `tree`: which images share which layers.
//!
//! An image is a path from nothing over its layers; images that begin with the same layers share that part of the path. So
//! all of them together are a tree, whose branches are where images part ways.

use std::collections::BTreeMap;

use crate::digest::{ChainId, Digest};
use crate::oci::Platform;
use crate::store::{Result, Store};

/// A layer with what stands on it. The root is no layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeNode {
    /// The layers from the bottom to here, as one identity; none for the root.
    pub chain: Option<ChainId>,
    /// The layer's blob.
    pub layer: Option<Digest>,
    /// Its size as it is stored, in bytes.
    pub size: u64,
    /// The instruction that made it, where the history says so.
    pub created_by: String,
    /// The images whose topmost layer this is.
    pub images: Vec<TreeImage>,
    /// Layers on top of this one.
    pub children: Vec<TreeNode>,
}

/// An image at its topmost layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeImage {
    /// Its names in the familiar form.
    pub names: Vec<String>,
    /// Its ID.
    pub id: Digest,
    /// Its platform.
    pub platform: Platform,
}

impl TreeNode {
    /// How many images stand on this layer or end with it.
    pub fn users(&self) -> usize {
        self.images.len() + self.children.iter().map(Self::users).sum::<usize>()
    }

    /// The child with this chain, made if it is not there.
    fn child(&mut self, chain: ChainId) -> &mut Self {
        let at = match self.children.iter().position(|child| child.chain == Some(chain)) {
            Some(at) => at,
            None => {
                self.children.push(Self { chain: Some(chain), ..Self::default() });
                self.children.len() - 1
            }
        };
        &mut self.children[at]
    }

    fn sort(&mut self) {
        self.images.sort();
        self.children.sort_by_key(|child| (child.first_name(), child.chain));
        self.children.iter_mut().for_each(Self::sort);
    }

    /// The first of all names that stand on this layer, so that the order does not depend on digests where it need not.
    fn first_name(&self) -> Option<String> {
        let own = self.images.iter().flat_map(|image| image.names.iter().cloned());
        own.chain(self.children.iter().filter_map(Self::first_name)).min()
    }
}

/// The tree of all images in the store.
pub fn tree(store: &Store) -> Result<TreeNode> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for entry in store.list_references()? {
        let names = names.entry(entry.descriptor.digest).or_default();
        names.extend(entry.reference.map(|reference| reference.familiar()));
    }
    let mut root = TreeNode::default();
    for (digest, mut names) in names {
        names.sort();
        for image in store.resolve_all(&digest).unwrap_or_default() {
            let made: Vec<&str> = image
                .config
                .history
                .iter()
                .filter(|entry| !entry.empty_layer)
                .map(|entry| entry.created_by.as_str())
                .collect();
            let unaccounted = image.layers.len().saturating_sub(made.len());
            let mut at = &mut root;
            for (place, (chain, (layer, _))) in
                ChainId::stack(&image.diff_ids()).into_iter().zip(&image.layers).enumerate()
            {
                at = at.child(chain);
                (at.layer, at.size) = (Some(layer.digest), layer.size);
                let text =
                    place.checked_sub(unaccounted).and_then(|place| made.get(place)).copied().unwrap_or_default();
                if at.created_by.is_empty() {
                    text.clone_into(&mut at.created_by);
                }
            }
            at.images.push(TreeImage { names: names.clone(), id: image.config_digest, platform: image.platform() });
        }
    }
    root.sort();
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::images::tests::image;

    #[test]
    fn images_with_the_same_layers_are_one_branch() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [one, two] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, b"shared"));
        let other = image(&store, "linux/amd64", b"other");
        for (name, image) in [("a", &one), ("a:2", &one), ("b", &two), ("c", &other)] {
            store.set_reference(&name.parse().unwrap(), image.clone()).unwrap();
        }
        let tree = tree(&store).unwrap();
        let [shared, alone] = &tree.children[..] else { panic!("{tree:?}") };
        assert_eq!((shared.users(), alone.users(), tree.users()), (2, 1, 3));
        assert_eq!(shared.images[0].names, ["a:2", "a:latest"]);
        assert_eq!(shared.layer, Some(Digest::of(b"shared")));
    }
}
