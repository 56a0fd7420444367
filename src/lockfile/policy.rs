//! BuildKit's source policies (`sourcepolicy/pb/policy.proto`), as far as they pin: the lockfile as one, and pins out of one.
//!
//! What is read: `CONVERT` rules that pin one exact source to a digest, a checksum or a commit, and `ALLOW` and `DENY` of one
//! exact source, of which the last counts. Patterns and constraints are refused, because half a policy is none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{LockKey, Lockfile, Precise};
use crate::digest::Digest;
use crate::oci::Reference;

/// A policy that cannot be used, or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text is no policy.
    #[error("it is no source policy: {0}")]
    Json(String),
    /// A rule is of a kind that is not understood here.
    #[error("rule {number} ({identifier}): {problem}")]
    Rule {
        /// Which, counted from 1.
        number: usize,
        /// What it is about.
        identifier: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two platforms of one image are pinned to different indexes, which a policy cannot say.
    #[error("{0} is pinned to different images for different platforms, which a source policy cannot say")]
    Platforms(String),
}

/// What a policy says of single sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourcePolicy {
    pins: BTreeMap<String, Precise>,
    denied: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "read so that it is known; there is one version")]
    version: Option<i64>,
    rules: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    action: String,
    selector: Selector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updates: Option<Updates>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    identifier: String,
    #[serde(default, alias = "matchType")]
    match_type: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<serde_json::Value>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attrs: BTreeMap<String, String>,
}

/// The attribute that pins a file.
const CHECKSUM: &str = "http.checksum";

impl SourcePolicy {
    /// Reads a policy (JSON).
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File = serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))?;
        let mut policy = Self::default();
        for (place, rule) in file.rules.into_iter().enumerate() {
            let identifier = rule.selector.identifier.clone();
            policy.add(rule).map_err(|problem| PolicyError::Rule { number: place + 1, identifier, problem })?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: Rule) -> Result<(), String> {
        let Selector { identifier, match_type, constraints } = rule.selector;
        let exact = match match_type.as_deref() {
            Some("EXACT") => true,
            None | Some("WILDCARD") => !identifier.contains(['*', '?', '[', '\\']),
            Some(_) => false,
        };
        if !exact || !constraints.is_empty() {
            return Err("it is about a pattern; only exact identifiers without constraints can be imported".into());
        }
        match rule.action.as_str() {
            "CONVERT" => {
                let pin = pin(&identifier, rule.updates.unwrap_or_default())?;
                self.pins.insert(identifier, pin);
            }
            "DENY" => drop(self.denied.insert(identifier)),
            "ALLOW" => drop(self.denied.remove(&identifier)),
            other => return Err(format!("{other:?} is no action; there are ALLOW, DENY and CONVERT")),
        }
        Ok(())
    }

    /// What it pins something to.
    pub fn pin(&self, key: &LockKey) -> Option<&Precise> {
        self.pins.get(&identifier(key)?)
    }

    /// Whether it forbids something.
    pub fn denies(&self, key: &LockKey) -> bool {
        identifier(key).is_some_and(|identifier| self.denied.contains(&identifier))
    }

    /// What a lockfile pins, as the text of a policy: one `CONVERT` for each image, file and git reference.
    pub fn of(lock: &Lockfile) -> Result<String, PolicyError> {
        let mut rules: BTreeMap<String, Updates> = BTreeMap::new();
        for key in lock.keys() {
            let Some(source) = identifier(&key) else { continue };
            let mut updates = Updates::default();
            match &key {
                LockKey::Image { reference, platform } => {
                    let pinned =
                        lock.lookup_image(reference, platform).map(|image| image.index.unwrap_or(image.manifest));
                    let (Ok(reference), Some(digest)) = (Reference::parse(reference), pinned) else { continue };
                    // One that is written with its digest is pinned by itself.
                    if reference.digest().is_some() {
                        continue;
                    }
                    updates.identifier = Some(format!("{source}@{digest}"));
                }
                LockKey::Http { url } => {
                    let Some(file) = lock.lookup_http(url) else { continue };
                    updates.attrs.insert(CHECKSUM.into(), file.sha256.to_string());
                }
                LockKey::Git { url, reference } => {
                    let Some(commit) = lock.lookup_git(url, reference) else { continue };
                    updates.identifier = Some(format!("{}#{commit}", repository(url)));
                }
                LockKey::Target { .. } | LockKey::Output { .. } => continue,
            }
            let wanted = updates.identifier.clone();
            if let Some(before) = rules.insert(source, updates)
                && before.identifier != wanted
            {
                return Err(PolicyError::Platforms(key.name()));
            }
        }
        let rule = |(identifier, updates)| Rule {
            action: "CONVERT".into(),
            selector: Selector { identifier, match_type: Some("EXACT".into()), constraints: Vec::new() },
            updates: Some(updates),
        };
        let file = File { version: None, rules: rules.into_iter().map(rule).collect() };
        let text = serde_json::to_string_pretty(&file).map_err(|error| PolicyError::Json(error.to_string()))?;
        Ok(text + "\n")
    }
}

