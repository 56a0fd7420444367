//! What a user can ask for: the public API, one file each. Functions take a store and values and return values; nothing
//! is printed and no environment is read.

pub mod build;
mod context;
pub mod error;
mod history;
mod images;
mod import;
mod input;
mod inspect;
mod load;
mod rmi;
mod save;
mod tag;

pub use context::unpack_context;
pub use error::Error;
pub use history::{HistoryRow, history};
pub use images::{ImageRow, images};
pub use import::{ImportError, ImportOptions, LayerCompressor, import};
pub use inspect::{ImageInspect, inspect};
pub use load::{LoadError, LoadedImage, load, load_layout, load_path};
pub use rmi::{Removed, RmiError, rmi};
pub use save::{SaveOptions, save};
pub use tag::{TagError, tag};

#[cfg(test)]
mod tests;
