//! The bytes of files in snapshots, for those who write tars and copies.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use super::tree::{open_beneath, open_named};
use super::write::{FileSource, Source};
use super::{LowerFiles, SnapshotError};
use crate::fstree::tar::Contents;
use crate::fstree::{Entry, Flattened, TreePath};

/// The files of one snapshot.
#[derive(Debug)]
pub struct SnapshotFiles {
    root: OwnedFd,
}

impl SnapshotFiles {
    /// The files below this folder.
    pub fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// Opens a file by its path in the layer, never through a symbolic link.
    pub fn file(&self, path: &TreePath) -> io::Result<File> {
        match open_beneath(self.root.as_fd(), path, OFlags::PATH) {
            Ok(file) => open_named(file),
            Err(SnapshotError::Io { error, .. }) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Contents for SnapshotFiles {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.file(&entry.path)?))
    }
}

impl FileSource for SnapshotFiles {
    fn open(&self, entry: &Entry) -> io::Result<Source> {
        Ok(Source::File(self.file(&entry.path)?))
    }
}

/// The files of a stack of snapshots that was flattened.
#[derive(Debug)]
pub struct StackedFiles<'a> {
    layers: &'a [SnapshotFiles],
    flattened: &'a Flattened,
}

impl<'a> StackedFiles<'a> {
    /// The snapshots must be those of the flattened layers, in their order, bottom first.
    pub fn new(layers: &'a [SnapshotFiles], flattened: &'a Flattened) -> Self {
        Self { layers, flattened }
    }

    fn file(&self, entry: &Entry) -> io::Result<File> {
        let layer = self.flattened.layer(&entry.path).and_then(|layer| self.layers.get(layer));
        layer.ok_or(io::ErrorKind::NotFound)?.file(&entry.path)
    }
}

impl Contents for StackedFiles<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.file(entry)?))
    }
}

impl FileSource for StackedFiles<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Source> {
        Ok(Source::File(self.file(entry)?))
    }
}

/// The snapshots of the layers below, bottom first.
impl LowerFiles for &[SnapshotFiles] {
    fn open(&self, layer: usize, path: &TreePath) -> io::Result<File> {
        self.get(layer).ok_or(io::ErrorKind::NotFound)?.file(path)
    }
}
