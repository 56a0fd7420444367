//! Patterns for names and values: `*` stands for any letters, `?` for one, `[a-z]` for one of these, `[!a-z]` for another.

/// Whether a text fits a pattern. A `[` that is not closed stands for itself.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the letters after the last star do not fit.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, t + 1));
            p += 1;
        } else if let Some(next) = one(&pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after_star, next)) = retry {
            (p, t) = (after_star, next);
            retry = Some((after_star, next + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Where the pattern goes on if what it has there stands for this letter.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    let set = |close: usize| &pattern[at + 1..close];
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match pattern.iter().skip(at + 2).position(|c| *c == ']').map(|close| at + 2 + close) {
            Some(close) => has(set(close), letter).then_some(close + 1),
            None => (letter == '[').then_some(at + 1),
        },
        other => (other == letter).then_some(at + 1),
    }
}

fn has(set: &[char], letter: char) -> bool {
    let (negated, mut set) = match set {
        ['!' | '^', rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let Some((first, rest)) = set.split_first() {
        set = match rest {
            ['-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&letter);
                rest
            }
            _ => {
                found |= *first == letter;
                rest
            }
        };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_names() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        };
        check("app", "app", true);
        check("app", "apps", false);
        check("*", "anything", true);
        check("*", "", true);
        check("app-*", "app-web", true);
        check("*-web", "app-web", true);
        check("a*a*b", "aaab", true);
        check("a*a*b", "aaac", false);
        check("app-?", "app-1", true);
        check("app-?", "app-", false);
        check("v[0-9].[0-9]*", "v1.20", true);
        check("v[0-9]", "vx", false);
        check("[!a-c]x", "dx", true);
        check("[!a-c]x", "bx", false);
        check("[ab-]", "-", true);
        check("[]a]", "]", true);
        check("[a", "[a", true);
        check("?", "ä", true);
    }
}
