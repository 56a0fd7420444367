//! What can be had of a layer's blob without unpacking it: what it holds, and single small files.
//!
//! The blob is checked before anything in it is believed: its digest, what it unpacks to, and for a layer of our own also
//! what it holds.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Claim, Known, LayerError, LayerId, Layers, implied_root};
use crate::digest::{ContentDigest, Digest, HashingReader};
use crate::fstree::tar::{self, RawKind, TarReader};
use crate::fstree::{Entry, Kind, Merged, Toc, TreePath};
use crate::oci::Descriptor;
use crate::store::intake;
use crate::store::snapshot::{self, SnapshotError, Source};

/// The tar in a blob.
pub(super) type Archive = TarReader<Diffed<intake::Reader<'static>>>;

/// Where a layer's bytes are.
pub(super) struct Place {
    /// Its blob.
    descriptor: Descriptor,
    /// The layers below it, if they matter.
    pub(super) below: Vec<LayerId>,
    /// Whose word that is, if it was never checked here.
    claim: Option<Arc<Claim>>,
}

impl Place {
    /// In a blob that is only claimed to hold it.
    pub(super) fn claimed(claim: Arc<Claim>) -> Self {
        Self { descriptor: claim.blob.descriptor.clone(), below: Vec::new(), claim: Some(claim) }
    }
}

impl Layers {
    /// Where the bytes of a layer are that has no folder. A claimed blob is brought.
    pub(super) fn place(&self, id: LayerId, known: &Known) -> Result<Place, LayerError> {
        if let Some(claim) = self.claim_of(id) {
            self.bring_claimed(&[(id, claim.clone())])?;
            return Ok(Place::claimed(claim));
        }
        let (descriptor, below) = self.blob_of(id, known)?;
        Ok(Place { descriptor, below, claim: None })
    }

    /// What a layer holds, from its blob.
    pub(super) fn list(&self, id: LayerId, known: &Known) -> Result<Arc<Toc>, LayerError> {
        let place = self.place(id, known)?;
        // Others' layers can say of folders and links only that they are as they are below.
        let below = match id {
            LayerId::Image(_) => Some(self.merged(&place.below)?),
            LayerId::Made(_) => None,
        };
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toc) = known.toc.get() {
            return Ok(toc.clone());
        }
        let list = |tar: &mut Archive| snapshot::list(tar, below.as_ref(), &implied_root());
        let toc = self.with_archive(id, known, &place, list)?;
        self.save_toc(id, &toc)?;
        Ok(known.toc.get_or_init(|| Arc::new(toc)).clone())
    }

    /// Gives the tar in a layer's blob to `read`. What that says of the layer counts only once all of the blob was found to
    /// be what it should be.
    pub(super) fn with_archive(
        &self,
        id: LayerId,
        known: &Known,
        place: &Place,
        read: impl FnOnce(&mut Archive) -> Result<Toc, SnapshotError> + Send,
    ) -> Result<Toc, LayerError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| match &place.claim {
            Some(claim) => self.broken(id, claim, source.to_string()),
            None => LayerError::Unpack { id, source },
        };
        let (reader, meter) = match (self.read_blob(id, &place.descriptor), &place.claim) {
            (Err(error), Some(claim)) => return Err(self.broken(id, claim, error.to_string())),
            (opened, _) => opened?,
        };
        let (reader, seen) = Diffed::new(reader);
        let read = || -> Result<Toc, SnapshotError> {
            let mut archive = meter.tar(reader, tar::Dialect::Layer);
            let toc = read(&mut archive)?;
            // The digest is checked at the end of the blob, which a tar need not reach.
            archive.drain()?;
            Ok(toc)
        };
        let read = self.store.confined(read).map_err(|error| failed(error.into()))?;
        let toc = read.map_err(|error| failed(error.into()))?;
        if matches!(id, LayerId::Made(digest) if digest != toc.digest()) {
            return Err(failed("its blob holds something else".into()));
        }
        // The identity of an image's layer is made of what its configuration says. If that lies, this must not be taken for
        // the layer of another image.
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let promised = known.image.as_ref().map(|image| image.blob.diff_id);
        let promised = promised.or(place.claim.as_ref().map(|claim| claim.blob.diff_id));
        if let (Some(promised), Some(seen)) = (promised, seen)
            && promised.as_bytes() != seen.as_bytes()
        {
            let reason = match place.claim {
                Some(_) => format!("its blob does not unpack to {promised}"),
                None => format!("its image says that it unpacks to {promised}, but that is {seen}"),
            };
            return Err(failed(reason.into()));
        }
        if let Some(claim) = &place.claim {
            self.keep_claim(id, claim)?;
        }
        Ok(toc)
    }

    /// The bytes of the regular file that is seen at `path`, links not followed: at most `limit` of them. A layer that is
    /// only a blob stays one.
    pub fn read(&self, state: &[LayerId], view: &Merged, path: &TreePath, limit: u64) -> Result<Vec<u8>, LayerError> {
        let failed = |error| LayerError::Read { path: path.clone(), error };
        if let Some((layer, entry)) = view.entry(path)
            && let Some(id) = state.get(layer)
            && let Some(bytes) = self.in_archive(*id, entry, limit)?
        {
            return Ok(bytes);
        }
        let mut reader: Box<dyn Read> = match self.open(state, view, path)? {
            Source::File(file) => Box::new(file),
            Source::Reader(reader) => reader,
        };
        let mut bytes = Vec::new();
        reader.by_ref().take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// A file of a layer that has no other form than its blob; none if it must be looked for in another way.
    fn in_archive(&self, id: LayerId, entry: &Entry, limit: u64) -> Result<Option<Vec<u8>>, LayerError> {
        let known = self.known(id);
        if known.origin.is_some() || self.home(id).join("fs").exists() {
            return Ok(None);
        }
        let toc = self.toc(id)?;
        let first = match &entry.kind {
            Kind::Hardlink(first) => toc.get(first),
            _ => Some(entry),
        };
        let Some(&Kind::File { size, content }) = first.map(|entry| &entry.kind) else { return Ok(None) };
        if size > limit {
            return Ok(None);
        }
        let (reader, meter) = self.read_blob(id, &self.place(id, &known)?.descriptor)?;
        let found = self.store.confined(|| find(meter.tar(reader, tar::Dialect::Layer), size, content));
        found
            .map_err(|error| LayerError::Unpack { id, source: error.into() })?
            .map_err(|error| LayerError::Unpack { id, source: error.into() })
    }
}

