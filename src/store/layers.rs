//! Layers by identity, in whatever form they exist: as data, as a folder, as a blob, or only as the promise of a step
//! that has just said what they hold.
//!
//! A form is made when somebody needs it and kept: the folder when a process is to run on it, the blob when it leaves
//! the store. Each is made once, whoever asks, and appears in the store by one rename.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::digest::{ChainId, Digest, DiffId, HashingWriter, TreeDigest};
use crate::fstree::compress::{self, Compression};
use crate::fstree::tar::{self, Contents, Verify};
use crate::fstree::{Entry, Kind, Merged, Toc, TreePath};
use crate::graph::key::{KeyHasher, Visitor};
use crate::oci::{Descriptor, media};
use crate::store::{Store, StoreError, snapshot};

/// The identity of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerId {
    /// A layer of an image, together with those below it: what others' layers mean can depend on them.
    Image(ChainId),
    /// A layer that a step made. Such layers are self-contained.
    Made(TreeDigest),
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(chain) => write!(f, "chain-{}", chain.hex()),
            Self::Made(tree) => write!(f, "tree-{}", tree.hex()),
        }
    }
}

impl FromStr for LayerId {
    type Err = crate::digest::ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("chain-") {
            Some(hex) => ChainId::from_hex(hex).map(Self::Image),
            None => TreeDigest::from_hex(text.strip_prefix("tree-").unwrap_or(text)).map(Self::Made),
        }
    }
}

/// A layer that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Nothing of it is in the store.
    #[error("the layer {0} is not in the store any more; build again with --no-cache")]
    Missing(LayerId),
    /// Its archive cannot be unpacked or read.
    #[error("the layer {id} cannot be unpacked: {reason}")]
    Unpack {
        /// Which layer.
        id: LayerId,
        /// Why not.
        reason: String,
    },
    /// A file's bytes are not what was said of them, or cannot be written.
    #[error(transparent)]
    Write(#[from] tar::WriteError),
    /// Its folder cannot be made.
    #[error(transparent)]
    Snapshot(#[from] snapshot::SnapshotError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of it cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file, in the image.
        path: TreePath,
        /// Why.
        error: io::Error,
    },
}

/// A layer as it leaves the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBlob {
    /// The blob.
    pub descriptor: Descriptor,
    /// What it unpacks to.
    pub diff_id: DiffId,
}

/// Where the bytes of a layer's files are before it has a folder or a blob.
pub type Origin = Arc<dyn Contents + Send + Sync>;

struct Known {
    toc: OnceLock<Arc<Toc>>,
    origin: Option<Origin>,
    image: Option<ImageLayer>,
    /// Held while a form is made.
    making: Mutex<()>,
}

#[derive(Clone)]
struct ImageLayer {
    blob: LayerBlob,
    below: Vec<LayerId>,
}

/// All layers of a store.
pub struct Layers {
    store: Arc<Store>,
    known: Mutex<HashMap<LayerId, Arc<Known>>>,
}

