//! What is said about an image, beside it: the packages in it (an SBOM, in SPDX's or CycloneDX's form) and how it was made
//! (provenance, in SLSA's), each as an in-toto statement.
//!
//! Values and bytes only: which files of a file system are of interest ([`Format::of`]), what they say
//! ([`Inventory::read`]), and the documents. Somebody else reads the files, and puts the documents beside the image. The
//! same image gives the same bytes: lists are sorted, identifiers come from digests, and the only time is that of the
//! image itself.
//!
//! The files are other people's. A parser takes what it understands and skips what it does not; none can fail, and none
//! makes more of its input than the input has bytes.

mod apk;
mod cyclonedx;
mod dpkg;
mod executable;
mod format;
mod inventory;
mod languages;
mod package;
mod pieces;
mod provenance;
mod rpm;
mod spdx;
mod stanza;
mod statement;

pub use cyclonedx::cyclonedx;
pub use format::{Format, MAX_ALL, MAX_FILE, MAX_PACKAGES};
pub use inventory::Inventory;
pub use package::{Distribution, Ecosystem, Package};
pub use pieces::{Pieces, ReadSeek};
pub use provenance::{Build, Dependency, Detail, provenance};
pub use spdx::spdx;
pub use statement::{Predicate, ReadStatement, read_statement, statement};

use crate::digest::Digest;

/// The image that a document is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its manifest.
    pub digest: Digest,
    /// When it says that it was made, RFC 3339.
    pub created: Option<String>,
}

impl Subject {
    /// When it was made, to the second in UTC, as both forms want it; the epoch of images where it does not say so.
    fn time(&self) -> String {
        let shape = |text: &str| {
            let whole = text.get(..19).filter(|_| text.ends_with('Z'))?;
            let fits = whole.bytes().zip(b"0000-00-00T00:00:00").all(|(is, wanted)| match wanted {
                b'0' => is.is_ascii_digit(),
                other => is == *other,
            });
            fits.then(|| format!("{whole}Z"))
        };
        self.created.as_deref().and_then(shape).unwrap_or_else(|| "1980-01-01T00:00:00Z".into())
    }
}

/// What the documents call this program.
const TOOL: &str = "imgbuild";
/// Its version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests;
