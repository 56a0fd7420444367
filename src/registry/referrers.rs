//! What refers to a manifest: signatures, attestations, caches (distribution-spec, "Listing Referrers").
//!
//! A registry that does not know of this keeps them as an index under a tag that is made of the digest; whoever adds one
//! changes that tag ("Referrers Tag Schema"). Nothing keeps two from doing so at once, so who has written looks whether its
//! entry is still there, and writes again if not ([`Repository::update`]).

use ureq::http::StatusCode;

use super::request::{self, Request};
use super::{Fetched, RegistryError, Repository, Which};
use crate::digest::Digest;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Descriptor, Document, Index, Manifest, media};

/// How often a tag is written that others write as well. That many would have to come first, each just after we looked.
const TRIES: u32 = 8;

/// The tag that stands for the referrers of a manifest.
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// A manifest as its subject's referrers list it.
pub fn as_referrer(manifest: &Manifest, bytes: &[u8]) -> Descriptor {
    let mut entry = Descriptor::of(manifest.media_type.as_deref().unwrap_or(media::MANIFEST), bytes);
    entry.artifact_type = manifest.artifact_type.clone().or_else(|| Some(manifest.config.media_type.clone()));
    entry.annotations.clone_from(&manifest.annotations);
    entry
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
            Some(Ok(Document::Manifest(_)) | Err(_)) | None => {
                let tagged = self.manifest(Which::Tag(&fallback_tag(subject)))?;
                Ok(entries(tagged))
            }
        }
    }

    /// Puts a manifest there that has a `subject`, and makes it known where the registry does not do so itself.
    pub fn put_referrer(&self, subject: &Digest, referrer: Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        if self.put_manifest(Which::Digest(referrer.digest), &referrer.media_type, bytes)? {
            return Ok(());
        }
        self.make_known(subject, &referrer, None)
    }

    /// Lists a referrer under the tag of its subject, in place of one that it comes instead of.
    pub fn make_known(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
        instead_of: Option<Digest>,
    ) -> Result<(), RegistryError> {
        let tag = fallback_tag(subject);
        self.update(&tag, |now| {
            let mut all = entries(now);
            if all.iter().any(|known| known.digest == referrer.digest) {
                return Ok(None);
            }
            all.retain(|known| Some(known.digest) != instead_of);
            all.push(referrer.clone());
            let index = Index::new(all).to_json();
            Ok(Some((Descriptor::of(media::INDEX, &index), index)))
        })?;
        Ok(())
    }

    /// Changes what a tag stands for: `change` is told what it is now, and says what it has to be, or that all is well.
    /// It is asked until all is well, since registries let the last writer win. What the last answer to a change was, if
    /// there was any: whether the registry keeps track of `subject`.
    pub(super) fn update(
        &self,
        tag: &str,
        mut change: impl FnMut(Option<Fetched>) -> Result<Option<(Descriptor, Vec<u8>)>, RegistryError>,
    ) -> Result<Option<bool>, RegistryError> {
        let mut answer = None;
        for tries in 0..TRIES {
            // The first look behind what was written is at once; who has to write again lets others finish.
            if tries > 1 {
                self.registries.pause(&self.contended(tag), tries - 1)?;
            }
            // What a mirror has is no matter here.
            let now = self.registries.retrying(|| self.manifest_at(&self.host, &self.path, Which::Tag(tag)))?;
            let Some((entry, bytes)) = change(now)? else { return Ok(answer) };
            match self.put_manifest(Which::Tag(tag), &entry.media_type, &bytes) {
                Ok(known) => answer = Some(known),
                // A registry to which two send the same blob at once may not know it for a moment.
                Err(RegistryError::Status { status: StatusCode::BAD_REQUEST, .. }) if tries + 1 < TRIES => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.contended(tag))
    }

    fn contended(&self, tag: &str) -> RegistryError {
        RegistryError::Malformed {
            registry: self.registry().to_owned(),
            what: self.what(Which::Tag(tag)),
            reason: "others change it at the same time, or what is written does not stay there".into(),
        }
    }
}

fn entries(tagged: Option<Fetched>) -> Vec<Descriptor> {
    match tagged.map(|fetched| fetched.document) {
        Some(Document::Index(index)) => index.manifests,
        Some(Document::Manifest(_)) | None => Vec::new(),
    }
}
