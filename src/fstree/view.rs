//! What stands behind a path: one trait for stacked layers, contexts and anything else that `COPY` can read from.

use crate::digest::ContentDigest;
use crate::fstree::{Meta, TreePath};

/// What a name in a [`View`] is, whiteouts and hard links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A folder.
    Dir,
    /// A regular file and its length in bytes.
    File(u64),
    /// A symbolic link and its target, as it is.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket: only contexts have them, and nothing copies them.
    Socket,
}

/// What a view has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permissions, owner, settled time.
    pub meta: Meta,
    /// What it is.
    pub kind: NodeKind,
    /// Equal for all names of one file, if it may have several. Means something only within one view.
    pub links: Option<u64>,
    /// The hash of a regular file's bytes, if the view knows it without reading them.
    pub content: Option<ContentDigest>,
}

/// A view that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ViewError {
    /// The path in question, in words of the view (a host path for a context).
    pub path: String,
    /// What went wrong.
    pub reason: String,
}

/// A tree of files that can be looked at, lazily if it is large.
///
/// Paths are looked up by name: no method follows a symbolic link.
pub trait View: Send + Sync {
    /// What stands at `path`; the root is always there.
    fn lookup(&self, path: &TreePath) -> Result<Option<Node>, ViewError>;

    /// The names in the folder `path` with what they are, sorted by name; empty if it is no folder.
    fn children(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Node)>, ViewError>;

    /// Says that all of the folder `path` is about to be walked, so that a view can look ahead.
    fn look_ahead(&self, path: &TreePath) {
        let _ = path;
    }

    /// The content digests of regular files, in order. A view may read them in parallel.
    fn contents(&self, paths: &[TreePath]) -> Result<Vec<ContentDigest>, ViewError>;
}
