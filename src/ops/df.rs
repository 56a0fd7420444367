//! `df`: how much of the disk the store takes, and how much of that could go.

use std::collections::BTreeSet;

use super::inventory::{Holds, Inventory};
use crate::digest::Digest;
use crate::store::containers::ContainerKind;
use crate::store::scenes::SceneKind;

/// One kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DfRow {
    /// What it is called.
    pub kind: &'static str,
    /// How many there are.
    pub total: usize,
    /// How many of them are in use.
    pub active: usize,
    /// Their size on the disk in bytes.
    pub size: u64,
    /// What `prune --all` would free of it, in bytes.
    pub reclaimable: u64,
}

/// The sums: images, containers, cache, cache mounts.
pub fn df(inventory: &Inventory) -> [DfRow; 4] {
    let of_images: BTreeSet<Digest> = inventory.images.iter().flat_map(|image| image.blobs.iter().copied()).collect();
    let of_containers: BTreeSet<Digest> =
        inventory.containers.iter().flat_map(|stored| stored.blobs.iter().copied()).collect();
    let active = inventory.images.iter().filter(|image| image.is_used_by(&inventory.containers));
    let image_size = inventory.size_of(&of_images);
    let images = DfRow {
        kind: "Images",
        total: inventory.images.len(),
        active: active.count(),
        size: image_size,
        reclaimable: image_size - inventory.size_of(of_images.intersection(&of_containers)),
    };

    let containers = inventory.containers.iter().filter(|it| it.container.record.kind == ContainerKind::Container);
    let (running, ended): (Vec<_>, Vec<_>) = containers.partition(|stored| stored.active);
    let sum = |list: &[&super::inventory::StoredContainer]| list.iter().map(|stored| stored.size).sum::<u64>();
    let containers = DfRow {
        kind: "Containers",
        total: running.len() + ended.len(),
        active: running.len(),
        size: sum(&running) + sum(&ended),
        reclaimable: sum(&ended),
    };

    let pinned = inventory.pinned_layers();
    let mut cache = DfRow { kind: "Build cache", total: 0, active: 0, size: 0, reclaimable: 0 };
    let mut add = |size: u64, in_use: bool| {
        cache.total += 1;
        cache.active += usize::from(in_use);
        cache.size += size;
        cache.reclaimable += if in_use { 0 } else { size };
    };
    inventory.layers.iter().for_each(|(id, measured)| add(measured.size, pinned.contains(id)));
    inventory.records.iter().for_each(|record| add(record.measured.size, false));
    inventory.contexts.values().for_each(|measured| add(measured.size, false));
    inventory.scenes.iter().for_each(|stored| add(stored.measured.size, stored.active));
    let loose = inventory.blobs.iter().filter(|(blob, _)| !of_images.contains(blob));
    loose.for_each(|(blob, measured)| add(measured.size, of_containers.contains(blob)));

    let size = inventory.mounts.values().map(|measured| measured.size).sum();
    let mounts = DfRow { kind: "Cache mounts", total: inventory.mounts.len(), active: 0, size, reclaimable: size };
    [images, containers, cache, mounts]
}

/// Something of the cache, as `df -v` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRow {
    /// What it is called.
    pub id: String,
    /// What it is.
    pub kind: &'static str,
    /// Its size on the disk in bytes.
    pub size: u64,
    /// When it was used last, in seconds since 1970.
    pub used: i64,
    /// Whether an image or container needs it.
    pub in_use: bool,
}

/// The cache and the cache mounts, the most recently used first. Blobs of images are not of the cache.
pub fn cache_rows(inventory: &Inventory) -> Vec<CacheRow> {
    let of_images: BTreeSet<Digest> = inventory.images.iter().flat_map(|image| image.blobs.iter().copied()).collect();
    let of_containers: BTreeSet<Digest> =
        inventory.containers.iter().flat_map(|stored| stored.blobs.iter().copied()).collect();
    let pinned = inventory.pinned_layers();
    let row = |id: String, kind, measured: super::inventory::Measured, in_use| CacheRow {
        id,
        kind,
        size: measured.size,
        used: measured.used,
        in_use,
    };
    let name = |path: &std::path::Path| {
        let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join("/")
    };
    let layers =
        inventory.layers.iter().map(|(id, measured)| row(id.to_string(), "layer", *measured, pinned.contains(id)));
    let loose = inventory.blobs.iter().filter(|(blob, _)| !of_images.contains(blob));
    let blobs = loose.map(|(blob, measured)| row(blob.to_string(), "blob", *measured, of_containers.contains(blob)));
    let records = inventory.records.iter().map(|record| {
        let kind = match record.holds {
            Holds::Layers(_) => "step",
            Holds::Blob(_) => "known blob",
            Holds::Other => "record",
        };
        row(record.key.hex(), kind, record.measured, false)
    });
    let contexts = inventory.contexts.iter().map(|(path, measured)| row(name(path), "context", *measured, false));
    let scenes = inventory.scenes.iter().map(|stored| {
        let kind = match stored.kept.scene.kind {
            SceneKind::Failure => "failed step",
            SceneKind::Visit => "debug shell",
        };
        row(stored.kept.id.clone(), kind, stored.measured, stored.active)
    });
    let mounts = inventory.mounts.iter().map(|(path, measured)| row(name(path), "mount", *measured, false));
    let mut rows: Vec<CacheRow> =
        layers.chain(blobs).chain(records).chain(contexts).chain(scenes).chain(mounts).collect();
    rows.sort_by(|a, b| (b.used, &a.id).cmp(&(a.used, &b.id)));
    rows
}
