//! The checks: what is allowed but probably not meant, and what is meant but could be done better.
//!
//! The first are warnings; their names and rules are BuildKit's. The others are advice: practices that save time, space
//! or trouble, which only `check` speaks of. Each has a page beside its line in the table: why, a bad example and a good
//! one, which the tests try.
//!
//! A check that needs no more than the text is in [`syntax`] or, if it is advice, in [`advice`]; the others are made
//! while a build is lowered, because only then variables are known. Either way a finding comes here, where directives
//! and comments decide whether it is shown, and whether it fails the build.

mod advice;
pub(super) mod fix;
mod secrets;
mod shell;
mod syntax;

use std::collections::BTreeSet;

use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::frontend::dockerfile::ast::{CheckOptions, Span};
use crate::frontend::dockerfile::parse::check_of_comments;
use crate::frontend::dockerfile::suggest::nearest;

pub(super) use advice::{Shape, ShapeBase, advise};
pub use secrets::names_a_secret;
pub(super) use syntax::check_syntax;

/// How serious a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The build may not do what was meant. Builds show these.
    Warning,
    /// It could be done better. Only checking shows these.
    Advice,
}

/// Whether a check's findings can be fixed by a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixKind {
    /// No.
    None,
    /// Yes, and the image stays as it is.
    Safe,
    /// Yes, but the image changes.
    ChangesResult,
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name in messages and directives.
    pub name: &'static str,
    /// How serious it is.
    pub level: Level,
    /// What it wants, and why, in one line.
    pub summary: &'static str,
    /// Why, with a bad and a good example, as Markdown.
    pub page: &'static str,
    /// Whether it must be asked for.
    pub experimental: bool,
    /// Whether it can be fixed by a program.
    pub fix: FixKind,
}

impl Rule {
    /// The check of this name; in any case, as people type it.
    pub fn find(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name.eq_ignore_ascii_case(name))
    }

    /// The name that was probably meant by one that no check has.
    pub fn nearest(name: &str) -> Option<&'static str> {
        nearest(name, RULES.iter().map(|rule| rule.name))
    }
}

macro_rules! fix_kind {
    () => {
        FixKind::None
    };
    (safe) => {
        FixKind::Safe
    };
    (changes) => {
        FixKind::ChangesResult
    };
}

macro_rules! rules {
    ($($level:ident $name:ident $summary:literal $(fix $fix:ident)? $(, $experimental:ident)?;)*) => {
        /// The names of all checks, so that one that does not exist cannot be reported.
        #[expect(non_upper_case_globals, reason = "they are spelled as users write them")]
        pub(super) mod rule {
            $(pub(in super::super) const $name: &str = stringify!($name);)*
        }

        /// All checks.
        pub const RULES: &[Rule] = &[$(Rule {
            name: stringify!($name),
            level: Level::$level,
            summary: $summary,
            page: include_str!(concat!("pages/", stringify!($name), ".md")),
            experimental: false $(|| !stringify!($experimental).is_empty())?,
            fix: fix_kind!($($fix)?),
        }),*];
    };
}

rules! {
    Warning StageNameCasing "the name of a stage is known in lower case, so write it so" fix safe;
    Warning FromAsCasing "`AS` should be spelled like `FROM`" fix safe;
    Warning NoEmptyContinuation "a blank line inside a continuation will become an error" fix safe;
    Warning ConsistentInstructionCasing "all instructions should be in upper case, or all in lower case" fix safe;
    Warning DuplicateStageName "of two stages with one name, only the last can be found";
    Warning ReservedStageName "`scratch` and `context` mean something else";
    Warning JSONArgsRecommended "a shell does not pass signals on, so the program is not told to stop" fix changes;
    Warning MaintainerDeprecated "a label can be read by any tool" fix changes;
    Warning UndefinedArgInFrom "a variable that is not declared is empty";
    Warning WorkdirRelativePath "where a relative folder lies depends on the base image" fix safe;
    Warning UndefinedVar "a variable that is not set is empty";
    Warning MultipleInstructionsDisallowed "only the last of them counts";
    Warning LegacyKeyValueFormat "`NAME value` can set only one name, and its blanks are easily lost" fix safe;
    Warning InvalidBaseImagePlatform "an image for another platform may not run";
    Warning RedundantTargetPlatform "images are for the target platform anyway" fix safe;
    Warning SecretsUsedInArgOrEnv "the value can be read in the image's history or configuration";
    Warning InvalidDefaultArgInFrom "the build should work without build arguments";
    Warning FromPlatformFlagConstDisallowed "the image can then be built for one platform only";
    Warning CopyIgnoredFile "the file is not in the build context";
    Warning InvalidDefinitionDescription "a comment above a stage or an `ARG` describes it: `# name description`", experimental;
    Warning ExposeProtoCasing "protocols are in lower case" fix safe;
    Warning ExposeInvalidFormat "an image has no say in the host's addresses and ports" fix safe;
    Advice FloatingTag "an image without a tag, or with `latest`, is another one tomorrow";
    Advice UnpinnedBase "a tag can be moved: only a digest or a lockfile says which image is meant";
    Advice CacheOrder "files that change often should be copied after what changes rarely is installed";
    Advice DeletedLater "what one step makes and a later one deletes still takes its space in the image";
    Advice AptListsKept "package lists are of no use in an image, and make it larger";
    Advice AptWithoutYes "nobody is there to answer the question, so the step fails";
    Advice AptRecommends "recommended packages are rarely needed in an image";
    Advice AptUpgrade "a newer base image brings newer packages, and can be named";
    Advice AptUpdateAlone "the lists come from the cache and grow old, while what is installed changes";
    Advice SeveralServices "a container should have one concern, so that it can be replaced and watched on its own";
    Advice SecretFileCopied "whoever has the image can read the file, even if a later step deletes it";
    Advice SecretInCommand "commands are part of the image's history, which everybody can read";
    Advice RunsAsRoot "a process that is broken into should not be root";
    Advice AddInsteadOfCopy "`COPY` says that nothing is fetched or unpacked";
    Advice CdInsteadOfWorkdir "`cd` holds for one step only, `WORKDIR` for all";
    Advice SudoUsed "steps run as root unless `USER` says otherwise";
    Advice PipeWithoutPipefail "of a pipe, only the last command's failure counts";
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
        let mut warnings = self.warnings.iter().filter(|found| found.severity == Severity::Warning).peekable();
        let first = *warnings.peek()?;
        if !self.options.error {
            return None;
        }
        let mut names: Vec<&str> = warnings.filter_map(|warning| warning.rule).collect();
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

#[cfg(test)]
mod tests;
