//! Layers by identity, in whatever form they exist: as data, as a folder, as a blob, or only as the promise of a step
//! that has just said what they hold.
//!
//! A form is made when somebody needs it and kept: the folder (`folder`) when a process is to run on it, the blob (`blob`)
//! when it leaves the store. Each is made once, whoever asks, and appears in the store by one rename. What is in a blob can
//! be told without unpacking it (`archive`). What others say about a layer that is in no form here is a [`Claim`].

mod archive;
mod blob;
mod claims;
mod folder;
mod identity;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use blob::{LayerBlob, layer_is_recorded, recorded_blob};
pub use claims::Claim;
pub use identity::{LayerError, LayerId};

use crate::digest::{ChainId, DiffId, TreeDigest};
use crate::fstree::{Merged, Meta, Toc};
use crate::oci::Descriptor;
use crate::store::snapshot::FileSource;
use crate::store::{Fetch, Stop, Store, io_error};
use claims::Claims;

/// Where the bytes of a layer's files are before it has a folder or a blob.
pub type Origin = Arc<dyn FileSource + Send + Sync>;

/// What this process knows of a layer.
struct Known {
    toc: OnceLock<Arc<Toc>>,
    origin: Option<Origin>,
    image: Option<ImageLayer>,
    /// Held while a form is made.
    making: Mutex<()>,
}

/// The layer of an image: its blob, and what is below it.
#[derive(Clone)]
struct ImageLayer {
    blob: LayerBlob,
    below: Vec<LayerId>,
}

/// All layers of a store.
pub struct Layers {
    stop: Stop,
    store: Arc<Store>,
    fetch: Option<Arc<dyn Fetch>>,
    known: Mutex<HashMap<LayerId, Arc<Known>>>,
    /// Layers that were found in the store. Nobody deletes anything while it is open, and a base is asked for often.
    there: Mutex<HashSet<LayerId>>,
    claims: Claims,
}

