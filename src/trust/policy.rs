//! Which images may be built on.
//!
//! A policy is asked twice of each image: by its name, before anything is fetched ([`Policy::permits`]), and for the keys
//! that must have signed it, once its digest is known ([`Policy::signers`]). Where several policies hold, of the machine and
//! of a project, each of them is asked, so that none can take back what another one demands.

use super::{Pattern, PublicKey};

/// What a policy demands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The file that it is in, for messages.
    pub file: String,
    /// The only repositories that images may come from; all if none.
    pub allow: Option<(Vec<Pattern>, u32)>,
    /// Repositories that they may not come from.
    pub deny: Vec<Rule>,
    /// The line that demands that images are pinned, if one does.
    pub require_digest: Option<u32>,
    /// Who must have signed what.
    pub signatures: Vec<SignatureRule>,
}

/// A line of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is about.
    pub pattern: Pattern,
    /// That, as it was written.
    pub text: String,
    /// Where it is in its file, counted from 1.
    pub line: u32,
}

/// Whose signatures count for which images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureRule {
    /// Which images.
    pub rule: Rule,
    /// The keys, of which any one will do.
    pub keys: Vec<KeyFile>,
    /// What the signature must call the image.
    pub identity: Identity,
}

/// A key and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The file, for messages.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

/// What a signature must call an image. Without it, whoever can write to one repository of a signer could pass off another
/// image of the same signer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// By the repository that it is asked for by.
    #[default]
    Same,
    /// By this repository, such as `docker.io/library/debian`: the image is a copy.
    Repository(String),
    /// By any name.
    Any,
}

impl Identity {
    /// Reads `any` or the name of a repository.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let reference = crate::oci::Reference::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::Repository(reference.name()))
    }

    /// Whether an image of `asked` may be signed as `signed`.
    pub fn accepts(&self, asked: Option<&str>, signed: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Repository(wanted) => signed == Some(wanted),
            Self::Same => signed.is_some() && asked == signed,
        }
    }

    /// What it must be called, for people.
    pub fn wanted<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        match self {
            Self::Any => "any name",
            Self::Repository(wanted) => wanted,
            Self::Same => asked.unwrap_or("the name of the image, which has none"),
        }
    }
}

/// Why an image may not be built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its repository is denied.
    Denied {
        /// By this pattern.
        pattern: String,
        /// At this place.
        place: String,
    },
    /// Its repository is not among those that are allowed.
    NotAllowed {
        /// By this list.
        place: String,
    },
    /// It is named without a digest, and nothing else pins it.
    NotPinned {
        /// By this line.
        place: String,
    },
}

impl Refusal {
    /// What to say of an image.
    pub fn message(&self, image: &str) -> String {
        match self {
            Self::Denied { pattern, place } => {
                format!("{image} is denied by the policy: `deny` has {pattern:?} ({place})")
            }
            Self::NotAllowed { place } => {
                format!("{image} is not allowed by the policy: no pattern of `allow` fits ({place})")
            }
            Self::NotPinned { place } => {
                format!(
                    "{image} is pinned neither by a digest nor by the lockfile, and the policy has `require-digest` ({place})"
                )
            }
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Denied { .. } | Self::NotAllowed { .. } => {
                "build on another image, or have the policy changed by whoever answers for it"
            }
            Self::NotPinned { .. } => {
                "write NAME@sha256:…, or pin it in the lockfile with `imgbuild lock` and review that"
            }
        }
    }
}

impl Policy {
    /// Where a line of it is.
    pub fn place(&self, line: u32) -> String {
        format!("{}:{line}", self.file)
    }

    /// Whether an image of this repository may be used at all. `pinned` says whether it is certain beforehand which one it is.
    pub fn permits(&self, repository: &str, pinned: bool) -> Result<(), Refusal> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.pattern.fits(repository)) {
            return Err(Refusal::Denied { pattern: rule.text.clone(), place: self.place(rule.line) });
        }
        if let Some((patterns, line)) = &self.allow
            && !patterns.iter().any(|pattern| pattern.fits(repository))
        {
            return Err(Refusal::NotAllowed { place: self.place(*line) });
        }
        match self.require_digest {
            Some(line) if !pinned => Err(Refusal::NotPinned { place: self.place(line) }),
            _ => Ok(()),
        }
    }

    /// Who must have signed an image of this repository: one of the keys of each of these.
    pub fn signers(&self, repository: &str) -> impl Iterator<Item = &SignatureRule> {
        self.signatures.iter().filter(move |signers| signers.rule.pattern.fits(repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule { pattern: Pattern::parse(text).unwrap(), text: text.into(), line: 3 }
    }

    #[test]
    fn judges_names() {
        let patterns = ["debian", "h.x/**"].map(|text| Pattern::parse(text).unwrap()).to_vec();
        let policy = Policy {
            file: "p.toml".into(),
            allow: Some((patterns, 2)),
            deny: vec![rule("h.x/old/*")],
            require_digest: Some(4),
            signatures: Vec::new(),
        };
        let check = |repository: &str, pinned: bool, expected: &str| {
            let said =
                policy.permits(repository, pinned).map_or_else(|refusal| refusal.message("X"), |()| String::new());
            assert_eq!(said, expected, "{repository}");
        };
        check("docker.io/library/debian", true, "");
        check("h.x/new", true, "");
        check("h.x/old/a", true, "X is denied by the policy: `deny` has \"h.x/old/*\" (p.toml:3)");
        check(
            "docker.io/library/alpine",
            true,
            "X is not allowed by the policy: no pattern of `allow` fits (p.toml:2)",
        );
        check(
            "h.x/new",
            false,
            "X is pinned neither by a digest nor by the lockfile, and the policy has `require-digest` (p.toml:4)",
        );
        assert_eq!(Policy::default().permits("h.x/a", false), Ok(()));
    }

    #[test]
    fn judges_what_an_image_is_called() {
        let check = |identity: &Identity, asked: Option<&str>, signed: Option<&str>, expected: bool| {
            assert_eq!(identity.accepts(asked, signed), expected, "{identity:?} {asked:?} {signed:?}");
        };
        check(&Identity::Same, Some("h.x/a"), Some("h.x/a"), true);
        check(&Identity::Same, Some("h.x/a"), Some("h.x/b"), false);
        check(&Identity::Same, None, None, false);
        check(&Identity::Any, Some("h.x/a"), None, true);
        let debian = Identity::parse("debian").unwrap();
        check(&debian, Some("mirror.x/debian"), Some("docker.io/library/debian"), true);
        check(&debian, Some("mirror.x/debian"), Some("mirror.x/debian"), false);
        assert_eq!(Identity::parse("any"), Ok(Identity::Any));
        assert!(Identity::parse("A B").is_err());
    }
}
