//! The wildcards of `COPY`: Go's `filepath.Match`.

use super::PatternError;

/// A set of characters: `[a-z]`, or all but these: `[^a-z]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    negated: bool,
    ranges: Vec<(u32, u32)>,
}

impl Class {
    /// Whether a character (as [`next_char`] gives it) is in the set.
    pub(super) fn matches(&self, c: u32) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= c && c <= high) != self.negated
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(u32),
    Any,
    Star,
    Class(Class),
}

/// A pattern for one component of a path: `*` is any text, `?` any character, `[a-z]` and `[^a-z]` are sets, and `\`
/// takes the next character as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

impl Glob {
    /// Reads a pattern.
    pub fn parse(pattern: &[u8]) -> Result<Self, PatternError> {
        let error = |reason| PatternError { pattern: String::from_utf8_lossy(pattern).into_owned(), reason };
        let mut rest = pattern;
        let mut tokens = Vec::new();
        while let Some(c) = next_char(&mut rest) {
            tokens.push(match char::from_u32(c) {
                Some('*') => Token::Star,
                Some('?') => Token::Any,
                Some('[') => Token::Class(read_class(&mut rest).map_err(error)?),
                Some('\\') => Token::Literal(next_char(&mut rest).ok_or(error("nothing follows the last backslash"))?),
                _ => Token::Literal(c),
            });
        }
        Ok(Self(tokens))
    }

    /// Whether a name matches as a whole. No wildcard matches a slash.
    pub fn matches(&self, name: &[u8]) -> bool {
        let tokens = &self.0;
        let mut states = vec![false; tokens.len() + 1];
        let mut next = states.clone();
        states[0] = true;
        let mut rest = name;
        loop {
            for at in 0..tokens.len() {
                if tokens[at] == Token::Star && states[at] {
                    states[at + 1] = true;
                }
            }
            let Some(c) = next_char(&mut rest) else { return states[tokens.len()] };
            next.fill(false);
            for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| states[at]) {
                match token {
                    Token::Star if c != SLASH => next[at] = true,
                    Token::Any if c != SLASH => next[at + 1] = true,
                    Token::Literal(literal) if *literal == c => next[at + 1] = true,
                    Token::Class(class) if class.matches(c) => next[at + 1] = true,
                    _ => {}
                }
            }
            std::mem::swap(&mut states, &mut next);
        }
    }
}

/// Whether a path is a pattern: whether it has one of `*`, `?`, `[` that no backslash escapes.
pub fn has_wildcards(path: &[u8]) -> bool {
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}

pub(super) const SLASH: u32 = b'/' as u32;

/// Above all characters, so that a byte that is none is only equal to itself.
const NO_CHARACTER: u32 = 0x11_0000;

/// Takes the next character off, or the next byte where there is no valid character.
pub(super) fn next_char(rest: &mut &[u8]) -> Option<u32> {
    let first = *rest.first()?;
    if first.is_ascii() {
        *rest = &rest[1..];
        return Some(u32::from(first));
    }
    let length = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let text = rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (c, length) = match text.and_then(|text| text.chars().next()) {
        Some(c) => (u32::from(c), length),
        None => (NO_CHARACTER + u32::from(first), 1),
    };
    *rest = &rest[length..];
    Some(c)
}

/// Reads what follows a `[`, up to its `]`.
pub(super) fn read_class(rest: &mut &[u8]) -> Result<Class, &'static str> {
    const OPEN: &str = "a `[` is not closed by a `]`";
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Ok(Class { negated, ranges });
        }
        let low = read_class_char(rest)?;
        let high = if rest.first() == Some(&b'-') {
            *rest = &rest[1..];
            read_class_char(rest)?
        } else {
            low
        };
        if rest.is_empty() {
            return Err(OPEN);
        }
        ranges.push((low, high));
    }
}

