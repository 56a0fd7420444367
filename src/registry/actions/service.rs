//! Which cache of which service, and what its entries are called there. Who asks is not known here.
//!
//! Entries of all that use the service stand beside each other, so ours have a word and a version of their own. Their keys are
//! persisted: others find by them what we wrote.

use std::fmt;
use std::time::Duration;

use super::access::Access;
use crate::digest::Digest;
use crate::registry::{ActionsSettings, Secret};
use crate::source::http::{Address, percent};

/// The scope of docker's.
pub const DEFAULT_SCOPE: &str = "buildkit";
/// How long reading or writing a cache may take, as with docker.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// What the service allows a key to have, in bytes.
const LONGEST_KEY: usize = 512;
/// What is left for a scope, in bytes: more is in a key besides, such as a number.
const LONGEST_SCOPE: usize = LONGEST_KEY - 64;

/// A cache of GitHub Actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    scope: String,
    /// Where the service is; where the environment says if none.
    pub(super) url: Option<String>,
    /// Who asks; whom the environment says if none.
    pub(super) token: Option<Secret>,
    /// How long reading or writing may take.
    pub(super) timeout: Duration,
}

impl Service {
    /// The cache of a scope. With a `url`, another service than that of the environment; with a `token`, as somebody
    /// else. What is wrong comes as words for a person.
    pub fn new(scope: &str, url: Option<String>, token: Option<Secret>, timeout: Duration) -> Result<Self, String> {
        if let Some(url) = &url {
            let address = Address::parse(url).map_err(|reason| format!("url_v2={url}: {reason}"))?;
            if address.credentials.is_some() || address.path.contains('?') {
                return Err("url_v2 takes no password and no query: a token is given by itself".into());
            }
        }
        let scope = encode(scope);
        if scope.len() > LONGEST_SCOPE {
            return Err(format!(
                "scope={scope}: with {} bytes it is too long, {LONGEST_SCOPE} are allowed",
                scope.len()
            ));
        }
        Ok(Self { scope, url, token, timeout })
    }

    /// Fails if it and the environment together do not say where the service is and who asks.
    pub fn check(&self, settings: &ActionsSettings) -> Result<(), String> {
        Access::new(self, settings).map(drop)
    }

    /// What manifests of a git reference begin with; a number follows.
    pub(super) fn manifests(&self, reference: &str) -> String {
        let reference = &Digest::of(reference.as_bytes()).hex()[..8];
        format!("imgbuild-index-1-{}-{reference}#", self.scope)
    }

    /// What a blob is called. All scopes share them.
    pub(super) fn blob(digest: &Digest) -> String {
        format!("imgbuild-blob-{digest}")
    }

    /// What entries must have in common to be found. The service wants a hash.
    pub(super) fn version() -> String {
        Digest::of(b"imgbuild cache 1").hex()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type=gha,scope={}", self.scope)
    }
}

/// Percent-encodes what keys cannot have or what stands between their parts.
fn encode(text: &str) -> String {
    percent::encode(text, |byte| percent::is_unreserved(byte) || b"/:@+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(scope: &str) -> Service {
        Service::new(scope, None, None, DEFAULT_TIMEOUT).unwrap()
    }

    /// A change here is a new version, or what is there is not found any more.
    #[test]
    fn the_keys_are_pinned() {
        let main = service(DEFAULT_SCOPE).manifests("refs/heads/main");
        assert_eq!(main, "imgbuild-index-1-buildkit-f921bd05#");
        assert_eq!(service("a b,#é/c").manifests(""), "imgbuild-index-1-a%20b%2C%23%C3%A9/c-e3b0c442#");
        let blob = "imgbuild-blob-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Service::blob(&Digest::of(b"")), blob);
        let version = "5b426cc477d075ec4894abe4261a9a21efe75937f89adb11512061df36568289";
        assert_eq!(Service::version(), version);
    }

    #[test]
    fn says_what_is_wrong_and_no_secret() {
        let new = |scope: &str, url: Option<&str>| {
            let token = Some(Secret("hidden".into()));
            Service::new(scope, url.map(str::to_owned), token, DEFAULT_TIMEOUT)
        };
        let check = |scope: &str, url: Option<&str>, expected: &str| {
            let error = new(scope, url).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("a", Some("results.example"), "url_v2=results.example: it has no scheme");
        check("a", Some("https://me:secret@results.example"), "url_v2 takes no password");
        check("a", Some("https://results.example/?a"), "no query");
        check(&"é".repeat(80), None, "with 480 bytes it is too long, 448 are allowed");
        let fine = new("a", Some("https://results.example/")).unwrap();
        assert!(!format!("{fine} {fine:?}").contains("hidden"));
    }
}
