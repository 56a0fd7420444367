//! Variables and quotes: what `${name:-word}` and `"…"` in an instruction come to.
//!
//! The language is the Bourne shell's as far as it goes: `'…'` is literal, `"…"` expands, the escape character takes the
//! next one as it is ([`word`]), and `$name` has the modifiers of the shell's parameter expansion ([`substitution`], with the
//! patterns of [`pattern`]). Commands are never substituted.
//!
//! Input is hostile: nesting and the size of the result are limited.

mod pattern;
mod substitution;
mod word;

use std::collections::BTreeSet;

use word::Run;

/// How deep `${a:-${b:-…}}` may go.
const MAX_DEPTH: usize = 100;
/// How many bytes one expansion may make. No kernel takes a longer argument.
const MAX_SIZE: usize = 4 << 20;

/// Where variables are looked up.
pub(super) trait Lookup {
    /// The value of a variable that is set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub(super) struct Nothing;

impl Lookup for Nothing {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("a {0} quote is not closed")]
    Quote(&'static str),
    #[error("a substitution is not closed: `}}` is missing")]
    Brace,
    #[error("the pattern of a substitution is not closed: `/` is missing")]
    Slash,
    #[error("a substitution without a name")]
    Name,
    #[error("`{0}` is no modifier of a substitution")]
    Modifier(String),
    #[error("`\\{0}` is no escape in a pattern: only `*`, `?`, `\\`, `/` and `}}` can be escaped")]
    Escape(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("substitutions are nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("the result has more than {MAX_SIZE} bytes")]
    Size,
}

impl ExpandError {
    /// What can be done about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Quote(_) => "close the quote, or write an escape character before it",
            Self::Brace | Self::Name => "write ${NAME}; for a literal dollar sign, put an escape character before it",
            Self::Slash => "write ${NAME/pattern/replacement}",
            Self::Modifier(_) => "the modifiers are :- - :+ + :? ? # ## % %% / and //",
            Self::Escape(_) => "to match a backslash, write two",
            Self::Required { .. } => "give the variable a value: ENV, ARG with a default, or --build-arg",
            Self::Depth | Self::Size => "compute such a value in a RUN step",
        }
    }
}

/// What an expansion came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text as one word.
    pub text: String,
    /// The text split at blanks that are not quoted.
    pub words: Vec<String>,
    /// Variables that were set.
    pub matched: BTreeSet<String>,
    /// Variables that were not.
    pub unmatched: BTreeSet<String>,
}

/// The rules of an expansion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expander {
    /// Takes the next character as it is.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes mean nothing.
    pub ignore_quotes: bool,
    /// Variables that are not set stay as they are.
    pub keep_unset: bool,
}

impl Expander {
    /// The rules for arguments of instructions.
    pub(super) fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, ignore_quotes: false, keep_unset: false }
    }

    /// Expands some text.
    pub(super) fn expand(self, text: &str, variables: &dyn Lookup) -> Result<Expanded, ExpandError> {
        let mut run = Run::new(self, text, variables);
        let (text, words) = run.until(None)?;
        Ok(Expanded { text, words, matched: run.matched, unmatched: run.unmatched })
    }
}

#[cfg(test)]
mod tests;