fn read_class_char(rest: &mut &[u8]) -> Result<u32, &'static str> {
    match rest.first() {
        None => Err("a `[` is not closed by a `]`"),
        Some(b'-' | b']') => Err("a set in `[]` needs a character before `-` and `]`"),
        Some(b'\\') => {
            *rest = &rest[1..];
            next_char(rest).ok_or("nothing follows the last backslash")
        }
        Some(_) => next_char(rest).ok_or("a `[` is not closed by a `]`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(Glob::parse(pattern.as_bytes()).unwrap().matches(name.as_bytes()), expected, "{pattern} {name}");
        };
        check("name", "name", true);
        check("name", "names", false);
        check("*", "", true);
        check("*", ".hidden", true);
        check("*.txt", "notes.txt", true);
        check("*.txt", "notes.txt.bak", false);
        check("lib*-*.so.?", "libfoo-1.2.so.3", true);
        check("lib*-*.so.?", "libfoo-1.2.so.", false);
        check("*a*a*a", "banana", true);
        check("*a*a*a*a", "banana", false);
        check("x*y", "x/y", false);
        check("x?y", "x/y", false);
        check("x?y", "xöy", true);
        check("x??y", "xöy", false);
        check("[a-c]1", "b1", true);
        check("[a-c]1", "d1", false);
        check("[^a-c]1", "d1", true);
        check("[^a]", "ö", true);
        check("[α-ω]", "λ", true);
        check("[!1]", "!", true);
        check("[\\]x]", "]", true);
        check("[a\\-z]", "-", true);
        check("[a\\-z]", "m", false);
        check("arr[[]0].txt", "arr[0].txt", true);
        check("a\\*", "a*", true);
        check("a\\*", "ab", false);
        check("", "", true);
    }

    #[test]
    fn bytes_that_are_no_text_match_themselves() {
        assert!(Glob::parse(b"a?\xff*").unwrap().matches(b"a\xfe\xff\x80"));
        assert!(!Glob::parse(b"\xff").unwrap().matches(b"\xfe"));
    }

    #[test]
    fn refuses_bad_patterns() {
        for pattern in ["[", "[^", "x[a", "[]x]", "[-]", "[-z]", "[a-]", "[a-c-e]", "x\\", "[one.txt", "[a\\"] {
            assert!(Glob::parse(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn knows_patterns() {
        assert!(has_wildcards(b"a/*") && has_wildcards(b"a[b]") && !has_wildcards(b"a\\*b"));
    }

    /// The rules once more, read aloud: every way for a star is tried.
    fn model(pattern: &[char], name: &[char]) -> Option<bool> {
        let Some((&first, rest)) = pattern.split_first() else { return Some(name.is_empty()) };
        let here = name.first().copied();
        // Whether what is left is a pattern does not depend on whether the name still matches.
        let then = |fits: bool, rest: &[char]| {
            let below = model(rest, name.get(1..).unwrap_or_default())?;
            Some(fits && here.is_some() && below)
        };
        match first {
            '*' => {
                let longest = name.iter().position(|&c| c == '/').unwrap_or(name.len());
                let ends: Option<Vec<bool>> = (0..=longest).map(|end| model(rest, &name[end..])).collect();
                Some(ends?.contains(&true))
            }
            '?' => then(here != Some('/'), rest),
            '\\' => {
                let (&literal, rest) = rest.split_first()?;
                then(here == Some(literal), rest)
            }
            '[' => {
                let (negated, mut rest) = rest.strip_prefix(&['^']).map_or((false, rest), |rest| (true, rest));
                let (mut any, mut found) = (false, false);
                let one = |rest: &mut &[char]| -> Option<char> {
                    let (&c, after) = rest.split_first()?;
                    let (c, after) = match c {
                        '-' | ']' => return None,
                        '\\' => after.split_first().map(|(&c, after)| (c, after))?,
                        c => (c, after),
                    };
                    *rest = after;
                    Some(c)
                };
                while !(any && rest.first() == Some(&']')) {
                    let low = one(&mut rest)?;
                    let high = match rest.strip_prefix(&['-']) {
                        Some(after) => {
                            rest = after;
                            one(&mut rest)?
                        }
                        None => low,
                    };
                    any = true;
                    found |= here.is_some_and(|c| low <= c && c <= high);
                }
                then(found != negated, &rest[1..])
            }
            literal => then(here == Some(literal), rest),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]

        #[test]
        fn agrees_with_trying_every_way(pattern in "[ab*?\\[\\]^\\\\/é-]{0,8}", names in proptest::collection::vec("[ab/é*-]{0,6}", 1..8)) {
            let glob = Glob::parse(pattern.as_bytes()).ok();
            let chars: Vec<char> = pattern.chars().collect();
            for name in names {
                let expected = model(&chars, &name.chars().collect::<Vec<_>>());
                let actual = glob.as_ref().map(|glob| glob.matches(name.as_bytes()));
                proptest::prop_assert_eq!(actual, expected, "{} {}", pattern, name);
            }
        }
    }
}
