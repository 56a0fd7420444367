//! Layers as folders, in the form that overlayfs reads: for processes that run on them, and for whoever reads many of
//! their files.
//!
//! A folder is filled from a promise or from a blob, beside its place, and appears by one rename.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::{Known, LayerError, LayerId, Layers, implied_root};
use crate::fstree::{Entry, Merged, Toc, TreePath};
use crate::store::snapshot::{self, FileSource, LowerFiles, SnapshotFiles, Source, Unpack, WriteOptions};
use crate::store::{Stop, io_error};

impl Layers {
    /// Takes over a folder in the form of an overlay's upper layer, which holds just what `toc` says.
    pub fn adopt(&self, toc: Toc, folder: &Path) -> Result<LayerId, LayerError> {
        let id = LayerId::Made(toc.digest());
        if !self.home(id).join("fs").exists() {
            self.settle_folder(id, &toc, folder)?;
        }
        self.known(id).toc.get_or_init(|| Arc::new(toc));
        Ok(id)
    }

    /// The folder of a layer in the form that overlayfs reads; unpacked if it must be.
    pub fn folder(&self, id: LayerId) -> Result<PathBuf, LayerError> {
        let folder = self.home(id).join("fs");
        if !folder.exists() {
            self.unpack(id, &self.known(id))?;
        }
        Ok(folder)
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
    fn fill(&self, id: LayerId, known: &Known, fresh: &Path) -> Result<(), LayerError> {
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

    /// Moves a folder to where the layer's folder belongs, with its table of contents.
    fn settle_folder(&self, id: LayerId, toc: &Toc, folder: &Path) -> Result<(), LayerError> {
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
