//! What is read of keys, signatures and policies.

use imgbuild::oci::{Document, Reference};
use imgbuild::trust::{self, Attachment, Bundle, KeyFile, MAX_PAYLOAD, MAX_SIGNATURES, Payload, PrivateKey, PublicKey};

/// Keys, payloads, manifests with signatures, policies. What is no signature is accepted by no key, and a policy permits what is
/// pinned wherever it permits what is not.
pub fn trust(data: &[u8]) {
    if let Some(payload) = Payload::parse(data) {
        assert_eq!(Payload::parse(&payload.to_json()).as_ref(), Some(&payload));
        if let Some(repository) = payload.repository() {
            assert!(Reference::parse(&repository).is_ok(), "{repository}");
        }
    }
    if let Ok(Document::Manifest(manifest)) = Document::parse(data) {
        let payloads = Attachment::payloads(&manifest);
        assert!(payloads.len() <= MAX_SIGNATURES && payloads.iter().all(|(blob, _)| blob.size <= MAX_PAYLOAD));
    }
    // An archive whose every document is this one.
    if let Ok(Document::Index(index)) = Document::parse(data) {
        let signed = Bundle::read(&index.manifests, |_, limit| Ok::<_, ()>((data.len() as u64 <= limit).then(|| data.to_vec())));
        assert!(signed.is_ok_and(|signed| signed.values().all(|signatures| signatures.len() <= MAX_SIGNATURES)));
    }
    let Some(text) = crate::text(data) else { return };
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(PublicKey::parse(key.to_pem()).as_ref(), Ok(&key));
        assert!(!key.accepts(b"message", data));
    }
    // Without a password: what is below one costs a quarter of a second.
    let _ = PrivateKey::parse(text, None);
    for whole in [false, true] {
        let Ok(Some(file)) = trust::read_file(text, whole) else { continue };
        let key = PrivateKey::from_random(&[7; 32]).expect("a key").public();
        let load = |name: &str| Ok::<_, ()>(KeyFile { name: name.to_owned(), key: key.clone() });
        let policy = file.load("policy.toml".into(), load).expect("every key is there");
        for repository in ["docker.io/library/debian", "h.x/a/b"] {
            // What is certain beforehand is permitted wherever something else is.
            assert!(policy.permits(repository, false).is_err() || policy.permits(repository, true).is_ok());
            assert!(policy.signers(repository).all(|signers| !signers.keys.is_empty()));
        }
    }
}
