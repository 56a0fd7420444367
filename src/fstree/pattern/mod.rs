//! Patterns for paths, in the two languages that builds have.
//!
//! [`Glob`] is Go's `filepath.Match` for one component of a path: the wildcards of `COPY`. [`Matcher`] is a list of
//! patterns as `.dockerignore` has them, in which the last match decides and `!` takes back; `--exclude` and the
//! patterns of `COPY --parents` are the same. Both work on bytes, and in time linear in the path for each pattern, so
//! no pattern can be made to take forever. What has these paths is not known here.

mod glob;
mod ignore;
mod list;

pub use glob::{Glob, has_wildcards};
pub use ignore::{Matcher, Verdict, parse_ignore_file};
pub use list::IgnoreList;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct PatternError {
    /// The pattern as it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}
