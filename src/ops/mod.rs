//! What a user can ask for: the public API, one file each. Functions take a store and values and return values; nothing
//! is printed and no environment is read.

pub mod account;
pub mod build;
mod check;
pub mod container;
mod context;
mod copy;
pub mod debug;
pub mod df;
pub mod diff;
pub mod error;
mod fetch;
mod file;
pub mod fsck;
mod history;
mod images;
mod import;
mod inspect;
pub mod inventory;
mod list;
mod load;
mod lock;
mod opened;
pub mod prune;
mod pull;
mod push;
pub mod record;
mod remote_image;
mod rmi;
mod save;
pub mod sbom;
pub mod signatures;
mod tag;
pub mod task;
pub mod tree;
pub mod verify;
pub mod verify_image;

pub use check::{FixedFile, check, fix, write_fixed};
pub use context::unpack_context;
pub use copy::{Copied, Copying, Place, copy};
pub use error::Error;
pub use fetch::{Fetched, fetch};
pub use file::{write_file, write_stream};
pub use history::{HistoryRow, history};
pub use images::{ImageRow, images};
pub use import::{ImportError, ImportOptions, ImportedImage, import};
pub use inspect::{ImageInspect, inspect, inspect_remote};
pub use list::{search, tags};
pub use load::{LoadError, LoadOptions, LoadedImage, load, load_layout, load_path};
pub use lock::{LockReport, LockRequest, Renew, lock, parse_precise};
pub use opened::{ImageName, OpenedImage};
pub use pull::{Pulled, pull};
pub use push::{Pushed, push};
pub use remote_image::{RemoteImage, fetch_image, remote_image};
pub use rmi::{Removed, RmiError, rmi};
pub use save::{SaveError, SaveOptions, complete, save};
pub use tag::{TagError, tag};

#[cfg(test)]
mod tests;
