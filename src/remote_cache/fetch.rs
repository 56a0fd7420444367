//! Layers of caches that are folders: brought into the store once something reads them, and sent on without that.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::event::Silent;
use crate::oci::Descriptor;
use crate::registry::transfer::{self, Layout, Options, Source, StoreEnd};
use crate::registry::{Check, RegistryError};
use crate::store::{Fetch, FetchError, Store};

/// Which blobs are in which folders.
#[derive(Debug, Default)]
pub struct Folders(Mutex<HashMap<Digest, PathBuf>>);

impl Folders {
    /// Notes that an OCI layout has a blob.
    pub fn add(&self, digest: Digest, folder: PathBuf) {
        self.lock().entry(digest).or_insert(folder);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store and, for what it lacks, folders and registries, as a place that blobs come from.
pub struct Anywhere<'a> {
    store: StoreEnd<'a>,
    folders: HashMap<Digest, Layout>,
}

impl<'a> Anywhere<'a> {
    /// With what `folders` are known to have now.
    pub fn new(store: StoreEnd<'a>, folders: &Folders) -> Self {
        let folders = folders.lock().iter().map(|(digest, folder)| (*digest, Layout::new(folder))).collect();
        Self { store, folders }
    }
}

impl Source for Anywhere<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        self.store.document(entry)
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        match self.folders.get(&blob.digest) {
            Some(folder) if !self.store.store.has(&blob.digest) => folder.open(blob, offset, check),
            _ => self.store.open(blob, offset, check),
        }
    }

    fn repositories(&self, blob: &Descriptor) -> Vec<String> {
        self.store.repositories(blob)
    }
}

/// Fetches what folders have from there, and the rest as before.
pub struct FetchFromFolders {
    folders: Arc<Folders>,
    inner: Arc<dyn Fetch>,
}

impl FetchFromFolders {
    /// Looks in `folders` first, then asks `inner`.
    pub fn new(folders: Arc<Folders>, inner: Arc<dyn Fetch>) -> Self {
        Self { folders, inner }
    }
}

impl Fetch for FetchFromFolders {
    fn knows(&self, store: &Store, digest: &Digest) -> bool {
        self.folders.lock().contains_key(digest) || self.inner.knows(store, digest)
    }

    fn fetch(&self, store: &Store, blobs: &[Descriptor]) -> Result<(), FetchError> {
        let mut by_folder: HashMap<PathBuf, Vec<Descriptor>> = HashMap::new();
        let mut others = Vec::new();
        for blob in blobs {
            match self.folders.lock().get(&blob.digest) {
                Some(folder) => by_folder.entry(folder.clone()).or_default().push(blob.clone()),
                None => others.push(blob.clone()),
            }
        }
        for (folder, blobs) in by_folder {
            let target = StoreEnd { store, registries: None };
            let options = Options { verb: "reading", jobs: 2, reporter: &Silent };
            transfer::bring(&Layout::new(&folder), &target, &blobs, options)?;
        }
        if others.is_empty() { Ok(()) } else { self.inner.fetch(store, &others) }
    }
}
