//! The words of the OCI specifications: references, platforms, image configurations, manifests.
//!
//! What we write is our own types, so that the bytes are the same every time; what others wrote is kept as it is.

pub mod config;
mod platform;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use platform::{ParsePlatformError, Platform};
