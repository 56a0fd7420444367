//! The lockfile: what everything that comes from outside was, so that the next build takes the same.
//!
//! `build.lock` beside a `build.toml`, `<Dockerfile>.lock` beside a Dockerfile built on its own. TOML, for people to read and
//! review: one table per thing, sorted by kind and name, so that two branches that lock different things merge without a
//! conflict. What was pinned and for which platform is the key, as it is written in the build; what it was is the value.
//!
//! | table | key | value |
//! |---|---|---|
//! | `[[image]]` | reference as written, platform | digests of index, manifest, configuration |
//! | `[[http]]` | URL | SHA-256, size, `Last-Modified` |
//! | `[[git]]` | URL, ref as written | commit |
//! | `[[target]]` | name (left out where there is none), platform | digest of the definition as the files alone have it, by which a stale lock is noticed |
//! | `[[output]]` | target (as above), platform | digests of manifest and layers, and of the definition if it was another one; only on request, for `imgbuild verify` |
//!
//! Values only: reading and writing the file, and what to do when it does not fit the build, is somebody else's.

mod change;
mod format;
mod name;
mod policy;
mod time;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::digest::{DiffId, Digest};
use crate::graph::DefinitionDigest;
use crate::oci::Platform;

pub use change::{Change, ChangeKind};
pub use policy::{PolicyError, SourcePolicy};

/// The version of the format.
pub const VERSION: i64 = 1;

/// A lockfile that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LockError {
    /// What is wrong with it, and what to do.
    pub message: String,
    /// The bytes in question.
    pub span: Range<usize>,
    /// The line of their start, counted from 1.
    pub line: usize,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKey {
    /// An image.
    Image {
        /// The reference as written in the build.
        reference: String,
        /// For this platform.
        platform: Platform,
    },
    /// A file behind a URL.
    Http {
        /// The URL as written.
        url: String,
    },
    /// A git repository.
    Git {
        /// Its URL as written.
        url: String,
        /// The branch, tag or commit as written; empty for the default branch.
        reference: String,
    },
    /// The definition of a target.
    Target {
        /// Its name; of a Dockerfile built on its own the stage that was asked for, empty for the last.
        name: String,
        /// For this platform.
        platform: Platform,
    },
    /// What a target came to.
    Output {
        /// Its name, as for its definition.
        target: String,
        /// For this platform.
        platform: Platform,
    },
}

/// Exactly what something is to be pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precise {
    /// An image's index or manifest, or a file's SHA-256.
    Digest(Digest),
    /// A commit, in full.
    Commit(String),
}

/// What an image was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedImage {
    /// The index that the reference stood for; none if it was a manifest.
    pub index: Option<Digest>,
    /// The manifest for the platform.
    pub manifest: Digest,
    /// The configuration.
    pub config: Digest,
}

/// What a file behind a URL was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedHttp {
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its `Last-Modified`, in seconds since 1970, if the server gave one.
    pub last_modified: Option<i64>,
}

/// What a target came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOutput {
    /// The manifest.
    pub manifest: Digest,
    /// The diff IDs of the layers, bottom first.
    pub layers: Vec<DiffId>,
    /// What it was made of, if flags or the environment said something else than the files; else what its target says.
    pub definition: Option<DefinitionDigest>,
}

/// Everything that is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile {
    images: BTreeMap<(String, Platform), LockedImage>,
    http: BTreeMap<String, LockedHttp>,
    git: BTreeMap<(String, String), String>,
    targets: BTreeMap<(String, Platform), DefinitionDigest>,
    outputs: BTreeMap<(String, Platform), LockedOutput>,
}

impl Lockfile {
    /// Nothing pinned.
    pub fn new() -> Self {
        Self::default()
    }

    /// The JSON Schema of the file.
    pub fn schema() -> serde_json::Value {
        format::schema().to_value()
    }

