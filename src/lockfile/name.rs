//! What people call an entry: an image by its reference or its repository, everything else by its URL.

use super::LockKey;
use crate::oci::Reference;

impl LockKey {
    /// Whether somebody who says `name` means this entry, of what comes from outside.
    ///
    /// An image answers to its reference as written, to the same written in full, and to its repository without a tag.
    pub fn is_called(&self, name: &str) -> bool {
        match self {
            Self::Image { reference, .. } => reference == name || same_image(reference, name),
            Self::Http { url } => url == name,
            Self::Git { url, reference } => {
                url == name || name.split_once('#').is_some_and(|(of, wanted)| url == of && reference == wanted)
            }
            Self::Target { .. } | Self::Output { .. } => false,
        }
    }

    /// Its name for people, without the platform.
    pub fn name(&self) -> String {
        match self {
            Self::Image { reference, .. } => reference.clone(),
            Self::Http { url } => url.clone(),
            Self::Git { url, reference } if reference.is_empty() => url.clone(),
            Self::Git { url, reference } => format!("{url}#{reference}"),
            Self::Target { name, .. } | Self::Output { target: name, .. } => name.clone(),
        }
    }
}

fn same_image(reference: &str, name: &str) -> bool {
    let (Ok(reference), Ok(wanted)) = (Reference::parse(reference), Reference::parse(name)) else { return false };
    // A name without a tag is read as one with the tag `latest`; here it stands for all of them.
    let bare = !name.contains('@') && !name.rsplit('/').next().unwrap_or_default().contains(':');
    reference.name() == wanted.name() && (bare || reference == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_its_names() {
        let image =
            |reference: &str| LockKey::Image { reference: reference.into(), platform: "linux/amd64".parse().unwrap() };
        let git =
            |reference: &str| LockKey::Git { url: "https://example.org/a.git".into(), reference: reference.into() };
        let check =
            |key: &LockKey, name: &str, expected: bool| assert_eq!(key.is_called(name), expected, "{key} {name}");
        check(&image("redis:7"), "redis:7", true);
        check(&image("redis:7"), "redis", true);
        check(&image("redis:7"), "docker.io/library/redis:7", true);
        check(&image("redis:7"), "docker.io/library/redis", true);
        check(&image("redis:7"), "redis:latest", false);
        check(&image("redis"), "redis:latest", true);
        check(&image("redis:7"), "red", false);
        check(&image("localhost:5000/a:1"), "localhost:5000/a", true);
        check(&image("localhost:5000/a:1"), "a", false);
        check(&git("main"), "https://example.org/a.git", true);
        check(&git("main"), "https://example.org/a.git#main", true);
        check(&git("main"), "https://example.org/a.git#v1", false);
        check(&LockKey::Http { url: "https://example.org/x".into() }, "https://example.org/x", true);
        check(&LockKey::Http { url: "https://example.org/x".into() }, "https://example.org", false);
    }
}
