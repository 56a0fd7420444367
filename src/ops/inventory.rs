//! All that is in a store, as data: what `df` shows and `prune` chooses from.
//!
//! Taking it changes nothing and marks nothing as used. What refers to what is decided here, by plain sets; nothing is
//! removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::digest::{CacheKey, ChainId, Digest};
use crate::oci::Reference;
use crate::solve::record;
use crate::store::containers::{Container, ContainerKind};
use crate::store::layers::LayerId;
use crate::store::scenes::KeptScene;
use crate::store::{Result, Store, disk_usage};

/// Everything in a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    /// The images that are listed, each once whatever its names.
    pub images: Vec<StoredImage>,
    /// Containers, and mounts of images.
    pub containers: Vec<StoredContainer>,
    /// Failed steps that were kept, and debug shells.
    pub scenes: Vec<StoredScene>,
    /// The action cache.
    pub records: Vec<StoredRecord>,
    /// Unpacked layers.
    pub layers: BTreeMap<LayerId, Measured>,
    /// Blobs.
    pub blobs: BTreeMap<Digest, Measured>,
    /// Cache mounts.
    pub mounts: BTreeMap<PathBuf, Measured>,
    /// What is remembered of the files of contexts.
    pub contexts: BTreeMap<PathBuf, Measured>,
}

/// Size and age of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Bytes on the disk.
    pub size: u64,
    /// When it was made or used last, in seconds since 1970.
    pub used: i64,
}

/// An image that is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredImage {
    /// Its manifest or index.
    pub digest: Digest,
    /// Its names; none if it lost them.
    pub names: Vec<Reference>,
    /// The IDs of its platforms.
    pub ids: Vec<Digest>,
    /// All blobs that it needs.
    pub blobs: BTreeSet<Digest>,
    /// Its layers, of all platforms.
    pub layers: BTreeSet<LayerId>,
    /// The labels of its first platform.
    pub labels: BTreeMap<String, String>,
    /// When it entered the store, in seconds since 1970: that it says when it was created means nothing.
    pub entered: i64,
}

/// A container or a mount.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredContainer {
    /// Which.
    pub container: Container,
    /// Whether its program runs, or its mount exists.
    pub active: bool,
    /// The size of its changes in bytes.
    pub size: u64,
    /// The blobs of its image.
    pub blobs: BTreeSet<Digest>,
}

/// What a failed step left, or what a debug shell stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredScene {
    /// Which.
    pub kept: KeptScene,
    /// Whether somebody is in it.
    pub active: bool,
    /// Its size in bytes, and when it was made.
    pub measured: Measured,
}

/// A record of the action cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Whose.
    pub key: CacheKey,
    /// Size and last use.
    pub measured: Measured,
    /// What it speaks of.
    pub holds: Holds,
}

/// What a record of the action cache speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// What a step came to.
    Layers(Vec<LayerId>),
    /// A blob: of a layer, or of a file that was fetched.
    Blob(Digest),
    /// Something that only its writer understands.
    Other,
}

impl Inventory {
    /// Looks around.
    pub fn take(store: &Store) -> Result<Self> {
        let mut inventory = Self::default();
        for blob in store.blobs()? {
            let path = store.blob_path(&blob);
            let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
            let used = modified.map_or(0, seconds);
            inventory.blobs.insert(blob, Measured { size: disk_usage(&path), used });
        }
        inventory.images = images(store, &inventory.blobs)?;
        for container in store.containers()? {
            let active = match container.record.kind {
                ContainerKind::Container => container.is_running() || container.record.mounted.is_some(),
                ContainerKind::Mount => true,
            };
            let size = disk_usage(&container.upper());
            let blobs = store.blobs_of(&container.record.manifest)?;
            inventory.containers.push(StoredContainer { container, active, size, blobs });
        }
        for kept in store.scenes()? {
            let made = i64::try_from(kept.scene.made / 1000).unwrap_or(i64::MAX);
            let measured = Measured { size: disk_usage(&kept.folder), used: made };
            inventory.scenes.push(StoredScene { active: kept.is_active(), measured, kept });
        }
        let measured = |size, used| Measured { size, used: seconds(used) };
        inventory.layers =
            store.stored_layers()?.into_iter().map(|layer| (layer.what, measured(layer.size, layer.used))).collect();
        inventory.mounts =
            store.stored_mounts()?.into_iter().map(|mount| (mount.what, measured(mount.size, mount.used))).collect();
        inventory.contexts =
            store.stored_contexts()?.into_iter().map(|file| (file.what, measured(file.size, file.used))).collect();
        for action in store.actions()? {
            let value = store.peek_action(&action.key).unwrap_or_default();
            let holds = match record::decode(&value) {
                Some(layers) => Holds::Layers(layers),
                None => {
                    blob_of(&value).filter(|blob| inventory.blobs.contains_key(blob)).map_or(Holds::Other, Holds::Blob)
                }
            };
            inventory.records.push(StoredRecord {
                key: action.key,
                measured: measured(action.size, action.used),
                holds,
            });
        }
        inventory.share_use();
        Ok(inventory)
    }

