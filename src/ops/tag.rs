//! `tag`: another name for an image.

use crate::oci::{ParseReferenceError, Reference};
use crate::store::{FindError, Store, StoreError};

/// Why an image got no name.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// The image was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The new name is none.
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
    /// The new name has a digest.
    #[error("cannot give an image the name {0:?}: a digest is not chosen, it follows from the image")]
    Digest(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives an image another name; whatever had that name before stays without it. Returns the name, normalised.
pub fn tag(store: &Store, image: &str, name: &str) -> Result<Reference, TagError> {
    let reference = Reference::parse(name)?;
    if reference.digest().is_some() {
        return Err(TagError::Digest(name.to_owned()));
    }
    let found = store.find(image)?;
    store.set_reference(&reference, found.descriptor)?;
    Ok(reference)
}
