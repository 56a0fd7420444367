//! imgbuild: a declarative, reproducible, daemonless build system for container images.
//!
//! # Bird's eye
//!
//! A front end ([`frontend`]) turns a Dockerfile or a build file into a [`graph`] of content-hashed steps. [`solve`] looks
//! each up in the action cache of the [`store`] and runs what is missing: copies as functions on data ([`fstree`]),
//! processes in a [`sandbox`]. [`export`] makes images of the layers. [`ops`] is the public API, [`cli`] the program.
//!
//! The modules below stand in the order of their imports: each uses only those above it. The first nine are pure: no
//! files, no environment, no clock, no threads. `ARCHITECTURE.md` is the same walk with the reasons.
//!
//! # The program in three calls
//!
//! [`ops::build::build`] takes targets and a session (a store, a sandbox, somebody to report to) and returns images.
//! [`ops::load`] and [`ops::import`] bring images in.
//!
//! # On disk
//!
//! A store is an OCI image layout with more beside it; [`store`] has the map.

pub mod digest;

pub mod oci;

pub mod fstree;

pub mod graph;

pub mod event;

pub mod lockfile;

pub mod attest;

pub mod trust;

pub mod frontend;

pub mod compress;

pub mod users;

pub mod store;

pub mod source;

pub mod registry;

pub mod sandbox;

pub mod solve;

pub mod export;

pub mod remote_cache;

pub mod ops;

pub mod cli;

pub mod dsl;
