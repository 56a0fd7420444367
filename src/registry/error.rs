//! What can go wrong with a registry, as a person needs to hear it. Nothing here ever holds a password or a token.

use std::io;
use std::time::Duration;

use ureq::http::StatusCode;

use crate::digest::Digest;
use crate::oci::manifest::ManifestError;
use crate::store::StoreError;

/// Why a registry did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be reached, or the connection broke.
    #[error("{url}: {reason}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
        /// Whether another try can end better.
        again: bool,
    },
    /// It wants to know who asks, or does not let them in.
    #[error("{registry} refuses access to {what}{}", told(said))]
    Denied {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// Its own words, if it had any.
        said: String,
        /// Whether it was given credentials.
        known: bool,
    },
    /// It answered with another status than it should.
    #[error("{what}: {registry} answered {status}{}", told(said))]
    Status {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The code with its name.
        status: StatusCode,
        /// Its own words, if it had any.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not have it.
    #[error("{registry} has no {what}")]
    NotFound {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// There is an image, but not for this platform.
    #[error("the image is not for {wanted}, only for {offered}")]
    NoPlatform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// It sent something else than what was asked for.
    #[error("{registry} sent {what} with the digest {actual} where {expected} was expected; nothing of it is used")]
    Digest {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// It sent more than it may.
    #[error("{registry} sent more than {limit} bytes for {what}")]
    TooLarge {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// How much it may be, in bytes.
        limit: u64,
    },
    /// It answered, but nothing that makes sense.
    #[error("{registry}: {what}: {reason}")]
    Malformed {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A manifest cannot be used.
    #[error("the manifest {digest} cannot be used: {source}")]
    Manifest {
        /// Which.
        digest: Digest,
        /// Why not.
        source: ManifestError,
    },
    /// What should be sent is not there.
    #[error("{0} is not to be had: it is neither in the store nor where the image came from")]
    Missing(Digest),
    /// Passwords cannot be read.
    #[error("the credentials for {registry} cannot be had: {reason}")]
    Keychain {
        /// The registry.
        registry: String,
        /// Why not.
        reason: String,
    },
    /// Somebody stopped it.
    #[error("it was canceled")]
    Canceled,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl RegistryError {
    /// Whether another try can end better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Connection { again, .. } => *again,
            _ => false,
        }
    }

    /// When the server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What a reader or writer failed with: one of these if it was one, else what `else_as` makes of it.
    pub fn from_io(error: io::Error, else_as: impl FnOnce(io::Error) -> Self) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => else_as(error),
        }
    }

    /// What putting bytes of a registry into the store failed with.
    pub(super) fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::Input(error) => Self::from_io(error, |error| Self::Store(StoreError::Input(error))),
            error => Self::Store(error),
        }
    }
}

/// A registry's own words after a message.
fn told(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}
