//! `.dockerignore`: patterns of which the last match decides, after the rules of moby/patternmatcher.
//!
//! A pattern is anchored at the root and matches a path or any folder above it. `*` and `?` stop at a slash; `**/` is any
//! number of folders, none included; a pattern that ends in `**` matches everything below.
//!
//! Whoever walks a tree should ask [`Matcher::enter`] from folder to folder; [`Matcher::excluded`] does the same for one
//! path. A folder that is excluded must still be entered if a later `!` pattern may match below it.

use super::PatternError;
use super::glob::{Class, Glob, SLASH, next_char, read_class};
use crate::fstree::TreePath;

/// The patterns in the text of an ignore file: comments and blanks dropped, paths cleaned.
///
/// Each comes with the number of its line, from 1.
pub fn parse_ignore_file(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut patterns = Vec::new();
    for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.starts_with('#')) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (mark, path) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
        let path = if path.is_empty() { String::new() } else { clean(path) };
        let path = if path.len() > 1 { path.strip_prefix('/').unwrap_or(&path) } else { &path };
        patterns.push((number, format!("{mark}{path}")));
    }
    patterns
}

/// The shortest equal path, as Go's `filepath.Clean` makes it.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(u32),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**/`: any folders, or none.
    Folders,
    /// `**` at the end.
    Everything,
    Class(Class),
}

#[derive(Debug, Clone)]
enum Form {
    /// No wildcards.
    Exact(Vec<u8>),
    /// Something plain and then `**`.
    Prefix(Vec<u8>),
    /// `**` and then something plain.
    Suffix(Vec<u8>),
    /// Plain text with one `*` in it, perhaps behind `**/`; and the same as tokens.
    Star(Star, Vec<Token>),
    /// Anything else, and the plain end of it, by which most paths are told apart at once.
    Tokens(Vec<Token>, Vec<u8>),
}

/// `start*end`, or `**/start*end`.
#[derive(Debug, Clone)]
struct Star {
    folders: bool,
    start: Vec<u8>,
    end: Vec<u8>,
    /// How many slashes there are in both.
    slashes: usize,
}

impl Star {
    /// The same, if the tokens of a pattern say no more.
    fn find(tokens: &[Token]) -> Option<Self> {
        let (folders, rest) = match tokens {
            [Token::Folders, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let plain = |tokens: &[Token]| -> Option<Vec<u8>> {
            let c = |token: &Token| if let Token::Literal(c) = token { char::from_u32(*c) } else { None };
            Some(tokens.iter().map(c).collect::<Option<String>>()?.into_bytes())
        };
        let at = rest.iter().position(|token| *token == Token::Star)?;
        let (start, end) = (plain(&rest[..at])?, plain(&rest[at + 1..])?);
        let slashes = start.iter().chain(&end).filter(|&&byte| byte == b'/').count();
        Some(Self { folders, start, end, slashes })
    }

    fn matches(&self, path: &[u8]) -> bool {
        if !path.ends_with(&self.end) {
            return false;
        }
        // The star takes no slash, so what stands behind the folders has as many as the pattern.
        let path = match path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').nth(self.slashes) {
            Some(_) if !self.folders => return false,
            Some((slash, _)) => &path[slash + 1..],
            None => path,
        };
        path.len() >= self.start.len() + self.end.len()
            && path.starts_with(&self.start)
            && path.ends_with(&self.end)
            && !path[self.start.len()..path.len() - self.end.len()].contains(&b'/')
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    /// Its place in the list that was given.
    index: usize,
    exception: bool,
    form: Form,
}

/// What a [`Matcher`] says of a path, and what it must remember for the paths below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the path is excluded.
    pub excluded: bool,
    /// The index of the pattern that decided, in the list the matcher was made of; none if no pattern matches.
    pub decided_by: Option<usize>,
    /// Which patterns match the path or a folder above; empty if none does.
    matched: Vec<bool>,
}

/// A list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

impl Matcher {
    /// A matcher for patterns in their order.
    ///
    /// Blank ones are passed over.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let mut compiled = Vec::new();
        for (index, pattern) in patterns.iter().map(AsRef::as_ref).enumerate() {
            let trimmed = pattern.trim();
            if trimmed.is_empty() {
                continue;
            }
            let text = clean(trimmed);
            let (exception, text) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
            let error = |reason| PatternError { pattern: pattern.to_owned(), reason };
            if text.is_empty() {
                return Err(error("nothing follows the `!`"));
            }
            Glob::parse(text.as_bytes()).map_err(|problem| error(problem.reason))?;
            compiled.push(Pattern { index, exception, form: compile(text).map_err(error)? });
        }
        Ok(Self { patterns: compiled })
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether any pattern starts with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// What is said of `path`, given what was said of the folder that holds it. The root's verdict is the default one.
    pub fn enter(&self, parent: &Verdict, path: &TreePath) -> Verdict {
        if path.is_root() {
            return Verdict::default();
        }
        let mut verdict = Verdict::default();
        for (place, pattern) in self.patterns.iter().enumerate() {
            let above = parent.matched.get(place).copied().unwrap_or(false);
            // A pattern that could not change the verdict is not asked; so it does not count as matched below, either.
            if !above && (pattern.exception != verdict.excluded || !pattern.form.matches(path.as_bytes())) {
                continue;
            }
            if verdict.matched.is_empty() {
                verdict.matched.resize(self.patterns.len(), false);
            }
            verdict.matched[place] = true;
            verdict.excluded = !pattern.exception;
            verdict.decided_by = Some(pattern.index);
        }
        verdict
    }

