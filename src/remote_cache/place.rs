//! Where caches are, and what is written to them.

use std::fmt;
use std::path::PathBuf;

use crate::compress::Compression;
use crate::oci::Reference;
use crate::registry::actions::Service;
use crate::registry::s3::Bucket;

/// Where a cache is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a registry, under this name. What is read may also be an image that a cache came along with.
    Registry(Reference),
    /// In a folder that is an OCI layout.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the layout calls it: a tag, or a digest.
        name: String,
    },
    /// In a bucket of an object store.
    Bucket {
        /// The bucket.
        bucket: Bucket,
        /// What the cache is called there.
        name: String,
    },
    /// In the cache of GitHub Actions.
    Actions(Service),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Folder { path, .. } => write!(f, "{}", path.display()),
            Self::Bucket { bucket, .. } => bucket.fmt(f),
            Self::Actions(service) => service.fmt(f),
        }
    }
}

/// A cache that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// Whether cache mounts that are not there yet begin with what is in it.
    pub mounts: bool,
}

/// A cache that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where to; none for along with the image, to wherever that is pushed.
    pub place: Option<Place>,
    /// How much.
    pub mode: Mode,
    /// How layers are compressed that are no blobs yet; as those of the image if none.
    pub compression: Option<Compression>,
    /// Whether the build may go on if it cannot be written.
    pub ignore_error: bool,
    /// Whether what is in the cache mounts of the steps goes along.
    pub mounts: bool,
}

/// How much of a build a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The layers of the result, and the steps that made those.
    #[default]
    Min,
    /// All steps that the build reached.
    Max,
}
