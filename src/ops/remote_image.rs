//! An image in a registry as far as it must be known: manifest and configuration, without layers.

use std::io::Read;

use crate::digest::Digest;
use crate::oci::manifest::MAX_CONFIG;
use crate::oci::{Document, ImageConfig, Manifest, Platform, Reference};
use crate::ops::Error;
use crate::registry::{Check, Fetched, Registries, RegistryError, Repository, Which, origins};
use crate::store::Store;

/// An image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteImage {
    /// The index that it was chosen from, if there is one.
    pub index: Option<Fetched>,
    /// Its manifest.
    pub manifest: crate::oci::Descriptor,
    /// What that says.
    pub parsed: Manifest,
    /// Its configuration.
    pub config: ImageConfig,
    /// The digest of that.
    pub config_json_digest: Digest,
}

/// Which manifest a reference means: a digest is more than a tag.
pub(super) fn which(reference: &Reference) -> Which<'_> {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Which::Digest(digest),
        (None, tag) => Which::Tag(tag.unwrap_or(crate::oci::DEFAULT_TAG)),
    }
}

/// That a registry does not have what a reference means.
pub(super) fn not_found(reference: &Reference) -> RegistryError {
    RegistryError::NotFound {
        registry: reference.registry().to_owned(),
        what: format!("image {}", reference.familiar()),
    }
}

/// Looks an image up, without keeping anything.
pub fn remote_image(registries: &Registries, reference: &Reference, platform: &Platform) -> Result<RemoteImage, Error> {
    let repository = registries.repository(reference);
    let (image, _, _) = look_up(&repository, reference, which(reference), platform)?;
    Ok(image)
}

/// Brings manifest and configuration of an image into the store, and notes where its layers are. The digest of its
/// manifest, and of its index.
pub fn fetch_image(
    store: &Store,
    registries: &Registries,
    reference: &Reference,
    digest: Option<Digest>,
    platform: &Platform,
) -> Result<(Digest, Option<Digest>), RegistryError> {
    let repository = registries.repository(reference);
    let wanted = digest.map_or_else(|| which(reference), Which::Digest);
    let (image, manifest, config) = look_up(&repository, reference, wanted, platform)?;
    store.put(&config)?;
    store.put(&manifest.bytes)?;
    if let Some(index) = &image.index {
        store.put(&index.bytes)?;
    }
    for blob in image.parsed.layers.iter().chain([&image.parsed.config]) {
        origins::remember(store, &blob.digest, repository.name());
    }
    Ok((image.manifest.digest, image.index.map(|index| index.descriptor.digest)))
}

/// The image, its manifest as it was sent, and the bytes of its configuration.
fn look_up(
    repository: &Repository<'_>,
    reference: &Reference,
    which: Which<'_>,
    platform: &Platform,
) -> Result<(RemoteImage, Fetched, Vec<u8>), RegistryError> {
    let found = repository.image(which, platform)?.ok_or_else(|| not_found(reference))?;
    let (index, manifest) = found;
    let unusable = |source| RegistryError::Manifest { digest: manifest.descriptor.digest, source };
    let Document::Manifest(parsed) = &manifest.document else {
        return Err(unusable(crate::oci::manifest::ManifestError::Nested));
    };
    if !parsed.is_image() {
        let kind = parsed.config.media_type.clone();
        return Err(unusable(crate::oci::manifest::ManifestError::NotAnImage(kind)));
    }
    let what = format!("the configuration of {}", reference.familiar());
    let registry = reference.registry().to_owned();
    if parsed.config.size > MAX_CONFIG {
        return Err(RegistryError::TooLarge { registry, what, limit: MAX_CONFIG });
    }
    let missing = || RegistryError::NotFound { registry: registry.clone(), what: what.clone() };
    let mut download = repository.blob(&parsed.config, 0, Check::Digest)?.ok_or_else(missing)?;
    let mut json = Vec::new();
    download.read_to_end(&mut json).map_err(|error| {
        RegistryError::from_io(error, |error| RegistryError::Malformed {
            registry: registry.clone(),
            what: what.clone(),
            reason: error.to_string(),
        })
    })?;
    let config = ImageConfig::parse(&json).map_err(|error| unusable(error.into()))?;
    parsed.layers_with(&config).map_err(unusable)?;
    let image = RemoteImage {
        index,
        manifest: manifest.descriptor.clone(),
        parsed: (**parsed).clone(),
        config_json_digest: parsed.config.digest,
        config,
    };
    Ok((image, manifest, json))
}
