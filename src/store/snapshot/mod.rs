//! Snapshots: layers unpacked into folders that overlay mounts can stack, and such folders turned into layers.
//!
//! A snapshot is a layer twice: as data (its [`Toc`](crate::fstree::Toc)) and as a folder in the overlay file system's own
//! form, where a whiteout is a character device 0:0 and an opaque folder carries an attribute. The two always agree, times
//! included: they are settled when the folder is committed, so that a step sees what the image will hold.
//!
//! - [`write()`] makes a folder from data and a source of bytes.
//! - [`unpack()`] makes a folder and data from a tar; [`list()`] the same data without the folder.
//! - [`scrub()`] takes away from the folder that a step left behind what only says when it ran, where that is wanted.
//! - [`commit()`] makes data from such a folder, and tidies the folder to match.
//! - [`look`] says what that would be and leaves the folder alone.
//! - [`walk`] and [`import()`] read any folder; [`SnapshotFiles`] and [`StackedFiles`] give the bytes of files back.
//!
//! Every path is resolved below the descriptor of the snapshot's folder, one component at a time and never through a
//! symbolic link, so nothing in a layer can reach outside. Where folders lie, what they are called and when they are
//! deleted is not known here.

mod attributes;
mod commit;
mod files;
mod list;
mod node;
mod plan;
mod scrub;
mod settle;
mod tree;
mod unpack;
pub mod walk;
mod write;

use std::io;

use crate::fstree::TreePath;
use crate::fstree::tar::TarError;
use crate::users::Users;

pub use commit::{CommitOptions, commit, import, import_at, look};
pub use files::{SnapshotFiles, StackedFiles};
pub use list::list;
pub use scrub::{ScrubOptions, scrub};
pub use settle::{Clock, Settle};
pub use tree::Tree;
pub use unpack::{LowerFiles, NoLowerFiles, Unpack, Unpacker, unpack};
pub use write::{FileSource, Source, WriteOptions, write};

/// How an overlay's own notes are stored in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlay {
    /// In `trusted.overlay.*`: needs the privileges of the machine's root.
    Trusted,
    /// In `user.overlay.*`, for mounts with `userxattr` in a user namespace. Devices other than whiteouts cannot be made
    /// there; the folder lacks them, the data has them.
    User,
}

impl Overlay {
    /// What the kernel allows this process: the user namespace that it is in decides.
    pub fn of_process() -> Self {
        if Users::of_process() == Users::All { Self::Trusted } else { Self::User }
    }

    /// The attribute of an opaque folder; its value is `y`.
    pub const fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }
}

/// A snapshot that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refuses.
    #[error("{path}: cannot {action}: {error}")]
    Io {
        /// The path in the layer.
        path: TreePath,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// The layer's archive is damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A file is not what the layer says.
    #[error("{path}: changed while it was read")]
    Changed {
        /// The path in the layer.
        path: TreePath,
    },
    /// An entry stands in something that is no folder.
    #[error("{path}: {above} is not a folder")]
    NotAFolder {
        /// The entry.
        path: TreePath,
        /// What it stands in.
        above: TreePath,
    },
    /// A symbolic link above an entry leads nowhere, or in circles.
    #[error("{path}: the symbolic link {link} above it does not lead to a folder")]
    Dangling {
        /// The entry.
        path: TreePath,
        /// The link.
        link: TreePath,
    },
    /// A hard link to nothing.
    #[error("{path}: it is a hard link to {target}, which does not exist or is a folder")]
    MissingTarget {
        /// The link.
        path: TreePath,
        /// What it names.
        target: TreePath,
    },
    /// A path that the kernel cannot take in one piece.
    #[error("{path}: the path is longer than 4095 bytes")]
    TooLong {
        /// The start of the path.
        path: TreePath,
    },
    /// The overlay was mounted with options that make its upper folder depend on what was below it.
    #[error("{path}: it has {attribute}; the overlay must be mounted with redirect_dir=off,metacopy=off")]
    Redirected {
        /// The path in the layer.
        path: TreePath,
        /// The attribute.
        attribute: String,
    },
}

/// Says where and at what an I/O call failed.
trait At<T> {
    fn at(self, path: &TreePath, action: &'static str) -> Result<T, SnapshotError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, path: &TreePath, action: &'static str) -> Result<T, SnapshotError> {
        self.map_err(|error| SnapshotError::Io { path: path.clone(), action, error: error.into() })
    }
}

#[cfg(test)]
mod tests;