/// Reads to the end, and then says what was read.
pub(super) struct Diffed<R> {
    inner: Option<HashingReader<R>>,
    seen: Arc<Mutex<Option<Digest>>>,
}

impl<R: Read> Diffed<R> {
    /// Reads from `inner`; the digest is in the other part once that has ended.
    fn new(inner: R) -> (Self, Arc<Mutex<Option<Digest>>>) {
        let seen = Arc::new(Mutex::new(None));
        (Self { inner: Some(HashingReader::new(inner)), seen: seen.clone() }, seen)
    }
}

impl<R: Read> Read for Diffed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.inner else { return Ok(0) };
        let read = inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let digest = self.inner.take().map(|inner| inner.finish().1);
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = digest;
        }
        Ok(read)
    }
}

/// The bytes of the file with this content, wherever it is in a tar.
fn find<R: Read>(
    mut archive: TarReader<R>,
    size: u64,
    content: ContentDigest,
) -> Result<Option<Vec<u8>>, tar::TarError> {
    while let Some((entry, mut file)) = archive.next()? {
        if entry.kind != RawKind::File(size) {
            continue;
        }
        let mut bytes = Vec::new();
        let failed =
            |error: io::Error| tar::TarError { entry: Some(entry.path.to_string()), offset: 0, reason: error.into() };
        file.read_to_end(&mut bytes).map_err(failed)?;
        if ContentDigest::of(&bytes) == content {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DiffId;
    use crate::oci::{Descriptor, media};
    use crate::store::Store;
    use crate::store::layers::LayerBlob;

    /// A layer's tar: files by name and text, and links by name and `=` and target.
    fn layer(store: &Store, entries: &[(&str, &str)]) -> LayerBlob {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, text) in entries {
            let mut header = ::tar::Header::new_ustar();
            header.set_mode(0o644);
            match text.strip_prefix('=') {
                Some(target) => {
                    header.set_entry_type(::tar::EntryType::Link);
                    header.set_size(0);
                    builder.append_link(&mut header, name, target).unwrap();
                }
                None => {
                    header.set_size(text.len() as u64);
                    builder.append_data(&mut header, name, text.as_bytes()).unwrap();
                }
            }
        }
        let blob = store.put(&builder.into_inner().unwrap()).unwrap();
        let diff_id = DiffId::from_bytes(*blob.digest.as_bytes());
        LayerBlob { descriptor: Descriptor::new(media::LAYER, blob.digest, blob.size), diff_id }
    }

    #[test]
    fn small_files_are_read_without_unpacking() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let below = [("a", "old"), ("b", "one"), ("same", "size")];
        let above = [("a", "new"), ("c/d", "again"), ("c/e", "=c/d"), ("c/d", "twice")];
        let blobs = [layer(&store, &below), layer(&store, &above)];
        let layers = Layers::new(store);
        let state = layers.add_image(&blobs);
        let view = layers.merged(&state).unwrap();
        let check = |path: &str, expected: &str| {
            let bytes = layers.read(&state, &view, &TreePath::clean(path), 100).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{path}");
        };
        check("a", "new");
        check("b", "one");
        check("same", "size");
        check("c/d", "twice");
        check("c/e", "again");
        assert!(state.iter().all(|id| layers.home(*id).join("toc").exists() && !layers.home(*id).join("fs").exists()));
        assert!(matches!(layers.read(&state, &view, &TreePath::clean("x"), 100), Err(LayerError::Read { .. })));
        // Once the blobs are gone, what they hold is still known.
        for blob in &blobs {
            std::fs::remove_file(layers.store().blob_path(&blob.descriptor.digest)).unwrap();
        }
        let later = Layers::new(layers.store().clone());
        let state = later.add_image(&blobs);
        assert!(later.merged(&state).unwrap().entry(&TreePath::clean("c/e")).is_some());
        assert!(later.read(&state, &view, &TreePath::clean("a"), 100).is_err());
    }
}
