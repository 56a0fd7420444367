//! Layers and a configuration become an image: blobs, manifest, and an index for several platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::compress::Compression;
use crate::export::ExportError;
use crate::graph::Times;
use crate::oci::{Descriptor, History, ImageConfig, Index, Manifest, Platform, media};
use crate::store::layers::{LayerBlob, LayerError, LayerId, Layers};

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct ImageSpec<'a> {
    /// Its layers, bottom first.
    pub state: &'a [LayerId],
    /// Its configuration, but for layers, history and creation time.
    pub config: &'a ImageConfig,
    /// Its whole history. Entries without a time get the epoch.
    pub history: &'a [History],
    /// Its platform.
    pub platform: &'a Platform,
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
    /// The times of what is made.
    pub times: Times,
    /// How layers that are not blobs yet are compressed.
    pub compression: Compression,
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct ExportedImage {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, bottom first.
    pub layers: Vec<LayerBlob>,
}

impl ExportedImage {
    /// The sum of the compressed layers' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.descriptor.size).sum()
    }
}

/// Makes the blobs of an image. Those that are there already are not made again.
pub fn assemble(layers: &Layers, spec: &ImageSpec<'_>) -> Result<ExportedImage, ExportError> {
    let blobs = blobs_of(layers, spec.state, spec.compression)?;
    let epoch = rfc3339(spec.times.epoch);
    let mut config = spec.config.clone();
    config.os = spec.platform.os.clone();
    config.architecture = spec.platform.architecture.clone();
    config.variant = spec.platform.variant.clone();
    config.created = Some(epoch.clone());
    config.rootfs.kind = "layers".into();
    config.rootfs.diff_ids = blobs.iter().map(|blob| blob.diff_id).collect();
    config.history = spec.history.to_vec();
    for entry in &mut config.history {
        entry.created.get_or_insert_with(|| epoch.clone());
    }
    let made = config.history.iter().filter(|entry| !entry.empty_layer).count();
    // Images of other builders may have no history at all, or an incomplete one.
    if made > blobs.len() {
        return Err(ExportError::History { layers: blobs.len(), history: made });
    }
    let store = layers.store();
    let json = config.to_json();
    let config = Descriptor::of(media::CONFIG, &json);
    store.put(&json)?;
    let descriptors = blobs.iter().map(|blob| as_oci(&blob.descriptor)).collect();
    let mut manifest = Manifest::new(config.clone(), descriptors);
    manifest.annotations = spec.annotations.clone();
    let json = manifest.to_json();
    store.put(&json)?;
    let manifest = Descriptor::of(media::MANIFEST, &json).for_platform(spec.platform);
    Ok(ExportedImage { manifest, config, layers: blobs })
}

/// The blobs of layers, in their order. Missing ones are made side by side, by threads of their own: compressing spreads
/// over the pool by itself, and a thread of the pool must not wait for it.
pub fn blobs_of(layers: &Layers, state: &[LayerId], compression: Compression) -> Result<Vec<LayerBlob>, LayerError> {
    let mut known: BTreeMap<LayerId, LayerBlob> = BTreeMap::new();
    let mut missing: BTreeSet<LayerId> = BTreeSet::new();
    for id in state {
        match layers.known_blob(*id, compression) {
            Some(blob) => drop(known.insert(*id, blob)),
            None => drop(missing.insert(*id)),
        }
    }
    let queue = Mutex::new(missing.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<(LayerId, LayerBlob)>, LayerError> {
        let mut made = Vec::new();
        while let Some(id) = next() {
            made.push((id, layers.blob(id, compression)?));
        }
        Ok(made)
    };
    let left = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let helpers = left.min(thread::available_parallelism().map_or(1, usize::from)).saturating_sub(1);
    thread::scope(|scope| {
        let others: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        known.extend(work()?);
        for other in others {
            known.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, LayerError>(())
    })?;
    Ok(state.iter().filter_map(|id| known.get(id).cloned()).collect())
}

/// Puts the manifests of several platforms behind one index.
pub fn index_of(layers: &Layers, manifests: Vec<Descriptor>) -> Result<Descriptor, ExportError> {
    let json = Index::new(manifests).to_json();
    layers.store().put(&json)?;
    Ok(Descriptor::of(media::INDEX, &json))
}

/// A layer's descriptor as an OCI manifest has it: the same blob under OCI's media type.
fn as_oci(descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = descriptor.clone();
    if let (Some(compression), false) =
        (media::Compression::of_layer(&descriptor.media_type), media::is_foreign(&descriptor.media_type))
    {
        descriptor.media_type = compression.media_type().into();
    }
    descriptor
}

/// A time in seconds since 1970 as RFC 3339 writes it, in UTC.
pub fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times() {
        let check = |seconds: i64, expected: &str| assert_eq!(rfc3339(seconds), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(315_532_800, "1980-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_700_000_000, "2023-11-14T22:13:20Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn dockers_layers_become_ocis() {
        let docker = Descriptor::of(media::DOCKER_LAYER_GZIP, b"x");
        assert_eq!(as_oci(&docker).media_type, media::LAYER_GZIP);
        assert_eq!(as_oci(&docker).digest, docker.digest);
    }
}
