//! Layers as blobs: tars of our own making, compressed, and the records of which blob is which layer.
//!
//! A layer has one blob for each profile of a compression, and the action cache says which; of an image's layer there is
//! only the one that came with it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::PoisonError;

use super::{Known, LayerError, LayerId, Layers};
use crate::compress::{self, Compression};
use crate::digest::{CacheKey, DiffId, Digest, HashingWriter};
use crate::fstree::Entry;
use crate::fstree::tar::{self, Contents, Verify};
use crate::graph::key::{KeyHasher, Visitor};
use crate::oci::{Descriptor, media};
use crate::store::intake::{self, ArchiveLimits, Meter};
use crate::store::snapshot::{FileSource, SnapshotFiles, Source};
use crate::store::{Blob, Store, io_error};

/// A layer as it leaves the store.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerBlob {
    /// The blob.
    pub descriptor: Descriptor,
    /// What it unpacks to.
    pub diff_id: DiffId,
}

impl Layers {
    /// The layer as a blob with this compression, if there is one already.
    pub fn known_blob(&self, id: LayerId, compression: Compression) -> Option<LayerBlob> {
        match &self.known(id).image {
            Some(image) => Some(image.blob.clone()),
            None if matches!(id, LayerId::Image(_)) => None,
            None => self.memo(memo_key(id, &compression.profile())).or_else(|| self.claimed_blob(id, compression)),
        }
    }

    /// The layer as a blob with this compression; an image's layer is what it is.
    ///
    /// Not to be called from a thread of the pool: it waits for others of them.
    pub fn blob(&self, id: LayerId, compression: Compression) -> Result<LayerBlob, LayerError> {
        let known = self.known(id);
        if let Some(image) = &known.image {
            return Ok(image.blob.clone());
        }
        if matches!(id, LayerId::Image(_)) {
            // A tar of our own making would be another layer.
            return Err(LayerError::Missing(id));
        }
        let memo = memo_key(id, &compression.profile());
        if let Some(blob) = self.memo(memo).or_else(|| self.claimed_blob(id, compression)) {
            return Ok(blob);
        }
        let toc = self.toc(id)?;
        // What a tar does not hold must stay in a folder.
        let whole = toc.entries().iter().all(tar::holds_all_of);
        let folder = match &known.origin {
            Some(_) if whole && !self.home(id).join("fs").exists() => None,
            _ => Some(self.folder(id)?),
        };
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = self.memo(memo) {
            return Ok(blob);
        }
        let compressed = compress::writer(self.store.writer()?, compression).map_err(tar::WriteError::Out)?;
        let hashed = HashingWriter::new(self.stop.watch(compressed));
        let hashed = match (&folder, &known.origin) {
            (Some(folder), _) => {
                let root = File::open(folder).map_err(io_error("open", folder))?;
                tar::write(&toc, &SnapshotFiles::new(root.into()), Verify::Size, hashed)?
            }
            (None, Some(origin)) => tar::write(&toc, &Readers(origin.as_ref()), Verify::Content, hashed)?,
            (None, None) => return Err(LayerError::Missing(id)),
        };
        let (compressed, diff, _) = hashed.finish();
        let writer = compressed.into_inner().finish().map_err(tar::WriteError::Out)?;
        let Blob { digest, size, .. } = writer.commit(None)?;
        let diff_id = DiffId::from_bytes(*diff.as_bytes());
        let blob = LayerBlob { descriptor: Descriptor::new(media_type(compression), digest, size), diff_id };
        self.note_blob(id, &compression.profile(), &blob)?;
        if folder.is_none() {
            self.save_toc(id, &toc)?;
        }
        Ok(blob)
    }

    /// Records that a blob is this layer.
    pub(super) fn note_blob(&self, id: LayerId, profile: &str, blob: &LayerBlob) -> Result<(), LayerError> {
        let mut record = Vec::new();
        record.extend_from_slice(blob.descriptor.digest.as_bytes());
        record.extend_from_slice(blob.diff_id.as_bytes());
        record.extend_from_slice(&blob.descriptor.size.to_le_bytes());
        record.extend_from_slice(blob.descriptor.media_type.as_bytes());
        if !profile.is_empty() {
            self.store.put_action(&memo_key(id, profile), &record)?;
        }
        Ok(self.store.put_action(&memo_key(id, ""), &record)?)
    }

