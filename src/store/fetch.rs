//! A way to get blobs that an image needs and the store lacks, for the parts that may not know where they come from.

use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::store::Store;

/// Why blobs were not fetched.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Brings blobs into a store.
pub trait Fetch: Send + Sync {
    /// Whether a blob can probably be had.
    fn knows(&self, store: &Store, digest: &Digest) -> bool;

    /// Brings blobs into the store, checked. Those that are there already are no error.
    fn fetch(&self, store: &Store, blobs: &[Descriptor]) -> Result<(), FetchError>;
}
