//! What a server says of how it wants to be asked: `WWW-Authenticate` (RFC 9110, section 11.6.1).
//!
//! There can be several headers with several challenges each, and commas stand between challenges as well as between
//! their parameters.

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A name and a password.
    Basic,
    /// A token from somebody else.
    Bearer {
        /// Who gives it: a URL.
        realm: String,
        /// What it is for.
        service: Option<String>,
        /// What it must allow.
        scope: Option<String>,
    },
}

/// The challenges of a header that are understood, in their order.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme = String::new();
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, after) = quoted(value.trim_start());
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            // A word without a value begins the next challenge.
            _ => {
                found.extend(challenge(&scheme, &parameters));
                parameters.clear();
                scheme = word.to_ascii_lowercase();
                // What is neither a word nor a value leads nowhere.
                if word.is_empty() {
                    return found;
                }
                rest = after;
            }
        }
    }
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let of = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let realm = of("realm").filter(|realm| !realm.is_empty())?;
            Some(Challenge::Bearer { realm, service: of("service"), scope: of("scope") })
        }
        _ => None,
    }
}

/// A value, in quotes or not, and what comes after it.
fn quoted(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &inner[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned), scope: scope.map(str::to_owned) }
    }

    #[test]
    fn reads_what_registries_say() {
        let check = |header: &str, expected: &[Challenge]| assert_eq!(parse(header), expected, "{header}");
        check("Basic realm=\"Registry\"", &[Challenge::Basic]);
        check("basic", &[Challenge::Basic]);
        check(
            r#"Bearer realm="https://a/t",service="r",scope="repository:x:pull,push""#,
            &[bearer("https://a/t", Some("r"), Some("repository:x:pull,push"))],
        );
        check(r#"Bearer realm=https://a/t , service=r"#, &[bearer("https://a/t", Some("r"), None)]);
        check(
            r#"Negotiate abc==, Bearer REALM="https://a?b=\"c\"", Basic realm="x, Bearer realm=\"y\"""#,
            &[bearer("https://a?b=\"c\"", None, None), Challenge::Basic],
        );
        check(r#"Basic realm="a", Bearer realm="b""#, &[Challenge::Basic, bearer("b", None, None)]);
        for odd in [
            "",
            ",",
            "=",
            "Bearer",
            "Bearer service=\"x\"",
            "\"",
            "Bearer realm",
            "Bearer realm=\"\"",
            "é=é",
            "Digest realm=\"x\"",
        ] {
            check(odd, &[]);
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_anything(text in "[Bearlms =\",\\\\x-]{0,40}|\\PC{0,20}") {
            parse(&text);
        }
    }
}
