//! Patterns that are compiled once, however often they are asked.

use super::{Matcher, PatternError};

/// The patterns of an ignore file, with what matches them. Equal if the patterns are.
#[derive(Debug, Clone, Default)]
pub struct IgnoreList {
    patterns: Vec<String>,
    matcher: Matcher,
}

impl IgnoreList {
    /// Compiles patterns, in their order.
    pub fn new(patterns: Vec<String>) -> Result<Self, PatternError> {
        let matcher = Matcher::new(&patterns)?;
        Ok(Self { patterns, matcher })
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// What matches them.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl PartialEq for IgnoreList {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for IgnoreList {}
