//! What imgbuild can do, one file for each operation: the public API that the command line calls.

pub mod error;

pub use error::Error;