    /// The blob that is recorded under a key, if it is still there.
    fn memo(&self, key: CacheKey) -> Option<LayerBlob> {
        let blob = decode_blob(&self.store.get_action(&key)?)?;
        self.store.has(&blob.descriptor.digest).then_some(blob)
    }

    pub(super) fn any_blob(&self, id: LayerId) -> Option<LayerBlob> {
        self.memo(memo_key(id, ""))
    }

    /// The blob to unpack a layer from, and the layers below if they matter.
    pub(super) fn blob_of(&self, id: LayerId, known: &Known) -> Result<(Descriptor, Vec<LayerId>), LayerError> {
        if let Some(image) = &known.image {
            return Ok((image.blob.descriptor.clone(), image.below.clone()));
        }
        self.any_blob(id).map(|blob| (blob.descriptor, Vec::new())).ok_or(LayerError::Missing(id))
    }

    /// What a layer's blob unpacks to. There are limits to that unless it was made here.
    pub(super) fn read_blob(
        &self,
        id: LayerId,
        descriptor: &Descriptor,
    ) -> Result<(intake::Reader<'static>, Meter), LayerError> {
        self.bring(std::slice::from_ref(descriptor))?;
        let blob = self.store.reader(&descriptor.digest)?;
        let own = matches!(id, LayerId::Made(_)) && self.claim_of(id).is_none();
        let limits = if own { ArchiveLimits::NONE } else { self.store.archives() };
        let (_, reader, meter) = intake::open(self.stop.watch(blob), limits)
            .map_err(|error| LayerError::Unpack { id, source: error.into() })?;
        Ok((reader, meter))
    }
}

/// Whether there is a blob of a layer that a step made.
pub fn layer_is_recorded(store: &Store, id: LayerId) -> bool {
    let blob = store.peek_action(&memo_key(id, "")).and_then(|record| decode_blob(&record));
    blob.is_some_and(|blob| store.has(&blob.descriptor.digest))
}

/// The blob that a record of the action cache says a layer is; none if it is a record of something else.
pub fn recorded_blob(record: &[u8]) -> Option<Descriptor> {
    let descriptor = decode_blob(record)?.descriptor;
    [media::LAYER, media::LAYER_GZIP, media::LAYER_ZSTD].contains(&descriptor.media_type.as_str()).then_some(descriptor)
}

/// The blob that a record of the action cache says a layer is.
fn decode_blob(record: &[u8]) -> Option<LayerBlob> {
    let (fixed, media_type) = record.split_at_checked(72)?;
    let digest = Digest::from_bytes(fixed[..32].try_into().ok()?);
    let diff_id = DiffId::from_bytes(fixed[32..64].try_into().ok()?);
    let size = u64::from_le_bytes(fixed[64..].try_into().ok()?);
    let media_type = String::from_utf8(media_type.to_vec()).ok()?;
    Some(LayerBlob { descriptor: Descriptor::new(media_type, digest, size), diff_id })
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => media::LAYER,
        Compression::Gzip { .. } => media::LAYER_GZIP,
        Compression::Zstd { .. } => media::LAYER_ZSTD,
    }
}

/// The key of a layer's blob with this profile of a compression; with an empty one, of any blob of it.
fn memo_key(id: LayerId, profile: &str) -> CacheKey {
    let mut hasher = KeyHasher::new("blob");
    hasher.value("layer", id.to_string().as_bytes());
    hasher.value("tar", &tar::PROFILE_VERSION.to_le_bytes());
    hasher.value("compression", profile.as_bytes());
    hasher.finish()
}

/// Reads an origin as a tar writer wants it.
struct Readers<'a>(&'a dyn FileSource);

impl Contents for Readers<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self.0.open(entry)? {
            Source::File(file) => Box::new(file),
            Source::Reader(reader) => reader,
        })
    }
}
