//! Images as people name them: by reference, by ID or the start of one, by digest.
//!
//! An ID is the digest of a configuration, as Docker had it; the digests of manifests and indexes are understood as well.
//! A name comes before an ID that looks the same.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::oci::{Descriptor, ParseReferenceError, Platform, Reference};
use crate::store::error::StoreError;
use crate::store::{ResolvedImage, Store};

/// Why an image was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("there is no image {0:?} in the store; `imgbuild images` lists those that are")]
    NotFound(String),
    /// There is one, but not for the platform asked for.
    #[error("the image {image:?} is not in the store for {platform}")]
    NoPlatform {
        /// What was asked for.
        image: String,
        /// For which platform.
        platform: Platform,
    },
    /// There are several.
    #[error("{text:?} is the start of several image IDs: {}; give more digits", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// The IDs that start so.
        ids: Vec<String>,
    },
    /// It can be neither a name nor an ID.
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What is listed in `index.json`: its manifest or index.
    pub descriptor: Descriptor,
    /// The name by which it was asked for; none if it was by ID or digest.
    pub reference: Option<Reference>,
    /// The digest that was asked for, if it was by ID or digest: of a configuration, manifest or index.
    pub id: Option<Digest>,
}

impl Store {
    /// Finds a listed image and one of its platforms: `platform` if given (none other will do), else the one that was
    /// asked for by ID, else this machine's, else the first that is there.
    pub fn find_image(&self, text: &str, platform: Option<&Platform>) -> Result<(Found, ResolvedImage), FindError> {
        let found = self.find(text)?;
        let digest = found.descriptor.digest;
        let image = if let Some(wanted) = platform {
            let image = self.resolve_digest(&digest, wanted)?;
            image.filter(|image| wanted.rank(&image.platform()).is_some())
        } else {
            let host = Platform::host();
            // The smallest comes first; of equals, the first one.
            let order = |image: &ResolvedImage| {
                let asked_for = found.id.is_some_and(|id| id == image.config_digest || id == image.manifest.digest);
                (!asked_for, image.platform() != host)
            };
            self.resolve_all(&digest)?.into_iter().min_by_key(order)
        };
        let image = image.ok_or_else(|| match platform {
            Some(platform) => FindError::NotFound(format!("{text} for {platform}")),
            None => StoreError::Missing(digest).into(),
        })?;
        Ok((found, image))
    }

    /// Finds a listed image by what a person wrote.
    pub fn find(&self, text: &str) -> Result<Found, FindError> {
        let index = self.index()?;
        let parsed = Reference::parse(text);
        if let Some((reference, descriptor)) =
            parsed.as_ref().ok().and_then(|reference| Some((reference, index.get(reference)?)))
        {
            return Ok(Found { descriptor: descriptor.clone(), reference: Some(reference.clone()), id: None });
        }
        let digits = text.strip_prefix(Digest::PREFIX).unwrap_or(text);
        let is_id = (1..=64).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        if !is_id {
            parsed?;
            return Err(FindError::NotFound(text.to_owned()));
        }
        let mut matches: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for entry in index.list() {
            let mut ids = vec![entry.descriptor.digest];
            // One damaged image must not hide the others.
            for image in self.resolve_all(&entry.descriptor.digest).unwrap_or_default() {
                ids.extend([image.manifest.digest, image.config_digest]);
            }
            for id in ids.into_iter().filter(|id| id.hex().starts_with(digits)) {
                matches.entry(id).or_insert_with(|| entry.descriptor.clone());
            }
        }
        // Several digests of one image are not ambiguous.
        let mut images: Vec<Digest> = matches.values().map(|descriptor| descriptor.digest).collect();
        images.sort();
        images.dedup();
        match (matches.pop_first(), images.len()) {
            (Some((id, descriptor)), 1) => Ok(Found { descriptor, reference: None, id: Some(id) }),
            (None, _) => Err(FindError::NotFound(text.to_owned())),
            (Some((id, _)), _) => {
                let ids = std::iter::once(id).chain(matches.into_keys()).map(|id| id.short()).collect();
                Err(FindError::Ambiguous { text: text.to_owned(), ids })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::images::tests::image;

    #[test]
    fn finds_by_name_and_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let descriptor = image(&store, "linux/amd64", b"layer");
        let config = store.resolve_all(&descriptor.digest).unwrap()[0].config_digest;
        store.set_reference(&"a:b".parse().unwrap(), descriptor.clone()).unwrap();
        let check = |text: &str| assert_eq!(store.find(text).unwrap().descriptor.digest, descriptor.digest, "{text}");
        check("a:b");
        check("docker.io/library/a:b");
        check(&config.short());
        check(&config.hex());
        check(&config.to_string());
        check(&descriptor.digest.to_string());
        check(&format!("a@{}", descriptor.digest));
        assert_eq!(store.find(&config.short()).unwrap().id, Some(config));
        for text in ["a", "a:c", "0".repeat(64).as_str()] {
            assert!(matches!(store.find(text), Err(FindError::NotFound(_))), "{text}");
        }
        assert!(matches!(store.find("A"), Err(FindError::Reference(_))));
    }

    #[test]
    fn an_ambiguous_start_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        // Seventeen images: two of them must start with the same digit.
        let ids: Vec<Digest> = (0..17u8)
            .map(|number| {
                let descriptor = image(&store, "linux/amd64", &[number]);
                store.update_index(|index| index.add_untagged(descriptor.clone())).unwrap();
                descriptor.digest
            })
            .collect();
        let shared =
            "0123456789abcdef".chars().find(|digit| ids.iter().filter(|id| id.hex().starts_with(*digit)).count() > 1);
        let error = store.find(&shared.unwrap().to_string()).unwrap_err();
        assert!(matches!(error, FindError::Ambiguous { .. }), "{error}");
    }
}
