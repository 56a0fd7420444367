//! What refers to a manifest: signatures, attestations, caches (distribution-spec, "Listing Referrers").
//!
//! A registry that does not know of this keeps them as an index under a tag that is made of the digest; whoever adds one
//! changes that tag.

use ureq::http::StatusCode;

use super::request::{self, Request};
use super::{RegistryError, Repository, Which};
use crate::digest::Digest;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Descriptor, Document, Index, media};

/// The tag that stands for the referrers of a manifest.
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Repository<'_> {
    /// What refers to a manifest.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let what = format!("referrers of {}@{subject}", self.path);
        let found = self.registries.retrying(|| {
            let path = format!("/v2/{}/referrers/{subject}", self.path);
            let (address, mut response) = self.call(&self.host, &path, false, &Request::get())?;
            match response.status() {
                StatusCode::OK => {
                    let url = request::shown(&address);
                    let registry = self.host.name();
                    request::read(self.registries, &url, &mut response, MAX_MANIFEST, registry, &what).map(Some)
                }
                // Registries that never heard of it say so in several ways.
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
                _ => Err(self.refused(&self.host, what.clone(), &mut response)),
            }
        })?;
        match found.as_deref().map(Document::parse) {
            Some(Ok(Document::Index(index))) => Ok(index.manifests),
            Some(Ok(Document::Manifest(_)) | Err(_)) | None => self.referrers_by_tag(subject),
        }
    }

    fn referrers_by_tag(&self, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        match self.manifest(Which::Tag(&fallback_tag(subject)))?.map(|fetched| fetched.document) {
            Some(Document::Index(index)) => Ok(index.manifests),
            Some(Document::Manifest(_)) | None => Ok(Vec::new()),
        }
    }

    /// Puts a manifest there that has a `subject`, and makes it known where the registry does not do so itself.
    pub fn put_referrer(&self, subject: &Digest, referrer: Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        if self.put_manifest(Which::Digest(referrer.digest), &referrer.media_type, bytes)? {
            return Ok(());
        }
        let mut all = self.referrers_by_tag(subject)?;
        if all.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        all.push(referrer);
        let index = Index::new(all).to_json();
        self.put_manifest(Which::Tag(&fallback_tag(subject)), media::INDEX, &index).map(drop)
    }
}
