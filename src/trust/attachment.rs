//! The signatures of an image as a manifest beside it, which is found by its tag and as a referrer.
//!
//! cosign, podman and skopeo look for the tag `sha256-HEX.sig` in the image's repository, and take every layer for a payload
//! whose signature is an annotation. The same manifest names the image as its subject, so a registry that knows
//! referrers lists it as one. The same signatures give the same bytes.

use base64ct::{Base64, Encoding};
use serde_json::json;

use super::{MAX_PAYLOAD, Signature};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest, media};

/// What the manifest is, to registries and to cosign.
pub const ARTIFACT_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// How many signatures of one image are looked at.
pub const MAX_SIGNATURES: usize = 64;

/// The media type of a payload.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature of a payload.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The longest signature, in bytes: of RSA with 8192 bits.
const MAX_SIGNATURE: usize = 1024;

/// The tag of the signatures of an image.
pub fn signature_tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// A manifest with signatures, and all that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// The manifest as an entry of an index, as referrers are listed.
    pub entry: Descriptor,
    /// Its bytes.
    pub manifest: Vec<u8>,
    /// What it names.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Attachment {
    /// The signatures of an image.
    pub fn new(image: &Descriptor, signatures: &[Signature]) -> Self {
        let mut signatures: Vec<&Signature> = signatures.iter().collect();
        signatures.sort();
        signatures.dedup();
        let mut blobs = Vec::new();
        let mut layers = Vec::new();
        for signature in signatures {
            let payload = Descriptor::of(PAYLOAD, &signature.payload);
            let mut layer = payload.clone();
            layer.annotations.insert(SIGNATURE.into(), Base64::encode_string(&signature.bytes));
            layers.push(layer);
            if !blobs.iter().any(|(known, _): &(Descriptor, _)| known.digest == payload.digest) {
                blobs.push((payload, signature.payload.clone()));
            }
        }
        // Readers want the configuration of an image, although nothing in it matters.
        let diff_ids: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
        let config = json!({
            "architecture": "",
            "config": {},
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let mut manifest = Manifest::new(Descriptor::of(media::CONFIG, &config), layers);
        manifest.artifact_type = Some(ARTIFACT_TYPE.into());
        manifest.subject = Some(Box::new(Descriptor::new(image.media_type.clone(), image.digest, image.size)));
        blobs.push((manifest.config.clone(), config));
        let manifest = manifest.to_json();
        let mut entry = Descriptor::of(media::MANIFEST, &manifest);
        entry.artifact_type = Some(ARTIFACT_TYPE.into());
        Self { entry, manifest, blobs }
    }

    /// The payloads that a manifest of any signer names, each with its signature.
    pub fn payloads(manifest: &Manifest) -> Vec<(Descriptor, Vec<u8>)> {
        let signed = |layer: &Descriptor| {
            let text = layer.annotations.get(SIGNATURE)?;
            let bytes = Base64::decode_vec(text).ok().filter(|bytes| bytes.len() <= MAX_SIGNATURE)?;
            let fits = layer.media_type == PAYLOAD && layer.size <= MAX_PAYLOAD;
            fits.then(|| (layer.clone(), bytes))
        };
        manifest.layers.iter().filter_map(signed).take(MAX_SIGNATURES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Document;

    fn signature(text: &str) -> Signature {
        Signature { payload: text.into(), bytes: text.to_uppercase().into() }
    }

    #[test]
    fn is_always_the_same_and_read_again() {
        let image = Descriptor::of(media::INDEX, b"image");
        let attachment = Attachment::new(&image, &[signature("b"), signature("a"), signature("b")]);
        assert_eq!(attachment, Attachment::new(&image, &[signature("a"), signature("b")]));
        let text = String::from_utf8(attachment.manifest.clone()).unwrap();
        assert!(text.contains(r#""dev.cosignproject.cosign/signature":"QQ==""#), "{text}");
        let Document::Manifest(manifest) = Document::parse(&attachment.manifest).unwrap() else { panic!("an index") };
        assert_eq!(manifest.subject.as_ref().map(|subject| subject.digest), Some(image.digest));
        assert!(!manifest.is_image());
        let found: Vec<Vec<u8>> = Attachment::payloads(&manifest).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(found, [b"A".to_vec(), b"B".to_vec()]);
        assert_eq!(attachment.blobs.len(), 3);
    }

    #[test]
    fn takes_only_what_can_be_a_signature() {
        let check = |media_type: &str, annotation: &str, size: u64, expected: usize| {
            let mut layer = Descriptor::new(media_type, Digest::of(b""), size);
            layer.annotations.insert(SIGNATURE.into(), annotation.into());
            let manifest = Manifest::new(Descriptor::of(media::CONFIG, b"{}"), vec![layer]);
            assert_eq!(Attachment::payloads(&manifest).len(), expected, "{media_type} {annotation} {size}");
        };
        check(PAYLOAD, "QQ==", 9, 1);
        check(PAYLOAD, "Q", 9, 0);
        check(PAYLOAD, &"QUFB".repeat(500), 9, 0);
        check(PAYLOAD, "QQ==", MAX_PAYLOAD + 1, 0);
        check(media::LAYER, "QQ==", 9, 0);
    }

    #[test]
    fn the_tag_is_that_of_cosign() {
        assert!(signature_tag(&Digest::of(b"")).starts_with("sha256-e3b0c44298fc1c14"));
    }
}
