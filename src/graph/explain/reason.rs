//! Why a result cannot be used: a value, with words for people.

use std::fmt;

use crate::graph::explain::files::FileChange;

/// The longest value that is shown in the words, in characters.
const SHOWN: usize = 60;

/// One thing that makes a step run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing like it is recorded.
    FirstTime,
    /// Its cache is not to be used.
    NoCache,
    /// Nothing changed, but when it ran last it did not come to its end.
    Unfinished,
    /// Nothing changed, but its result is not in the store any more.
    Pruned,
    /// imgbuild computes keys in another way now: versions from, to.
    KeyFormat(u32, u32),
    /// The instruction is new in its stage.
    Inserted,
    /// An instruction before it is gone: which.
    Removed(String),
    /// The instruction became one of another kind, or is done for another reason: from, to.
    Replaced(String, String),
    /// What is run.
    Command(Change),
    /// A variable that it sees.
    Variable(String, Change),
    /// An option of the step: its user, its network, where a copy goes.
    Option(&'static str, Change),
    /// A mount: where, of which type, and what of it.
    Mount {
        /// Where it is mounted, or the id of a secret.
        target: String,
        /// `bind`, `cache`, `tmpfs`, `secret`, `ssh`.
        kind: String,
        /// Which of its options; none if the mount itself came or went.
        option: Option<String>,
        /// Its values.
        change: Change,
    },
    /// The content of a heredoc: its name.
    Heredoc(String),
    /// What an image reference stands for: the reference, and digests.
    BaseImage(String, Change),
    /// What is behind a URL.
    Url(String, Change),
    /// A git repository, and its commit.
    Git(String, Change),
    /// `.dockerignore` of a context: lines that came and went.
    Ignore {
        /// Which context.
        context: String,
        /// Lines that are new.
        added: Vec<String>,
        /// Lines that are gone.
        removed: Vec<String>,
    },
    /// Files of a context or of another step.
    Files {
        /// Whose: the name of the context, or the step.
        of: String,
        /// What happened to the first of them.
        changes: Vec<FileChange>,
        /// To how many more.
        more: usize,
    },
    /// `SOURCE_DATE_EPOCH`.
    Epoch(Change),
    /// The platform.
    Platform(Change),
    /// An input, by its number in the snapshot, has to run or is another.
    Input(usize),
}

/// A value before and after; none where there was none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Before.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

impl Change {
    /// From one to the other.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: Some(from.into()), to: Some(to.into()) }
    }

    /// Between two lists of values, as one value each.
    pub(super) fn of(from: &[&str], to: &[&str]) -> Self {
        let joined = |values: &[&str]| (!values.is_empty()).then(|| values.join(" "));
        Self { from: joined(from), to: joined(to) }
    }
}

impl Reason {
    /// Its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FirstTime => "first-time",
            Self::NoCache => "no-cache",
            Self::Unfinished => "unfinished",
            Self::Pruned => "pruned",
            Self::KeyFormat(..) => "key-format",
            Self::Inserted => "inserted",
            Self::Removed(_) => "removed",
            Self::Replaced(..) => "replaced",
            Self::Command(_) => "command",
            Self::Variable(..) => "variable",
            Self::Option(..) => "option",
            Self::Mount { .. } => "mount",
            Self::Heredoc(_) => "heredoc",
            Self::BaseImage(..) => "base-image",
            Self::Url(..) => "url",
            Self::Git(..) => "git",
            Self::Ignore { .. } => "ignore-file",
            Self::Files { .. } => "files",
            Self::Epoch(_) => "epoch",
            Self::Platform(_) => "platform",
            Self::Input(_) => "input",
        }
    }

    /// Whether it leads to another step, where the cause is.
    pub fn input(&self) -> Option<usize> {
        match self {
            Self::Input(step) => Some(*step),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstTime => f.write_str("it was never built here"),
            Self::NoCache => f.write_str("its cache is not to be used"),
            Self::Unfinished => f.write_str("it did not come to its end last time"),
            Self::Pruned => f.write_str("its result is not in the store any more"),
            Self::KeyFormat(from, to) => {
                write!(f, "imgbuild computes cache keys in another way now (version {from} → {to})")
            }
            Self::Inserted => f.write_str("the instruction is new"),
            Self::Removed(name) => write!(f, "{} before it is gone", cut(name)),
            Self::Replaced(from, to) => write!(f, "it was {}, and is {}", cut(from), cut(to)),
            Self::Command(change) => change.tell(f, "the command"),
            Self::Variable(name, change) => change.tell(f, name),
            Self::Option(name, change) => change.tell(f, name),
            Self::Mount { target, kind, option: None, change } => change.tell(f, &format!("the {kind} mount {target}")),
            Self::Mount { target, kind, option: Some(option), change } => {
                change.tell(f, &format!("{option} of the {kind} mount {target}"))
            }
            Self::Heredoc(name) => write!(f, "the heredoc {name} has other content"),
            Self::BaseImage(reference, change) => change.tell(f, &format!("the image {reference}")),
            Self::Url(url, change) => change.tell(f, &format!("the file behind {url}")),
            Self::Git(url, change) => change.tell(f, &format!("the commit of {url}")),
            Self::Ignore { context, added, removed } => {
                write!(f, "the ignore file of {context} changed:")?;
                let lines = added.iter().map(|line| ("+", line)).chain(removed.iter().map(|line| ("-", line)));
                for (sign, line) in lines.take(3) {
                    write!(f, " {sign}{}", cut(line))?;
                }
                match (added.len() + removed.len()).saturating_sub(3) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Files { of, changes, more } => match (&changes[..], more) {
                ([], _) => write!(f, "files of {of} changed"),
                ([only], 0) => write!(f, "{only}"),
                ([first, rest @ ..], more) => write!(f, "{first}, and {} more of {of}", rest.len() + more),
            },
            Self::Epoch(change) => change.tell(f, "SOURCE_DATE_EPOCH"),
            Self::Platform(change) => change.tell(f, "the platform"),
            Self::Input(_) => f.write_str("what it is built on changed"),
        }
    }
}

