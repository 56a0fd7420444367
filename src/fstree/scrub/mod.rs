//! What programs write down about when they ran: which files that is, and what becomes of them where a user asks for it.
//!
//! A scrub is a name for rows of one [table](table): a pattern of paths, and an action for the files that it fits. It is
//! chosen by the user, never by default, since each takes something away. `docs/reproducible.md` says for each of them
//! what it does and why that is safe.
//!
//! An action is a function on bytes ([`rewrite`]); who finds the files and writes them is the committing of snapshots
//! ([`store::snapshot`](crate::store::snapshot)). Whether a file was made by the step at hand is not known here.

mod pattern;
pub mod rewrite;
mod table;

use std::collections::BTreeSet;

use crate::fstree::TreePath;
use table::{ROWS, Row};

/// Something that steps leave behind and that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`about` describes each of them")]
pub enum Scrub {
    Apt,
    AptLists,
    Fontconfig,
    History,
    Ldconfig,
    Logins,
    MachineId,
    ManDb,
    Npm,
    Pip,
    Python,
    Shadow,
    Systemd,
    Tmp,
    WgetHsts,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It loses its bytes; owner, permissions and time stay.
    Empty,
    /// It is removed. Folders below the fixed part of the pattern that the step made go with their last file.
    Remove,
    /// The day of the last change in entries of the step becomes that of the epoch ([`rewrite::shadow`]).
    DayOfChange,
    /// Compiled Python goes by a hash of its source, and no longer by its time ([`rewrite::Compiled`]).
    BySource,
}

/// What is different about a file in two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Its bytes.
    Content,
    /// Only one of the builds has it.
    Presence,
    /// Permissions, owner, time, extended attributes, or what kind of file it is.
    Attributes,
}

/// A name for all scrubs that take nothing away which a later step could miss.
pub const RECOMMENDED: &str = "recommended";

/// A name for all scrubs.
pub const ALL: &str = "all";

impl Scrub {
    /// Each scrub, in the order of their names.
    pub const EACH: [Self; 15] = [
        Self::Apt,
        Self::AptLists,
        Self::Fontconfig,
        Self::History,
        Self::Ldconfig,
        Self::Logins,
        Self::MachineId,
        Self::ManDb,
        Self::Npm,
        Self::Pip,
        Self::Python,
        Self::Shadow,
        Self::Systemd,
        Self::Tmp,
        Self::WgetHsts,
    ];

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::AptLists => "apt-lists",
            Self::Fontconfig => "fontconfig",
            Self::History => "history",
            Self::Ldconfig => "ldconfig",
            Self::Logins => "logins",
            Self::MachineId => "machine-id",
            Self::ManDb => "man-db",
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::Python => "python",
            Self::Shadow => "shadow",
            Self::Systemd => "systemd",
            Self::Tmp => "tmp",
            Self::WgetHsts => "wget-hsts",
        }
    }

    /// What it is about, in half a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Apt => "logs of apt, dpkg and update-alternatives, and apt's binary caches",
            Self::AptLists => "the lists of packages that apt-get update brings",
            Self::Fontconfig => "caches of fonts, which hold times of folders",
            Self::History => "what shells and other prompts note of what was typed",
            Self::Ldconfig => "ldconfig's auxiliary cache, which holds times and inode numbers",
            Self::Logins => "who logged in when",
            Self::MachineId => "the machine's ID",
            Self::ManDb => "the index of manual pages, which holds their times",
            Self::Npm => "npm's logs and its cache",
            Self::Pip => "pip's cache",
            Self::Python => "the times of sources in compiled Python",
            Self::Shadow => "the day of the last change in /etc/shadow",
            Self::Systemd => "systemd's journal, and its random seed",
            Self::Tmp => "what is left in /tmp and /var/tmp",
            Self::WgetHsts => "which hosts wget met over HTTPS, and when",
        }
    }

    /// Counts what it does: a change of its rows or of their actions makes other layers, so it needs another number.
    pub const fn revision(self) -> u32 {
        1
    }

    /// Whether it takes away what a later step of the same build may want to read.
    const fn is_missed(self) -> bool {
        matches!(self, Self::AptLists | Self::Tmp)
    }

    /// The scrubs that a name stands for: one, or several for [`RECOMMENDED`] and [`ALL`]. None if it is unknown.
    pub fn named(name: &str) -> Option<Vec<Self>> {
        match name {
            ALL => Some(Self::EACH.to_vec()),
            RECOMMENDED => Some(Self::EACH.into_iter().filter(|scrub| !scrub.is_missed()).collect()),
            name => Self::EACH.into_iter().find(|scrub| scrub.name() == name).map(|scrub| vec![scrub]),
        }
    }

    /// Every name that [`Scrub::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::list().map(|(name, _)| name)
    }

    /// The same, each with what it is about.
    pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
        let sets = [(RECOMMENDED, "all of these that no later step misses"), (ALL, "all of these")];
        Self::EACH.into_iter().map(|scrub| (scrub.name(), scrub.about())).chain(sets)
    }
}

/// What becomes of the regular file at this path; nothing if no scrub is about it.
pub fn action(scrubs: &BTreeSet<Scrub>, path: &TreePath) -> Option<Action> {
    chosen(scrubs).find(|row| row.fits(path)).map(|row| row.action)
}

