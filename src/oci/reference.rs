//! Image references as people write them, and what they mean.
//!
//! The grammar is that of Docker's `distribution/reference`: `[registry/]repository[:tag][@digest]`, where a first
//! component is a registry only if it could not be anything else (it has a dot, a colon or a capital letter, or is
//! `localhost`). Short names mean Docker Hub, as they do in every Dockerfile. What is kept is the normalised form;
//! whoever needs the text as it was written keeps that.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry that a short name means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that is meant where neither tag nor digest is written.
pub const DEFAULT_TAG: &str = "latest";
/// The longest `registry/repository`, in bytes.
const MAX_NAME: usize = 255;
/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// The name of an image, normalised: `docker.io/library/redis:latest` for `redis`.
///
/// Has a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A reference that does not parse: what was given, and why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ParseReferenceError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// Reads a reference as people write it.
    pub fn parse(text: &str) -> Result<Self, ParseReferenceError> {
        parse(text).map_err(|reason| ParseReferenceError { text: text.to_owned(), reason })
    }

    /// The registry's host, with its port if it has one, such as `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in that registry, such as `library/redis`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` if neither tag nor digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// [`Reference::name`] as Docker shows it: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        match self.repository.strip_prefix("library/") {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The whole reference as Docker shows it: `redis:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        check_tag(tag).map_err(|reason| ParseReferenceError { text: format!("{}:{tag}", self.name()), reason })?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same reference pinned to this digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same repository by digest alone, as `RepoDigests` has it.
    pub fn by_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.contains("://") {
        return Err("it must not start with a scheme such as https://".into());
    }
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err("64 hexadecimal digits are an image ID, not a name".into());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    let (registry, rest) = match rest.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, rest),
    };
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (rest, None),
    };
    check_registry(registry)?;
    check_repository(repository)?;
    tag.map_or(Ok(()), check_tag)?;

    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    let official = registry == DEFAULT_REGISTRY && !repository.contains('/');
    let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err(format!("its name is longer than {MAX_NAME} characters"));
    }
    let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None }).map(str::to_owned);
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::digest::ParseDigestError| match text.split_once(':') {
        Some((algorithm, _)) if algorithm != "sha256" => {
            format!("its digest must be sha256:…, other algorithms than that ({algorithm:?}) are not supported")
        }
        _ => format!("of its digest, {}", error.reason),
    })
}

fn check_registry(registry: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("its registry {registry:?} {why}"));
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else { return wrong("has a [ without a ]") };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return wrong("is no IPv6 address");
            }
            match after.strip_prefix(':') {
                Some(port) => ("", Some(port)),
                None if after.is_empty() => ("", None),
                None => return wrong("has text after its ]"),
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+')) {
        return wrong("has a port that is no number below 65536");
    }
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    if registry.starts_with('[') || host.split('.').all(label) { Ok(()) } else { wrong("is no host name") }
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("it names no repository".into());
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("the repository {repository:?} must be lower case"));
    }
    for component in repository.split('/') {
        check_component(component).map_err(|why| format!("the repository {repository:?} {why}"))?;
    }
    Ok(())
}

