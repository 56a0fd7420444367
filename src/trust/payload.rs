//! What is signed: "simple signing" of containers/image, in the form that cosign gives it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::oci::Reference;

/// The most that a payload may have, in bytes. Ours have two hundred, plus the name.
pub const MAX_PAYLOAD: u64 = 64 << 10;

/// What cosign calls its payloads, and all who understand it.
const KIND: &str = "cosign container image signature";

/// What a signature says: this image is the one of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The name, as it was signed. cosign writes the repository only, others a tag as well.
    pub reference: String,
    /// The manifest or index.
    pub digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Document {
    critical: Critical,
    /// What else was signed. Ours is `null`, as cosign writes it where there is nothing; what others put there decides nothing.
    optional: Option<serde_json::Map<String, serde_json::Value>>,
}

// The order is cosign's, which is that of the alphabet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Named,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

impl Payload {
    /// That an image is the one of this name.
    pub fn new(reference: &Reference, digest: Digest) -> Self {
        Self { reference: reference.to_string(), digest }
    }

    /// The bytes that are signed.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            critical: Critical {
                identity: Named { reference: self.reference.clone() },
                image: Image { digest: self.digest },
                kind: KIND.into(),
            },
            optional: None,
        };
        serde_json::to_vec(&document).expect("strings always serialise")
    }

    /// Reads one. None if it is something else: who signed that did not mean an image.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let Document { critical, .. } = serde_json::from_slice(json).ok()?;
        (critical.kind == KIND)
            .then_some(Self { reference: critical.identity.reference, digest: critical.image.digest })
    }

    /// The repository that it names, such as `docker.io/library/debian`; none if it names none.
    pub fn repository(&self) -> Option<String> {
        // cosign calls Docker Hub by the name of its index.
        let reference = match self.reference.strip_prefix("index.docker.io/") {
            Some(rest) => format!("docker.io/{rest}"),
            None => self.reference.clone(),
        };
        Some(Reference::parse(&reference).ok()?.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_cosign_writes() {
        let digest = Digest::of(b"");
        let payload = Payload::new(&Reference::parse("host:5000/team/app:1").unwrap(), digest);
        let expected = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"host:5000/team/app:1"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        assert_eq!(String::from_utf8(payload.to_json()).unwrap(), expected);
        assert_eq!(Payload::parse(expected.as_bytes()), Some(payload));
    }

    #[test]
    fn reads_what_others_sign() {
        let check = |reference: &str, kind: &str, optional: &str, expected: Option<&str>| {
            let digest = Digest::of(b"");
            let json = format!(
                r#"{{"critical":{{"type":"{kind}","image":{{"docker-manifest-digest":"{digest}"}},"identity":{{"docker-reference":"{reference}"}}}},"optional":{optional}}}"#
            );
            let read = Payload::parse(json.as_bytes());
            assert_eq!(read.and_then(|payload| payload.repository()).as_deref(), expected, "{json}");
        };
        check("h.x/a", KIND, "null", Some("h.x/a"));
        check("h.x/a:1", KIND, r#"{"creator":"x","timestamp":1}"#, Some("h.x/a"));
        check("index.docker.io/library/debian", KIND, "{}", Some("docker.io/library/debian"));
        check("debian:12", KIND, "null", Some("docker.io/library/debian"));
        check("h.x/a", "atomic container signature", "null", None);
        check("", KIND, "null", None);
        assert_eq!(Payload::parse(b"{}"), None);
        assert_eq!(Payload::parse(br#"{"critical":{"x":1},"optional":null}"#), None);
    }
}
