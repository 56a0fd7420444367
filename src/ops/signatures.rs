//! Signatures of images: made, sent along, and looked for. What is signed is the digest that a name stands for, and each
//! manifest behind it, since `podman` and `skopeo` look at the manifest of their platform only.

use crate::digest::Digest;
use crate::event::{Event, Reporter};
use crate::oci::{Descriptor, Reference};
use crate::ops::Error;
use crate::ops::remote_image::{not_found, which};
use crate::registry::transfer::{OpenedEnd, Plan, Platforms, StoreEnd};
use crate::registry::{Registries, RegistryError, Repository};
use crate::store::Store;
use crate::trust::{Bundle, Identity, KeyFile, Payload, PrivateKey, Signature};

/// An image that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// As what.
    pub reference: Reference,
    /// Its manifest or index.
    pub digest: Digest,
    /// How many manifests were signed with it, itself included.
    pub manifests: usize,
}

/// Signs an image that the store lists under a name, as the image of that name. The signatures are kept in the store, and go
/// along when the image is pushed.
pub fn sign(store: &Store, name: &str, reference: Option<&Reference>, keys: &[PrivateKey]) -> Result<Signed, Error> {
    let found = store.find(name)?;
    let named = reference.or(found.reference.as_ref()).ok_or_else(|| {
        Error::Usage(format!("{name:?} is no name, and a signature says what an image is called: sign it by a name"))
    })?;
    sign_stored(store, &found.descriptor, named, keys)
}

/// Signs an image of the store as the image of this name.
pub(super) fn sign_stored(
    store: &Store,
    image: &Descriptor,
    reference: &Reference,
    keys: &[PrivateKey],
) -> Result<Signed, Error> {
    let plan = Plan::new(&StoreEnd { store, registries: None }, image, &Platforms::All)?;
    for (entry, _) in &plan.documents {
        for signature in signatures(reference, entry.digest, keys) {
            store.put_signature(&entry.digest, &signature)?;
        }
    }
    Ok(Signed { reference: named(reference), digest: plan.root.digest, manifests: plan.documents.len() })
}

/// Signs an image in a registry, and puts the signatures beside it. Nothing of it enters the store.
pub fn sign_remote(registries: &Registries, reference: &Reference, keys: &[PrivateKey]) -> Result<Signed, Error> {
    let repository = registries.repository(reference);
    let first = repository.manifest(which(reference))?.ok_or_else(|| not_found(reference))?;
    let root = first.descriptor.clone();
    let source = OpenedEnd { repository, first };
    let plan = Plan::new(&source, &root, &Platforms::All)?;
    for (entry, _) in &plan.documents {
        source.repository.put_signatures(entry, &signatures(reference, entry.digest, keys))?;
    }
    Ok(Signed { reference: named(reference), digest: plan.root.digest, manifests: plan.documents.len() })
}

/// The name that is signed: what it stands for is said beside it.
fn named(reference: &Reference) -> Reference {
    match reference.tag().map(|tag| reference.with_tag(tag)) {
        Some(Ok(tagged)) => tagged,
        _ => reference.clone(),
    }
}

fn signatures(reference: &Reference, digest: Digest, keys: &[PrivateKey]) -> Vec<Signature> {
    let reference = named(reference);
    let name = if reference.tag().is_some() { reference.to_string() } else { reference.name() };
    let payload = Payload { reference: name, digest }.to_json();
    keys.iter().map(|key| Signature { bytes: key.sign(&payload), payload: payload.clone() }).collect()
}

/// Puts the signatures that the store has of an image, and of what is behind it, beside it in a repository: those that call it
/// by that repository. How many manifests have some.
pub(super) fn push_signatures(
    store: &Store,
    repository: &Repository<'_>,
    plan: &Plan,
    reporter: &dyn Reporter,
) -> Result<usize, Error> {
    let mut pushed = 0;
    for (entry, _) in &plan.documents {
        let all = store.signatures(&entry.digest)?;
        let called = |one: &Signature| Payload::parse(&one.payload).and_then(|payload| payload.repository());
        let own: Vec<Signature> =
            all.iter().filter(|one| called(one).as_deref() == Some(repository.name())).cloned().collect();
        if !own.is_empty() {
            repository.put_signatures(entry, &own)?;
            pushed += 1;
        } else if entry.digest == plan.root.digest
            && let Some(other) = all.iter().find_map(called)
        {
            let text = format!(
                "the image is signed as {other}, not as {0}: its signatures stay here; sign it by the name {0} to have it signed there",
                repository.name()
            );
            reporter.report(Event::Warning(text));
        }
    }
    Ok(pushed)
}

/// Puts all signatures of an image into the store, whatever they call it.
pub(super) fn keep_signatures(store: &Store, image: &Digest, signatures: &[Signature]) -> Result<(), Error> {
    Ok(signatures.iter().try_for_each(|one| store.put_signature(image, one))?)
}

/// A signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The file of the key that made it.
    pub key: String,
    /// What it calls the image.
    pub reference: String,
}

/// Whom one trusts, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted<'a> {
    /// The keys, of which any one will do.
    pub keys: &'a [KeyFile],
    /// What a signature must call the image.
    pub identity: &'a Identity,
    /// The repository that it is asked for by, if it is by name.
    pub repository: Option<&'a str>,
}

