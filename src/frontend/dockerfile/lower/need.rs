//! What has to be looked up before a file can be lowered, and what was.
//!
//! A need names the place where it is asked for, so that whoever cannot fulfil it can say so there.

use std::collections::BTreeMap;

use super::Lowering;
use crate::digest::Digest;
use crate::frontend::dockerfile::ast::Span;
use crate::oci::{ImageConfig, Platform};

/// Something that has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// An image's configuration.
    Image {
        /// The image, as it is written once variables are expanded.
        reference: String,
        /// For which platform.
        platform: Platform,
        /// Where it is asked for.
        span: Span,
    },
    /// A file's digest and time.
    Http {
        /// Its URL.
        url: String,
        /// Where it is asked for.
        span: Span,
    },
    /// The commit of a branch, a tag or the default branch.
    Git {
        /// The repository's URL.
        url: String,
        /// The reference: a name, a full one such as `refs/tags/v1`, or a commit; empty for the default branch.
        reference: String,
        /// Where it is asked for.
        span: Span,
    },
}

/// What was looked up.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Images by reference and platform, as the need gave them.
    pub images: BTreeMap<(String, Platform), ResolvedImage>,
    /// Files by URL.
    pub http: BTreeMap<String, ResolvedHttp>,
    /// Commits by URL and reference.
    pub git: BTreeMap<(String, String), ResolvedGit>,
}

/// An image that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// What it is called in messages, with its digest.
    pub reference: String,
    /// Its configuration, which names its layers.
    pub config: ImageConfig,
}

/// A file that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedHttp {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its `Last-Modified` time in seconds since 1970.
    pub modified: Option<i64>,
}

/// A git reference that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedGit {
    /// The commit, 40 or 64 hexadecimal digits.
    pub commit: String,
}

impl Need {
    /// Whether the same is asked for, wherever that is.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Image { reference: a, platform: p, .. }, Self::Image { reference: b, platform: q, .. }) => {
                a == b && p == q
            }
            (Self::Http { url: a, .. }, Self::Http { url: b, .. }) => a == b,
            (Self::Git { url: a, reference: r, .. }, Self::Git { url: b, reference: s, .. }) => a == b && r == s,
            _ => false,
        }
    }
}

impl Lowering<'_> {
    /// Notes that something has to be looked up, once however often it is asked for.
    pub(super) fn need(&mut self, need: Need) {
        if !self.needs.iter().any(|known| known.is_like(&need)) {
            self.needs.push(need);
        }
    }
}