/// One component: runs of letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn check_component(component: &str) -> Result<(), String> {
    if component.is_empty() {
        return Err("has an empty part".into());
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = component.chars().find(|&c| !word(c) && !"._-".contains(c)) {
        return Err(format!("must not hold {c:?}; allowed are a-z, 0-9, '.', '_', '-' and '/'"));
    }
    if !component.starts_with(word) || !component.ends_with(word) {
        return Err(format!("has a part {component:?} that does not start and end with a letter or digit"));
    }
    let separators = component.split(word).filter(|run| !run.is_empty());
    match separators.into_iter().find(|run| !matches!(*run, "." | "_" | "__") && run.contains(['.', '_'])) {
        Some(run) => Err(format!("has {run:?} in a part, where only '.', '_', '__' or dashes can stand")),
        None => Ok(()),
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("the tag after ':' is empty".into());
    }
    if tag.len() > MAX_TAG {
        return Err(format!("its tag is longer than {MAX_TAG} characters"));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(c) = tag.chars().find(|&c| !word(c) && c != '.' && c != '-') {
        return Err(format!("its tag {tag:?} must not hold {c:?}"));
    }
    if tag.starts_with(word) { Ok(()) } else { Err(format!("its tag {tag:?} must not start with '.' or '-'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(input: &str, full: &str, familiar: &str) {
        let reference = Reference::parse(input).unwrap();
        assert_eq!(reference.to_string(), full);
        assert_eq!(reference.familiar(), familiar);
        assert_eq!(Reference::parse(full).unwrap(), reference, "the full form means the same");
        assert_eq!(Reference::parse(familiar).unwrap(), reference, "the familiar form means the same");
    }

    #[test]
    fn normalises() {
        check("redis", "docker.io/library/redis:latest", "redis:latest");
        check("redis:7", "docker.io/library/redis:7", "redis:7");
        check("library/redis", "docker.io/library/redis:latest", "redis:latest");
        check("docker.io/redis", "docker.io/library/redis:latest", "redis:latest");
        check("index.docker.io/library/redis", "docker.io/library/redis:latest", "redis:latest");
        check("moby/buildkit", "docker.io/moby/buildkit:latest", "moby/buildkit:latest");
        check("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest");
        check("localhost/a", "localhost/a:latest", "localhost/a:latest");
        check("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b");
        check("ghcr.io/a/b/c", "ghcr.io/a/b/c:latest", "ghcr.io/a/b/c:latest");
        check("Host/a", "Host/a:latest", "Host/a:latest");
        check("[2001:db8::1]:5000/a", "[2001:db8::1]:5000/a:latest", "[2001:db8::1]:5000/a:latest");
        check("[::1]/a", "[::1]/a:latest", "[::1]/a:latest");
        check("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest");
        check("a:5000", "docker.io/library/a:5000", "a:5000");
    }

    #[test]
    fn keeps_digests() {
        let familiar = format!("redis@{DIGEST}");
        check(&familiar, &format!("docker.io/library/redis@{DIGEST}"), &familiar);
        let both = format!("host:5000/a/b:c@{DIGEST}");
        check(&both, &both, &both);
        assert_eq!(Reference::parse(&familiar).unwrap().tag(), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |input: &str, expected: &str| {
            let message = Reference::parse(input).unwrap_err().to_string();
            assert!(message.contains(expected), "{input}: {message}");
        };
        check("", "empty");
        check("Redis", "\"Redis\" must be lower case");
        check("docker.io/a/B:c", "\"a/B\" must be lower case");
        check("https://docker.io/a", "scheme");
        check(":tag", "names no repository");
        check("a:", "tag after ':' is empty");
        check("a:-b", "must not start with");
        check("a:b c", "must not hold ' '");
        check("a//b", "empty part");
        check("a/", "empty part");
        check("-a", "start and end");
        check("a..b", "has \"..\"");
        check("a___b", "has \"___\"");
        check("a b", "must not hold ' '");
        check("ä", "must not hold 'ä'");
        check("a@", "does not start with sha256:");
        check("a@sha256:12", "64 hexadecimal digits");
        check("a@sha512:12", "\"sha512\"");
        check("host:99999/a", "port");
        check("[::1/a", "without a ]");
        check("[xyz.]/a", "no IPv6 address");
        check("-h.x/a", "no host name");
        check(&DIGEST[7..], "image ID");
        check(&format!("a:{}", "t".repeat(129)), "longer than 128");
        check(&format!("{}/a", ["abcdefghij"; 26].join("/")), "longer than 255");
    }

    #[test]
    fn derives_others() {
        let reference = Reference::parse("a:b").unwrap();
        assert_eq!(reference.with_tag("c").unwrap().familiar(), "a:c");
        assert!(reference.with_tag("c/d").is_err());
        let digest = DIGEST.parse().unwrap();
        assert_eq!(reference.with_digest(digest).familiar(), format!("a:b@{DIGEST}"));
        assert_eq!(reference.by_digest(digest).familiar(), format!("a@{DIGEST}"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_parses_means_the_same_again(text in "[a-zA-Z0-9:/@._\\[\\]-]{0,40}|\\PC{0,20}") {
            if let Ok(reference) = Reference::parse(&text) {
                assert_eq!(Reference::parse(&reference.to_string()), Ok(reference.clone()));
                assert_eq!(Reference::parse(&reference.familiar()), Ok(reference));
            }
        }
    }
}
