//! A Dockerfile as it was written: what stands where, before any variable is expanded.
//!
//! Everything has the bytes it came from, so that messages can point at them. An instruction is kept with the spelling
//! of its keyword and the comments above it, because the checks look at both. What an `ONBUILD` holds is text: it is
//! parsed when it fires, which may be in another build.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::frontend::dockerfile::suggest::nearest;
use crate::oci::Healthcheck;

/// Bytes of a Dockerfile.
pub type Span = Range<usize>;

/// A value and the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that came from these bytes.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// Some text of the file, quotes and variables untouched.
pub type Word = Spanned<String>;

/// Where each line of a text starts, in bytes; shared by all that is read from it.
pub type LineStarts = Arc<[usize]>;

/// The starts of a text's lines.
pub fn line_starts(text: &str) -> LineStarts {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The escape character: `\` unless a directive says otherwise.
    pub escape: char,
    /// The value of the `check` directive.
    pub check: CheckOptions,
    /// The `ARG`s before the first `FROM`.
    pub globals: Vec<Instruction>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// What comments before the first `FROM` say to this builder alone: `scrub=apt` for `# imgbuild scrub=apt`.
    pub notes: Vec<Word>,
    /// Lines that are blank although the line above promised more: those of each instruction that has any.
    pub empty_continuations: Vec<Vec<Span>>,
    /// Where each line starts, in bytes.
    pub(super) line_starts: LineStarts,
}

impl Dockerfile {
    /// The bytes of all lines that some bytes touch, line breaks included.
    pub(super) fn lines(&self, bytes: &Span) -> Span {
        let after = self.line_starts.partition_point(|&start| start <= bytes.start);
        let start = after.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        let next = self.line_starts.iter().skip(after).find(|&&start| start >= bytes.end);
        start..next.copied().unwrap_or(bytes.end)
    }

    /// The stage that was probably meant by an image's name that is none.
    pub fn stage_like(&self, reference: &str) -> Option<String> {
        let names: Vec<String> = self.stages.iter().filter_map(Stage::known_name).collect();
        nearest(reference, names.iter().map(String::as_str)).map(str::to_owned)
    }

    /// The line of a byte, counted from 1.
    pub fn line(&self, byte: usize) -> u32 {
        u32::try_from(self.line_starts.partition_point(|&start| start <= byte).max(1)).unwrap_or(u32::MAX)
    }
}

/// What the `check` directive says of the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Checks that are not made.
    pub skip: Vec<String>,
    /// Whether none is made.
    pub skip_all: bool,
    /// Experimental checks that are made.
    pub experimental: Vec<String>,
    /// Whether all experimental ones are made.
    pub experimental_all: bool,
    /// Whether a warning fails the build.
    pub error: bool,
}

/// What every instruction has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The bytes of the keyword in `text`.
    pub(super) keyword: Span,
    /// All bytes of the instruction, heredocs included.
    pub span: Span,
    /// The instruction as one line, continuations joined.
    pub text: String,
    /// The comments right above it, without `#`.
    pub comments: Vec<String>,
    /// Where in the file the pieces of `text` after the first start: (place in the text, place in the file), ascending.
    pub(super) pieces: Vec<(usize, usize)>,
}

impl Head {
    /// The keyword as it is spelled.
    pub fn keyword(&self) -> &str {
        &self.text[self.keyword.clone()]
    }

    /// Where the keyword stands in the file.
    pub fn keyword_span(&self) -> Span {
        self.at(self.keyword.clone())
    }

    /// Where some bytes of `text` stand in the file.
    pub fn at(&self, bytes: Span) -> Span {
        place(&self.span, &self.pieces, bytes)
    }
}

/// Where some bytes of a text stand in the file, given where all of it stands and where its pieces after the first start.
pub(super) fn place(all: &Span, pieces: &[(usize, usize)], bytes: Span) -> Span {
    let place = |at: usize| {
        let after = pieces.partition_point(|&(start, _)| start <= at);
        let piece = after.checked_sub(1).and_then(|index| pieces.get(index));
        piece.map_or(all.start + at, |&(start, source)| source + (at - start)).min(all.end)
    };
    let start = place(bytes.start);
    let end = if bytes.end > bytes.start { place(bytes.end - 1) + 1 } else { start };
    start..end.min(all.end).max(start)
}

