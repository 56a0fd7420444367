//! Results of steps in a place that several machines share: a registry, the image itself, a folder, a bucket, or the cache of
//! GitHub Actions.
//!
//! A cache is an OCI artifact: a manifest whose layers are layers of steps, and a configuration that says which keys lead
//! to which of them ([`format`](mod@format)). It is written after a build ([`Writer`]) from what the store knows of the
//! steps that were reached, and asked during one ([`Import`]) for what the store does not know. Being asked costs the
//! manifest and the configuration; layers come only when something reads them, as those of base images do.
//!
//! What a cache says is believed only as far as it must be. A list of what is in a layer is checked by the layer's own
//! identity, a blob by its digest, and that the blob holds the layer when it is read
//! ([`Claim`](crate::store::layers::Claim)). What a key led to elsewhere cannot be checked without running the step: whoever
//! may write a cache decides what the steps of those come to that read it. `docs/remote-cache.md` says so to users.
//!
//! Which targets have which caches is not known here, nor how flags and build files write them.

mod export;
mod fetch;
mod format;
mod import;
mod place;

pub use export::{Export, Writer};
pub use fetch::{FetchFromSpots, Spots};
pub use format::{Cache, CachedLayer, CachedResult, FormatError};
pub use import::Import;
pub use place::{Destination, Mode, Place, Source};