    /// What is said of `path`, the folders above it taken into account.
    pub fn decide(&self, path: &TreePath) -> Verdict {
        let above = path.ancestors().fold(Verdict::default(), |verdict, folder| self.enter(&verdict, &folder));
        self.enter(&above, path)
    }

    /// Whether `path` is excluded, the folders above it taken into account.
    pub fn excluded(&self, path: &TreePath) -> bool {
        self.decide(path).excluded
    }

    /// Whether an exception may match something below `folder`, so that it must be entered although it is excluded.
    pub fn may_hold_exceptions(&self, folder: &TreePath) -> bool {
        let mut below = folder.as_bytes().to_vec();
        if !folder.is_root() {
            below.push(b'/');
        }
        self.patterns.iter().any(|pattern| pattern.exception && pattern.form.may_match_below(&below))
    }
}

impl Form {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|text| path == text),
            Self::Star(star, _) => star.matches(path),
            Self::Tokens(tokens, end) => {
                path.ends_with(end) && run(tokens, path, |places| places.last().copied().unwrap_or(false))
            }
        }
    }

    /// Whether a path that starts with `start` can match.
    fn may_match_below(&self, start: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.starts_with(start),
            Self::Prefix(text) => text.starts_with(start) || start.starts_with(text),
            Self::Suffix(_) => true,
            Self::Star(_, tokens) | Self::Tokens(tokens, _) => {
                run(tokens, start, |places| places.iter().take(tokens.len()).any(|&alive| alive))
            }
        }
    }
}

