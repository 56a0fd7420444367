//! What lies in the store beside images, how large it is and when it was used last; and removing it.
//!
//! Sizes are those on the disk: whole blocks, files with several names once. Whether something is needed is not known here.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::store::error::{Result, io_error};
use crate::store::layers::LayerId;
use crate::store::snapshot::walk::walk;
use crate::store::{Exclusive, Store, layout, locks, remove_tree};

/// Something in the store that can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// What.
    pub what: T,
    /// Its size on the disk in bytes.
    pub size: u64,
    /// When it was made or used last.
    pub used: SystemTime,
}

impl Store {
    /// All layers that are unpacked, or at least described, in no order.
    pub fn stored_layers(&self) -> Result<Vec<Stored<LayerId>>> {
        let mut all = Vec::new();
        for path in entries(&self.snapshots_dir())? {
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<LayerId>().ok());
            // Whatever else lies there is not ours.
            let Some(id) = id.filter(|id| path.ends_with(id.to_string())) else { continue };
            all.push(Stored { what: id, size: disk_usage(&path), used: modified(&path) });
        }
        Ok(all)
    }

    /// All cache mounts, in no order.
    pub fn stored_mounts(&self) -> Result<Vec<Stored<PathBuf>>> {
        let mut all = Vec::new();
        for home in entries(&self.mounts_dir())? {
            for path in entries(&home)? {
                if path.is_dir() {
                    let used = modified(&lock_of(&path)).max(modified(&path));
                    all.push(Stored { size: disk_usage(&path), used, what: path });
                }
            }
        }
        Ok(all)
    }

    /// What is remembered of the files of build contexts, in no order.
    pub fn stored_contexts(&self) -> Result<Vec<Stored<PathBuf>>> {
        let files = entries(&self.path(layout::CONTEXTS))?;
        Ok(files
            .into_iter()
            .map(|path| Stored { size: disk_usage(&path), used: modified(&path), what: path })
            .collect())
    }
}

impl Store {
    /// When somebody last looked for what could go by itself, if anybody did.
    pub fn last_pruned(&self) -> Option<SystemTime> {
        fs::metadata(self.path(layout::PRUNED)).and_then(|metadata| metadata.modified()).ok()
    }
}

impl Exclusive<'_> {
    /// Notes that somebody looks for what could go by itself.
    pub fn note_pruned(&self) -> Result<()> {
        let path = self.path(layout::PRUNED);
        let written = fs::write(&path, b"").and_then(|()| File::options().write(true).open(&path));
        written.and_then(|file| file.set_modified(SystemTime::now())).map_err(io_error("write", &path))
    }

    /// Removes a layer's folder and table of contents; not its blob.
    pub fn remove_layer(&self, id: LayerId) -> Result<()> {
        self.remove_whole(&self.snapshots_dir().join(id.to_string()))
    }

    /// Removes a cache mount, unless somebody has it although nobody uses the store; whether it is gone.
    pub fn remove_mount(&self, folder: &Path) -> Result<bool> {
        let path = lock_of(folder);
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error("open", &path))?;
        if !locks::try_lock(&lock).map_err(io_error("lock", &path))? {
            return Ok(false);
        }
        self.remove_whole(folder)?;
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        // Only if it was the last one of its kind.
        let _ = folder.parent().map(fs::remove_dir);
        Ok(true)
    }

    /// Forgets what was known of the files of a context.
    pub fn remove_context(&self, file: &Path) -> Result<()> {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", file)(error)),
            _ => Ok(()),
        }
    }

    /// Takes something out of the store in one step, so that being killed leaves nothing half removed.
    pub(super) fn remove_whole(&self, path: &Path) -> Result<()> {
        let gone = self.tmp_path("removed")?;
        match fs::rename(path, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", path)(error)),
            Ok(()) => remove_tree(&gone).map_err(io_error("remove", &gone)),
        }
    }
}

/// The bytes that a file or a folder takes on the disk; what cannot be read counts as nothing.
pub fn disk_usage(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    }
    let Ok(folder) = File::open(path) else { return 0 };
    let Ok(items) = walk(folder.as_fd()) else { return 0 };
    let mut seen = HashSet::new();
    let counted = items.iter().filter(|item| item.links().is_none_or(|links| seen.insert(links)));
    counted.map(|item| u64::try_from(item.stat.st_blocks).unwrap_or_default() * 512).sum()
}

fn lock_of(mount: &Path) -> PathBuf {
    mount.with_extension("lock")
}

fn modified(path: &Path) -> SystemTime {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(io_error("read", folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::TreeDigest;

    #[test]
    fn lists_and_removes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let id = LayerId::Made(TreeDigest::from_bytes([1; 32]));
        let layer = store.snapshots_dir().join(id.to_string());
        let mount = store.mounts_dir().join("00/0");
        for place in [layer.join("fs"), mount.clone(), store.snapshots_dir().join("something-else")] {
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("f"), vec![1; 10_000]).unwrap();
            fs::hard_link(place.join("f"), place.join("g")).unwrap();
        }
        let layers = store.stored_layers().unwrap();
        assert_eq!(layers.iter().map(|layer| layer.what).collect::<Vec<_>>(), [id]);
        assert!((10_000..20_000 + 3 * 4096).contains(&layers[0].size), "{}", layers[0].size);
        assert_eq!(store.stored_mounts().unwrap()[0].what, mount);
        let alone = store.exclusive().unwrap();
        alone.remove_layer(id).unwrap();
        alone.remove_layer(id).unwrap();
        let lock = File::create(lock_of(&mount)).unwrap();
        lock.lock().unwrap();
        assert!(!alone.remove_mount(&mount).unwrap(), "somebody has it");
        drop(lock);
        assert!(alone.remove_mount(&mount).unwrap());
        assert_eq!((alone.stored_layers().unwrap(), alone.stored_mounts().unwrap()), (Vec::new(), Vec::new()));
        assert!(!folder.path().join("mounts/00").exists());
    }
}
