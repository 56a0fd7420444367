//! Layers that somebody else made and describes: which blob holds one, and what is in it.
//!
//! A layer's identity is the hash of its table of contents, so a table that comes from elsewhere proves itself. That a blob
//! holds just that cannot be seen without reading it: it is a claim. Claims live as long as the [`Layers`] that were told
//! of them, and only for layers that the store has in no form of its own; what they say is recorded once it was checked,
//! which is when the blob is read. What does not come, or is not as claimed, is remembered for whoever wants to do without.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::{Archive, Place};
use super::{Known, LayerBlob, LayerError, LayerId, Layers, implied_root};
use crate::compress::{self, Compression};
use crate::digest::TreeDigest;
use crate::fstree::Toc;
use crate::fstree::tar::PROFILE_VERSION;
use crate::oci::Descriptor;
use crate::store::snapshot;

/// The largest table of contents that is taken from elsewhere, compressed, in bytes.
const MAX_PACKED: u64 = 64 << 20;
/// The same unpacked.
const MAX_TOC: u64 = 256 << 20;

/// What somebody says of a layer that a step made elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// A blob of it.
    pub blob: LayerBlob,
    /// What made that blob ([`Claim::profile_of`]); another program or version may say what is not known here.
    pub profile: String,
    /// Its table of contents as [`pack`](Layers::pack_toc) packs it, if that can be had.
    pub toc: Option<Descriptor>,
    /// Who says so, for people.
    pub source: Arc<str>,
}

impl Claim {
    /// Everything that decides which blob a layer becomes.
    pub fn profile_of(compression: Compression) -> String {
        format!("tar-{PROFILE_VERSION}/{}", compression.profile())
    }

    /// Its table of contents, unless that is too large to be one.
    pub(super) fn table(&self) -> Option<&Descriptor> {
        self.toc.as_ref().filter(|toc| toc.size <= MAX_PACKED)
    }

    /// The part of the profile that says how it is compressed; nothing if the tar is another than ours.
    fn compression(&self) -> &str {
        self.profile.strip_prefix(&format!("tar-{PROFILE_VERSION}/")).unwrap_or_default()
    }
}

/// All claims, and the first that was not kept.
#[derive(Default)]
pub(super) struct Claims {
    by_layer: Mutex<HashMap<LayerId, Arc<Claim>>>,
    broken: Mutex<Option<String>>,
}

impl Layers {
    /// Takes note of a claim. The first one for a layer counts.
    pub fn claim(&self, id: LayerId, claim: impl FnOnce() -> Claim) {
        let mut claims = self.claims.by_layer.lock().unwrap_or_else(PoisonError::into_inner);
        claims.entry(id).or_insert_with(|| Arc::new(claim()));
    }

    /// Forgets all claims, and says which one was not kept, if any.
    pub fn forget_claims(&self) -> Option<String> {
        self.claims.by_layer.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.there.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.claims.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The first claim that was not kept.
    pub fn broken_claim(&self) -> Option<String> {
        self.claims.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The claim for a layer that the store has in no form of its own.
    pub fn claim_of(&self, id: LayerId) -> Option<Arc<Claim>> {
        let claim = self.claims.by_layer.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?.clone();
        (self.known(id).origin.is_none() && !self.stored(id)).then_some(claim)
    }

    /// Sees to it that the blobs of layers are in the store, as far as they are only claimed, and that they are what they
    /// should be. From then on they are like layers that were made here.
    pub fn secure(&self, state: &[LayerId]) -> Result<(), LayerError> {
        let claimed: Vec<(LayerId, Arc<Claim>)> =
            state.iter().filter_map(|id| Some((*id, self.claim_of(*id)?))).collect();
        self.bring_claimed(&claimed)?;
        let queue = Mutex::new(claimed.iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> Result<(), LayerError> {
            while let Some((id, claim)) = next() {
                let known = self.known(*id);
                let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
                if self.claim_of(*id).is_some() {
                    self.check_claim(*id, &known, claim)?;
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(claimed.len());
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            others.into_iter().fold(work(), |all, other| {
                let done = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                all.and(done)
            })
        })
    }

    /// A table of contents for the way; the same bytes for the same table.
    pub fn pack_toc(toc: &Toc) -> std::io::Result<Vec<u8>> {
        let mut writer = compress::writer(Vec::new(), Compression::ZSTD)?;
        std::io::Write::write_all(&mut writer, &toc.encode())?;
        writer.finish()
    }

    /// The claimed blob, if it is the one that would be made here.
    pub(super) fn claimed_blob(&self, id: LayerId, compression: Compression) -> Option<LayerBlob> {
        let claim = self.claim_of(id)?;
        (claim.profile == Claim::profile_of(compression)).then(|| claim.blob.clone())
    }

    /// The table of contents that comes with a claim; none if none does.
    pub(super) fn claimed_toc(&self, id: LayerId) -> Result<Option<Toc>, LayerError> {
        let Some(claim) = self.claim_of(id) else { return Ok(None) };
        let Some(descriptor) = claim.table() else { return Ok(None) };
        let broken = |reason: String| self.broken(id, &claim, reason);
        self.bring(std::slice::from_ref(descriptor)).map_err(|error| broken(error.to_string()))?;
        let packed = self.store.read(&descriptor.digest, MAX_PACKED).map_err(|error| broken(error.to_string()))?;
        let mut bytes = Vec::new();
        let unpack =
            || compress::reader(&packed[..]).and_then(|(_, reader)| reader.take(MAX_TOC).read_to_end(&mut bytes));
        let unpacked = self.store.confined(unpack).flatten();
        // No other table has this hash.
        let fits = unpacked.is_ok() && matches!(id, LayerId::Made(digest) if TreeDigest::of(&bytes) == digest);
        match Toc::decode(&bytes) {
            Ok(toc) if fits => {
                self.save_toc(id, &toc)?;
                Ok(Some(toc))
            }
            _ => Err(broken("its table of contents is of another layer".into())),
        }
    }

    /// Brings the blobs of claimed layers.
    pub(super) fn bring_claimed(&self, claimed: &[(LayerId, Arc<Claim>)]) -> Result<(), LayerError> {
        let blobs: Vec<Descriptor> = claimed.iter().map(|(_, claim)| claim.blob.descriptor.clone()).collect();
        let brought = self.bring(&blobs);
        let lacking = claimed.iter().find(|(_, claim)| !self.store.has(&claim.blob.descriptor.digest));
        match (brought, lacking) {
            (Err(error), Some((id, claim))) => Err(self.broken(*id, claim, error.to_string())),
            (Ok(()), Some((id, claim))) => Err(self.broken(*id, claim, "its blob is not to be had".into())),
            (brought, None) => brought,
        }
    }

    /// Reads a claimed blob, which is in the store, and records that it holds the layer.
    fn check_claim(&self, id: LayerId, known: &Known, claim: &Arc<Claim>) -> Result<(), LayerError> {
        let list = |tar: &mut Archive| snapshot::list(tar, None, &implied_root());
        let toc = self.with_archive(id, known, &Place::claimed(claim.clone()), list)?;
        self.save_toc(id, &toc)
    }

    /// Records what a claim says, which was checked.
    pub(super) fn keep_claim(&self, id: LayerId, claim: &Claim) -> Result<(), LayerError> {
        self.note_blob(id, claim.compression(), &claim.blob)
    }

    pub(super) fn broken(&self, id: LayerId, claim: &Claim, reason: String) -> LayerError {
        let error = LayerError::Claim { id, whose: claim.source.clone(), reason };
        let mut first = self.claims.broken.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| error.to_string());
        error
    }
}
