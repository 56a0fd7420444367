//! `inspect`: all about an image, in the words of `docker image inspect`.

use serde::Serialize;

use super::images::stored_size;
use crate::digest::{DiffId, Digest};
use crate::oci::{ContainerConfig, Descriptor, Platform, Reference};
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
    let (descriptor, resolved) = find(store, image, platform)?;
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
    let mut descriptor = descriptor;
    descriptor.annotations.clear();
    let config = resolved.config;
    Ok(ImageInspect {
        id: resolved.config_digest,
        repo_tags,
        repo_digests,
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
    })
}

/// Finds an image and one of its platforms: the one asked for by ID or by `platform`, else this machine's, else the
/// first one.
pub(super) fn find(
    store: &Store,
    image: &str,
    platform: Option<&Platform>,
) -> Result<(Descriptor, ResolvedImage), FindError> {
    let found = store.find(image)?;
    let digest = found.descriptor.digest;
    let mut all = store.resolve_all(&digest)?;
    if let Some(platform) = platform {
        let resolved = store.resolve_digest(&digest, platform)?;
        let resolved = resolved.filter(|resolved| platform.rank(&resolved.platform()).is_some());
        let resolved =
            resolved.ok_or_else(|| FindError::NoPlatform { image: image.to_owned(), platform: platform.clone() })?;
        return Ok((found.descriptor, resolved));
    }
    let by_id =
        |image: &ResolvedImage| found.id.is_some_and(|id| id == image.config_digest || id == image.manifest.digest);
    let host = Platform::host();
    let at = all
        .iter()
        .position(by_id)
        .or_else(|| all.iter().position(|image| image.platform() == host))
        .or(if all.is_empty() { None } else { Some(0) });
    match at {
        Some(at) => Ok((found.descriptor, all.swap_remove(at))),
        None => Err(crate::store::StoreError::Missing(digest).into()),
    }
}
