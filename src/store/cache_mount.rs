//! Folders that `RUN --mount=type=cache` keeps between builds, and who may use one at the same time.
//!
//! Each is `mounts/<hash of its id>/<number>` with a lock file beside it. A shared one is always number 0; a private one
//! is the first that nobody uses; for a locked one its user waits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::digest::ContentDigest;
use crate::fstree::tar::{self, Dialect, Verify};
use crate::fstree::{Entry, Merged, Meta, Toc, TreePath};
use crate::graph::Sharing;
use crate::store::layers::LayerError;
use crate::store::snapshot::{
    self, FileSource, NoLowerFiles, Overlay, Settle, SnapshotError, SnapshotFiles, Source, Unpack, WriteOptions,
};
use crate::store::{ArchiveLimits, Store, StoreError, intake, io_error};

/// A cache mount in use. Others may have it when this is dropped.
pub struct CacheMount {
    /// Its files.
    pub folder: PathBuf,
    /// Whether there is no folder yet, so that the user has to make it.
    pub fresh: bool,
    fresh_path: PathBuf,
    overlay: Overlay,
    _lock: File,
}

/// The folder that everybody shares of a cache mount, and the first of a private one; there may be none yet. Nobody is kept
/// from changing it.
pub fn folder(store: &Store, id: &str) -> PathBuf {
    home(store, id).join("0")
}

fn home(store: &Store, id: &str) -> PathBuf {
    store.mounts_dir().join(&ContentDigest::of(id.as_bytes()).hex()[..32])
}

/// Waits for a cache mount; none if `canceled` says so first.
pub fn acquire(
    store: &Store,
    id: &str,
    sharing: Sharing,
    canceled: &dyn Fn() -> bool,
) -> Result<Option<CacheMount>, StoreError> {
    let home = home(store, id);
    std::fs::create_dir_all(&home).map_err(io_error("create", &home))?;
    for number in 0.. {
        let path = home.join(format!("{number}.lock"));
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error("open", &path))?;
        let got = match sharing {
            Sharing::Shared => {
                lock.lock_shared().map_err(io_error("lock", &path))?;
                true
            }
            Sharing::Private => lock.try_lock().is_ok(),
            Sharing::Locked => loop {
                if lock.try_lock().is_ok() {
                    break true;
                }
                if canceled() {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(20));
            },
        };
        if got {
            // For those who remove what was not used for long. The store may be read-only.
            let _ = lock.set_modified(SystemTime::now());
            let folder = home.join(number.to_string());
            let fresh = !folder.exists();
            let fresh_path = store.tmp_path("cache")?;
            return Ok(Some(CacheMount { folder, fresh, fresh_path, overlay: store.overlay(), _lock: lock }));
        }
    }
    Ok(None)
}

impl CacheMount {
    /// Makes the folder, empty.
    pub fn create(&self, mode: u32, uid: u32, gid: u32) -> Result<(), SnapshotError> {
        let root = Meta { mode, uid, gid, ..Meta::default() };
        self.fill(&Toc::default(), &Nothing, root)
    }

    /// Makes the folder with what it starts with.
    pub fn create_from(&self, toc: &Toc, files: &dyn FileSource) -> Result<(), SnapshotError> {
        self.fill(toc, files, Meta { mode: 0o755, ..Meta::default() })
    }

    /// Makes the folder with what a tar holds, compressed or not. `root` is the folder itself, unless the tar says.
    pub fn create_from_tar(
        &self,
        tar: impl Read + Send,
        root: Meta,
        limits: ArchiveLimits,
    ) -> Result<(), SnapshotError> {
        let made = self.fill_with(|folder| {
            let mut tar = intake::tar(tar, Dialect::Archive, limits).map_err(failed)?;
            let options = Unpack {
                lower: &Merged::new(Vec::new()),
                alone: false,
                files: &NoLowerFiles,
                base: TreePath::root(),
                implied: root,
                overlay: self.overlay,
                adjust: &|_| {},
            };
            snapshot::unpack(&mut tar, folder.as_fd(), &options)?;
            // What the blob is, is known at its end.
            Ok(tar.drain()?)
        });
        made.inspect_err(|_| drop(crate::store::remove_tree(&self.fresh_path)))
    }

    /// What it holds, as a tar.
    pub fn write_tar<W: Write>(&self, out: W) -> Result<W, LayerError> {
        let root = File::open(&self.folder).map_err(io_error("open", &self.folder))?;
        // All times are data: programs compare them.
        let toc = snapshot::import(root.as_fd(), &Settle { clock: None, epoch: 0, ceiling: None })?;
        Ok(tar::write(&toc, &SnapshotFiles::new(root.into()), Verify::Size, out)?)
    }

    fn fill(&self, toc: &Toc, files: &dyn FileSource, root: Meta) -> Result<(), SnapshotError> {
        let options = WriteOptions { overlay: self.overlay, root, verify: false };
        self.fill_with(|folder| snapshot::write(toc, files, folder.as_fd(), &options))
    }

    fn fill_with(&self, fill: impl FnOnce(&File) -> Result<(), SnapshotError>) -> Result<(), SnapshotError> {
        std::fs::create_dir(&self.fresh_path).map_err(failed)?;
        fill(&File::open(&self.fresh_path).map_err(failed)?)?;
        match std::fs::rename(&self.fresh_path, &self.folder) {
            // Another user of a shared mount was faster: its folder is as good.
            Err(_) if self.folder.exists() => crate::store::remove_tree(&self.fresh_path).map_err(failed),
            other => other.map_err(failed),
        }
    }
}

fn failed(error: io::Error) -> SnapshotError {
    SnapshotError::Io { path: TreePath::root(), action: "create the cache mount", error }
}

/// No files at all.
struct Nothing;

impl FileSource for Nothing {
    fn open(&self, _: &Entry) -> io::Result<Source> {
        Err(io::ErrorKind::NotFound.into())
    }
}
