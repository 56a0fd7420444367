//! imgbuild: a declarative, reproducible, daemonless build system for container images.

pub mod cli;
pub mod compress;
pub mod digest;
pub mod dsl;
pub mod event;
pub mod export;
pub mod frontend;
pub mod fstree;
pub mod graph;
pub mod lockfile;
pub mod oci;
pub mod ops;
pub mod sandbox;
pub mod solve;
pub mod source;
pub mod store;
