//! Whether an image may be built on: by the policies of the machine, of the user, and of the build.
//!
//! Every image that a definition names comes through here, wherever it is found, since a front end asks for all of them before
//! anything runs, also where every step is cached. A policy is no part of any key: it says what may be built, not what is built.

use crate::digest::Digest;
use crate::oci::{Document, Reference};
use crate::ops::Error;
use crate::ops::build::Session;
use crate::ops::build::images::Unresolved;
use crate::ops::signatures::{Trusted, fetch_signatures, keep_signatures};
use crate::registry::{RegistryError, Which};
use crate::store::ResolvedImage;
use crate::trust::{Policy, SignatureRule};

/// An image that a definition names.
pub struct Candidate<'a> {
    /// The name.
    pub reference: &'a Reference,
    /// All policies that hold.
    pub policies: &'a [&'a Policy],
    /// Whether its registry may not be asked.
    pub offline: bool,
    /// Whether no registry has it.
    pub local: bool,
}

impl Candidate<'_> {
    /// Whether its name is allowed. `pinned` says whether it is certain beforehand which image that is.
    pub fn permit(&self, pinned: bool) -> Result<(), Unresolved> {
        let name = self.reference.name();
        for policy in self.policies {
            policy.permits(&name, pinned).map_err(|refusal| {
                Unresolved::Here(refusal.message(&self.reference.familiar()), vec![refusal.help().into()])
            })?;
        }
        Ok(())
    }

    /// Whether it was signed by whom the policies say. `index` is what it was chosen from, as far as the lockfile knows.
    pub fn signed(
        &self,
        session: &Session<'_>,
        image: &ResolvedImage,
        index: Option<Digest>,
    ) -> Result<(), Unresolved> {
        let name = self.reference.name();
        for policy in self.policies {
            for rule in policy.signers(&name) {
                self.signed_by(session, rule, image, index)?.map_err(|mut reasons| {
                    let keys: Vec<&str> = rule.keys.iter().map(|key| key.name.as_str()).collect();
                    let message = format!(
                        "{} is not signed as the policy demands: {:?} needs {} ({})",
                        self.reference.familiar(),
                        rule.rule.text,
                        keys.join(" or "),
                        policy.place(rule.rule.line),
                    );
                    if self.offline {
                        reasons.push("--offline forbids to look for signatures in its registry".into());
                    }
                    if self.local {
                        reasons.push("it comes from a folder, for which there are no signatures".into());
                        return Unresolved::Here(message, reasons);
                    }
                    reasons.push(format!(
                        "have it signed by who has the key, as `imgbuild sign --key FILE docker://{}` does",
                        self.reference.familiar()
                    ));
                    Unresolved::Here(message, reasons)
                })?;
            }
        }
        Ok(())
    }

    /// Looks for a signature by one rule: in the store first. One that counts is kept, so that it need not be looked for again.
    fn signed_by(
        &self,
        session: &Session<'_>,
        rule: &SignatureRule,
        image: &ResolvedImage,
        index: Option<Digest>,
    ) -> Result<Result<(), Vec<String>>, Unresolved> {
        let (store, name) = (&session.store, self.reference.name());
        let trusted = Trusted { keys: &rule.keys, identity: &rule.identity, repository: Some(&name) };
        let mut digests = vec![image.manifest_digest()];
        if let Some(index) = image.index_digest.or(index).filter(|index| *index != image.manifest_digest())
            && self.lists(session, &index, &image.manifest_digest())?
        {
            digests.insert(0, index);
        }
        for digest in &digests {
            if trusted.accept(digest, &store.signatures(digest)?).is_ok() {
                return Ok(Ok(()));
            }
        }
        let mut reasons = Vec::new();
        for digest in &digests {
            let found = match self.offline || self.local {
                true => store.signatures(digest)?,
                false => match fetch_signatures(&session.registries.repository(self.reference), digest) {
                    Ok(found) => found,
                    Err(RegistryError::Canceled) => return Err(Unresolved::Fatal(Error::Interrupted)),
                    Err(error) => {
                        reasons.push(format!("its signatures cannot be fetched: {error}"));
                        continue;
                    }
                },
            };
            match trusted.accept(digest, &found) {
                Ok(_) => {
                    keep_signatures(store, digest, &found).map_err(Unresolved::Fatal)?;
                    return Ok(Ok(()));
                }
                Err(more) => reasons.extend(more),
            }
        }
        reasons.sort();
        reasons.dedup();
        Ok(Err(reasons))
    }

    /// Whether an index has this manifest: only then a signature of the one is one of the other.
    fn lists(&self, session: &Session<'_>, index: &Digest, manifest: &Digest) -> Result<bool, Unresolved> {
        let store = &session.store;
        let mut document = store.document(index)?;
        if document.is_none() && !self.offline && !self.local {
            let repository = session.registries.repository(self.reference);
            if let Ok(Some(fetched)) = repository.manifest(Which::Digest(*index)) {
                store.put(&fetched.bytes)?;
                document = Some(fetched.document);
            }
        }
        Ok(match document {
            Some(Document::Index(listed)) => listed.manifests.iter().any(|entry| entry.digest == *manifest),
            _ => false,
        })
    }
}
