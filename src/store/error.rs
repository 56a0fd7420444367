//! What can go wrong in a store, said so that the user can act on it.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::oci::manifest::ManifestError;

/// Why something in the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("cannot {action} {path}: {}", explain(source), path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was to be stored could not be read. Not the store's fault.
    #[error("cannot read the data: {0}")]
    Input(#[source] io::Error),
    /// A newer program made the store.
    #[error("the store {root} has format {found}, but this imgbuild knows formats up to {known}; use a newer imgbuild, or another store with --root", root = root.display())]
    NewerVersion {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The owners of its files are those of a user namespace, or of the machine, and this process is not there.
    #[error(
        "the store {root} {}; use another store with --root",
        if *rootless { "is that of a user without root, so root cannot use it" } else { "was made by root, so it cannot be used without root" },
        root = root.display()
    )]
    OtherOwners {
        /// The store.
        root: PathBuf,
        /// Whether it is one of a user namespace.
        rootless: bool,
    },
    /// The folder belongs to something else.
    #[error("{root} is not an imgbuild store: it already holds {entry:?}; choose an empty or new folder", root = root.display())]
    NotAStore {
        /// The folder.
        root: PathBuf,
        /// Something in it that no store has.
        entry: String,
    },
    /// A file of the store is not what it should be.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that came in, or lie in the store, are not those that were promised.
    #[error("{what} should be {expected} but its content is {actual}: it was damaged or tampered with")]
    Mismatch {
        /// What it was, such as `blob`.
        what: String,
        /// The digest promised.
        expected: Digest,
        /// The digest found.
        actual: Digest,
    },
    /// A blob is not there.
    #[error("the blob {0} is not in the store")]
    Missing(Digest),
    /// A blob is larger than it may be.
    #[error("the blob {digest} has {size} bytes, more than the {limit} that it may have")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest, index or configuration cannot be used.
    #[error("{digest}: {source}")]
    Manifest {
        /// Which.
        digest: Digest,
        /// Why.
        source: ManifestError,
    },
    /// Somebody else uses the store.
    #[error("another imgbuild is using the store {root}; try again when it is done", root = root.display())]
    Busy {
        /// The store.
        root: PathBuf,
    },
}

/// A result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Turns errors of the system into ours: `.map_err(io_error("read", &path))`.
pub fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{error}; make room, for example with `imgbuild prune`")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            format!("{error}; choose another store with --root or IMGBUILD_ROOT")
        }
        io::ErrorKind::NotADirectory => {
            format!("{error}; a store is a folder, choose another place with --root or IMGBUILD_ROOT")
        }
        io::ErrorKind::Unsupported => format!("{error}; the store must lie on a file system with locks"),
        _ => error.to_string(),
    }
}
