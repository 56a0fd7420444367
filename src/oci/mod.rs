//! The words of the OCI specifications: references, platforms, image configurations, manifests.
//!
//! What we write is our own types, so that the bytes are the same every time; what others wrote is kept as it is.

pub mod config;
pub mod manifest;
pub mod media;
mod platform;
mod reference;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use platform::{ParsePlatformError, Platform};
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, ParseReferenceError, Reference};
