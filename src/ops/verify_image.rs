//! `verify-image`: whether an image is whole and who signed it.
//!
//! Three questions, each of which can fail by itself: is the digest of the image signed by a key that is trusted; are its
//! manifests, configurations and layers what their digests say; and are the statements in its index about the images in it.
//! A good signature is one of a digest, so it covers all that follows from that: also statements, and layers nobody looked at.

use std::io::{self, Read};
use std::sync::Arc;

use super::signatures::{Trusted, fetch_signatures, keep_signatures};
use crate::attest;
use crate::compress;
use crate::digest::{DiffId, Digest, HashingReader};
use crate::event::Reporter;
use crate::oci::manifest::{
    ANNOTATION_PREDICATE_TYPE, ANNOTATION_REFERENCE_DIGEST, ANNOTATION_REFERENCE_TYPE, ATTESTATION_MANIFEST, MAX_CONFIG,
};
use crate::oci::{Descriptor, Document, ImageConfig, Index, Manifest, Reference};
use crate::ops::copy::{Copying, Place, Scratch, copy};
use crate::ops::remote_image::{not_found, which};
use crate::ops::{Error, ImageName};
use crate::registry::transfer::{OpenedEnd, Plan, Platforms, Source, StoreEnd};
use crate::registry::{Check, Registries};
use crate::store::Store;
use crate::trust::{Identity, KeyFile, Signature};

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct VerifyImage<'a> {
    /// The image.
    pub image: &'a ImageName,
    /// The keys, of which any one may have signed it.
    pub keys: &'a [KeyFile],
    /// What the signature must call it.
    pub identity: &'a Identity,
    /// Whether layers are fetched that are not in the store.
    pub deep: bool,
    /// Whether its registry may not be asked.
    pub offline: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its manifest or index.
    pub digest: Digest,
    /// Everything that was looked at, in this order: the signature, manifests, configurations and layers, statements.
    pub checks: Vec<Checked>,
}

