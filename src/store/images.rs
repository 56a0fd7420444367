//! From a name to layers: index, manifest and configuration, read and checked.
//!
//! Finding an image takes `index.json` and three small blobs at most. Whether its layers are there is not looked at: they
//! may be fetched when a step needs them. An index may name platforms whose manifests were never fetched; asking for one of
//! those finds nothing, as if the image were not there, so that it is fetched.

use std::collections::BTreeSet;

use crate::digest::{DiffId, Digest};
use crate::oci::manifest::{MAX_CONFIG, MAX_MANIFEST, ManifestError};
use crate::oci::{Descriptor, Document, ImageConfig, Manifest, Platform, Reference, media};
use crate::store::Store;
use crate::store::error::{Result, StoreError};

/// How many indexes may stand within each other.
const MAX_NESTING: u32 = 4;

/// An image for one platform, with everything that a build must know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedImage {
    /// The name by which it was found, if it was by name.
    pub reference: Option<Reference>,
    /// The index that its manifest was chosen from, if there is one.
    pub index_digest: Option<Digest>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The digest of its configuration: its ID, as Docker had it.
    pub config_digest: Digest,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, bottom first. Their blobs may be missing.
    pub layers: Vec<(Descriptor, DiffId)>,
}

impl ResolvedImage {
    /// The digest of its manifest.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest.digest
    }

    /// The digest that its name stands for: its index, or its manifest where there is no index.
    pub fn digest(&self) -> Digest {
        self.index_digest.unwrap_or(self.manifest.digest)
    }

    /// The platform that its configuration says it is for.
    pub fn platform(&self) -> Platform {
        platform_of(&self.config)
    }

    /// The diff IDs of its layers, bottom first.
    pub fn diff_ids(&self) -> Vec<DiffId> {
        self.layers.iter().map(|(_, diff_id)| *diff_id).collect()
    }
}

/// A manifest that was chosen, before its configuration is read.
struct Chosen {
    index: Option<Digest>,
    descriptor: Descriptor,
    manifest: Manifest,
}

