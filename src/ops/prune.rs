//! `prune`: removes what is not needed, the least recently used first.
//!
//! What goes is decided by a pure function of the [`Inventory`] ([`plan`]), so that `--dry-run` and the real thing cannot
//! differ. The real thing has the store for itself: a build in another process holds a shared lock on it, so nothing
//! can go that one needs. Containers hold no such lock, but what they need is in their records.

mod automatic;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::inventory::{Holds, Inventory, Measured, StoredImage, StoredScene};
use crate::digest::{CacheKey, Digest};
use crate::oci::Reference;
use crate::sandbox;
use crate::store::containers::ContainerKind;
use crate::store::layers::LayerId;
use crate::store::{Exclusive, Store, StoreError};

pub use automatic::{Limit, prune_if_due};

/// What `prune` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PruneKind {
    /// Containers that do not run.
    Containers,
    /// Images.
    Images,
    /// Results of steps, unpacked layers, blobs, what is known of contexts, states of failed steps.
    Cache,
    /// The folders of `RUN --mount=type=cache`.
    Mounts,
}

/// What of it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneOptions {
    /// Only these kinds; all if empty.
    pub kinds: BTreeSet<PruneKind>,
    /// Also images with a name that no container uses, all of the cache, and cache mounts.
    pub all: bool,
    /// Only what was not used since this moment, in seconds since 1970.
    pub until: Option<i64>,
    /// Only images and containers with, or without, these labels.
    pub labels: Vec<LabelFilter>,
    /// How large the cache and the cache mounts may stay, in bytes. Then only as much of them goes as must.
    pub keep_storage: Option<u64>,
}

/// A label that must be there, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// Its key.
    pub key: String,
    /// Its value; any if none.
    pub value: Option<String>,
    /// Whether it must not be there.
    pub absent: bool,
}

impl LabelFilter {
    /// Whether these labels are as wanted.
    pub fn fits(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key).is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value));
        found != self.absent
    }
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pruned {
    /// Containers, by ID and name.
    pub containers: Vec<(String, String)>,
    /// Failed steps whose state was kept: ID and name.
    pub scenes: Vec<(String, String)>,
    /// Images: names and digest.
    pub images: Vec<(Vec<Reference>, Digest)>,
    /// Records of the action cache.
    pub records: Vec<CacheKey>,
    /// Unpacked layers.
    pub layers: Vec<LayerId>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Cache mounts.
    pub mounts: Vec<PathBuf>,
    /// Files about contexts.
    pub contexts: Vec<PathBuf>,
    /// How many bytes that is on the disk.
    pub freed: u64,
}

/// Removes what `options` say. With `wait`, waits until nobody else uses the store.
///
/// # Errors
/// [`StoreError::Busy`] if somebody does; then nothing was removed.
pub fn prune(store: &mut Store, options: &PruneOptions, wait: bool) -> Result<Pruned, StoreError> {
    let alone = if wait { store.exclusive()? } else { store.try_exclusive()? };
    alone.sweep()?;
    alone.sweep_scenes()?;
    let plan = plan(&Inventory::take(&alone)?, options);
    let pruned = apply(&alone, plan)?;
    alone.sweep_signatures()?;
    sandbox::sweep_groups();
    Ok(pruned)
}

/// What [`prune`] would remove.
pub fn would_prune(store: &Store, options: &PruneOptions) -> Result<Pruned, StoreError> {
    Ok(plan(&Inventory::take(store)?, options))
}

