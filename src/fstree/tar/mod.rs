//! Tar archives: reading everybody's, writing ours.
//!
//! Reading takes what is found in the wild, image layers as well as archives given to `ADD`: POSIX (ustar and PAX), GNU
//! and Unix v7 headers, sparse files, broken tails. Names are resolved by themselves and clamped at the root; symbolic
//! links are data, never followed. Writing has one profile, described in [`write`], so that one layer has one tar.
//!
//! Only streams are known here: compression is someone else's, and so are the files of a disk.

mod entry;
mod header;
mod list;
mod pax;
mod read;
mod sparse;
pub mod write;

pub use entry::{Dialect, Limits, RawEntry, RawKind};
pub use header::looks_like_tar;
pub use list::{Listing, list};
pub use read::{Content, TarReader};
pub use write::{Contents, NoContents, PROFILE_VERSION, Verify, WriteError, holds_all_of, write};

use std::io;

/// The size of a tar's unit, in bytes.
const BLOCK: usize = 512;

/// An archive that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}{reason}", self.place())]
pub struct TarError {
    /// The name of the entry as the archive has it; none if its header could not be read.
    pub entry: Option<String>,
    /// Where the entry's first header starts, in bytes from the start of the archive.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub reason: Reason,
}

impl TarError {
    fn place(&self) -> String {
        match &self.entry {
            Some(name) => format!("tar entry {name:?} at byte {}: ", self.offset),
            None => format!("tar archive, at byte {}: ", self.offset),
        }
    }
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The bytes could not be read, or could not be decompressed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The archive ends in the middle of something.
    #[error("the archive is cut off here")]
    CutOff,
    /// No tar header where one must be.
    #[error("this is not a tar header (its checksum is wrong)")]
    NotAHeader,
    /// A field of the header that holds no number.
    #[error("the header's {0} is not a number")]
    Number(&'static str),
    /// A number that no file system has.
    #[error("the header's {0} is out of range")]
    Range(&'static str),
    /// Extended header records that do not parse.
    #[error("its extended (PAX) header is damaged")]
    Pax,
    /// A sparse map that contradicts itself.
    #[error("its map of a sparse file is damaged")]
    Sparse,
    /// A name that cannot be one.
    #[error("its {0} has a zero byte in it, or is empty")]
    Name(&'static str),
    /// The root can only be a folder.
    #[error("it would replace the root folder")]
    Root,
    /// Entries of this type only make sense with what they came from.
    #[error("it has the type {0:?}, which cannot be unpacked")]
    Type(char),
    /// More than the caller's limits allow.
    #[error("{what} are more than the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

#[cfg(test)]
mod tests;
