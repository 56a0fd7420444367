//! What belongs to an image: its manifests, each after those that it names, and its blobs, each once.

use std::collections::BTreeSet;

use super::Source;
use crate::digest::Digest;
use crate::oci::manifest::ManifestError;
use crate::oci::{Descriptor, Document, Index, Platform, media};
use crate::registry::RegistryError;

/// How many indexes may stand within each other.
const MAX_NESTING: u32 = 4;

/// Which platforms of an image are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// All, with what describes them (attestations).
    All,
    /// The best for each of these.
    Only(Vec<Platform>),
}

/// Everything that an image needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its manifest or index.
    pub root: Descriptor,
    /// Manifests and indexes with their bytes, the root last.
    pub documents: Vec<(Descriptor, Vec<u8>)>,
    /// Configurations and layers.
    pub blobs: Vec<Descriptor>,
    /// Manifests that the source does not have, although its index names them.
    pub missing: Vec<Descriptor>,
    /// The manifests that are images.
    pub images: Vec<Descriptor>,
    seen: BTreeSet<Digest>,
}

impl Plan {
    /// What `root` needs of the given platforms.
    pub fn new(source: &dyn Source, root: &Descriptor, platforms: &Platforms) -> Result<Self, RegistryError> {
        let mut plan = Self {
            root: root.clone(),
            documents: Vec::new(),
            blobs: Vec::new(),
            missing: Vec::new(),
            images: Vec::new(),
            seen: BTreeSet::new(),
        };
        if !plan.visit(source, root, platforms, MAX_NESTING)? {
            return Err(RegistryError::Missing(root.digest));
        }
        // Its own words count, not those of whoever named it.
        if let Some((own, _)) = plan.documents.last() {
            plan.root = own.clone();
        }
        Ok(plan)
    }

    /// Only the one image that is planned, without the index that it was chosen from; the same if there are several.
    pub fn without_index(mut self) -> Self {
        if let [image] = &self.images[..] {
            self.root = image.clone();
            let digest = image.digest;
            self.documents.retain(|(entry, _)| entry.digest == digest);
            self.missing.clear();
        }
        self
    }

    /// Plans a manifest or index; whether it is there.
    fn visit(
        &mut self,
        source: &dyn Source,
        entry: &Descriptor,
        platforms: &Platforms,
        depth: u32,
    ) -> Result<bool, RegistryError> {
        if !self.seen.insert(entry.digest) {
            return Ok(true);
        }
        let unusable = |source| RegistryError::Manifest { digest: entry.digest, source };
        let Some(bytes) = source.document(entry)? else { return Ok(false) };
        let document = Document::parse(&bytes).map_err(unusable)?;
        let own = Descriptor::of(document.media_type(), &bytes);
        match document {
            Document::Index(_) if depth == 0 => return Err(unusable(ManifestError::Nested)),
            Document::Index(index) => {
                for child in chosen(&index, platforms) {
                    if !self.visit(source, child, platforms, depth - 1)? {
                        self.missing.push(child.clone());
                    }
                }
                if let (Platforms::Only(wanted), true, true) =
                    (platforms, self.images.is_empty(), self.missing.is_empty())
                {
                    let wanted: Vec<String> = wanted.iter().map(Platform::to_string).collect();
                    return Err(RegistryError::NoPlatform { wanted: wanted.join(" or "), offered: index.platforms() });
                }
            }
            Document::Manifest(manifest) => {
                if manifest.is_image() && !entry.is_no_image() {
                    self.images.push(own.clone());
                }
                for blob in manifest.layers.into_iter().chain([manifest.config]) {
                    if self.seen.insert(blob.digest) {
                        self.blobs.push(blob);
                    }
                }
            }
        }
        self.documents.push((own, bytes));
        Ok(true)
    }
}

/// The entries of an index that are meant.
fn chosen<'i>(index: &'i Index, platforms: &Platforms) -> Vec<&'i Descriptor> {
    match platforms {
        Platforms::All => index.manifests.iter().collect(),
        Platforms::Only(wanted) => {
            let best = wanted.iter().filter_map(|platform| index.candidates(platform).first().copied());
            let mut chosen: Vec<&Descriptor> = Vec::new();
            for entry in best {
                if !chosen.iter().any(|known| known.digest == entry.digest) {
                    chosen.push(entry);
                }
            }
            chosen
        }
    }
}

/// Whether a blob can be had at a URL, so that others need not have it.
pub(super) fn may_be_missing(blob: &Descriptor) -> bool {
    media::is_foreign(&blob.media_type)
}
