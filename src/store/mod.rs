//! The store.

pub mod snapshot;
