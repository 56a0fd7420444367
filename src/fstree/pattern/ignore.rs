//! `.dockerignore`: patterns of which the last match decides, after the rules of moby/patternmatcher.
//!
//! A pattern is anchored at the root and matches a path or any folder above it. `*` and `?` stop at a slash; `**/` is any
//! number of folders, none included; a pattern that ends in `**` matches everything below.
//!
//! Whoever walks a tree should ask [`Matcher::enter`] from folder to folder; [`Matcher::excluded`] does the same for one
//! path. A folder that is excluded must still be entered if a later `!` pattern may match below it.

mod file;
mod form;

pub use file::parse_ignore_file;

use super::PatternError;
use super::glob::Glob;
use crate::fstree::TreePath;
use file::clean;
use form::{Form, compile};

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

#[cfg(test)]
mod tests;
