//! Who made an image, and which images may be built on: keys, signatures, and policies about both.
//!
//! Signatures are those of cosign with a key pair: a payload that names an image by digest ([`Payload`]), signed with ECDSA
//! on P-256 over SHA-256, beside the image in a manifest of its own ([`Attachment`]). Signing the same gives the same bytes
//! (RFC 6979), so that a signed build is as reproducible as one that is not. No certificate, no transparency log, no network:
//! whoever checks has the public key, and no other.
//!
//! Values and text only. Somebody else reads key files, makes random numbers, fetches signatures and asks a [`Policy`].
//! What is read here was written by whoever could write to a registry: it is bounded, and nothing of it counts
//! before its signature was checked.

mod attachment;
mod bundle;
mod key;
mod pattern;
mod payload;
mod policy;
mod read;
mod sealed;

pub use attachment::{ARTIFACT_TYPE, Attachment, MAX_SIGNATURES, signature_tag};
pub use bundle::{ANNOTATION_SIGNATURES, Bundle, Signed, is_attachment};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use pattern::Pattern;
pub use payload::{MAX_PAYLOAD, Payload};
pub use policy::{Identity, KeyFile, Policy, Refusal, Rule, SignatureRule};
pub use read::{Mistake, PolicyFile, read_file, read_table};

/// A payload that was signed, and the signature of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// The signature of them, in the form that its kind of key has (of ECDSA, DER).
    pub bytes: Vec<u8>,
}

impl Signature {
    /// What it says, if one of these keys made it: the place of that key, and what was signed.
    pub fn check(&self, keys: &[&PublicKey]) -> Option<(usize, Payload)> {
        let place = keys.iter().position(|key| key.accepts(&self.payload, &self.bytes))?;
        Some((place, Payload::parse(&self.payload)?))
    }
}
