//! A statement about an image (in-toto attestation framework, Statement v1).

use serde_json::{Value, json};

use super::Subject;

/// What is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Predicate {
    /// What is in it, in SPDX's form.
    Spdx,
    /// How it was made, in SLSA's form.
    Provenance,
}

impl Predicate {
    /// Its type, as in-toto calls it.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Spdx => "https://spdx.dev/Document",
            Self::Provenance => "https://slsa.dev/provenance/v1",
        }
    }
}

/// The bytes of a statement.
pub fn statement(subject: &Subject, kind: Predicate, predicate: &Value) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "_", "digest": {"sha256": subject.digest.hex()}}],
        "predicateType": kind.uri(),
        "predicate": predicate,
    });
    statement.to_string().into_bytes()
}
