//! `rmi`: takes names away, and removes images that have none left.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::oci::Reference;
use crate::store::containers::{Container, ContainerKind};
use crate::store::{FindError, Store, StoreError};

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RmiError {
    /// It was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It has several names and was asked for by ID.
    #[error("the image {id} has several names ({}); name one of them, or remove them all with --force", names.join(", "))]
    SeveralNames {
        /// What was asked for.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
    /// Containers were made from it.
    #[error("the image {image} is used by {}", users.join(", "))]
    InUse {
        /// What was asked for.
        image: String,
        /// What uses it: containers by name, mounts by folder.
        users: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What `rmi` did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<Reference>,
    /// Blobs that are gone: no other image needed them.
    pub deleted: Vec<Digest>,
    /// The size of those, in bytes.
    pub freed: u64,
    /// Whether blobs were left for the next `prune`, because another process is using the store.
    pub deferred: bool,
}

/// Removes an image by name, or by ID if that is its only name (or `force`).
///
/// A name goes alone while the image has others. The last one stays if a container was made from the image, unless
/// `force`; what the container needs stays even then. Blobs go only when no listed image needs them and nobody else uses the
/// store at the moment; waiting for a long build would help nobody.
pub fn rmi(store: &mut Store, image: &str, force: bool) -> Result<Removed, RmiError> {
    let found = store.find(image)?;
    let digest = found.descriptor.digest;
    let names = store.index()?.names(&digest);
    let is_last = match &found.reference {
        Some(reference) if reference.digest().is_none() => names.len() < 2,
        Some(reference) => names.iter().all(|name| name.name() == reference.name()),
        None => true,
    };
    let users = users(store, &digest)?;
    if is_last && !force && !users.is_empty() && (found.reference.is_some() || names.len() < 2) {
        return Err(RmiError::InUse { image: image.to_owned(), users });
    }
    let change = store.update_index(|index| match &found.reference {
        Some(reference) if reference.digest().is_none() => {
            Ok(index.remove(reference).map(|_| reference.clone()).into_iter().collect())
        }
        reference => {
            let mut names = index.names(&digest);
            if let Some(reference) = reference {
                // By repository and digest: what this repository calls it, not others.
                names.retain(|name| name.name() == reference.name());
                names.iter().for_each(|name| drop(index.remove(name)));
                return Ok(names);
            }
            if names.len() > 1 && !force { Err(names) } else { Ok(index.remove_digest(&digest)) }
        }
    })?;
    let untagged = change.map_err(|names| RmiError::SeveralNames {
        id: image.to_owned(),
        names: names.iter().map(Reference::familiar).collect(),
    })?;
    let mut removed = Removed { untagged, ..Removed::default() };
    if store.index()?.contains(&digest) {
        return Ok(removed);
    }
    let alone = match store.try_exclusive() {
        Err(StoreError::Busy { .. }) => return Ok(Removed { deferred: true, ..removed }),
        alone => alone?,
    };
    let mut needed = alone.reachable()?;
    for manifest in alone.pinned()?.1 {
        needed.extend(alone.blobs_of(&manifest)?);
    }
    let mut blobs: BTreeSet<Digest> = alone.blobs_of(&digest)?;
    blobs.retain(|blob| !needed.contains(blob) && alone.has(blob));
    for blob in blobs {
        removed.freed += alone.remove_blob(&blob)?;
        removed.deleted.push(blob);
    }
    alone.sweep_signatures()?;
    Ok(removed)
}

/// What was made from an image and is still there.
fn users(store: &Store, digest: &Digest) -> Result<Vec<String>, StoreError> {
    let blobs = store.blobs_of(digest)?;
    let containers = store.containers()?.into_iter().filter(|container| blobs.contains(&container.record.manifest));
    let name = |container: Container| match (container.record.kind, container.record.mounted) {
        (ContainerKind::Mount, Some(place)) => format!("the image's files, mounted at {}", place.display()),
        _ => format!("the container {}", container.record.name),
    };
    Ok(containers.map(name).collect())
}
