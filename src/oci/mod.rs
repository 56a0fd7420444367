//! The words of the OCI specifications: references, platforms, image configurations, manifests.
//!
//! What we write is our own types, so that the bytes are the same every time; what others wrote is kept as it is.

pub mod compare;
pub mod config;
pub mod manifest;
pub mod media;
mod platform;
mod reference;

use serde::{Deserialize, Deserializer};

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use platform::{ParsePlatformError, Platform};
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, ParseReferenceError, Reference};

/// Reads `null`, which Go writes for what is empty, as that.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