/// What the update of a `CONVERT` pins a source to.
fn pin(source: &str, updates: Updates) -> Result<Precise, String> {
    let digest = |text: &str| text.parse::<Digest>().map(Precise::Digest).map_err(|error| error.to_string());
    if let Some(checksum) = updates.attrs.get(CHECKSUM) {
        return digest(checksum);
    }
    let target = updates.identifier.unwrap_or_default();
    let pinned = match source.split_once("://") {
        Some(("docker-image", _)) => target.split_once('@').map(|(_, text)| digest(text)),
        Some(("git", _)) => target
            .rsplit_once('#')
            .map(|(_, commit)| commit)
            .filter(|text| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(|commit| Ok(Precise::Commit(commit.to_ascii_lowercase()))),
        _ => None,
    };
    pinned.unwrap_or_else(|| {
        Err("it pins nothing; an update must name a digest (@sha256:…), a commit (#…) or an http.checksum".into())
    })
}

/// What BuildKit calls something that comes from outside.
fn identifier(key: &LockKey) -> Option<String> {
    match key {
        LockKey::Image { reference, .. } => {
            let reference = Reference::parse(reference).ok()?;
            Some(format!("docker-image://{reference}"))
        }
        LockKey::Http { url } => Some(url.clone()),
        LockKey::Git { url, reference } if reference.is_empty() => Some(repository(url)),
        LockKey::Git { url, reference } => Some(format!("{}#{reference}", repository(url))),
        LockKey::Target { .. } | LockKey::Output { .. } => None,
    }
}

/// A git URL as BuildKit identifies it: host and path, whatever the protocol.
fn repository(url: &str) -> String {
    let place = match url.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        // As ssh has it: USER@HOST:PATH.
        None => url.replacen(':', "/", 1),
    };
    let (host, path) = place.split_once('/').unwrap_or((&place, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("git://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::{LockedHttp, LockedImage};
    use crate::oci::Platform;

    fn lock() -> Lockfile {
        let amd: Platform = "linux/amd64".parse().unwrap();
        let mut lock = Lockfile::new();
        let image = |byte| LockedImage {
            index: Some(Digest::from_bytes([byte; 32])),
            manifest: Digest::from_bytes([2; 32]),
            config: Digest::from_bytes([3; 32]),
        };
        lock.record_image("redis:7", &amd, image(1));
        lock.record_image("redis:7", &"linux/arm64".parse().unwrap(), image(1));
        let file = LockedHttp { sha256: Digest::of(b"x"), size: 1, last_modified: None };
        lock.record_http("https://example.org/x?a=*", file);
        lock.record_git("git@example.org:a/b.git", "main", &"a".repeat(40));
        lock.record_git("https://example.org/c.git", "", &"b".repeat(40));
        lock
    }

    #[test]
    fn is_written_so() {
        let [one, x] = [Digest::from_bytes([1; 32]), Digest::of(b"x")];
        let rule = |identifier: &str, updates: &str| {
            format!(
                r#"{{"action":"CONVERT","selector":{{"identifier":"{identifier}","match_type":"EXACT"}},"updates":{updates}}}"#
            )
        };
        let expected = [
            rule(
                "docker-image://docker.io/library/redis:7",
                &format!(r#"{{"identifier":"docker-image://docker.io/library/redis:7@{one}"}}"#),
            ),
            rule(
                "git://example.org/a/b.git#main",
                &format!(r#"{{"identifier":"git://example.org/a/b.git#{}"}}"#, "a".repeat(40)),
            ),
            rule(
                "git://example.org/c.git",
                &format!(r#"{{"identifier":"git://example.org/c.git#{}"}}"#, "b".repeat(40)),
            ),
            rule("https://example.org/x?a=*", &format!(r#"{{"attrs":{{"http.checksum":"{x}"}}}}"#)),
        ];
        let written: serde_json::Value = serde_json::from_str(&SourcePolicy::of(&lock()).unwrap()).unwrap();
        assert_eq!(written.to_string(), format!(r#"{{"rules":[{}]}}"#, expected.join(",")));
    }

    #[test]
    fn pins_what_it_was_written_from() {
        let policy = SourcePolicy::parse(&SourcePolicy::of(&lock()).unwrap()).unwrap();
        for key in lock().keys() {
            assert!(policy.pin(&key).is_some(), "{key}");
            assert!(!policy.denies(&key));
        }
        let other = LockKey::Http { url: "https://example.org/y".into() };
        assert_eq!(policy.pin(&other), None);
    }

    #[test]
    fn platforms_that_differ_cannot_be_said() {
        let mut lock = lock();
        let other =
            LockedImage { index: None, manifest: Digest::from_bytes([9; 32]), config: Digest::from_bytes([3; 32]) };
        lock.record_image("redis:7", &"linux/arm64".parse().unwrap(), other);
        assert_eq!(SourcePolicy::of(&lock), Err(PolicyError::Platforms("redis:7".into())));
    }

    #[test]
    fn refuses_what_it_would_get_wrong() {
        #[track_caller]
        fn check(rules: &str, expected: &str) {
            let message =
                SourcePolicy::parse(&format!(r#"{{"version":1,"rules":[{rules}]}}"#)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        check("1", "no source policy");
        check(
            r#"{"action":"DENY","selector":{"identifier":"docker-image://*"}}"#,
            "rule 1 (docker-image://*): it is about a",
        );
        check(r#"{"action":"ALLOW","selector":{"identifier":"a","match_type":"REGEX"}}"#, "pattern");
        check(r#"{"action":"ALLOW","selector":{"identifier":"a","constraints":[{"key":"a"}]}}"#, "constraints");
        check(r#"{"action":"KEEP","selector":{"identifier":"a"}}"#, "KEEP");
        check(
            r#"{"action":"CONVERT","selector":{"identifier":"docker-image://a"},"updates":{"identifier":"docker-image://b"}}"#,
            "pins nothing",
        );
        check(
            r#"{"action":"CONVERT","selector":{"identifier":"git://a#m"},"updates":{"identifier":"git://a#n"}}"#,
            "pins nothing",
        );
        check(
            r#"{"action":"CONVERT","selector":{"identifier":"https://a"},"updates":{"attrs":{"http.checksum":"sha256:1"}}}"#,
            "64",
        );
    }

    #[test]
    fn the_last_word_on_a_source_counts() {
        let rule = |action: &str| format!(r#"{{"action":"{action}","selector":{{"identifier":"https://a/b"}}}}"#);
        let key = LockKey::Http { url: "https://a/b".into() };
        for (actions, denied) in [(&["DENY"][..], true), (&["DENY", "ALLOW"], false), (&["ALLOW", "DENY"], true)] {
            let rules: Vec<String> = actions.iter().map(|action| rule(action)).collect();
            let policy = SourcePolicy::parse(&format!(r#"{{"rules":[{}]}}"#, rules.join(","))).unwrap();
            assert_eq!(policy.denies(&key), denied, "{actions:?}");
        }
    }
}
