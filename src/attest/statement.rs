//! A statement about an image (in-toto attestation framework, Statement v1).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Subject;
use crate::digest::Digest;

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

/// What anybody's statement is about, and what kind of statement it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStatement {
    /// The digests of its subjects, as far as they are SHA-256.
    pub subjects: Vec<Digest>,
    /// The type of its predicate.
    pub predicate_type: String,
}

/// Reads a statement; none if it is something else.
pub fn read_statement(json: &[u8]) -> Option<ReadStatement> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        #[serde(rename = "_type")]
        kind: String,
        subject: Vec<Named>,
        predicate_type: String,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        digest: BTreeMap<String, String>,
    }
    let read: Read = serde_json::from_slice(json).ok()?;
    if !read.kind.starts_with("https://in-toto.io/Statement/") {
        return None;
    }
    let digest = |named: &Named| format!("sha256:{}", named.digest.get("sha256")?).parse().ok();
    let subjects = read.subject.iter().filter_map(digest).collect();
    Some(ReadStatement { subjects, predicate_type: read.predicate_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_what_others_do() {
        let digest = Digest::of(b"image");
        let bytes = statement(&Subject { digest, created: None }, Predicate::Spdx, &json!({}));
        let read = read_statement(&bytes).unwrap();
        assert_eq!((read.subjects, read.predicate_type.as_str()), (vec![digest], Predicate::Spdx.uri()));
        let check = |json: &str, expected: Option<usize>| {
            assert_eq!(read_statement(json.as_bytes()).map(|read| read.subjects.len()), expected, "{json}");
        };
        check(r#"{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"x"}],"predicateType":"y"}"#, Some(0));
        check(r#"{"_type":"https://x/","subject":[],"predicateType":"y"}"#, None);
        check("{}", None);
    }
}