    /// Reads a lockfile.
    ///
    /// # Errors
    /// Another version, a table or key that this version does not have, a value that is none, an entry twice.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        format::parse(text)
    }

    /// What an image was, by its reference as written.
    pub fn lookup_image(&self, reference: &str, platform: &Platform) -> Option<&LockedImage> {
        self.images.get(&(reference.to_owned(), platform.clone()))
    }

    /// Pins an image.
    pub fn record_image(&mut self, reference: &str, platform: &Platform, image: LockedImage) {
        self.images.insert((reference.to_owned(), platform.clone()), image);
    }

    /// What the file behind a URL was.
    pub fn lookup_http(&self, url: &str) -> Option<&LockedHttp> {
        self.http.get(url)
    }

    /// Pins the file behind a URL.
    pub fn record_http(&mut self, url: &str, file: LockedHttp) {
        self.http.insert(url.to_owned(), file);
    }

    /// The commit that a ref stood for.
    pub fn lookup_git(&self, url: &str, reference: &str) -> Option<&str> {
        self.git.get(&(url.to_owned(), reference.to_owned())).map(String::as_str)
    }

    /// Pins a ref to a commit: 40 or 64 hexadecimal digits.
    pub fn record_git(&mut self, url: &str, reference: &str, commit: &str) {
        self.git.insert((url.to_owned(), reference.to_owned()), commit.to_owned());
    }

    /// The definition that a target had when it was locked.
    pub fn lookup_target(&self, name: &str, platform: &Platform) -> Option<DefinitionDigest> {
        self.targets.get(&(name.to_owned(), platform.clone())).copied()
    }

    /// Notes the definition of a target.
    pub fn record_target(&mut self, name: &str, platform: &Platform, definition: DefinitionDigest) {
        self.targets.insert((name.to_owned(), platform.clone()), definition);
    }

    /// What a target is expected to come to, if that was asked for.
    pub fn lookup_output(&self, target: &str, platform: &Platform) -> Option<&LockedOutput> {
        self.outputs.get(&(target.to_owned(), platform.clone()))
    }

    /// Notes what a target came to.
    pub fn record_output(&mut self, target: &str, platform: &Platform, output: LockedOutput) {
        self.outputs.insert((target.to_owned(), platform.clone()), output);
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is pinned, in the order of the file.
    pub fn keys(&self) -> Vec<LockKey> {
        self.rows().into_iter().map(|row| row.key).collect()
    }

    /// Drops every entry that `used` does not want to keep.
    pub fn retain(&mut self, used: impl Fn(&LockKey) -> bool) {
        for key in self.keys() {
            if !used(&key) {
                self.remove(key);
            }
        }
    }

    /// Drops an entry; returns whether there was one.
    pub fn remove(&mut self, key: LockKey) -> bool {
        match key {
            LockKey::Image { reference, platform } => self.images.remove(&(reference, platform)).is_some(),
            LockKey::Http { url } => self.http.remove(&url).is_some(),
            LockKey::Git { url, reference } => self.git.remove(&(url, reference)).is_some(),
            LockKey::Target { name, platform } => self.targets.remove(&(name, platform)).is_some(),
            LockKey::Output { target, platform } => self.outputs.remove(&(target, platform)).is_some(),
        }
    }

    /// What differs between two lockfiles, in the order of the file.
    pub fn diff(old: &Self, new: &Self) -> Vec<Change> {
        change::diff(old, new)
    }
}

/// The text of the file: the same for the same content, ending with a line break.
impl fmt::Display for Lockfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format::write(self, f)
    }
}

/// Such as `image redis:7 (linux/amd64)`.
impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str| if name.is_empty() { String::new() } else { format!(" {name}") };
        match self {
            Self::Image { reference, platform } => write!(f, "image {reference} ({platform})"),
            Self::Http { url } => write!(f, "URL {url}"),
            Self::Git { url, reference } if reference.is_empty() => write!(f, "git {url}"),
            Self::Git { url, reference } => write!(f, "git {url}#{reference}"),
            Self::Target { name, platform } => write!(f, "definition of target{} ({platform})", named(name)),
            Self::Output { target, platform } => write!(f, "output of target{} ({platform})", named(target)),
        }
    }
}

#[cfg(test)]
mod tests;
