//! Stores for one build each, which share what is pinned with another store.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Digest;
use crate::graph::{Op, StepId};
use crate::lockfile::{LockKey, Lockfile};
use crate::oci::Document;
use crate::ops::Error;
use crate::ops::build::Prepared;
use crate::solve::keys::DefinitionKeys;
use crate::solve::recorded_layers;
use crate::store::snapshot::SnapshotFiles;
use crate::store::{Store, io_error, remove_tree};

/// A store that goes with this value.
pub struct Fresh {
    /// The store.
    pub store: Arc<Store>,
    folder: PathBuf,
}

impl Fresh {
    /// An empty store on the file system of another one, in its folder for temporary things: whatever happens, the next
    /// process removes it.
    pub fn beside(store: &Store) -> Result<Self, Error> {
        let folder = store.tmp_path("verify")?;
        fs::create_dir(&folder).map_err(io_error("create", &folder))?;
        Ok(Self { store: Arc::new(Store::open(&folder)?.accepting(store.archives())), folder })
    }

    /// Takes over what a build has looked up: images and files.
    pub fn share(&self, from: &Store, pinned: &Lockfile, used: &BTreeSet<LockKey>) -> Result<(), Error> {
        for key in used {
            match key {
                LockKey::Image { reference, platform } => {
                    let Some(image) = pinned.lookup_image(reference, platform) else { continue };
                    self.image(from, &image.manifest)?;
                    if let Some(index) = image.index {
                        self.store.share_blob(from, &index)?;
                    }
                }
                LockKey::Http { url } => {
                    if let Some(file) = pinned.lookup_http(url) {
                        self.store.share_blob(from, &file.sha256)?;
                    }
                }
                LockKey::Git { .. } | LockKey::Target { .. } | LockKey::Output { .. } => {}
            }
        }
        Ok(())
    }

    fn image(&self, from: &Store, manifest: &Digest) -> Result<(), Error> {
        self.store.share_blob(from, manifest)?;
        if let Some(Document::Manifest(manifest)) = from.document(manifest)? {
            self.store.share_blob(from, &manifest.config.digest)?;
            for layer in &manifest.layers {
                self.store.share_blob(from, &layer.digest)?;
            }
        }
        Ok(())
    }

    /// Takes over the checkouts that another store has of commits, which are the same wherever they come from.
    pub fn share_checkouts(&self, from: &Prepared, to: &Prepared) -> Result<(), Error> {
        let graph = &to.graph;
        let steps: Vec<StepId> =
            graph.steps().filter(|(_, step)| matches!(step.op, Op::Git(_))).map(|(id, _)| id).collect();
        // Such steps have no inputs, so nothing can go wrong with their keys.
        let Ok(keys) = DefinitionKeys::compute(graph, &steps, |_| None) else { return Ok(()) };
        for step in steps {
            let Some((record, layers)) = recorded_layers(from.layers.store(), keys.key(step)) else { continue };
            if !layers.iter().all(|layer| from.layers.available(*layer)) {
                continue;
            }
            for layer in layers {
                let folder = from.layers.folder(layer)?;
                let root = File::open(&folder).map_err(io_error("open", &folder))?;
                let toc = from.layers.toc(layer)?;
                to.layers.promise((*toc).clone(), Arc::new(SnapshotFiles::new(root.into())));
            }
            self.store.put_action(&keys.key(step), &record)?;
        }
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = remove_tree(&self.folder);
    }
}
