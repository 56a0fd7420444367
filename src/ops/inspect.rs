//! `inspect`: all about an image, in the words of `docker image inspect`.

use serde::Serialize;

use super::Error;
use super::images::stored_size;
use super::remote_image::RemoteImage;
use crate::digest::{DiffId, Digest};
use crate::oci::manifest::{
    ANNOTATION_PREDICATE_TYPE, ANNOTATION_REFERENCE_DIGEST, ANNOTATION_REFERENCE_TYPE, ATTESTATION_MANIFEST,
};
use crate::oci::{ContainerConfig, Descriptor, Document, ImageConfig, Platform, Reference};
use crate::registry::Registries;
use crate::store::{FindError, ResolvedImage, Store};

/// An image, as `docker image inspect` shows it. Serialises to its JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspect {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its names with a tag, in the familiar form.
    pub repo_tags: Vec<String>,
    /// Its names with the digest that they stand for, in the familiar form.
    pub repo_digests: Vec<String>,
    /// The remark of the last instruction.
    pub comment: String,
    /// Creation time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who is responsible for it.
    pub author: String,
    /// What containers are started with.
    pub config: ContainerConfig,
    /// Processor architecture.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system.
    pub os: String,
    /// The size of its manifest, configuration and layers as they are stored, in bytes.
    pub size: u64,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: InspectRootFs,
    /// What its name stands for: its index or manifest.
    pub descriptor: Descriptor,
    /// The digest of its manifest.
    pub manifest_digest: Digest,
    /// What is said about it, beside it. Not looked up in a registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<InspectAttestation>,
}

/// A statement about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectAttestation {
    /// What it states: the type of its predicate.
    pub predicate_type: String,
    /// The blob that it is.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The manifest that it is listed in.
    pub manifest: Digest,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectRootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The diff IDs, bottom first.
    pub layers: Vec<DiffId>,
}

/// All about an image, by name or ID, for a platform (or the first one that is there).
pub fn inspect(store: &Store, image: &str, platform: Option<&Platform>) -> Result<ImageInspect, FindError> {
    let (found, resolved) = store.find_image(image, platform)?;
    let mut descriptor = found.descriptor;
    let names = store.index()?.names(&descriptor.digest);
    let mut repo_tags: Vec<String> =
        names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect();
    let mut repo_digests: Vec<String> = names.iter().map(|name| name.by_digest(descriptor.digest).familiar()).collect();
    repo_tags.sort();
    repo_digests.sort();
    repo_digests.dedup();
    let size = stored_size(store, &resolved)?;
    let manifest_digest = resolved.manifest_digest();
    let layers = resolved.diff_ids();
    let attestations = attestations(store, &resolved)?;
    descriptor.annotations.clear();
    let names = Names { repo_tags, repo_digests };
    let inspected = of(resolved.config, resolved.config_digest, layers, size, descriptor, manifest_digest, names);
    Ok(ImageInspect { attestations, ..inspected })
}

/// What the image's index has to say about it, as far as that is in the store.
fn attestations(store: &Store, image: &ResolvedImage) -> Result<Vec<InspectAttestation>, FindError> {
    let Some(index) = image.index_digest else { return Ok(Vec::new()) };
    let Some(Document::Index(index)) = store.document(&index)? else { return Ok(Vec::new()) };
    let digest = image.manifest_digest().to_string();
    let is_about = |entry: &&Descriptor| {
        let has = |key: &str, value: &str| entry.annotations.get(key).is_some_and(|is| is == value);
        has(ANNOTATION_REFERENCE_TYPE, ATTESTATION_MANIFEST) && has(ANNOTATION_REFERENCE_DIGEST, &digest)
    };
    let mut found = Vec::new();
    for entry in index.manifests.iter().filter(is_about) {
        let Some(Document::Manifest(manifest)) = store.document(&entry.digest)? else { continue };
        found.extend(manifest.layers.into_iter().map(|layer| InspectAttestation {
            predicate_type: layer.annotations.get(ANNOTATION_PREDICATE_TYPE).cloned().unwrap_or_default(),
            digest: layer.digest,
            size: layer.size,
            manifest: entry.digest,
        }));
    }
    Ok(found)
}

/// All about an image in a registry, of which only manifest and configuration are read. It never enters the store.
pub fn inspect_remote(
    registries: &Registries,
    image: &str,
    platform: Option<&Platform>,
) -> Result<ImageInspect, Error> {
    let reference = Reference::parse(image)?;
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let found = super::remote_image(registries, &reference, &wanted)?;
    let RemoteImage { index, manifest, config, config_json_digest, parsed } = found;
    let descriptor = index.map_or_else(|| manifest.clone(), |index| index.descriptor);
    let names = Names {
        repo_tags: reference.tag().map(|_| reference.familiar()).into_iter().collect(),
        repo_digests: vec![reference.by_digest(descriptor.digest).familiar()],
    };
    let mut counted = std::collections::BTreeSet::new();
    let layers = parsed.layers.iter().filter(|layer| counted.insert(layer.digest)).map(|layer| layer.size);
    let size = manifest.size + parsed.config.size + layers.sum::<u64>();
    let diff_ids = config.rootfs.diff_ids.clone();
    Ok(of(config, config_json_digest, diff_ids, size, descriptor, manifest.digest, names))
}

/// What an image is called.
struct Names {
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
}

fn of(
    config: ImageConfig,
    id: Digest,
    layers: Vec<DiffId>,
    size: u64,
    descriptor: Descriptor,
    manifest_digest: Digest,
    names: Names,
) -> ImageInspect {
    ImageInspect {
        id,
        repo_tags: names.repo_tags,
        repo_digests: names.repo_digests,
        comment: config.history.last().map(|last| last.comment.clone()).unwrap_or_default(),
        created: config.created,
        author: config.author,
        config: config.config,
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        size,
        root_fs: InspectRootFs { kind: "layers", layers },
        descriptor,
        manifest_digest,
        attestations: Vec::new(),
    }
}
