//! `images`: what is in the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::oci::{Platform, Reference};
use crate::store::{ResolvedImage, Result, Store};

/// An image as it is listed: one row per name and platform.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRow {
    /// Its name; none if it lost its name to a newer image.
    pub reference: Option<Reference>,
    /// Its ID: the digest of its configuration.
    pub id: Digest,
    /// The digest that its name stands for: of its index or manifest.
    pub digest: Digest,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Its platform.
    pub platform: Platform,
    /// When it was made, RFC 3339, if it says so.
    pub created: Option<String>,
    /// The size of its manifest, configuration and layers as they are stored, in bytes.
    pub size: u64,
    /// How much of that other images need as well, in bytes.
    pub shared: u64,
    /// When its manifest came into the store, in seconds since 1970. What it says of its creation need not mean anything.
    pub entered: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// All images in the store, by name; those without a name last. Platforms that were not fetched are left out.
///
/// An image whose manifest or configuration is missing or damaged is left out too: removing it must stay possible, and
/// one bad image must not hide the others.
pub fn images(store: &Store) -> Result<Vec<ImageRow>> {
    let mut found = Vec::new();
    for entry in store.list_references()? {
        let digest = entry.descriptor.digest;
        let images = store.resolve_all(&digest).unwrap_or_default();
        found.extend(images.into_iter().map(|image| (entry.clone(), image)));
    }
    let mut users: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
    for (_, image) in &found {
        for (layer, _) in &image.layers {
            users.entry(layer.digest).or_default().insert(image.manifest.digest);
        }
    }
    let mut rows = Vec::new();
    for (entry, image) in found {
        let shared = image.layers.iter().map(|(layer, _)| (layer.digest, layer.size)).collect::<BTreeSet<_>>();
        let shared = shared.iter().filter(|(layer, _)| users[layer].len() > 1).map(|(_, size)| size).sum();
        rows.push(ImageRow {
            reference: entry.reference.clone(),
            id: image.config_digest,
            digest: entry.descriptor.digest,
            manifest: image.manifest.digest,
            platform: image.platform(),
            created: image.config.created.clone(),
            size: stored_size(store, &image)?,
            shared,
            entered: entered(store, &image),
            labels: image.config.config.labels,
        });
    }
    rows.sort_by(|a, b| {
        let key = |row: &ImageRow| (row.reference.is_none(), row.reference.clone(), row.platform.clone(), row.id);
        key(a).cmp(&key(b))
    });
    Ok(rows)
}

/// The size of an image's manifest, configuration and layers as they are stored, in bytes. A layer that is used twice counts
/// once.
pub(super) fn stored_size(store: &Store, image: &ResolvedImage) -> Result<u64> {
    let mut layers: Vec<(Digest, u64)> = image.layers.iter().map(|(layer, _)| (layer.digest, layer.size)).collect();
    layers.sort_unstable();
    layers.dedup();
    let config = store.size(&image.config_digest)?.unwrap_or_default();
    Ok(image.manifest.size + config + layers.into_iter().map(|(_, size)| size).sum::<u64>())
}

fn entered(store: &Store, image: &ResolvedImage) -> i64 {
    let modified = std::fs::metadata(store.blob_path(&image.manifest.digest)).and_then(|metadata| metadata.modified());
    let since = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|since| since.as_secs().try_into().ok()).unwrap_or(0)
}
