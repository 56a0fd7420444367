//! imgbuild: a declarative, reproducible, daemonless build system for container images.

pub mod digest;
pub mod event;
pub mod frontend;
pub mod fstree;
pub mod graph;
pub mod lockfile;
pub mod oci;
pub mod ops;
pub mod store;
