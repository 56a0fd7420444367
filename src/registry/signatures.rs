//! Signatures of images in a registry: found by tag, as cosign keeps them, and among the referrers.

use std::io::Read;

use super::referrers::as_referrer;
use super::{Check, Content, Fetched, RegistryError, Repository, Which};
use crate::digest::Digest;
use crate::oci::{Descriptor, Document};
use crate::trust::{ARTIFACT_TYPE, Attachment, MAX_SIGNATURES, Signature, signature_tag};

impl Repository<'_> {
    /// The signatures of an image that are beside it. Nothing of them was checked.
    pub fn signatures(&self, image: &Digest) -> Result<Vec<Signature>, RegistryError> {
        let tagged = self.manifest(Which::Tag(&signature_tag(image)))?;
        let mut read: Vec<Digest> = tagged.iter().map(|found| found.descriptor.digest).collect();
        let mut found = self.read_signatures(tagged)?;
        let listed = match self.referrers(image) {
            // A mirror has tags, and nobody need answer for it.
            Err(error) if !found.is_empty() && !matches!(error, RegistryError::Canceled) => Vec::new(),
            listed => listed?,
        };
        let is_signature = |entry: &&Descriptor| entry.artifact_type.as_deref() == Some(ARTIFACT_TYPE);
        for entry in listed.iter().filter(is_signature).take(MAX_SIGNATURES) {
            if !read.contains(&entry.digest) {
                read.push(entry.digest);
                found.extend(self.read_signatures(self.manifest(Which::Digest(entry.digest))?)?);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn read_signatures(&self, attachment: Option<Fetched>) -> Result<Vec<Signature>, RegistryError> {
        let Some(Document::Manifest(manifest)) = attachment.map(|fetched| fetched.document) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (blob, bytes) in Attachment::payloads(&manifest) {
            let Some(mut download) = self.blob(&blob, 0, Check::Digest)? else { continue };
            let mut payload = Vec::new();
            download.read_to_end(&mut payload).map_err(|error| {
                RegistryError::from_io(error, |error| RegistryError::Malformed {
                    registry: self.registry().to_owned(),
                    what: format!("a signature in {}", self.path()),
                    reason: error.to_string(),
                })
            })?;
            found.push(Signature { payload, bytes });
        }
        Ok(found)
    }

    /// Puts signatures beside an image, with those that are there already.
    pub fn put_signatures(&self, image: &Descriptor, signatures: &[Signature]) -> Result<(), RegistryError> {
        let mut put = None;
        let tracked = self.update(&signature_tag(&image.digest), |now| {
            let before = now.as_ref().map(|now| now.descriptor.digest);
            let mut all = self.read_signatures(now)?;
            if before.is_some() && signatures.iter().all(|one| all.contains(one)) {
                return Ok(None);
            }
            all.extend_from_slice(signatures);
            let attachment = Attachment::new(image, &all);
            for (blob, bytes) in &attachment.blobs {
                self.put_blob(blob, &Bytes(bytes), &[])?;
            }
            put = Some((attachment.entry.clone(), before));
            Ok(Some((attachment.entry, attachment.manifest)))
        })?;
        match put {
            Some((entry, before)) if tracked == Some(false) => self.make_known(&image.digest, &entry, before),
            _ => Ok(()),
        }
    }

    /// Makes a manifest known to its subject, if it has one, where the registry did not see to that when it was put.
    pub(super) fn announce(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        if let Ok(Document::Manifest(manifest)) = Document::parse(bytes)
            && let Some(subject) = &manifest.subject
        {
            self.make_known(&subject.digest, &as_referrer(&manifest, bytes), None)?;
        }
        Ok(())
    }
}

/// Bytes that are here.
struct Bytes<'b>(&'b [u8]);

impl Content for Bytes<'_> {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>, RegistryError> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        Ok(Box::new(&self.0[from..]))
    }
}
