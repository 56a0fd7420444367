//! References to images: whether one is valid, and by what short name people know it.

use crate::oci::{ParseReferenceError, Reference};

/// Says what is wrong with a reference.
pub(super) fn check(text: &str) -> Result<(), ParseReferenceError> {
    Reference::parse(text).map(drop)
}

/// The shortest name: `docker.io/library/busybox:latest` is `busybox`.
pub(super) fn familiar(text: &str) -> Result<String, ParseReferenceError> {
    let reference = Reference::parse(text)?;
    let name = reference.familiar();
    Ok(match reference.digest() {
        None => name.strip_suffix(":latest").map(str::to_owned).unwrap_or(name),
        Some(_) => name,
    })
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