    /// What a record is about was used when the record was.
    fn share_use(&mut self) {
        for record in &self.records {
            match &record.holds {
                Holds::Layers(layers) => {
                    for layer in layers {
                        if let Some(measured) = self.layers.get_mut(layer) {
                            measured.used = measured.used.max(record.measured.used);
                        }
                    }
                }
                Holds::Blob(blob) => {
                    if let Some(measured) = self.blobs.get_mut(blob) {
                        measured.used = measured.used.max(record.measured.used);
                    }
                }
                Holds::Other => {}
            }
        }
    }

    /// The manifests that containers were made from.
    pub fn manifests_in_use(&self) -> BTreeSet<Digest> {
        self.containers.iter().map(|stored| stored.container.record.manifest).collect()
    }

    /// The layers that containers and scenes need.
    pub fn pinned_layers(&self) -> BTreeSet<LayerId> {
        let of_containers = self.containers.iter().flat_map(|stored| stored.container.record.layers.iter().copied());
        of_containers.chain(self.scenes.iter().flat_map(|stored| stored.kept.scene.all_layers())).collect()
    }

    /// The sum of the sizes of these blobs.
    pub fn size_of<'a>(&self, blobs: impl IntoIterator<Item = &'a Digest>) -> u64 {
        blobs.into_iter().filter_map(|blob| self.blobs.get(blob)).map(|measured| measured.size).sum()
    }
}

impl StoredImage {
    /// Whether one of these containers was made from it.
    pub fn is_used_by(&self, containers: &[StoredContainer]) -> bool {
        containers.iter().any(|stored| self.blobs.contains(&stored.container.record.manifest))
    }
}

fn images(store: &Store, blobs: &BTreeMap<Digest, Measured>) -> Result<Vec<StoredImage>> {
    let mut all: Vec<StoredImage> = Vec::new();
    for entry in store.list_references()? {
        let digest = entry.descriptor.digest;
        if let Some(known) = all.iter_mut().find(|image| image.digest == digest) {
            known.names.extend(entry.reference);
            continue;
        }
        // A damaged image has no platforms, but can be removed.
        let platforms = store.resolve_all(&digest).unwrap_or_default();
        let chains = platforms.iter().flat_map(|image| ChainId::stack(&image.diff_ids()));
        all.push(StoredImage {
            digest,
            names: entry.reference.into_iter().collect(),
            ids: platforms.iter().map(|image| image.config_digest).collect(),
            blobs: store.blobs_of(&digest)?,
            layers: chains.map(LayerId::Image).collect(),
            labels: platforms.first().map(|image| image.config.config.labels.clone()).unwrap_or_default(),
            entered: blobs.get(&digest).map_or(0, |measured| measured.used),
        });
    }
    Ok(all)
}

/// Both kinds of records that speak of a blob begin with its digest.
fn blob_of(value: &[u8]) -> Option<Digest> {
    value.first_chunk::<32>().map(|bytes| Digest::from_bytes(*bytes))
}

/// A moment in seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| since.as_secs().try_into().ok()).unwrap_or(0)
}