/// The places in the pattern that can be reached by reading `path`; the last one is the match of all of it.
fn run<R>(tokens: &[Token], path: &[u8], then: impl FnOnce(&[bool]) -> R) -> R {
    // Memory is asked for only by patterns that nobody writes.
    let (mut small, mut large);
    let cells: &mut [bool] = if tokens.len() < 64 {
        small = [false; 4 * 64];
        &mut small
    } else {
        large = vec![false; 4 * (tokens.len() + 1)];
        &mut large
    };
    let mut parts = cells.chunks_exact_mut(tokens.len() + 1);
    // Besides the places: whether a `**/` is inside a component, that is, may not end here.
    let (Some(mut states), Some(mut next), Some(mut inside), Some(mut still_inside)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return then(&[]);
    };
    states[0] = true;
    let mut rest = path;
    loop {
        for at in 0..tokens.len() {
            if states[at] && matches!(tokens[at], Token::Star | Token::Folders | Token::Everything) {
                states[at + 1] = true;
            }
        }
        let Some(c) = next_char(&mut rest) else { break };
        next.fill(false);
        still_inside.fill(false);
        let mut alive = false;
        for (at, token) in tokens.iter().enumerate() {
            alive |= states[at] || inside[at];
            if *token == Token::Folders && (states[at] || inside[at]) {
                still_inside[at] = true;
                next[at] |= c == SLASH;
                continue;
            }
            if !states[at] {
                continue;
            }
            match token {
                Token::Star => next[at] |= c != SLASH,
                Token::Everything => next[at] = true,
                Token::Any => next[at + 1] |= c != SLASH,
                Token::Literal(literal) => next[at + 1] |= *literal == c,
                Token::Class(class) => next[at + 1] |= class.matches(c),
                Token::Folders => {}
            }
        }
        std::mem::swap(&mut states, &mut next);
        std::mem::swap(&mut inside, &mut still_inside);
        if !alive {
            break;
        }
    }
    // Inside a component of `**/`, more can still come.
    for at in 0..tokens.len() {
        states[at] |= inside[at];
    }
    then(states)
}

/// Finds the form of a cleaned pattern.
fn compile(text: &str) -> Result<Form, &'static str> {
    let bytes = text.as_bytes();
    let mut rest = bytes;
    let mut tokens = Vec::new();
    // Whether `**` stands first and everything after it is plain, and whether all is plain so far.
    let (mut suffix, mut exact) = (false, true);
    while let Some(c) = next_char(&mut rest) {
        match char::from_u32(c) {
            Some('*') if rest.first() == Some(&b'*') => {
                let first = tokens.is_empty();
                rest = &rest[1..];
                rest = rest.strip_prefix(b"/").unwrap_or(rest);
                if rest.is_empty() && exact && !first {
                    return Ok(Form::Prefix(bytes[..bytes.len() - 2].to_vec()));
                }
                tokens.push(if rest.is_empty() { Token::Everything } else { Token::Folders });
                suffix = first;
                exact = false;
            }
            Some('*') => {
                tokens.push(Token::Star);
                (suffix, exact) = (false, false);
            }
            Some('?') => {
                tokens.push(Token::Any);
                (suffix, exact) = (false, false);
            }
            Some('[') => {
                tokens.push(Token::Class(read_class(&mut rest)?));
                (suffix, exact) = (false, false);
            }
            Some('\\') => {
                tokens.push(Token::Literal(next_char(&mut rest).ok_or("nothing follows the last backslash")?));
                (suffix, exact) = (false, false);
            }
            _ => tokens.push(Token::Literal(c)),
        }
    }
    Ok(match (exact, suffix) {
        (true, _) => Form::Exact(bytes.to_vec()),
        (_, true) => Form::Suffix(bytes[2..].to_vec()),
        _ => match Star::find(&tokens) {
            Some(star) => Form::Star(star, tokens),
            None => {
                let end = plain_end(&tokens);
                Form::Tokens(tokens, end)
            }
        },
    })
}

