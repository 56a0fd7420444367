//! A file system as data: the entries of one layer, the merged view of several, and what can be computed from them
//! without touching a disk.
//!
//! A layer is a sorted list of [`Entry`], the same whether it came from a tar, from a folder or from a `COPY`. Its
//! canonical encoding is its table of contents ([`toc`]), and the hash of that is the layer's identity. A [`View`] is
//! what stands behind a path once layers are stacked; contexts offer the same trait, so that `COPY` has one source.
//! Nothing here opens a file.

mod entry;
pub mod passwd;
pub mod pattern;
pub mod toc;
pub mod view;

pub use entry::{Entry, Kind, Meta, TreePath, compare_paths};
pub use toc::Toc;
pub use view::{Merged, Node, NodeKind, View, ViewError};
