//! `.dockerignore` files and wildcards.

use imgbuild::fstree::TreePath;
use imgbuild::fstree::pattern::{Glob, Matcher, Verdict, has_wildcards, parse_ignore_file};

/// An ignore file, a zero byte, and paths, one in a line. Walking a tree and asking for one path must agree, and a
/// folder must be entered for every exception in it.
pub fn ignore(data: &[u8]) {
    let (file, paths) = split(data);
    let Some(file) = crate::text(file) else { return };
    let patterns: Vec<String> = parse_ignore_file(file).into_iter().map(|(_, pattern)| pattern).collect();
    let Ok(matcher) = Matcher::new(&patterns) else { return };
    for path in paths.split(|&b| b == b'\n').take(16).map(TreePath::clean) {
        let mut verdict = Verdict::default();
        let above: Vec<TreePath> = path.ancestors().collect();
        let mut excluded = Vec::new();
        for folder in &above {
            verdict = matcher.enter(&verdict, folder);
            excluded.push(verdict.excluded);
        }
        let verdict = matcher.enter(&verdict, &path);
        assert_eq!(verdict, matcher.decide(&path));
        assert_eq!(verdict.excluded, matcher.excluded(&path));
        assert!(verdict.decided_by.is_none_or(|index| index < patterns.len()));
        assert!(verdict.decided_by.is_some() || !verdict.excluded);
        if !verdict.excluded {
            for (folder, _) in above.iter().zip(&excluded).filter(|(_, excluded)| **excluded) {
                assert!(matcher.may_hold_exceptions(folder), "{folder} holds {path}");
            }
        }
    }
}

/// A pattern, a zero byte, and names.
pub fn glob(data: &[u8]) {
    let (pattern, names) = split(data);
    let Ok(glob) = Glob::parse(pattern) else { return };
    for name in names.split(|&b| b == b'\n').take(64) {
        let matches = glob.matches(name);
        if !has_wildcards(pattern) && !pattern.contains(&b'\\') {
            assert_eq!(matches, pattern == name);
        }
    }
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}
