//! Applies the fixes that come with findings.

use crate::frontend::diagnostic::{Diagnostic, Edit, Fix};

/// What fixing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The text afterwards.
    pub text: String,
    /// The names of the checks whose findings were fixed, once for each finding.
    pub rules: Vec<&'static str>,
}

/// Makes all edits of the fixes, last one first so that places stay right. Of fixes that touch the same bytes only the
/// first is made: the next round of checking finds the others again. Fixes that change the image are made only if
/// `also_changes` says so.
pub fn apply_fixes(text: &str, findings: &[Diagnostic], also_changes: bool) -> Fixed {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut rules = Vec::new();
    for finding in findings {
        let (Some(Fix { edits, changes_result }), Some(rule)) = (&finding.fix, finding.rule) else { continue };
        let possible = |edit: &Edit| {
            let free = |other: &&Edit| {
                edit.span.end <= other.span.start && edit.span != other.span
                    || other.span.end <= edit.span.start && edit.span != other.span
            };
            text.get(edit.span.clone()).is_some() && taken.iter().all(|other| free(other))
        };
        if (*changes_result && !also_changes) || !edits.iter().all(possible) {
            continue;
        }
        taken.extend(edits);
        rules.push(rule);
    }
    taken.sort_by_key(|edit| std::cmp::Reverse((edit.span.start, edit.span.end)));
    let mut text = text.to_owned();
    for edit in taken {
        text.replace_range(edit.span.clone(), &edit.text);
    }
    Fixed { text, rules }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_edits_from_the_end() {
        let find = |start, end, text: &str| Diagnostic::warning("A", start..end, "m").fix(start..end, text);
        let check = |findings: &[Diagnostic], expected: &str, count: usize| {
            let fixed = apply_fixes("one two three", findings, false);
            assert_eq!((fixed.text.as_str(), fixed.rules.len()), (expected, count));
        };
        check(&[find(0, 3, "ONE"), find(8, 13, "3")], "ONE two 3", 2);
        check(&[find(0, 4, ""), find(2, 5, "x")], "two three", 1);
        check(&[find(0, 0, "<"), find(13, 13, ">"), find(90, 99, "?")], "<one two three>", 2);
        check(&[find(0, 3, "1"), find(0, 3, "2")], "1 two three", 1);
        let changes = Diagnostic::warning("A", 0..3, "m").fix_with_changes(0..3, "x");
        check(std::slice::from_ref(&changes), "one two three", 0);
        assert_eq!(apply_fixes("one", &[changes], true).text, "x");
    }
}