impl Verdict {
    /// Whether nothing speaks against it.
    pub fn holds(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What kind of thing.
    pub kind: CheckedKind,
    /// Which: what was signed, or the blob.
    pub digest: Digest,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckedKind {
    /// Whether somebody who is trusted signed the image.
    Signature,
    /// Whether a manifest or index is what its digest says.
    Manifest,
    /// The same of a configuration, and whether it fits its manifest.
    Config,
    /// The same of a layer, and whether its files are those that the configuration names.
    Layer,
    /// Whether a statement is about the image that it stands beside.
    Statement,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is right; what there is to say about it.
    Verified(String),
    /// It is wrong, for these reasons.
    Failed(String),
    /// It was not looked at, for this reason.
    Skipped(&'static str),
}

/// Verifies an image, wherever it is.
pub fn verify_image(
    store: &Arc<Store>,
    registries: &Registries,
    request: VerifyImage<'_>,
    reporter: &dyn Reporter,
) -> Result<Verdict, Error> {
    match request.image {
        ImageName::Stored(name) => {
            let found = store.find(name)?;
            let source = StoreEnd { store, registries: (request.deep && !request.offline).then_some(registries) };
            let here = store.signatures(&found.descriptor.digest)?;
            let subject = Subject { root: found.descriptor.clone(), name: found.reference.clone() };
            let ask = |digest: &Digest| -> Result<Vec<Signature>, String> {
                let Some(reference) = found.reference.as_ref().filter(|_| !request.offline) else {
                    return Ok(Vec::new());
                };
                let found = fetch_signatures(&registries.repository(reference), digest)
                    .map_err(|error| format!("{}: {error}", reference.registry()))?;
                keep_signatures(store, digest, &found).map_err(|error| error.to_string())?;
                Ok(found)
            };
            subject.verify(&source, (here, &ask), request)
        }
        ImageName::Elsewhere(Place::Registry(reference), _) => {
            let repository = registries.repository(reference);
            let first = repository.manifest(which(reference))?.ok_or_else(|| not_found(reference))?;
            let subject = Subject { root: first.descriptor.clone(), name: Some(reference.clone()) };
            let source = OpenedEnd { repository, first };
            let ask = |digest: &Digest| fetch_signatures(&source.repository, digest).map_err(|error| error.to_string());
            subject.verify(&source, (Vec::new(), &ask), request)
        }
        ImageName::Elsewhere(place, _) => {
            let scratch = Scratch::new(store)?;
            let here: Reference = "looked-into".parse()?;
            let how = Copying { platforms: &Platforms::All, signatures: true, reporter };
            copy(&scratch.0, registries, place, &Place::Store(here.clone()), how)?;
            let found = scratch.0.find(&here.familiar())?;
            let source = StoreEnd { store: &scratch.0, registries: None };
            let signatures = scratch.0.signatures(&found.descriptor.digest)?;
            let subject = Subject { root: found.descriptor, name: named(place) };
            subject.verify(&source, (signatures, &|_| Ok(Vec::new())), request)
        }
    }
}

/// The image that is verified.
struct Subject {
    root: Descriptor,
    name: Option<Reference>,
}

/// Signatures that are known, and who may know more.
type Signatures<'a> = (Vec<Signature>, &'a dyn Fn(&Digest) -> Result<Vec<Signature>, String>);

impl Subject {
    fn verify(
        &self,
        source: &dyn Source,
        signatures: Signatures<'_>,
        request: VerifyImage<'_>,
    ) -> Result<Verdict, Error> {
        let digest = self.root.digest;
        let mut checks =
            vec![Checked { kind: CheckedKind::Signature, digest, outcome: self.signature(signatures, request) }];
        let plan = Plan::new(source, &self.root, &Platforms::All)?;
        let mut blobs = Blobs { source, deep: request.deep, checks: Vec::new() };
        let mut statements = Vec::new();
        // The root first, as people read.
        for (entry, bytes) in plan.documents.iter().rev() {
            let outcome = Outcome::Verified(String::new());
            checks.push(Checked { kind: CheckedKind::Manifest, digest: entry.digest, outcome });
            match Document::parse(bytes) {
                Ok(Document::Manifest(manifest)) if plan.images.iter().any(|image| image.digest == entry.digest) => {
                    blobs.image(&manifest)?;
                }
                Ok(Document::Index(index)) => statements.extend(blobs.statements(&index, &plan)?),
                Ok(Document::Manifest(_)) | Err(_) => {}
            }
        }
        let missing = plan.missing.iter().map(|missing| Checked {
            kind: CheckedKind::Manifest,
            digest: missing.digest,
            outcome: Outcome::Skipped("it is not here"),
        });
        checks.extend(missing);
        checks.extend(blobs.checks);
        checks.extend(statements);
        Ok(Verdict { digest, checks })
    }

    fn signature(&self, (known, ask): Signatures<'_>, request: VerifyImage<'_>) -> Outcome {
        let digest = &self.root.digest;
        let name = self.name.as_ref().map(Reference::name);
        let trusted = Trusted { keys: request.keys, identity: request.identity, repository: name.as_deref() };
        let said = |accepted: super::signatures::Accepted| {
            Outcome::Verified(format!("by {}, as {}", accepted.key, accepted.reference))
        };
        let reasons = match trusted.accept(digest, &known) {
            Ok(accepted) => return said(accepted),
            Err(reasons) => reasons,
        };
        match ask(digest) {
            Ok(more) if more.is_empty() => Outcome::Failed(reasons.join("; ")),
            Ok(more) => match trusted.accept(digest, &more) {
                Ok(accepted) => said(accepted),
                Err(reasons) => Outcome::Failed(reasons.join("; ")),
            },
            Err(error) => Outcome::Failed(format!("{}; more cannot be had: {error}", reasons.join("; "))),
        }
    }
}

/// What an image in an archive is asked for by, if that is a whole name and not only a tag. What the archive calls it says
/// nothing: that can be written by anybody.
fn named(place: &Place) -> Option<Reference> {
    match place {
        Place::Archive(_, _, Some(name)) if name.contains(['/', ':']) => Reference::parse(name).ok(),
        _ => None,
    }
}

/// Blobs that are read.
struct Blobs<'a> {
    source: &'a dyn Source,
    deep: bool,
    checks: Vec<Checked>,
}

impl Blobs<'_> {
    fn add(&mut self, kind: CheckedKind, digest: Digest, outcome: Outcome) {
        // Images of several platforms share layers.
        if !self.checks.iter().any(|check| check.digest == digest && check.kind == kind) {
            self.checks.push(Checked { kind, digest, outcome });
        }
    }

    fn known(&self, digest: &Digest) -> bool {
        self.checks.iter().any(|check| check.digest == *digest)
    }

    /// Reads what a manifest of an image names.
    fn image(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let config = self.small(&manifest.config)?;
        let parsed = config.and_then(|json| {
            let config = ImageConfig::parse(&json).map_err(|error| error.to_string())?;
            manifest.layers_with(&config).map_err(|error| error.to_string())
        });
        let layers = match parsed {
            Ok(layers) => {
                self.add(CheckedKind::Config, manifest.config.digest, Outcome::Verified(String::new()));
                layers.into_iter().map(|(layer, diff_id)| (layer, Some(diff_id))).collect()
            }
            Err(reason) => {
                self.add(CheckedKind::Config, manifest.config.digest, Outcome::Failed(reason));
                manifest.layers.iter().map(|layer| (layer.clone(), None)).collect::<Vec<_>>()
            }
        };
        for (layer, diff_id) in layers {
            if !self.known(&layer.digest) {
                let outcome = self.layer(&layer, diff_id)?;
                self.add(CheckedKind::Layer, layer.digest, outcome);
            }
        }
        Ok(())
    }