/// Whether the folder at this path goes, if the step made it and nothing is left in it.
pub fn takes_folder(scrubs: &BTreeSet<Scrub>, path: &TreePath) -> bool {
    chosen(scrubs).any(|row| row.takes_folder(path))
}

fn chosen(scrubs: &BTreeSet<Scrub>) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| scrubs.contains(&row.scrub))
}

/// The scrub that would make a file the same in two builds; none if there is none for it.
pub fn suggest(path: &TreePath, difference: Difference) -> Option<Scrub> {
    let helps = |row: &&Row| match row.action {
        Action::Remove => row.fits(path) || row.takes_folder(path),
        Action::Empty | Action::DayOfChange | Action::BySource => difference == Difference::Content && row.fits(path),
    };
    ROWS.iter().find(helps).map(|row| row.scrub)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_lead_back() {
        let names: Vec<&str> = Scrub::EACH.iter().map(|scrub| scrub.name()).collect();
        assert!(names.is_sorted() && Scrub::EACH.is_sorted(), "{names:?}");
        for scrub in Scrub::EACH {
            assert_eq!(Scrub::named(scrub.name()), Some(vec![scrub]));
            assert!(ROWS.iter().any(|row| row.scrub == scrub), "{} does nothing", scrub.name());
        }
        assert_eq!(Scrub::named("Apt"), None);
        assert_eq!(Scrub::named(ALL).unwrap(), Scrub::EACH);
        let recommended = Scrub::named(RECOMMENDED).unwrap();
        let left: Vec<&str> =
            Scrub::EACH.iter().filter(|scrub| !recommended.contains(scrub)).map(|scrub| scrub.name()).collect();
        assert_eq!(left, ["apt-lists", "tmp"]);
    }

    #[test]
    fn each_is_documented() {
        let page = include_str!("../../../docs/reproducible.md");
        for scrub in Scrub::EACH {
            assert!(
                page.contains(&format!("### `{}`", scrub.name())),
                "{} is not in docs/reproducible.md",
                scrub.name()
            );
        }
    }

    #[test]
    fn finds_actions() {
        let all: BTreeSet<Scrub> = Scrub::EACH.into();
        let check = |path: &str, expected: Option<Action>| {
            assert_eq!(action(&all, &TreePath::clean(path)), expected, "{path}");
        };
        check("var/log/apt/history.log", Some(Action::Empty));
        check("var/log/apt", None);
        check("var/log/apt/other.log", None);
        check("srv/var/log/dpkg.log", None);
        check("var/cache/apt/pkgcache.bin", Some(Action::Remove));
        check("var/cache/apt/archives/a.deb", None);
        check("var/lib/apt/lists/partial/x", Some(Action::Remove));
        check("etc/machine-id", Some(Action::Empty));
        check("etc/shadow-", Some(Action::DayOfChange));
        check("x.pyc", Some(Action::BySource));
        check("usr/lib/python3/dist-packages/a/__pycache__/b.cpython-311.pyc", Some(Action::BySource));
        check("usr/lib/python3/dist-packages/a/b.py", None);
        check("root/.npm/_logs/2026-debug-0.log", Some(Action::Remove));
        check("home/x/.npm/_cacache/index-v5/a/b", Some(Action::Remove));
        check("home/x/y/.npm/_logs/a", None);
        check("var/cache/man/de/index.db", Some(Action::Remove));
        check("var/cache/man/index.db", Some(Action::Remove));
        check("var/cache/man/CACHEDIR.TAG", None);
        assert_eq!(action(&[Scrub::Shadow].into(), &TreePath::clean("var/log/dpkg.log")), None);
        assert_eq!(action(&BTreeSet::new(), &TreePath::clean("var/log/dpkg.log")), None);
    }

    #[test]
    fn takes_folders_below_what_it_is_about() {
        let all: BTreeSet<Scrub> = Scrub::EACH.into();
        let check = |path: &str, expected| assert_eq!(takes_folder(&all, &TreePath::clean(path)), expected, "{path}");
        check("root/.cache/pip/http/a", true);
        check("root/.cache/pip", false);
        check("root/.cache", false);
        check("tmp/a", true);
        check("tmp", false);
        check("var/lib/apt/lists", false);
        check("var/log/apt", false);
        check("", false);
    }

    #[test]
    fn suggests() {
        let check = |path: &str, difference, expected: Option<Scrub>| {
            assert_eq!(suggest(&TreePath::clean(path), difference), expected, "{path}");
        };
        check("var/log/dpkg.log", Difference::Content, Some(Scrub::Apt));
        check("var/log/dpkg.log", Difference::Attributes, None);
        check("var/cache/ldconfig/aux-cache", Difference::Content, Some(Scrub::Ldconfig));
        check("root/.cache/pip/http/a/b", Difference::Presence, Some(Scrub::Pip));
        check("tmp/tmp.X1y2", Difference::Presence, Some(Scrub::Tmp));
        check("tmp/build.1", Difference::Attributes, Some(Scrub::Tmp));
        check("etc/shadow", Difference::Content, Some(Scrub::Shadow));
        check("etc/passwd", Difference::Content, None);
        check("usr/lib/a.pyc", Difference::Content, Some(Scrub::Python));
        check("usr/lib/a.pyc", Difference::Presence, None);
    }
}