impl Layers {
    /// The layers of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self::stoppable(store, Stop::NEVER)
    }

    /// The same; reading, writing and compressing ends early once `stop` says so.
    pub fn stoppable(store: Arc<Store>, stop: Stop) -> Self {
        Self { stop, store, fetch: None, known: Mutex::default(), there: Mutex::default(), claims: Claims::default() }
    }

    /// The same; what the store lacks of images comes from there, once somebody needs it.
    pub fn fetching(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// What ends long work early.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The store they are in.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Makes the layers of an image known, bottom first, and returns their identities.
    pub fn add_image(&self, layers: &[LayerBlob]) -> Vec<LayerId> {
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let ids: Vec<LayerId> = ChainId::stack(&diff_ids).into_iter().map(LayerId::Image).collect();
        let mut known = self.lock();
        for (place, (id, blob)) in ids.iter().zip(layers).enumerate() {
            // Whoever asked for it before could not know which blob it is.
            if known.get(id).is_none_or(|known| known.image.is_none()) {
                let image = Some(ImageLayer { blob: blob.clone(), below: ids[..place].to_vec() });
                let fresh = Known { toc: OnceLock::new(), origin: None, image, making: Mutex::new(()) };
                known.insert(*id, Arc::new(fresh));
            }
        }
        ids
    }

    /// Makes a layer known by what it holds; its bytes are read from `origin` if they are ever needed.
    pub fn promise(&self, toc: Toc, origin: Origin) -> LayerId {
        let id = LayerId::Made(toc.digest());
        // What the store has needs no origin, which might even be this very layer in an input of the step.
        let stored = self.stored(id);
        let mut known = self.lock();
        if !stored && known.get(&id).is_none_or(|known| known.origin.is_none()) {
            let fresh = Known { toc: OnceLock::new(), origin: Some(origin), image: None, making: Mutex::new(()) };
            fresh.toc.get_or_init(|| Arc::new(toc));
            known.insert(id, Arc::new(fresh));
        }
        id
    }

    /// Whether a layer can be had without running the step that made it.
    pub fn available(&self, id: LayerId) -> bool {
        if self.there.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return true;
        }
        let available = self.is_available(id);
        if available {
            self.there.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        available
    }

    fn is_available(&self, id: LayerId) -> bool {
        let known = self.known(id);
        if known.origin.is_some() {
            return true;
        }
        if let Some(image) = &known.image {
            return self.can_be_had(&image.blob.descriptor);
        }
        self.stored(id) || self.claim_of(id).is_some_and(|claim| self.can_be_had(&claim.blob.descriptor))
    }

    fn can_be_had(&self, blob: &Descriptor) -> bool {
        let digest = &blob.digest;
        self.store.has(digest) || self.fetch.as_ref().is_some_and(|fetch| fetch.knows(&self.store, digest))
    }

    /// Brings blobs into the store that are not there, all at once.
    pub fn bring(&self, blobs: &[Descriptor]) -> Result<(), LayerError> {
        let missing: Vec<Descriptor> = blobs.iter().filter(|blob| !self.store.has(&blob.digest)).cloned().collect();
        match &self.fetch {
            Some(fetch) if !missing.is_empty() => {
                fetch.fetch(&self.store, &missing).map_err(|source| LayerError::Fetch { source })
            }
            // Whoever reads one of them will say that it is missing.
            _ => Ok(()),
        }
    }

    /// Brings the blobs of layers that are known only by them, so that they need not come one after the other.
    fn bring_layers(&self, state: &[LayerId], in_form: &str) -> Result<(), LayerError> {
        let needed = state.iter().filter(|id| self.fetch.is_some() && !self.home(**id).join(in_form).exists());
        let (mut blobs, mut tables, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
        for id in needed {
            match (&self.known(*id).image, self.claim_of(*id)) {
                (Some(image), _) => blobs.push(image.blob.descriptor.clone()),
                (None, Some(claim)) => match claim.table() {
                    Some(table) if in_form == "toc" => tables.push(table.clone()),
                    _ => claimed.push((*id, claim)),
                },
                (None, None) => {}
            }
        }
        self.bring(&blobs)?;
        // Whoever reads one of these will say what is wrong with it.
        let _ = self.bring(&tables);
        self.bring_claimed(&claimed)
    }

    /// Whether the store has a made layer in any form that has all of it.
    fn stored(&self, id: LayerId) -> bool {
        self.home(id).join("fs").exists() || self.any_blob(id).is_some()
    }

    /// What a layer holds.
    pub fn toc(&self, id: LayerId) -> Result<Arc<Toc>, LayerError> {
        let known = self.known(id);
        if let Some(toc) = known.toc.get() {
            return Ok(toc.clone());
        }
        let saved = || decode_toc(id, &std::fs::read(self.home(id).join("toc")).ok()?);
        if let Some(toc) = saved() {
            return Ok(known.toc.get_or_init(|| Arc::new(toc)).clone());
        }
        if let Some(toc) = self.claimed_toc(id)? {
            return Ok(known.toc.get_or_init(|| Arc::new(toc)).clone());
        }
        // Only its archive is left, or somebody removed the table.
        self.list(id, &known)
    }

    /// Whether it is known here what a layer holds, so that nothing must be fetched or unpacked for that.
    pub fn is_listed(&self, id: LayerId) -> bool {
        self.known(id).toc.get().is_some() || self.home(id).join("toc").exists()
    }

    /// What layers on top of each other hold, bottom first.
    pub fn merged(&self, state: &[LayerId]) -> Result<Merged, LayerError> {
        self.bring_layers(state, "toc")?;
        state.iter().map(|id| self.toc(*id)).collect::<Result<_, _>>().map(Merged::new)
    }

    fn save_toc(&self, id: LayerId, toc: &Toc) -> Result<(), LayerError> {
        let home = self.home(id);
        let path = home.join("toc");
        if path.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&home).map_err(io_error("create", &home))?;
        let (mut file, temporary) = self.store.tmp_file("toc")?;
        file.write_all(&toc.encode()).map_err(io_error("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(io_error("rename", &path))?;
        Ok(())
    }

    /// Where a layer's forms are: its table of contents, `toc`, and its folder, `fs`.
    fn home(&self, id: LayerId) -> PathBuf {
        self.store.snapshots_dir().join(id.to_string())
    }

    fn known(&self, id: LayerId) -> Arc<Known> {
        self.lock()
            .entry(id)
            .or_insert_with(|| {
                Arc::new(Known { toc: OnceLock::new(), origin: None, image: None, making: Mutex::new(()) })
            })
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LayerId, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the root of every file system is, unless a layer says more about it.
pub(super) fn implied_root() -> Meta {
    Meta { mode: 0o755, ..Meta::default() }
}

/// A saved table of contents, if it is whole: of a made layer the digest is known, of an image's it is trusted as far
/// as it decodes, as its folder is.
pub(super) fn decode_toc(id: LayerId, bytes: &[u8]) -> Option<Toc> {
    if matches!(id, LayerId::Made(digest) if TreeDigest::of(bytes) != digest) {
        return None;
    }
    Toc::decode(bytes).ok()
}