/// The bytes that everything which the tokens match ends with.
fn plain_end(tokens: &[Token]) -> Vec<u8> {
    let ascii = |token: &Token| match token {
        Token::Literal(c) => u8::try_from(*c).ok().filter(u8::is_ascii),
        _ => None,
    };
    let mut end: Vec<u8> = tokens.iter().rev().map_while(ascii).collect();
    end.reverse();
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str, expected: bool) {
        let matcher = Matcher::new(patterns).unwrap();
        assert_eq!(matcher.excluded(&TreePath::clean(path)), expected, "{patterns:?} {path}");
    }

    #[test]
    fn one_pattern() {
        for (pattern, matching, other) in [
            // Plain: the path, and what is below it.
            ("src", &["src", "src/main.rs", "src/a/b"][..], &["lib/src", "src2", "sr"][..]),
            ("src/main.rs", &["src/main.rs"], &["src", "main.rs"]),
            ("target/", &["target/x"], &["targets"]),
            // Signs that other languages give a meaning.
            ("a.(b)+|$^{1}", &["a.(b)+|$^{1}"], &["ax(b)+|$^{1}", "ab"]),
            ("v1.*", &["v1.", "v1.2/x"], &["v1x2", "v10"]),
            // One star stops at a slash.
            ("*.log", &["x.log", ".log", "x.log/y"], &["d/x.log", "xlog"]),
            ("*/*.log", &["d/x.log"], &["x.log", "a/b/x.log"]),
            ("d/*", &["d/x", "d/x/y"], &["d", "dd/x"]),
            ("?.o", &["a.o", "ä.o"], &["ab.o", ".o", "/.o"]),
            // Two do not.
            ("**", &["x", "x/y", ".x"], &[]),
            ("**/*.log", &["x.log", "d/x.log", "a/b/x.log"], &["x.log2"]),
            ("**/cache", &["cache", "d/cache/x"], &["d/xcache", "caches"]),
            ("**cache", &["cache", "xcache", "d/xcache"], &["cachex"]),
            ("d/**", &["d/x", "d/x/y"], &["d", "e/x"]),
            ("d**", &["d", "dx", "dx/y"], &["e"]),
            ("d/**/x", &["d/x", "d/a/x", "d/a/b/x/y"], &["d/ax", "x"]),
            ("d/**/*.c", &["d/a.c", "d/e/a.c"], &["a.c", "d/a.h"]),
            ("*/**", &["a/b", "a/b/c"], &["a"]),
            // Sets and escapes.
            ("[ab]c", &["ac", "bc/d"], &["cc", "abc"]),
            ("[^a-c]", &["d", "é"], &["a", "dd"]),
            ("[!a]", &["!", "a"], &["b"]),
            ("\\*x", &["*x"], &["ax"]),
            ("a\\b", &["ab"], &["a"]),
        ] {
            matching.iter().for_each(|path| check(&[pattern], path, true));
            other.iter().for_each(|path| check(&[pattern], path, false));
        }
    }

    #[test]
    fn the_last_match_decides() {
        check(&["*", "!keep"], "keep/x", false);
        check(&["*", "!keep/this"], "keep/this", false);
        check(&["*", "!keep/this"], "keep/that", true);
        check(&["!x", "x"], "x", true);
        check(&["**", "!**/*.md", "d/private.md"], "d/e/public.md", false);
        check(&["**", "!**/*.md", "d/private.md"], "d/private.md", true);
        check(&["doc", "  !doc/index  "], "doc/index", false);
        check(&["**/gen/out", "!other"], "a/gen/out/x", true);
    }

    #[test]
    fn says_which_pattern_decided() {
        let matcher = Matcher::new(&["", "*", "!keep", "keep/not"]).unwrap();
        let by = |path: &str| matcher.decide(&TreePath::clean(path)).decided_by;
        assert_eq!((by("x"), by("keep/x"), by("keep/not/x"), by("")), (Some(1), Some(2), Some(3), None));
    }

    #[test]
    fn excluded_folders_are_entered_for_exceptions() {
        let enters = |patterns: &[&str], folder: &str| {
            Matcher::new(patterns).unwrap().may_hold_exceptions(&TreePath::clean(folder))
        };
        assert!(enters(&["*", "!a/b/c"], "a/b"));
        assert!(!enters(&["*", "!a/b/c"], "a/x"));
        assert!(!enters(&["*", "!a/b/c"], "a/b/c"));
        assert!(enters(&["*", "!**/x.md"], "a/b"));
        assert!(enters(&["*", "!a/*/x"], "a/b"));
        assert!(!enters(&["*", "!a/*/x"], "b"));
        assert!(enters(&["*", "!a/**/x*"], "a/b/c"));
        assert!(!enters(&["*", "a"], "a"));
    }

    #[test]
    fn reads_ignore_files() {
        let text = "\u{feff}# no\n\n  a b  \r\n #kept\n/rooted/\n! x/./y\n!\n../up\n/\n./q/../r";
        let (lines, patterns): (Vec<_>, Vec<_>) = parse_ignore_file(text).into_iter().unzip();
        assert_eq!(patterns, ["a b", "#kept", "rooted", "!x/y", "!", "../up", "/", "r"]);
        assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn refuses_bad_patterns() {
        for pattern in ["[", "!", "a\\", "a[x-", "[]"] {
            assert!(Matcher::new(&[pattern]).is_err(), "{pattern}");
        }
        assert_eq!(Matcher::new(&["!"]).unwrap_err().to_string(), "\"!\" is not a pattern: nothing follows the `!`");
    }

    /// One pattern, without `!`, by the rules as they are written: every way for a star is tried. There are no sets.
    fn model(pattern: &[char], path: &[char]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ['*', '*', rest @ ..] => {
                let rest = rest.strip_prefix(&['/']).unwrap_or(rest);
                // Any folders, or none; at the end, anything.
                rest.is_empty()
                    || (0..=path.len()).any(|at| (at == 0 || path[at - 1] == '/') && model(rest, &path[at..]))
            }
            ['*', rest @ ..] => {
                let longest = path.iter().position(|&c| c == '/').unwrap_or(path.len());
                (0..=longest).any(|at| model(rest, &path[at..]))
            }
            ['?', rest @ ..] => path.first().is_some_and(|&c| c != '/') && model(rest, &path[1..]),
            ['\\', c, rest @ ..] | [c, rest @ ..] => path.first() == Some(c) && model(rest, &path[1..]),
        }
    }

    /// Whether a pattern matches a path as a whole. `**` and something plain, in either order, is an end or a start.
    fn model_matches(pattern: &str, path: &str) -> bool {
        let plain = |text: &str| !text.contains(['*', '?', '\\']);
        match (pattern.strip_prefix("**"), pattern.strip_suffix("**")) {
            (Some(rest), _) if !rest.is_empty() && plain(rest) => {
                path.ends_with(rest) || rest.strip_prefix('/') == Some(path)
            }
            (_, Some(rest)) if !rest.is_empty() && plain(rest) => path.starts_with(rest),
            _ => model(&pattern.chars().collect::<Vec<_>>(), &path.chars().collect::<Vec<_>>()),
        }
    }

    /// Whether a path is excluded, and which patterns count as matching it: those that match a folder above it, and,
    /// of the others, those that match it and change what the patterns before them say.
    fn model_verdict(patterns: &[&str], path: &str) -> (bool, Vec<bool>) {
        let above = match path.rsplit_once('/') {
            Some((folder, _)) => model_verdict(patterns, folder).1,
            None => vec![false; patterns.len()],
        };
        let mut excluded = false;
        let matched = patterns.iter().zip(above).map(|(pattern, above)| {
            let (exception, pattern) = pattern.strip_prefix('!').map_or((false, *pattern), |rest| (true, rest));
            let matches = above || (exception == excluded && model_matches(pattern, path));
            excluded = if matches { !exception } else { excluded };
            matches
        });
        let matched = matched.collect();
        (excluded, matched)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]

        #[test]
        fn agrees_with_the_rules_as_they_are_written(
            patterns in proptest::collection::vec("!?([ab?]|\\*{1,2}|\\\\[ab*]){1,3}(/([ab?]|\\*{1,2}|\\\\[ab*]){1,3}){0,2}", 0..5),
            paths in proptest::collection::vec("[ab]{1,2}(/[ab*]{1,2}){0,3}", 1..6),
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let matcher = Matcher::new(&patterns).unwrap();
            for path in paths {
                let expected = model_verdict(&patterns, &path).0;
                let path = TreePath::clean(&path);
                proptest::prop_assert_eq!(matcher.excluded(&path), expected, "{:?} {}", patterns, path);
                let hidden = path.ancestors().find(|folder| matcher.excluded(folder));
                if let (false, Some(folder)) = (expected, hidden) {
                    proptest::prop_assert!(matcher.may_hold_exceptions(&folder), "{:?} {} {}", patterns, folder, path);
                }
            }
        }
    }
}
