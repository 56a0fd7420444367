//! Layers of caches that are in no registry: brought into the store once something reads them, and sent on without that.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::event::Silent;
use crate::oci::Descriptor;
use crate::registry::actions::{ActionsEnd, Service};
use crate::registry::s3::{Bucket, BucketEnd};
use crate::registry::transfer::{self, Layout, Options, Source, StoreEnd};
use crate::registry::{Check, Registries, RegistryError};
use crate::store::{Fetch, FetchError, Store};

/// A place that has blobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spot {
    /// A folder that is an OCI layout.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Bucket),
    /// The cache of GitHub Actions.
    Actions(Service),
}

impl Spot {
    fn source<'a>(&self, registries: &'a Registries) -> Box<dyn Source + 'a> {
        match self {
            Self::Folder(folder) => Box::new(Layout::new(folder)),
            Self::Bucket(bucket) => Box::new(BucketEnd::new(registries, bucket)),
            Self::Actions(service) => Box::new(ActionsEnd::new(registries, service)),
        }
    }
}

/// Which blobs are in which of these places.
#[derive(Debug, Default)]
pub struct Spots(Mutex<HashMap<Digest, Spot>>);

impl Spots {
    /// Notes that a blob can be had there.
    pub fn add(&self, digest: Digest, spot: Spot) {
        self.lock().entry(digest).or_insert(spot);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Spot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store and, for what it lacks, folders, buckets and registries, as a place that blobs come from.
pub struct Anywhere<'a> {
    store: StoreEnd<'a>,
    spots: HashMap<Digest, Box<dyn Source + 'a>>,
}

impl<'a> Anywhere<'a> {
    /// With what `spots` are known to have now.
    pub fn new(store: StoreEnd<'a>, registries: &'a Registries, spots: &Spots) -> Self {
        let spots = spots.lock().iter().map(|(digest, spot)| (*digest, spot.source(registries))).collect();
        Self { store, spots }
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
        match self.spots.get(&blob.digest) {
            Some(spot) if !self.store.store.has(&blob.digest) => spot.open(blob, offset, check),
            _ => self.store.open(blob, offset, check),
        }
    }

    fn repositories(&self, blob: &Descriptor) -> Vec<String> {
        self.store.repositories(blob)
    }

    fn has_at_hand(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        self.store.has_at_hand(blob)
    }
}

/// Fetches what folders and buckets have from there, and the rest as before.
pub struct FetchFromSpots {
    spots: Arc<Spots>,
    registries: Arc<Registries>,
    inner: Arc<dyn Fetch>,
}

impl FetchFromSpots {
    /// Looks in `spots` first, for which it has the connections of `registries`, then asks `inner`.
    pub fn new(spots: Arc<Spots>, registries: Arc<Registries>, inner: Arc<dyn Fetch>) -> Self {
        Self { spots, registries, inner }
    }
}

impl Fetch for FetchFromSpots {
    fn knows(&self, store: &Store, digest: &Digest) -> bool {
        self.spots.lock().contains_key(digest) || self.inner.knows(store, digest)
    }

    fn fetch(&self, store: &Store, blobs: &[Descriptor]) -> Result<(), FetchError> {
        let mut by_spot: HashMap<Spot, Vec<Descriptor>> = HashMap::new();
        let mut others = Vec::new();
        for blob in blobs {
            match self.spots.lock().get(&blob.digest) {
                Some(spot) => by_spot.entry(spot.clone()).or_default().push(blob.clone()),
                None => others.push(blob.clone()),
            }
        }
        for (spot, blobs) in by_spot {
            let target = StoreEnd { store, registries: None };
            let jobs = if matches!(spot, Spot::Folder(_)) { 2 } else { self.registries.transfers() };
            let options = Options { verb: "reading", jobs, reporter: &Silent };
            transfer::bring(&*spot.source(&self.registries), &target, &blobs, options)?;
        }
        if others.is_empty() { Ok(()) } else { self.inner.fetch(store, &others) }
    }
}