impl Trusted<'_> {
    /// The first signature of an image that counts; else why none does, a line each.
    pub fn accept(&self, image: &Digest, signatures: &[Signature]) -> Result<Accepted, Vec<String>> {
        let keys: Vec<_> = self.keys.iter().map(|file| &file.key).collect();
        let mut reasons = Vec::new();
        for signature in signatures {
            let Some((place, payload)) = signature.check(&keys) else {
                reasons.push("a signature is by none of these keys, or is of something else".to_owned());
                continue;
            };
            let key = self.keys[place].name.clone();
            let signed = payload.repository();
            if payload.digest != *image {
                reasons.push(format!("a signature by {key} is of {}", payload.digest));
            } else if !self.identity.accepts(self.repository, signed.as_deref()) {
                let wanted = self.identity.wanted(self.repository);
                reasons.push(format!("a signature by {key} calls it {:?}, and not {wanted}", payload.reference));
            } else {
                return Ok(Accepted { key, reference: payload.reference });
            }
        }
        if signatures.is_empty() {
            reasons.push("it has no signature".to_owned());
        }
        reasons.sort();
        reasons.dedup();
        Err(reasons)
    }
}

/// The signatures of an image of the store as the image of these names, to go along with it.
pub(super) fn signed_as(
    store: &Store,
    image: &Descriptor,
    names: &[Reference],
    keys: &[PrivateKey],
) -> Result<Option<Bundle>, Error> {
    let plan = Plan::new(&StoreEnd { store, registries: None }, image, &Platforms::All)?;
    let made = Carried::find(&plan, |image| {
        Ok::<_, Error>(names.iter().flat_map(|name| signatures(name, *image, keys)).collect())
    })?;
    Ok(made.bundle())
}

/// All signatures that the store has of an image, and of what is behind it, to go along with it.
pub(super) fn kept(store: &Store, image: &Descriptor) -> Result<Option<Bundle>, RegistryError> {
    let plan = Plan::new(&StoreEnd { store, registries: None }, image, &Platforms::All)?;
    Ok(Carried::find(&plan, |image| Ok::<_, RegistryError>(store.signatures(image)?))?.bundle())
}

/// All signatures of an image in a repository; that nobody may look there is no failure of ours.
pub(super) fn fetch_signatures(repository: &Repository<'_>, image: &Digest) -> Result<Vec<Signature>, RegistryError> {
    match repository.signatures(image) {
        // Of a repository that is not there, some registries say nothing else.
        Err(RegistryError::NotFound { .. }) => Ok(Vec::new()),
        found => found,
    }
}

/// Carries signatures along when an image is copied.
#[derive(Default)]
pub(super) struct Carried {
    found: Vec<(Descriptor, Vec<Signature>)>,
}

impl Carried {
    /// Looks for those of everything that is planned.
    pub fn find<E>(plan: &Plan, find: impl Fn(&Digest) -> Result<Vec<Signature>, E>) -> Result<Self, E> {
        let mut found = Vec::new();
        for (entry, _) in &plan.documents {
            let signatures = find(&entry.digest)?;
            if !signatures.is_empty() {
                found.push((entry.clone(), signatures));
            }
        }
        Ok(Self { found })
    }

    /// All of them as documents that go along with the image; none if there are none.
    pub fn bundle(&self) -> Option<Bundle> {
        Bundle::new(self.found.iter().map(|(entry, signatures)| (entry, &signatures[..])))
    }

    /// Puts them into a store.
    pub fn into_store(self, store: &Store) -> Result<(), Error> {
        self.found.iter().try_for_each(|(entry, signatures)| keep_signatures(store, &entry.digest, signatures))
    }

    /// Puts them into a repository.
    pub fn into_repository(self, repository: &Repository<'_>) -> Result<(), Error> {
        Ok(self.found.iter().try_for_each(|(entry, signatures)| repository.put_signatures(entry, signatures))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> PrivateKey {
        PrivateKey::from_random(&[number; 32]).unwrap()
    }

    #[test]
    fn says_why_a_signature_does_not_count() {
        let keys = [KeyFile { name: "a.pub".into(), key: key(1).public() }];
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let check = |signed_as: &str, digest: Digest, by: u8, expected: Result<&str, &str>| {
            let reference = Reference::parse(signed_as).unwrap();
            let signatures = signatures(&reference, digest, &[key(by)]);
            let trusted = Trusted { keys: &keys, identity: &Identity::Same, repository: Some("h.x/app") };
            match (trusted.accept(&image, &signatures), expected) {
                (Ok(accepted), Ok(reference)) => {
                    assert_eq!(accepted, Accepted { key: "a.pub".into(), reference: reference.into() })
                }
                (Err(reasons), Err(reason)) => assert!(reasons[0].contains(reason), "{reasons:?}"),
                (found, _) => panic!("{signed_as}: {found:?}"),
            }
        };
        check("h.x/app:1", image, 1, Ok("h.x/app:1"));
        check(&format!("h.x/app@{image}"), image, 1, Ok("h.x/app"));
        check("h.x/app:1", other, 1, Err("is of sha256:"));
        check("h.x/app:1", image, 2, Err("by none of these keys"));
        check("h.x/tool:1", image, 1, Err("calls it \"h.x/tool:1\", and not h.x/app"));
        let trusted = Trusted { keys: &keys, identity: &Identity::Any, repository: None };
        assert_eq!(trusted.accept(&image, &[]), Err(vec!["it has no signature".to_owned()]));
    }
}