/// A stage: a `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Of the `FROM`.
    pub head: Head,
    /// Image, stage or `scratch`.
    pub base: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// The keyword `AS` as it is spelled.
    pub as_keyword: Option<Word>,
    /// The stage's name as it is spelled; it is known in lower case.
    pub name: Option<Word>,
    /// The stages and images it is put together from, instead of `base`. No Dockerfile can say this.
    pub join: Option<Join>,
    /// The instructions.
    pub instructions: Vec<Instruction>,
}

/// A base that is put together from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Join {
    /// All of these on top of each other, the first at the bottom.
    Merge(Vec<Word>),
    /// What the second has on top of the first.
    Diff(Box<[Word; 2]>),
}

impl Stage {
    /// The name by which the stage is known, in lower case.
    pub fn known_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.value.to_lowercase())
    }
}

/// An instruction other than `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What every instruction has.
    pub head: Head,
    /// Which one, and its arguments.
    pub kind: Kind,
}

/// The instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`
    Add(Box<Transfer>),
    /// `COPY`
    Copy(Box<Transfer>),
    /// `ARG`
    Arg(Vec<Declaration>),
    /// `CMD`
    Cmd(CommandLine),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV`
    Env(Vec<Pair>),
    /// `EXPOSE`, its ports sorted as they are written
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL`
    Label(Vec<Pair>),
    /// `MAINTAINER`
    Maintainer(Word),
    /// `ONBUILD` and the text of its trigger
    Onbuild(String),
    /// `RUN`
    Run(Box<Run>),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    Stopsignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
    /// A change to files that no Dockerfile can say.
    Change(Change),
}

/// A change to files for which a Dockerfile has no instruction. Paths are relative to the working folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes a folder.
    Mkdir {
        /// Its path.
        path: Word,
        /// Its owner.
        chown: Option<Word>,
        /// Its permissions.
        chmod: Option<Word>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// Its path.
        path: Word,
        /// Where it leads.
        to: Word,
        /// Its owner.
        chown: Option<Word>,
    },
    /// Removes files and folders.
    Remove {
        /// Their paths and patterns.
        paths: Vec<Word>,
        /// Whether it is fine if there are none.
        allow_missing: bool,
    },
}

/// `NAME=value`, or `NAME value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// Whether a blank stands between them.
    pub legacy: bool,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name.
    pub key: Word,
    /// Its default.
    pub default: Option<Word>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// Text for the shell.
    Shell(Word),
    /// Program and arguments.
    Exec(Vec<String>),
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its name, quotes removed.
    pub name: String,
    /// Whether variables in it are expanded (where they are at all).
    pub expand: bool,
    /// Whether leading tabs are dropped.
    pub strip_tabs: bool,
    /// Its lines as they are, and where they stand.
    pub body: Word,
}

impl Heredoc {
    /// The lines as the heredoc's reader gets them: without leading tabs if it was opened with `<<-`.
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.body.value.clone();
        }
        self.body.value.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// `COPY` or `ADD`. Flags that one of them does not know are at their defaults there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Files, folders, patterns; for `ADD` also URLs and git references.
    pub sources: Vec<Word>,
    /// Files that the Dockerfile itself holds.
    pub inline: Vec<Heredoc>,
    /// Where to.
    pub dest: Word,
    /// `--from`
    pub from: Option<Word>,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--checksum`
    pub checksum: Option<Word>,
    /// `--exclude`, each
    pub exclude: Vec<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--keep-git-dir`
    pub keep_git_dir: Option<bool>,
    /// `--unpack`
    pub unpack: Option<bool>,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: CommandLine,
    /// Its heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, each, as written: values may hold variables.
    pub mounts: Vec<Word>,
    /// `--network`
    pub network: Option<RunNetwork>,
    /// `--security=insecure`, and where it says so
    pub insecure: Option<Span>,
    /// `--device`, each
    pub devices: Vec<Word>,
    /// How long it may take; no Dockerfile says so.
    pub timeout: Option<Duration>,
}

/// `RUN --network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunNetwork {
    /// What the builder offers.
    Default,
    /// None but a loopback device.
    None,
    /// The host's, and where it says so.
    Host(Span),
}
