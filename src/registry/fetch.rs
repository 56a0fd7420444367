//! Layers that are fetched only once a step or an output reads them.

use std::sync::Arc;

use super::transfer::{self, Options, StoreEnd};
use super::{Registries, RegistryError, origins};
use crate::digest::Digest;
use crate::event::Silent;
use crate::oci::Descriptor;
use crate::store::{Fetch, FetchError, Store};

/// Fetches blobs from where they are known to be ([`origins`]).
pub struct FetchOnNeed(pub Arc<Registries>);

impl Fetch for FetchOnNeed {
    fn knows(&self, store: &Store, digest: &Digest) -> bool {
        !origins::known(store, digest).is_empty()
    }

    fn fetch(&self, store: &Store, blobs: &[Descriptor]) -> Result<(), FetchError> {
        let registries = &*self.0;
        let source = StoreEnd { store, registries: Some(registries) };
        let target = StoreEnd { store, registries: None };
        let reporter = registries.reporter.get().map_or(&Silent as _, |reporter| reporter.as_ref());
        let options = Options { verb: "pulling", jobs: registries.transfers(), reporter };
        Ok(transfer::bring(&source, &target, blobs, options)?)
    }
}

/// Fetches nothing, and says so.
pub struct Offline;

impl Fetch for Offline {
    fn knows(&self, _: &Store, _: &Digest) -> bool {
        false
    }

    fn fetch(&self, _: &Store, blobs: &[Descriptor]) -> Result<(), FetchError> {
        let digest = blobs.first().map(|blob| blob.digest.to_string()).unwrap_or_default();
        let reason = "a layer of an image is not in the store, and --offline forbids to fetch it".to_owned();
        Err(RegistryError::Connection { url: digest, reason, again: false }.into())
    }
}
