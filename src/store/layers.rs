//! Layers by identity, in whatever form they exist: as data, as a folder, as a blob, or only as the promise of a step
//! that has just said what they hold.
//!
//! A form is made when somebody needs it and kept: the folder when a process is to run on it, the blob when it leaves
//! the store. Each is made once, whoever asks, and appears in the store by one rename. What others say about a layer that
//! is in no form here is a [`Claim`](crate::store::Claim).

mod archive;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::compress::{self, Compression};
use crate::digest::{CacheKey, ChainId, DiffId, Digest, HashingReader, HashingWriter, TreeDigest};
use crate::fstree::tar::{self, Contents, Verify};
use crate::fstree::{Entry, Merged, Meta, Toc, TreePath};
use crate::graph::key::{KeyHasher, Visitor};
use crate::oci::{Descriptor, media};
use crate::store::claims::Claims;
use crate::store::intake::{self, ArchiveLimits, Meter};
use crate::store::snapshot::{self, FileSource, LowerFiles, SnapshotFiles, Source, Unpack, WriteOptions};
use crate::store::{Blob, Fetch, FetchError, Stop, Store, StoreError, io_error};

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
    /// Its blob is not in the store and cannot be fetched.
    #[error("{source}")]
    Fetch {
        /// Why not.
        source: FetchError,
    },
    /// It is not what a cache elsewhere says, or cannot be had from there.
    #[error("{whose} does not have the layer {id} that it lists: {reason}")]
    Claim {
        /// Which layer.
        id: LayerId,
        /// Whose words these are.
        whose: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// Its archive cannot be unpacked or read.
    #[error("the layer {id} cannot be unpacked: {source}")]
    Unpack {
        /// Which layer.
        id: LayerId,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
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
        #[source]
        error: io::Error,
    },
}

/// The files of layers below one that is unpacked. Few layers need any, so those below are unpacked only then.
struct StackFiles<'a> {
    layers: &'a Layers,
    below: &'a [LayerId],
}

impl LowerFiles for StackFiles<'_> {
    fn open(&self, layer: usize, path: &TreePath) -> io::Result<File> {
        let id = *self.below.get(layer).ok_or(io::ErrorKind::NotFound)?;
        let files = self.layers.files(&[id]).map_err(io::Error::other)?;
        files.first().ok_or(io::ErrorKind::NotFound)?.file(path)
    }
}

/// A layer as it leaves the store.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerBlob {
    /// The blob.
    pub descriptor: Descriptor,
    /// What it unpacks to.
    pub diff_id: DiffId,
}

/// Where the bytes of a layer's files are before it has a folder or a blob.
pub type Origin = Arc<dyn FileSource + Send + Sync>;

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

/// Reads an origin until everything is to stop.
struct Stoppable<'a> {
    origin: &'a dyn FileSource,
    stop: &'a Stop,
}

impl FileSource for Stoppable<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Source> {
        Ok(Source::Reader(match self.origin.open(entry)? {
            Source::File(file) => Box::new(self.stop.watch(file)),
            Source::Reader(reader) => Box::new(self.stop.watch(reader)),
        }))
    }
}

/// Reads to the end, and then says what was read.
pub(super) struct Diffed<R> {
    inner: Option<HashingReader<R>>,
    seen: Arc<Mutex<Option<Digest>>>,
}