/// Something of the cache that may go.
enum Item<'a> {
    Record(&'a CacheKey),
    Layer(LayerId),
    Blob(Digest),
    Mount(&'a PathBuf),
    Context(&'a PathBuf),
}

/// Decides what goes.
pub fn plan(inventory: &Inventory, options: &PruneOptions) -> Pruned {
    let mut plan = Pruned::default();
    let wants = |kind| options.kinds.is_empty() || options.kinds.contains(&kind);
    let old = |when: i64| options.until.is_none_or(|until| when < until);

    let mut kept = inventory.containers.clone();
    if wants(PruneKind::Containers) {
        kept.retain(|stored| {
            let record = &stored.container.record;
            let when = record.ended.map_or(record.created, |(when, _)| when);
            let goes = record.kind == ContainerKind::Container
                && !stored.active
                && old(when)
                && options.labels.iter().all(|label| label.fits(&record.config.labels));
            if goes {
                plan.containers.push((record.id.clone(), record.name.clone()));
                plan.freed += stored.size;
            }
            !goes
        });
    }
    let mut scenes: Vec<&StoredScene> = inventory.scenes.iter().collect();
    if wants(PruneKind::Cache) && options.labels.is_empty() {
        // However much may stay: nothing is built with them.
        scenes.retain(|stored| {
            let goes = !stored.active && old(stored.measured.used);
            if goes {
                plan.scenes.push((stored.kept.id.clone(), stored.kept.scene.step.name.clone()));
                plan.freed += stored.measured.size;
            }
            !goes
        });
    }
    let goes = |image: &&StoredImage| {
        wants(PruneKind::Images)
            && (options.all || image.names.is_empty())
            && !image.is_used_by(&kept)
            && old(image.entered)
            && options.labels.iter().all(|label| label.fits(&image.labels))
    };
    let (gone, stay): (Vec<&StoredImage>, Vec<&StoredImage>) = inventory.images.iter().partition(goes);
    plan.images = gone.iter().map(|image| (image.names.clone(), image.digest)).collect();

    // What images and containers need, and what only could be useful.
    let mut needed: BTreeSet<Digest> = stay.iter().flat_map(|image| image.blobs.iter().copied()).collect();
    for stored in &kept {
        needed.extend(stored.blobs.iter().copied());
    }
    let of_containers = kept.iter().flat_map(|stored| stored.container.record.layers.iter().copied());
    let pinned: BTreeSet<LayerId> =
        of_containers.chain(scenes.iter().flat_map(|stored| stored.kept.scene.all_layers())).collect();
    let of_images: BTreeSet<LayerId> = stay.iter().flat_map(|image| image.layers.iter().copied()).collect();
    let mut recorded_layers: BTreeSet<LayerId> = BTreeSet::new();
    let mut recorded_blobs: BTreeSet<Digest> = BTreeSet::new();
    for record in &inventory.records {
        match &record.holds {
            Holds::Layers(layers) => recorded_layers.extend(layers),
            Holds::Blob(blob) => drop(recorded_blobs.insert(*blob)),
            Holds::Other => {}
        }
    }

    // Of images that go, the blobs that nothing refers to go along, whatever else is looked at.
    let mut orphans: BTreeSet<Digest> = BTreeSet::new();
    for image in &gone {
        orphans.extend(image.blobs.iter().filter(|blob| !needed.contains(blob) && !recorded_blobs.contains(blob)));
    }
    let cache = wants(PruneKind::Cache) && options.labels.is_empty();
    // Without a limit, and if not all is to go, only what nothing refers to.
    let everything = options.all || options.keep_storage.is_some();
    let mut items: Vec<(Measured, Item<'_>)> = Vec::new();
    if cache {
        if everything {
            items.extend(inventory.records.iter().map(|record| (record.measured, Item::Record(&record.key))));
            items.extend(inventory.contexts.iter().map(|(path, measured)| (*measured, Item::Context(path))));
        }
        let layers = inventory.layers.iter().filter(|(id, _)| {
            !pinned.contains(id) && (everything || !(of_images.contains(id) || recorded_layers.contains(id)))
        });
        items.extend(layers.map(|(id, measured)| (*measured, Item::Layer(*id))));
        let blobs = inventory.blobs.iter().filter(|(blob, _)| {
            !needed.contains(blob) && !orphans.contains(blob) && (everything || !recorded_blobs.contains(blob))
        });
        items.extend(blobs.map(|(blob, measured)| (*measured, Item::Blob(*blob))));
    }
    let mounts_by_name = options.kinds.contains(&PruneKind::Mounts);
    if wants(PruneKind::Mounts) && options.labels.is_empty() && (everything || mounts_by_name) {
        items.extend(inventory.mounts.iter().map(|(path, measured)| (*measured, Item::Mount(path))));
    }
    let mut size: u64 = items.iter().map(|(measured, _)| measured.size).sum();
    items.retain(|(measured, _)| old(measured.used));
    items.sort_by_key(|(measured, _)| measured.used);
    for (measured, item) in items {
        if options.keep_storage.is_some_and(|keep| size <= keep) {
            break;
        }
        size -= measured.size;
        plan.freed += measured.size;
        match item {
            Item::Record(key) => plan.records.push(*key),
            Item::Layer(id) => plan.layers.push(id),
            Item::Blob(blob) => plan.blobs.push(blob),
            Item::Mount(path) => plan.mounts.push(path.clone()),
            Item::Context(path) => plan.contexts.push(path.clone()),
        }
    }
    plan.freed += inventory.size_of(&orphans);
    plan.blobs.extend(orphans);
    if cache {
        plan.forget_what_is_gone(inventory);
    }
    plan
}

impl Pruned {
    /// Records of what is gone go as well: they could only be misses.
    fn forget_what_is_gone(&mut self, inventory: &Inventory) {
        let known: BTreeSet<CacheKey> = self.records.iter().copied().collect();
        for record in inventory.records.iter().filter(|record| !known.contains(&record.key)) {
            let gone = match &record.holds {
                Holds::Layers(layers) => {
                    layers.iter().any(|layer| matches!(layer, LayerId::Made(_)) && self.layers.contains(layer))
                }
                Holds::Blob(blob) => self.blobs.contains(blob),
                Holds::Other => false,
            };
            if gone {
                self.freed += record.measured.size;
                self.records.push(record.key);
            }
        }
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes what was decided. What is being used after all stays.
fn apply(store: &Exclusive<'_>, mut plan: Pruned) -> Result<Pruned, StoreError> {
    let containers = store.containers()?;
    plan.containers.retain(|(id, _)| {
        let container = containers.iter().find(|container| container.record.id == *id);
        let lock = container.and_then(|container| Some((container, container.try_lock().ok()??)));
        lock.is_some_and(|(container, lock)| store.remove_container(container, lock).is_ok())
    });
    let scenes = store.scenes()?;
    plan.scenes.retain(|(id, _)| {
        let found = scenes.iter().find(|kept| kept.id == *id);
        found.is_some_and(|kept| store.remove_scene(&kept.folder).is_ok_and(|gone| gone))
    });
    store.update_index(|index| plan.images.iter().for_each(|(_, digest)| drop(index.remove_digest(digest))))?;
    // What refers goes before what is referred to.
    plan.records.iter().try_for_each(|key| store.remove_action(key))?;
    plan.layers.iter().try_for_each(|id| store.remove_layer(*id))?;
    plan.blobs.iter().try_for_each(|blob| store.remove_blob(blob).map(drop))?;
    plan.contexts.iter().try_for_each(|file| store.remove_context(file))?;
    let mut mounts = Vec::new();
    for mount in plan.mounts {
        if store.remove_mount(&mount)? {
            mounts.push(mount);
        }
    }
    Ok(Pruned { mounts, ..plan })
}

#[cfg(test)]
mod tests;
