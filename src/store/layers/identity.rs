//! What a layer is called, and why one cannot be had.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::{ChainId, TreeDigest};
use crate::fstree::{TreePath, tar};
use crate::store::{FetchError, StoreError, snapshot};

/// The identity of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerId {
    /// A layer of an image, together with those below it: what others' layers mean can depend on them.
    Image(ChainId),
    /// A layer that a step made. Such layers are self-contained.
    Made(TreeDigest),
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(chain) => write!(f, "chain-{}", chain.hex()),
            Self::Made(tree) => write!(f, "tree-{}", tree.hex()),
        }
    }
}

impl FromStr for LayerId {
    type Err = crate::digest::ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("chain-") {
            Some(hex) => ChainId::from_hex(hex).map(Self::Image),
            None => TreeDigest::from_hex(text.strip_prefix("tree-").unwrap_or(text)).map(Self::Made),
        }
    }
}

/// A layer that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Nothing of it is in the store.
    #[error("the layer {0} is not in the store any more; build again with --no-cache")]
    Missing(LayerId),
    /// Its blob is not in the store and cannot be fetched.
    #[error("{source}")]
    Fetch {
        /// Why not.
        source: FetchError,
    },
    /// It is not what a cache elsewhere says, or cannot be had from there.
    #[error("{whose} does not have the layer {id} that it lists: {reason}")]
    Claim {
        /// Which layer.
        id: LayerId,
        /// Whose words these are.
        whose: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// Its archive cannot be unpacked or read.
    #[error("the layer {id} cannot be unpacked: {source}")]
    Unpack {
        /// Which layer.
        id: LayerId,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file's bytes are not what was said of them, or cannot be written.
    #[error(transparent)]
    Write(#[from] tar::WriteError),
    /// Its folder cannot be made.
    #[error(transparent)]
    Snapshot(#[from] snapshot::SnapshotError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of it cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file, in the image.
        path: TreePath,
        /// Why.
        #[source]
        error: io::Error,
    },
}