impl Store {
    /// The image of this name for a platform; none if it is not in the store.
    ///
    /// A name for a single manifest gives that, whatever its platform is: compare [`ResolvedImage::platform`]. A digest
    /// is enough: the name need not be known if the blob is there.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Option<ResolvedImage>> {
        let found = match (self.get_reference(reference)?, reference.digest()) {
            (Some(descriptor), _) => self.resolve_digest(&descriptor.digest, platform)?,
            (None, Some(digest)) => self.resolve_digest(&digest, platform)?,
            (None, None) => None,
        };
        Ok(found.map(|image| ResolvedImage { reference: Some(reference.clone()), ..image }))
    }

    /// The image behind the digest of a manifest or index; none if it is not in the store.
    pub fn resolve_digest(&self, digest: &Digest, platform: &Platform) -> Result<Option<ResolvedImage>> {
        match self.choose(digest, platform, MAX_NESTING, &mut BTreeSet::new())? {
            Some(chosen) => self.complete(chosen),
            None => Ok(None),
        }
    }

    /// The images of all platforms behind a digest that are in the store, in the order of the index.
    ///
    /// What is no image (attestations, artifacts) is left out.
    pub fn resolve_all(&self, digest: &Digest) -> Result<Vec<ResolvedImage>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        self.collect(digest, None, MAX_NESTING, &mut seen, &mut all)?;
        Ok(all)
    }

    /// A manifest or index, checked; none if it is not in the store.
    pub fn document(&self, digest: &Digest) -> Result<Option<Document>> {
        let Some(json) = self.read_if_there(digest, MAX_MANIFEST)? else { return Ok(None) };
        Document::parse(&json).map(Some).map_err(manifest_error(digest))
    }

    /// An image configuration, checked; none if it is not in the store.
    pub fn config(&self, digest: &Digest) -> Result<Option<ImageConfig>> {
        let Some(json) = self.read_if_there(digest, MAX_CONFIG)? else { return Ok(None) };
        ImageConfig::parse(&json).map(Some).map_err(|error| manifest_error(digest)(error.into()))
    }

    /// All blobs that an image needs, itself included, whether they are there or not.
    ///
    /// What cannot be read is taken to need nothing else.
    pub fn blobs_of(&self, digest: &Digest) -> Result<BTreeSet<Digest>> {
        let mut found = BTreeSet::new();
        self.walk(*digest, MAX_NESTING, &mut found)?;
        Ok(found)
    }

    /// All blobs that the images in `index.json` need.
    pub fn reachable(&self) -> Result<BTreeSet<Digest>> {
        let mut found = BTreeSet::new();
        for entry in self.list_references()? {
            self.walk(entry.descriptor.digest, MAX_NESTING, &mut found)?;
        }
        Ok(found)
    }

    fn walk(&self, digest: Digest, depth: u32, found: &mut BTreeSet<Digest>) -> Result<()> {
        if !found.insert(digest) || depth == 0 {
            return Ok(());
        }
        match self.document(&digest) {
            Ok(Some(Document::Manifest(manifest))) => {
                found.insert(manifest.config.digest);
                found.extend(manifest.layers.iter().map(|layer| layer.digest));
                Ok(())
            }
            Ok(Some(Document::Index(index))) => {
                index.manifests.iter().try_for_each(|entry| self.walk(entry.digest, depth - 1, found))
            }
            Ok(None) | Err(StoreError::Manifest { .. } | StoreError::Mismatch { .. } | StoreError::TooLarge { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// `seen` are the manifests and indexes that were looked at in vain: what they are not, they are nowhere else either.
    fn choose(
        &self,
        digest: &Digest,
        wanted: &Platform,
        depth: u32,
        seen: &mut BTreeSet<Digest>,
    ) -> Result<Option<Chosen>> {
        let index = match self.document(digest)? {
            None => return Ok(None),
            Some(Document::Manifest(manifest)) => return self.chosen(digest, *manifest).map(Some),
            Some(Document::Index(_)) if depth == 0 => return Err(manifest_error(digest)(ManifestError::Nested)),
            Some(Document::Index(index)) => index,
        };
        for candidate in index.candidates(wanted) {
            if candidate.platform.is_none() && !seen.insert(candidate.digest) {
                continue;
            }
            let chosen = match self.choose(&candidate.digest, wanted, depth - 1, seen) {
                // An entry that does not say what it is may be something else.
                Err(StoreError::Manifest { source: ManifestError::NotAnImage(_), .. }) => continue,
                chosen => chosen?,
            };
            match (chosen, candidate.platform.is_some()) {
                (Some(chosen), true) => return Ok(Some(Chosen { index: Some(*digest), ..chosen })),
                (Some(chosen), false) => {
                    let config = self.config(&chosen.manifest.config.digest)?;
                    if config.is_some_and(|config| wanted.rank(&platform_of(&config)).is_some()) {
                        return Ok(Some(Chosen { index: Some(*digest), ..chosen }));
                    }
                }
                // The best one is not here. A worse one would give another result than after it is fetched.
                (None, true) => return Ok(None),
                (None, false) => {}
            }
        }
        Ok(None)
    }

    fn chosen(&self, digest: &Digest, manifest: Manifest) -> Result<Chosen> {
        if !manifest.is_image() {
            return Err(manifest_error(digest)(ManifestError::NotAnImage(manifest.config.media_type)));
        }
        let media_type = manifest.media_type.clone().unwrap_or_else(|| media::MANIFEST.to_owned());
        let size = self.size(digest)?.unwrap_or_default();
        Ok(Chosen { index: None, descriptor: Descriptor::new(media_type, *digest, size), manifest })
    }

    fn complete(&self, chosen: Chosen) -> Result<Option<ResolvedImage>> {
        let Chosen { index, descriptor, manifest } = chosen;
        let config_digest = manifest.config.digest;
        let Some(config) = self.config(&config_digest)? else { return Ok(None) };
        let layers = manifest.layers_with(&config).map_err(manifest_error(&descriptor.digest))?;
        let image =
            ResolvedImage { reference: None, index_digest: index, manifest: descriptor, config_digest, config, layers };
        Ok(Some(image))
    }

    /// `seen` are the manifests and indexes that were looked at: indexes may name one thousands of times.
    fn collect(
        &self,
        digest: &Digest,
        index: Option<Digest>,
        depth: u32,
        seen: &mut BTreeSet<Digest>,
        all: &mut Vec<ResolvedImage>,
    ) -> Result<()> {
        if !seen.insert(*digest) {
            return Ok(());
        }
        match self.document(digest)? {
            Some(Document::Manifest(manifest)) if manifest.is_image() => {
                let chosen = self.chosen(digest, *manifest)?;
                all.extend(self.complete(Chosen { index, ..chosen })?);
            }
            Some(Document::Index(_)) if depth == 0 => return Err(manifest_error(digest)(ManifestError::Nested)),
            Some(Document::Index(entries)) => {
                for entry in entries.manifests.iter().filter(|entry| !entry.is_no_image()) {
                    self.collect(&entry.digest, index.or(Some(*digest)), depth - 1, seen, all)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read_if_there(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.read(digest, limit) {
            Err(StoreError::Missing(_)) => Ok(None),
            read => read.map(Some),
        }
    }
}

/// The platform that a configuration says it is for.
pub(crate) fn platform_of(config: &ImageConfig) -> Platform {
    Platform::new(&config.os, &config.architecture, config.variant.as_deref())
}

fn manifest_error(digest: &Digest) -> impl FnOnce(ManifestError) -> StoreError {
    let digest = *digest;
    move |source| StoreError::Manifest { digest, source }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::oci::{Index, RootFs};

    /// Puts an image of one tiny layer into a store; returns its manifest's descriptor with its platform.
    pub(crate) fn image(store: &Store, platform: &str, layer: &[u8]) -> Descriptor {
        let platform: Platform = platform.parse().unwrap();
        let blob = store.put(layer).unwrap();
        let config = ImageConfig {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            rootfs: RootFs { diff_ids: vec![DiffId::from_bytes(*blob.digest.as_bytes())], ..RootFs::default() },
            ..ImageConfig::default()
        };
        let config = config.to_json();
        store.put(&config).unwrap();
        let layers = vec![Descriptor::new(media::LAYER, blob.digest, blob.size)];
        let manifest = Manifest::new(Descriptor::of(media::CONFIG, &config), layers).to_json();
        store.put(&manifest).unwrap();
        Descriptor::of(media::MANIFEST, &manifest).for_platform(&platform)
    }

    /// Puts an index of these images into a store.
    pub(crate) fn index(store: &Store, entries: Vec<Descriptor>) -> Descriptor {
        let json = Index::new(entries).to_json();
        store.put(&json).unwrap();
        Descriptor::of(media::INDEX, &json)
    }

    fn setup() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn resolves_names_and_digests() {
        let (_folder, store) = setup();
        let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, platform.as_bytes()));
        let both = index(&store, vec![amd.clone(), arm.clone()]);
        let name: Reference = "a".parse().unwrap();
        let platform: Platform = "linux/arm64".parse().unwrap();
        assert_eq!(store.resolve(&name, &platform).unwrap(), None);
        store.set_reference(&name, both.clone()).unwrap();
        let found = store.resolve(&name, &platform).unwrap().unwrap();
        assert_eq!((found.index_digest, found.manifest.digest), (Some(both.digest), arm.digest));
        assert_eq!((found.digest(), found.platform()), (both.digest, platform.clone()));
        assert_eq!(found.layers[0].0.digest, Digest::of(b"linux/arm64"));
        // A single manifest is what it is.
        store.set_reference(&name, amd.clone()).unwrap();
        let found = store.resolve(&name, &platform).unwrap().unwrap();
        assert_eq!((found.index_digest, found.digest()), (None, amd.digest));
        assert_eq!(found.platform(), "linux/amd64".parse().unwrap());
        // By digest, whatever the name.
        let pinned = Reference::parse("b").unwrap().by_digest(both.digest);
        assert_eq!(store.resolve(&pinned, &platform).unwrap().unwrap().manifest.digest, arm.digest);
    }

    #[test]
    fn a_platform_that_was_not_fetched_is_not_there() {
        let (_folder, store) = setup();
        let v6 = image(&store, "linux/arm/v6", b"v6");
        let v7 = Descriptor::of(media::MANIFEST, b"elsewhere").for_platform(&"linux/arm/v7".parse().unwrap());
        let digest = index(&store, vec![v6.clone(), v7]).digest;
        let resolve = |platform: &str| store.resolve_digest(&digest, &platform.parse().unwrap()).unwrap();
        assert_eq!(resolve("linux/arm/v7"), None, "v6 would do, but is not what fetching gives");
        assert_eq!(resolve("linux/arm/v6").unwrap().manifest.digest, v6.digest);
        assert_eq!(resolve("linux/s390x"), None);
        assert_eq!(store.resolve_all(&digest).unwrap().len(), 1);
    }

    #[test]
    fn looks_into_nested_and_unnamed_entries() {
        let (_folder, store) = setup();
        let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, platform.as_bytes()));
        let inner = index(&store, vec![arm.clone()]);
        let outer = index(&store, vec![Descriptor { platform: None, ..amd.clone() }, inner]).digest;
        let resolve = |platform: &str| store.resolve_digest(&outer, &platform.parse().unwrap()).unwrap();
        assert_eq!(resolve("linux/arm64").unwrap().manifest.digest, arm.digest);
        assert_eq!(resolve("linux/amd64").unwrap().manifest.digest, amd.digest);
        assert_eq!(resolve("linux/s390x"), None);
        assert_eq!(store.resolve_all(&outer).unwrap().len(), 2);
        assert_eq!(store.blobs_of(&outer).unwrap(), store.blobs().unwrap());
        let mut deep = amd;
        for _ in 0..6 {
            deep = index(&store, vec![Descriptor { platform: None, ..deep }]);
        }
        let message = store.resolve_digest(&deep.digest, &Platform::host()).unwrap_err().to_string();
        assert!(message.contains("nested"), "{message}");
    }

    #[test]
    fn damage_is_an_error_and_a_leaf() {
        let (_folder, store) = setup();
        let image = image(&store, "linux/amd64", b"layer");
        std::fs::write(store.blob_path(&image.digest), "{}").unwrap();
        assert!(store.resolve_digest(&image.digest, &Platform::host()).is_err());
        assert_eq!(store.blobs_of(&image.digest).unwrap(), [image.digest].into());
    }
}
