//! A file system as data: the entries of one layer, the merged view of several, and what can be computed from them
//! without touching a disk.
//!
//! A layer is a sorted list of [`Entry`], the same whether it came from a tar, from a folder or from a `COPY`. Its
//! canonical encoding is its table of contents ([`toc`]), and the hash of that is the layer's identity. A [`View`] is
//! what stands behind a path; stacked layers ([`Merged`]) are one, and contexts offer the same trait, so that `COPY` has
//! one source. [`Flattened`] makes one layer of many, and a [`Survey`](survey::Survey) tells
//! what each of them did. [`tar`] reads and writes the form in which layers travel.
//! Nothing here opens a file.

pub mod chmod;
pub mod compare;
pub mod copy;
pub mod edit;
mod entry;
mod flatten;
mod merged;
pub mod passwd;
pub mod pattern;
pub mod resolve;
pub mod scrub;
pub mod select;
pub mod survey;
pub mod tar;
pub mod toc;
pub mod view;
pub mod whiteout;
pub mod xattr;

pub use entry::{Entry, Kind, Meta, TreePath, compare_paths};
pub use flatten::Flattened;
pub use merged::Merged;
pub use scrub::Scrub;
pub use toc::Toc;
pub use view::{Node, NodeKind, View, ViewError};