impl<R: Read> Diffed<R> {
    /// Reads from `inner`; the digest is in the other part once that has ended.
    pub(super) fn new(inner: R) -> (Self, Arc<Mutex<Option<Digest>>>) {
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

pub(super) struct Known {
    pub(super) toc: OnceLock<Arc<Toc>>,
    pub(super) origin: Option<Origin>,
    image: Option<ImageLayer>,
    /// Held while a form is made.
    pub(super) making: Mutex<()>,
}

#[derive(Clone)]
struct ImageLayer {
    blob: LayerBlob,
    below: Vec<LayerId>,
}

/// All layers of a store.
pub struct Layers {
    pub(super) stop: Stop,
    pub(super) store: Arc<Store>,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    known: Mutex<HashMap<LayerId, Arc<Known>>>,
    /// Layers that were found in the store. Nobody deletes anything while it is open, and a base is asked for often.
    pub(super) there: Mutex<HashSet<LayerId>>,
    pub(super) claims: Claims,
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

    /// Takes over a folder in the form of an overlay's upper layer, which holds just what `toc` says.
    pub fn adopt(&self, toc: Toc, folder: &std::path::Path) -> Result<LayerId, LayerError> {
        let id = LayerId::Made(toc.digest());
        if !self.home(id).join("fs").exists() {
            self.settle_folder(id, &toc, folder)?;
        }
        self.known(id).toc.get_or_init(|| Arc::new(toc));
        Ok(id)
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
    pub(super) fn stored(&self, id: LayerId) -> bool {
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

    /// The folder of a layer in the form that overlayfs reads; unpacked if it must be.
    pub fn folder(&self, id: LayerId) -> Result<PathBuf, LayerError> {
        let folder = self.home(id).join("fs");
        if !folder.exists() {
            self.unpack(id, &self.known(id))?;
        }
        Ok(folder)
    }

    /// Makes a layer's folder.
    fn unpack(&self, id: LayerId, known: &Known) -> Result<(), LayerError> {
        let _making = known.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.home(id).join("fs").exists() {
            return Ok(());
        }
        let fresh = self.store.tmp_path("snapshot")?;
        std::fs::create_dir(&fresh).map_err(io_error("create", &fresh))?;
        self.fill(id, known, &fresh).inspect_err(|_| drop(crate::store::remove_tree(&fresh)))
    }

    /// Fills a folder with what a layer holds, and makes it the layer's own.
    fn fill(&self, id: LayerId, known: &Known, fresh: &std::path::Path) -> Result<(), LayerError> {
        let root = File::open(fresh).map_err(io_error("open", fresh))?;
        if let (Some(origin), Some(toc)) = (&known.origin, known.toc.get()) {
            let options = WriteOptions { overlay: self.store.overlay(), root: implied_root(), verify: true };
            let origin = Stoppable { origin: origin.as_ref(), stop: &self.stop };
            snapshot::write(toc, &origin, root.as_fd(), &options)?;
            return self.settle_folder(id, toc, fresh);
        }
        let place = self.place(id, known)?;
        let options = Unpack {
            lower: &self.merged(&place.below)?,
            alone: matches!(id, LayerId::Made(_)),
            files: &StackFiles { layers: self, below: &place.below },
            base: TreePath::root(),
            implied: implied_root(),
            overlay: self.store.overlay(),
            adjust: &|_| {},
        };
        let toc = self.with_archive(id, known, &place, |tar| snapshot::unpack(tar, root.as_fd(), &options))?;
        self.settle_folder(id, &toc, fresh)?;
        known.toc.get_or_init(|| Arc::new(toc));
        Ok(())
    }

    /// The folders of layers on top of each other, the topmost first, as overlayfs wants them.
    pub fn folders(&self, state: &[LayerId]) -> Result<Vec<PathBuf>, LayerError> {
        self.bring_layers(state, "fs")?;
        // The lowest first: unpacking one may need to know those below.
        let mut folders = state.iter().map(|id| self.folder(*id)).collect::<Result<Vec<_>, _>>()?;
        folders.reverse();
        // An overlay refuses a folder that it has already. All that the lower one of two equal layers has, the upper one
        // has too, whatever was done in between.
        let mut seen = HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        Ok(folders)
    }

    /// Unpacks the layers of images, for somebody who is going to read all of their files: one pass over a blob makes the
    /// folder and says what it holds.
    pub fn unpack_images(&self, state: &[LayerId]) -> Result<(), LayerError> {
        let images: Vec<LayerId> = state.iter().copied().filter(|id| matches!(id, LayerId::Image(_))).collect();
        self.folders(&images).map(drop)
    }

    /// The files of layers that have folders, bottom first.
    pub fn files(&self, state: &[LayerId]) -> Result<Vec<SnapshotFiles>, LayerError> {
        let one = |id: &LayerId| {
            let folder = self.folder(*id)?;
            let root = File::open(&folder).map_err(io_error("open", &folder))?;
            Ok(SnapshotFiles::new(root.into()))
        };
        state.iter().map(one).collect()
    }

    /// Opens the regular file that is seen at `path`, links not followed.
    pub fn open(&self, state: &[LayerId], view: &Merged, path: &TreePath) -> Result<Source, LayerError> {
        let missing = || LayerError::Read { path: path.clone(), error: io::ErrorKind::NotFound.into() };
        let (layer, entry) = view.entry(path).ok_or_else(missing)?;
        self.open_entry(*state.get(layer).ok_or_else(missing)?, entry)
    }

    /// Opens a regular file of one layer, wherever its bytes are; the layer is unpacked if they are only in a blob.
    pub fn open_entry(&self, id: LayerId, entry: &Entry) -> Result<Source, LayerError> {
        let failed = |error| LayerError::Read { path: entry.path.clone(), error };
        if let (Some(origin), false) = (&self.known(id).origin, self.home(id).join("fs").exists()) {
            return origin.open(entry).map_err(failed);
        }
        let folder = self.folder(id)?;
        let root = File::open(&folder).map_err(io_error("open", &folder))?;
        SnapshotFiles::new(root.into()).file(&entry.path).map(Source::File).map_err(failed)
    }

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

    fn any_blob(&self, id: LayerId) -> Option<LayerBlob> {
        self.memo(memo_key(id, ""))
    }

    /// The blob to unpack a layer from, and the layers below if they matter.
    fn blob_of(&self, id: LayerId, known: &Known) -> Result<(Descriptor, Vec<LayerId>), LayerError> {
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

    /// Moves a folder to where the layer's folder belongs, with its table of contents.
    fn settle_folder(&self, id: LayerId, toc: &Toc, folder: &std::path::Path) -> Result<(), LayerError> {
        self.save_toc(id, toc)?;
        let home = self.home(id);
        match std::fs::rename(folder, home.join("fs")) {
            Ok(()) => Ok(()),
            // Another process was faster, with the same result.
            Err(_) if home.join("fs").exists() => {
                let _ = crate::store::remove_tree(folder);
                Ok(())
            }
            Err(error) => Err(io_error("rename", folder)(error).into()),
        }
    }

    pub(super) fn save_toc(&self, id: LayerId, toc: &Toc) -> Result<(), LayerError> {
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
    pub(super) fn home(&self, id: LayerId) -> PathBuf {
        self.store.snapshots_dir().join(id.to_string())
    }

    pub(super) fn known(&self, id: LayerId) -> Arc<Known> {
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
