//! `pull`: an image of a registry in the store, with all of its layers.

use crate::event::Reporter;
use crate::oci::{Descriptor, Reference};
use crate::ops::Error;
use crate::ops::remote_image::{not_found, which};
use crate::registry::transfer::{self, OpenedEnd, Options, Plan, Platforms, StoreEnd};
use crate::registry::{Registries, RegistryError, origins};
use crate::store::Store;

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What it is called.
    pub reference: Reference,
    /// Its manifest, or the index that it was chosen from.
    pub descriptor: Descriptor,
    /// Whether the store had it already, under this name.
    pub known: bool,
}

/// Brings an image into the store. It is listed once all of it is there and fits together.
pub fn pull(
    store: &Store,
    registries: &Registries,
    reference: &Reference,
    platforms: &Platforms,
    reporter: &dyn Reporter,
) -> Result<Pulled, Error> {
    let repository = registries.repository(reference);
    let first = repository.manifest(which(reference))?.ok_or_else(|| not_found(reference))?;
    let root = first.descriptor.clone();
    let source = OpenedEnd { repository, first };
    let plan = Plan::new(&source, &root, platforms)?;
    if let Some(missing) = plan.missing.first() {
        let registry = reference.registry().to_owned();
        let what = format!("manifest {}, although {} names it", missing.digest, reference.familiar());
        return Err(RegistryError::NotFound { registry, what }.into());
    }
    let options = Options { verb: "pulling", jobs: registries.transfers(), reporter };
    transfer::run(&source, &StoreEnd { store, registries: None }, &plan, options)?;
    for blob in &plan.blobs {
        origins::remember(store, &blob.digest, source.repository.name());
    }
    // What does not fit together must not be listed.
    let images = store.resolve_all(&root.digest)?;
    if images.is_empty() {
        let reason = "it is not a container image".to_owned();
        let what = reference.familiar();
        return Err(RegistryError::Malformed { registry: reference.registry().to_owned(), what, reason }.into());
    }
    let known = store.get_reference(reference)?.is_some_and(|known| known.digest == root.digest);
    store.set_reference(reference, plan.root.clone())?;
    Ok(Pulled { reference: reference.clone(), descriptor: plan.root, known })
}
