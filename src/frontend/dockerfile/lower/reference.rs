//! References to images: whether one is valid, and by what short name people know it.

use oci_spec::distribution::Reference;

/// Says what is wrong with a reference.
pub(super) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// The shortest name: `docker.io/library/busybox:latest` is `busybox`.
pub(super) fn familiar(text: &str) -> Result<String, String> {
    let reference = parse(text)?;
    let repository = reference.repository();
    let mut name = match reference.registry() {
        "docker.io" => repository.strip_prefix("library/").unwrap_or(repository).to_owned(),
        registry => format!("{registry}/{repository}"),
    };
    if let Some(tag) = reference.tag().filter(|tag| *tag != "latest" || reference.digest().is_some()) {
        name = format!("{name}:{tag}");
    }
    if let Some(digest) = reference.digest() {
        name = format!("{name}@{digest}");
    }
    Ok(name)
}

fn parse(text: &str) -> Result<Reference, String> {
    let lower = text.to_lowercase();
    match Reference::try_from(text) {
        Ok(reference) => Ok(reference),
        Err(_) if lower != text && Reference::try_from(lower.as_str()).is_ok() => {
            Err("the name of an image must be in lower case".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_short_names() {
        let check = |text: &str, expected: &str| assert_eq!(familiar(text).as_deref(), Ok(expected));
        check("busybox", "busybox");
        check("docker.io/library/busybox:latest", "busybox");
        check("docker.io/a/b:1", "a/b:1");
        check("localhost:5000/x", "localhost:5000/x");
        check("a-b_c.d1", "a-b_c.d1");
        for text in ["", "Busybox", "a b", "$X", "Busybox:UPPER:case"] {
            assert!(familiar(text).is_err(), "{text}");
        }
    }
}