impl Layers {
    /// The layers of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, known: Mutex::default() }
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
            known.entry(*id).or_insert_with(|| {
                let image = ImageLayer { blob: blob.clone(), below: ids[..place].to_vec() };
                Arc::new(Known { toc: OnceLock::new(), origin: None, image: Some(image), making: Mutex::new(()) })
            });
        }
        ids
    }

    /// Makes a layer known by what it holds; its bytes are read from `origin` if they are ever needed.
    pub fn promise(&self, toc: Toc, origin: Origin) -> LayerId {
        let id = LayerId::Made(toc.digest());
        self.lock().entry(id).or_insert_with(|| {
            let known = Known { toc: OnceLock::new(), origin: Some(origin), image: None, making: Mutex::new(()) };
            known.toc.get_or_init(|| Arc::new(toc));
            Arc::new(known)
        });
        id
    }

    /// Takes over a folder in the form of an overlay's upper layer, which holds just what `toc` says.
    pub fn adopt(&self, toc: Toc, folder: &std::path::Path) -> Result<LayerId, LayerError> {
        let id = LayerId::Made(toc.digest());
        let home = self.store.snapshot_path(&id.to_string());
        if !home.join("fs").exists() {
            self.settle_folder(&id, &toc, folder)?;
        }
        self.known(id).toc.get_or_init(|| Arc::new(toc));
        Ok(id)
    }

    /// Whether a layer can be had without running the step that made it.
    pub fn available(&self, id: LayerId) -> bool {
        let known = self.known(id);
        if known.origin.is_some() {
            return true;
        }
        if let Some(image) = &known.image {
            return self.store.has_blob(&image.blob.descriptor.digest);
        }
        self.store.snapshot_path(&id.to_string()).join("fs").exists() || self.any_blob(id).is_some()
    }

    /// What a layer holds.
    pub fn toc(&self, id: LayerId) -> Result<Arc<Toc>, LayerError> {
        let known = self.known(id);
        if let Some(toc) = known.toc.get() {
            return Ok(toc.clone());
        }
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toc) = known.toc.get() {
            return Ok(toc.clone());
        }
        let path = self.store.snapshot_path(&id.to_string()).join("toc");
        let toc = match std::fs::read(&path).ok().and_then(|bytes| decode_toc(id, &bytes)) {
            Some(toc) => toc,
            None => {
                let toc = self.index(id)?;
                self.save_toc(id, &toc)?;
                toc
            }
        };
        Ok(known.toc.get_or_init(|| Arc::new(toc)).clone())
    }

    /// What layers on top of each other hold, bottom first.
    pub fn merged(&self, state: &[LayerId]) -> Result<Merged, LayerError> {
        state.iter().map(|id| self.toc(*id)).collect::<Result<_, _>>().map(Merged::new)
    }

    /// The folder of a layer in the form that overlayfs reads; unpacked if it must be.
    pub fn folder(&self, id: LayerId) -> Result<PathBuf, LayerError> {
        let folder = self.store.snapshot_path(&id.to_string()).join("fs");
        if folder.exists() {
            return Ok(folder);
        }
        let known = self.known(id);
        if known.image.is_some() || known.origin.is_some() {
            // Others' layers need what is below them, which must not be asked for while this one is being made.
            if let Some(image) = &known.image {
                for below in &image.below {
                    self.toc(*below)?;
                }
            }
        }
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.exists() {
            return Ok(folder);
        }
        let fresh = self.store.tmp_path("snapshot")?;
        snapshot::create_folder(&fresh)?;
        match (&known.origin, known.toc.get()) {
            (Some(origin), Some(toc)) => {
                snapshot::write(&fresh, toc, origin.as_ref())?;
                let toc = toc.clone();
                self.settle_folder(&id, &toc, &fresh)?;
            }
            _ => {
                let (descriptor, below) = self.blob_of(id, &known)?;
                let below = Merged::new(below.iter().filter_map(|id| self.known(*id).toc.get().cloned()).collect());
                let reader = self.read_blob(id, &descriptor)?;
                let toc = snapshot::unpack(reader, &fresh, &below)
                    .map_err(|error| LayerError::Unpack { id, reason: error.to_string() })?;
                if matches!(id, LayerId::Made(digest) if digest != toc.digest()) {
                    return Err(LayerError::Unpack { id, reason: "its blob holds something else".into() });
                }
                self.settle_folder(&id, &toc, &fresh)?;
                known.toc.get_or_init(|| Arc::new(toc));
            }
        }
        Ok(folder)
    }

    /// The folders of layers on top of each other, the topmost first, as overlayfs wants them.
    pub fn folders(&self, state: &[LayerId]) -> Result<Vec<PathBuf>, LayerError> {
        // The lowest first: unpacking one may need to know those below.
        let mut folders = state.iter().map(|id| self.folder(*id)).collect::<Result<Vec<_>, _>>()?;
        folders.reverse();
        Ok(folders)
    }

    /// Opens the regular file that is seen at `path`, links not followed.
    pub fn open(&self, state: &[LayerId], view: &Merged, path: &TreePath) -> Result<Box<dyn Read>, LayerError> {
        let missing = || LayerError::Read { path: path.clone(), error: io::ErrorKind::NotFound.into() };
        let (layer, entry) = view.entry(path).ok_or_else(missing)?;
        let id = *state.get(layer).ok_or_else(missing)?;
        self.open_entry(id, entry)
    }

    /// Opens a regular file of one layer.
    pub fn open_entry(&self, id: LayerId, entry: &Entry) -> Result<Box<dyn Read>, LayerError> {
        let failed = |error| LayerError::Read { path: entry.path.clone(), error };
        let folder = self.store.snapshot_path(&id.to_string()).join("fs");
        let known = self.known(id);
        if let (Some(origin), false) = (&known.origin, folder.exists()) {
            let mut bytes = Vec::new();
            let reader = origin.open(entry).map_err(failed)?;
            // The reader may borrow from the origin; small files are handed out as bytes, large ones go through a folder.
            if matches!(entry.kind, Kind::File { size, .. } if size <= 1 << 20) {
                reader.take(1 << 20).read_to_end(&mut bytes).map_err(failed)?;
                return Ok(Box::new(io::Cursor::new(bytes)));
            }
        }
        let folder = self.folder(id)?;
        let file = snapshot::open_file(&folder, &entry.path).map_err(failed)?;
        Ok(Box::new(file))
    }

    /// The layer as a blob with this compression; an image's layer is what it is.
    pub fn blob(&self, id: LayerId, compression: Compression) -> Result<LayerBlob, LayerError> {
        let known = self.known(id);
        if let Some(image) = &known.image {
            return Ok(image.blob.clone());
        }
        let memo = memo_key(id, compression);
        if let Some(blob) = self.memo(memo, compression) {
            return Ok(blob);
        }
        let toc = self.toc(id)?;
        let folder = match &known.origin {
            Some(_) if !self.store.snapshot_path(&id.to_string()).join("fs").exists() => None,
            _ => Some(self.folder(id)?),
        };
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = self.memo(memo, compression) {
            return Ok(blob);
        }
        let compressed = compress::writer(self.store.blob_writer()?, compression);
        let hashed = HashingWriter::new(compressed);
        let hashed = match (&folder, &known.origin) {
            (Some(folder), _) => {
                let files = snapshot::FolderContents::open(folder)?;
                tar::write(&toc, &files, Verify::Size, hashed)?
            }
            (None, Some(origin)) => tar::write(&toc, origin.as_ref(), Verify::Content, hashed)?,
            (None, None) => return Err(LayerError::Missing(id)),
        };
        let (compressed, diff, _) = hashed.finish();
        let writer = compressed.finish().map_err(tar::WriteError::Out)?;
        let (digest, size) = writer.commit(None)?;
        let diff_id = DiffId::from_bytes(*diff.as_bytes());
        let mut record = Vec::new();
        record.extend_from_slice(digest.as_bytes());
        record.extend_from_slice(diff_id.as_bytes());
        record.extend_from_slice(&size.to_le_bytes());
        self.store.put_action(&memo, &record)?;
        if folder.is_none() {
            self.save_toc(id, &toc)?;
        }
        Ok(LayerBlob { descriptor: Descriptor::new(media::layer(compression), digest, size), diff_id })
    }

    fn memo(&self, key: crate::digest::CacheKey, compression: Compression) -> Option<LayerBlob> {
        let record = self.store.get_action(&key)?;
        let digest = Digest::from_bytes(record.get(..32)?.try_into().ok()?);
        let diff_id = DiffId::from_bytes(record.get(32..64)?.try_into().ok()?);
        let size = u64::from_le_bytes(record.get(64..72)?.try_into().ok()?);
        self.store
            .has_blob(&digest)
            .then(|| LayerBlob { descriptor: Descriptor::new(media::layer(compression), digest, size), diff_id })
    }

    fn any_blob(&self, id: LayerId) -> Option<LayerBlob> {
        Compression::defaults().into_iter().find_map(|compression| self.memo(memo_key(id, compression), compression))
    }

    /// The blob to unpack a layer from, and the layers below if they matter.
    fn blob_of(&self, id: LayerId, known: &Known) -> Result<(Descriptor, Vec<LayerId>), LayerError> {
        if let Some(image) = &known.image {
            return Ok((image.blob.descriptor.clone(), image.below.clone()));
        }
        self.any_blob(id).map(|blob| (blob.descriptor, Vec::new())).ok_or(LayerError::Missing(id))
    }

    fn read_blob(&self, id: LayerId, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, LayerError> {
        let blob = self.store.open_verified(&descriptor.digest)?;
        let (_, reader) =
            compress::reader(blob).map_err(|error| LayerError::Unpack { id, reason: error.to_string() })?;
        Ok(reader)
    }

    /// Reads a layer's archive for what it holds, without writing it anywhere.
    fn index(&self, id: LayerId) -> Result<Toc, LayerError> {
        let known = self.known(id);
        let (descriptor, _) = self.blob_of(id, &known)?;
        let reader = self.read_blob(id, &descriptor)?;
        snapshot::index(reader).map_err(|error| LayerError::Unpack { id, reason: error.to_string() })
    }

    /// Moves a folder to where the layer's folder belongs, with its table of contents.
    fn settle_folder(&self, id: &LayerId, toc: &Toc, folder: &std::path::Path) -> Result<(), LayerError> {
        self.save_toc(*id, toc)?;
        let home = self.store.snapshot_path(&id.to_string());
        match std::fs::rename(folder, home.join("fs")) {
            Ok(()) => Ok(()),
            // Another process was faster, with the same result.
            Err(_) if home.join("fs").exists() => {
                self.store.discard(folder);
                Ok(())
            }
            Err(error) => Err(crate::store::io_error("rename", folder)(error).into()),
        }
    }

    fn save_toc(&self, id: LayerId, toc: &Toc) -> Result<(), LayerError> {
        let home = self.store.snapshot_path(&id.to_string());
        let path = home.join("toc");
        if path.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&home).map_err(crate::store::io_error("create", &home))?;
        let (mut file, temporary) = self.store.tmp_file("toc")?;
        file.write_all(&toc.encode()).map_err(crate::store::io_error("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(crate::store::io_error("rename", &path))?;
        Ok(())
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

/// A saved table of contents, if it is whole: of a made layer the digest is known, of an image's it is trusted as far
/// as it decodes, as its folder is.
fn decode_toc(id: LayerId, bytes: &[u8]) -> Option<Toc> {
    if matches!(id, LayerId::Made(digest) if TreeDigest::of(bytes) != digest) {
        return None;
    }
    Toc::decode(bytes).ok()
}

fn memo_key(id: LayerId, compression: Compression) -> crate::digest::CacheKey {
    let mut hasher = KeyHasher::new("blob");
    hasher.value("layer", id.to_string().as_bytes());
    hasher.value("tar", &tar::PROFILE_VERSION.to_le_bytes());
    hasher.value("compression", compression.profile().as_bytes());
    hasher.finish()
}
