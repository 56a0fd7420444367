//! What leaves a build: an image made of a step's layers and a configuration, and the forms it is written in.

mod image;
mod layout;
mod tree;

pub use image::{ExportedImage, ImageSpec, assemble, blobs_of, index_of, rfc3339};
pub use layout::write_layout;
pub use tree::{write_folder, write_tar};

use crate::fstree::tar;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::store::layers::LayerError;

/// A result that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A layer is not to be had.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tar cannot be written.
    #[error(transparent)]
    Tar(#[from] tar::WriteError),
    /// A file or folder cannot be written.
    #[error("{path}: {error}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// It cannot be sent to a registry.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// Layers and configuration do not fit each other.
    #[error("the image has {layers} layers but a history of {history}; this is a bug in imgbuild")]
    History {
        /// Layers.
        layers: usize,
        /// Entries of the history that made one.
        history: usize,
    },
}

impl From<RegistryError> for ExportError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