    /// A blob that is small enough to be held, or why it is not what it should be.
    fn small(&self, blob: &Descriptor) -> Result<Result<Vec<u8>, String>, Error> {
        if blob.size > MAX_CONFIG {
            return Ok(Err(format!("it has {} bytes, and {MAX_CONFIG} are the most", blob.size)));
        }
        let Some(reader) = self.source.open(blob, 0, Check::SizeOnly)? else {
            return Ok(Err("it is not there".into()));
        };
        let mut bytes = Vec::new();
        Ok(match reader.take(MAX_CONFIG + 1).read_to_end(&mut bytes) {
            Err(error) => Err(error.to_string()),
            Ok(_) if Digest::of(&bytes) != blob.digest => Err(format!("its digest is {}", Digest::of(&bytes))),
            Ok(_) => Ok(bytes),
        })
    }

    fn layer(&self, layer: &Descriptor, diff_id: Option<DiffId>) -> Result<Outcome, Error> {
        let here = self.source.has_at_hand(layer)?;
        if !here && !self.deep {
            return Ok(Outcome::Skipped("--deep fetches it to see"));
        }
        let reader = match self.source.open(layer, 0, Check::SizeOnly) {
            Ok(Some(reader)) => reader,
            Ok(None) => return Ok(Outcome::Failed("it is not to be had".into())),
            Err(crate::registry::RegistryError::Canceled) => return Err(Error::Interrupted),
            Err(error) => return Ok(Outcome::Failed(error.to_string())),
        };
        let mut packed = HashingReader::new(reader);
        let unpacked = unpacked_digest(&mut packed);
        // What is behind the end of what is packed belongs to the blob as well.
        if let Err(error) = io::copy(&mut packed, &mut io::sink()) {
            return Ok(Outcome::Failed(error.to_string()));
        }
        let (_, digest, size) = packed.finish();
        Ok(match (unpacked, diff_id) {
            _ if digest != layer.digest || size != layer.size => {
                Outcome::Failed(format!("it has {size} bytes with the digest {digest}"))
            }
            (Ok(found), Some(diff_id)) if found != diff_id => {
                Outcome::Failed(format!("unpacked it is {found}, and the configuration says {diff_id}"))
            }
            (Err(error), _) => Outcome::Failed(format!("it cannot be unpacked: {error}")),
            (Ok(_), _) => Outcome::Verified(String::new()),
        })
    }

    /// Looks whether the statements in an index are about images of it.
    fn statements(&self, index: &Index, plan: &Plan) -> Result<Vec<Checked>, Error> {
        let mut found = Vec::new();
        let is_statement = |entry: &&Descriptor| {
            entry.annotations.get(ANNOTATION_REFERENCE_TYPE).is_some_and(|kind| kind == ATTESTATION_MANIFEST)
        };
        for entry in index.manifests.iter().filter(is_statement) {
            let Some((_, bytes)) = plan.documents.iter().find(|(known, _)| known.digest == entry.digest) else {
                continue;
            };
            let Ok(Document::Manifest(manifest)) = Document::parse(bytes) else { continue };
            let about = entry.annotations.get(ANNOTATION_REFERENCE_DIGEST).and_then(|text| text.parse::<Digest>().ok());
            let about = about.filter(|about| index.manifests.iter().any(|other| other.digest == *about));
            for layer in &manifest.layers {
                let outcome = match (self.small(layer)?, about) {
                    (Err(reason), _) => Outcome::Failed(reason),
                    (Ok(_), None) => Outcome::Failed("it is about no image of the index".into()),
                    (Ok(bytes), Some(about)) => statement(layer, &manifest, &bytes, about),
                };
                found.push(Checked { kind: CheckedKind::Statement, digest: layer.digest, outcome });
            }
        }
        Ok(found)
    }
}

fn statement(layer: &Descriptor, manifest: &Manifest, bytes: &[u8], about: Digest) -> Outcome {
    let Some(read) = attest::read_statement(bytes) else { return Outcome::Failed("it is no in-toto statement".into()) };
    let said = layer.annotations.get(ANNOTATION_PREDICATE_TYPE);
    let subject = manifest.subject.as_ref().map(|subject| subject.digest);
    if !read.subjects.contains(&about) || subject.is_some_and(|subject| subject != about) {
        return Outcome::Failed(format!("it is not about {about}, which it stands beside"));
    }
    if said.is_some_and(|said| *said != read.predicate_type) {
        return Outcome::Failed(format!("it states {:?}, and its manifest says something else", read.predicate_type));
    }
    Outcome::Verified(format!("{} about {about}", read.predicate_type))
}

/// The digest of what is packed.
fn unpacked_digest(packed: &mut (impl Read + Send)) -> io::Result<DiffId> {
    let (_, reader) = compress::reader(packed)?;
    let mut unpacked = HashingReader::new(reader);
    io::copy(&mut unpacked, &mut io::sink())?;
    Ok(DiffId::from_bytes(*unpacked.finish().1.as_bytes()))
}
