//! The checks: what is allowed but probably not meant. Their names and rules are BuildKit's.
//!
//! A check that needs no more than the text is in [`syntax`]; the others are made while a build is lowered, because
//! only then variables are known. Either way a finding comes here, where directives and comments decide whether it is
//! shown, and whether it fails the build.

mod secrets;
mod syntax;

use std::collections::BTreeSet;

use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::frontend::dockerfile::ast::{CheckOptions, Span};
use crate::frontend::dockerfile::parse::check_of_comments;

pub(super) use secrets::names_a_secret;
pub(super) use syntax::check_syntax;

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name in messages and directives.
    pub name: &'static str,
    /// What it wants, and why.
    pub summary: &'static str,
    /// Whether it must be asked for.
    pub experimental: bool,
}

macro_rules! rules {
    ($($name:ident $summary:literal $(, $experimental:ident)?;)*) => {
        /// The names of all checks, so that one that does not exist cannot be reported.
        #[expect(non_upper_case_globals, reason = "they are spelled as users write them")]
        pub(super) mod rule {
            $(pub(in super::super) const $name: &str = stringify!($name);)*
        }

        /// All checks.
        pub const RULES: &[Rule] = &[$(Rule {
            name: stringify!($name),
            summary: $summary,
            experimental: false $(|| stringify!($experimental).len() > 0)?,
        }),*];
    };
}

rules! {
    StageNameCasing "the name of a stage is known in lower case, so write it so";
    FromAsCasing "`AS` should be spelled like `FROM`";
    NoEmptyContinuation "a blank line inside a continuation will become an error";
    ConsistentInstructionCasing "all instructions should be in upper case, or all in lower case";
    DuplicateStageName "of two stages with one name, only the last can be found";
    ReservedStageName "`scratch` and `context` mean something else";
    JSONArgsRecommended "a shell does not pass signals on, so the program is not told to stop";
    MaintainerDeprecated "a label can be read by any tool";
    UndefinedArgInFrom "a variable that is not declared is empty";
    WorkdirRelativePath "where a relative folder lies depends on the base image";
    UndefinedVar "a variable that is not set is empty";
    MultipleInstructionsDisallowed "only the last of them counts";
    LegacyKeyValueFormat "`NAME value` can set only one name, and its blanks are easily lost";
    InvalidBaseImagePlatform "an image for another platform may not run";
    RedundantTargetPlatform "images are for the target platform anyway";
    SecretsUsedInArgOrEnv "the value can be read in the image's history or configuration";
    InvalidDefaultArgInFrom "the build should work without build arguments";
    FromPlatformFlagConstDisallowed "the image can then be built for one platform only";
    CopyIgnoredFile "the file is not in the build context";
    InvalidDefinitionDescription "a comment above a stage or an `ARG` describes it: `# name description`", experimental;
    ExposeProtoCasing "protocols are in lower case";
    ExposeInvalidFormat "an image has no say in the host's addresses and ports";
}

/// Collects what the checks find.
#[derive(Debug, Clone)]
pub(super) struct Linter {
    options: CheckOptions,
    /// What was found already: the same instruction is looked at once for every stage that it fires in.
    seen: BTreeSet<(&'static str, usize, String)>,
    /// What is to be shown.
    pub warnings: Vec<Diagnostic>,
}

impl Linter {
    pub(super) fn new(options: CheckOptions) -> Self {
        Self { options, seen: BTreeSet::new(), warnings: Vec::new() }
    }

    /// Notes a finding, unless it is not wanted. `comments` are those above the instruction.
    pub(super) fn report(&mut self, comments: &[String], finding: Diagnostic) {
        let name = finding.rule.unwrap_or_default();
        let here = check_of_comments(comments).unwrap_or_default();
        let named = |list: &[String]| list.iter().any(|rule| rule == name);
        let experimental = RULES.iter().any(|rule| rule.name == name && rule.experimental);
        let wanted = if experimental {
            self.options.experimental_all
                || here.experimental_all
                || named(&self.options.experimental)
                || named(&here.experimental)
        } else {
            !(self.options.skip_all || here.skip_all || named(&self.options.skip) || named(&here.skip))
        };
        let place = finding.annotations.first().map_or(0, |place| place.span.start);
        if wanted && self.seen.insert((name, place, finding.message.clone())) {
            self.warnings.push(finding);
        }
    }

    /// A finding of a check at some bytes, with its reason.
    pub(super) fn finding(name: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(name, span, message)
    }

    /// The error of a file that wants warnings to be errors.
    pub(super) fn failure(&self) -> Option<Diagnostic> {
        let first = self.warnings.first()?;
        if !self.options.error {
            return None;
        }
        let mut names: Vec<&str> = self.warnings.iter().filter_map(|warning| warning.rule).collect();
        names.sort_unstable();
        names.dedup();
        let span = first.annotations.first().map_or(0..0, |place| place.span.clone());
        Some(Diagnostic {
            severity: Severity::Error,
            ..Diagnostic::error(span, format!("a check found something: {}", names.join(", ")))
                .help("the file says `check=error=true`: heed the warnings, or skip a check with `check=skip=NAME`")
        })
    }
}