impl Change {
    fn tell(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => {
                let (from, to) = apart(from, to);
                write!(f, "{what} changed: {from} → {to}")
            }
            (None, Some(to)) if to.is_empty() => write!(f, "{what} is new"),
            (None, Some(to)) => write!(f, "{what} is new: {}", cut(to)),
            (Some(from), None) if from.is_empty() => write!(f, "{what} is gone"),
            (Some(from), None) => write!(f, "{what} is gone, it was {}", cut(from)),
            (None, None) => write!(f, "{what} changed"),
        }
    }
}

/// A value on one line, as much of it as is shown.
fn cut(text: &str) -> String {
    window(text, 0)
}

/// Two values, cut so that the first difference can be seen.
fn apart(from: &str, to: &str) -> (String, String) {
    let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
    let fits = |text: &str| text.chars().count() <= SHOWN;
    let start = if fits(from) && fits(to) { 0 } else { same.saturating_sub(SHOWN / 3) };
    (window(from, start), window(to, start))
}

/// Some characters of a text from this one on. Quoted if it is empty or has spaces at its ends.
fn window(text: &str, start: usize) -> String {
    let part: String = text.chars().skip(start).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = text.chars().nth(start + SHOWN).is_some();
    let dots = |wanted| if wanted { "…" } else { "" };
    match part.is_empty() || part.trim() != part {
        true => format!("{}\"{part}\"{}", dots(start > 0), dots(more)),
        false => format!("{}{part}{}", dots(start > 0), dots(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::explain::files::Difference;

    #[track_caller]
    fn check(reason: Reason, expected: &str) {
        assert_eq!(reason.to_string(), expected);
    }

    #[test]
    fn are_one_line() {
        check(Reason::Command(Change::new("make", "make -j2")), "the command changed: make → make -j2");
        check(Reason::Command(Change::new("a\nb", "")), "the command changed: a b → \"\"");
        check(Reason::Variable("CC".into(), Change { from: None, to: Some("clang".into()) }), "CC is new: clang");
        check(Reason::Variable("CC".into(), Change { from: Some("gcc".into()), to: None }), "CC is gone, it was gcc");
        let ignore = |added: &[&str]| Reason::Ignore {
            context: "context".into(),
            added: added.iter().map(ToString::to_string).collect(),
            removed: vec!["old".into()],
        };
        check(ignore(&["a"]), "the ignore file of context changed: +a -old");
        check(ignore(&["a", "b", "c", "d"]), "the ignore file of context changed: +a +b +c and 2 more");
        let file = |path: &str| FileChange { path: path.into(), what: Difference::Content };
        let files = |changes: Vec<FileChange>, more| Reason::Files { of: "context".into(), changes, more };
        check(files(vec![file("a")], 0), "a changed");
        check(files(vec![file("a"), file("b")], 3), "a changed, and 4 more of context");
    }

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let long = |end: &str| format!("{}{end}", "x".repeat(200));
        let text = Reason::Command(Change::new(long("one"), long("two"))).to_string();
        assert!(text.contains("xxone → …xx") && text.ends_with("two"), "{text}");
        assert!(text.chars().count() < 160, "{text}");
    }
}
