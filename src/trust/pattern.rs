//! Patterns of repositories: `docker.io/library/*`, `registry.example/**`.
//!
//! `*` is any part of one component, `**` anything at all. A pattern without a registry means Docker Hub, as such a name does
//! everywhere: `debian` is `docker.io/library/debian`. Tags are not part of it: what a tag stands for changes.

/// Which repositories a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, rest) = match text.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (text, None),
        };
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.split('/').any(str::is_empty) || text.contains(char::is_whitespace) {
            return Err("no part of it may be empty or have a space".into());
        }
        if text.contains('@') || (rest.is_some() && last.contains(':')) {
            return Err("a pattern names repositories, without tag and digest".into());
        }
        let registry = first.contains(['.', ':']) || first == "localhost";
        Ok(Self(match rest {
            None if registry => return Err(format!("for all of a registry write {first}/**")),
            None if text == "**" => text.to_owned(),
            None => format!("docker.io/library/{text}"),
            Some(_) if registry || first.contains('*') => text.to_owned(),
            Some(_) => format!("docker.io/{text}"),
        }))
    }

    /// Whether a repository, such as `docker.io/library/debian`, is meant.
    pub fn fits(&self, repository: &str) -> bool {
        fits(self.0.as_bytes(), repository.as_bytes())
    }
}

/// Where to go on after a star: behind it in the pattern, and behind what of the text it has taken by then.
type Star = Option<(usize, usize)>;

/// Goes back to the last star only, and before that to the last pair of them, so that no pattern takes long.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let (mut one, mut any): (Star, Star) = (None, None);
    loop {
        if pattern[at..].starts_with(b"**") {
            at += 2;
            any = Some((at, from));
            one = None;
        } else if pattern.get(at) == Some(&b'*') {
            at += 1;
            one = Some((at, from));
        } else if from < text.len() && pattern.get(at) == Some(&text[from]) {
            at += 1;
            from += 1;
        } else if from == text.len() && at == pattern.len() {
            return true;
        } else if let Some((behind, taken)) =
            one.filter(|(_, taken)| text.get(*taken).is_some_and(|byte| *byte != b'/'))
        {
            one = Some((behind, taken + 1));
            (at, from) = (behind, taken + 1);
        } else if let Some((behind, taken)) = any.filter(|(_, taken)| *taken < text.len()) {
            any = Some((behind, taken + 1));
            one = None;
            (at, from) = (behind, taken + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_repositories() {
        let check = |pattern: &str, repository: &str, expected: bool| {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.fits(repository), expected, "{pattern} {repository}");
        };
        check("debian", "docker.io/library/debian", true);
        check("debian", "docker.io/library/debian2", false);
        check("debian", "h.x/library/debian", false);
        check("*", "docker.io/library/debian", true);
        check("*", "docker.io/team/debian", false);
        check("team/*", "docker.io/team/app", true);
        check("**", "h.x/a/b/c", true);
        check("h.x/**", "h.x/a/b/c", true);
        check("h.x/**", "h.x.y/a", false);
        check("h.x/*", "h.x/a/b", false);
        check("h.x/*/b", "h.x/a/b", true);
        check("h.x/a*c/d", "h.x/abc/d", true);
        check("h.x/a*c", "h.x/ab/c", false);
        check("h.x/**/c", "h.x/a/b/c", true);
        check("h.x/**/c*", "h.x/a/b/cd", true);
        check("h.x/**/c*", "h.x/a/c/b", false);
        check("h.x/*a*b", "h.x/xaxaxb", true);
        check("localhost:5000/a", "localhost:5000/a", true);
        check("localhost/a", "localhost/a", true);
        check("*.x/a", "h.x/a", true);
        check("**/app", "h.x/a/b/app", true);
        check(&format!("h.x/{}", "*a".repeat(40)), &format!("h.x/{}b", "a".repeat(200)), false);
    }

    proptest::proptest! {
        /// A model that cannot be wrong: the same as a regular expression.
        #[test]
        fn matches_as_a_regular_expression_does(pattern in "[ab/*]{0,8}", text in "[ab/]{0,8}") {
            let expression = pattern.replace("**", "\u{0}").replace('*', "[^/]*").replace('\u{0}', ".*");
            let expected = regex_lite::Regex::new(&format!("^{expression}$")).unwrap().is_match(&text);
            proptest::prop_assert_eq!(Pattern(pattern.clone()).fits(&text), expected, "{} {}", pattern, text);
        }
    }

    #[test]
    fn says_what_is_no_pattern() {
        let check = |pattern: &str, expected: &str| {
            let message = Pattern::parse(pattern).unwrap_err();
            assert!(message.contains(expected), "{pattern}: {message}");
        };
        check("", "empty");
        check("h.x/", "empty");
        check("h.x", "write h.x/**");
        check("localhost:5000", "write localhost:5000/**");
        check("h.x/a:1", "without tag");
        check("debian:12", "write debian:12/**");
        check("a@sha256:00", "without tag");
    }
}
