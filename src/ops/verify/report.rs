//! What `verify` found, as values.

use crate::digest::{DiffId, Digest};
use crate::fstree::Scrub;
use crate::fstree::compare::{Difference, Spot};
use crate::oci::Platform;
use crate::oci::compare::FieldDifference;

/// What was found.
#[derive(Debug)]
pub struct VerifyReport {
    /// What was compared with.
    pub expectation: Expectation,
    /// Each platform of each target.
    pub images: Vec<VerifiedImage>,
}

impl VerifyReport {
    /// Whether everything came out as expected.
    pub fn is_good(&self) -> bool {
        self.images.iter().all(|image| image.was == image.is)
    }
}

/// What a build is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// What the lockfile says that it comes to.
    Recorded,
    /// Another build of the same.
    SecondBuild,
}

/// One image.
#[derive(Debug)]
pub struct VerifiedImage {
    /// What the lockfile calls its target.
    pub target: String,
    /// Its platform.
    pub platform: Platform,
    /// The manifest that was expected.
    pub was: Digest,
    /// The manifest that came out.
    pub is: Digest,
    /// Whether the definition is another one than when its output was recorded.
    pub definition_changed: bool,
    /// What differs.
    pub findings: Vec<Finding>,
}

/// Something that differs between two images.
#[derive(Debug)]
pub enum Finding {
    /// They have different numbers of layers.
    Layers(usize, usize),
    /// A layer differs.
    Layer(LayerFinding),
    /// A layer is the same, but compressed to another blob.
    Compression {
        /// Which.
        part: Part,
        /// The blob that was expected.
        was: Digest,
        /// The blob that came out.
        is: Digest,
    },
    /// A field of the configuration differs.
    Config(FieldDifference),
    /// The history differs.
    History(FieldDifference),
    /// A field of the manifest differs, such as an annotation.
    Manifest(FieldDifference),
    /// Everything that is known of the expected image is the same, but its manifest is another: only its digest is known.
    OnlyDigest,
}

/// A layer that differs.
#[derive(Debug)]
pub struct LayerFinding {
    /// Which.
    pub part: Part,
    /// What was expected.
    pub was: DiffId,
    /// What came out.
    pub is: DiffId,
    /// What differs in it; none if only the digest of the expected one is known.
    pub files: Option<Vec<FileFinding>>,
}

/// A layer, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, the lowest being 1.
    pub number: usize,
    /// The instruction that made it.
    pub instruction: String,
    /// Where that is written: the file and the line.
    pub place: Option<(String, u32)>,
}

/// A file that differs.
#[derive(Debug)]
pub struct FileFinding {
    /// How.
    pub difference: Difference,
    /// Where its bytes differ first, if they do.
    pub spot: Option<Spot>,
    /// What would take that difference away.
    pub scrub: Option<Scrub>,
}
