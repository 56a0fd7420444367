//! Which paths ignore files leave out.

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
    let enters =
        |patterns: &[&str], folder: &str| Matcher::new(patterns).unwrap().may_hold_exceptions(&TreePath::clean(folder));
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
            rest.is_empty() || (0..=path.len()).any(|at| (at == 0 || path[at - 1] == '/') && model(rest, &path[at..]))
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
