//! Patterns of the table: components with `*` for any letters, `**` for any folders, and `~` for any user's home.
//!
//! Not the patterns of build files ([`fstree::pattern`](crate::fstree::pattern)): these are constants, need no errors,
//! and know homes.

/// Whether a path, as bytes without a leading slash, fits a pattern.
pub(super) fn fits(pattern: &str, path: &[u8]) -> bool {
    match pattern.strip_prefix("~/") {
        Some(rest) => home(path).is_some_and(|path| below(rest.as_bytes(), path)),
        None => below(pattern.as_bytes(), path),
    }
}

/// What follows a home in a path.
fn home(path: &[u8]) -> Option<&[u8]> {
    let (first, rest) = split(path);
    match first {
        b"root" => rest,
        b"home" => split(rest?).1,
        _ => None,
    }
}

fn below(pattern: &[u8], path: &[u8]) -> bool {
    let (part, more) = split(pattern);
    let (name, rest) = split(path);
    match (part, more, rest) {
        // At the end, anything there is.
        (b"**", None, _) => !path.is_empty(),
        (b"**", Some(more), rest) => below(more, path) || rest.is_some_and(|rest| below(pattern, rest)),
        (part, None, None) => component(part, name),
        (part, Some(more), Some(rest)) => component(part, name) && below(more, rest),
        _ => false,
    }
}

/// Whether a name fits a part that may have one `*`.
fn component(part: &[u8], name: &[u8]) -> bool {
    match part.iter().position(|&b| b == b'*') {
        None => part == name,
        Some(star) => {
            let (start, end) = (&part[..star], &part[star + 1..]);
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

/// The first component, and the others if there are any.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&b| b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_paths() {
        let check = |pattern: &str, path: &str, expected| {
            assert_eq!(fits(pattern, path.as_bytes()), expected, "{pattern} {path}")
        };
        check("a/b", "a/b", true);
        check("a/b", "a/b/c", false);
        check("a/b", "a", false);
        check("a/b", "x/a/b", false);
        check("a/*.log", "a/x.log", true);
        check("a/*.log", "a/.log", true);
        check("a/*.log", "a/b/x.log", false);
        check("a/ab*ba", "a/aba", false);
        check("a/**", "a/b", true);
        check("a/**", "a/b/c", true);
        check("a/**", "a", false);
        check("**/x", "x", true);
        check("**/x", "a/b/x", true);
        check("**/x", "a/x/b", false);
        check("a/**/x", "a/x", true);
        check("a/**/x", "a/b/c/x", true);
        check("a/**/x", "b/x", false);
        check("~/.x", "root/.x", true);
        check("~/.x", "home/a/.x", true);
        check("~/.x", "home/.x", false);
        check("~/.x", "root/a/.x", false);
        check("~/.x", ".x", false);
        check("**", "", false);
    }
}
