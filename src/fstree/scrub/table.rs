//! The table of scrubs: whose files they are, and what becomes of them.

use super::pattern;
use super::{Action, Scrub};
use crate::fstree::TreePath;

/// Files that a scrub is about.
pub(super) struct Row {
    pub(super) scrub: Scrub,
    /// As in [`pattern`].
    pattern: &'static str,
    pub(super) action: Action,
}

impl Row {
    /// Whether it is about the file at this path.
    pub(super) fn fits(&self, path: &TreePath) -> bool {
        pattern::fits(self.pattern, path.as_bytes())
    }

    /// Whether it is about everything in the folder at this path.
    pub(super) fn takes_folder(&self, path: &TreePath) -> bool {
        self.action == Action::Remove && self.pattern.ends_with("/**") && self.fits(path)
    }
}

const fn row(scrub: Scrub, pattern: &'static str, action: Action) -> Row {
    Row { scrub, pattern, action }
}

/// Of two rows for one path the first counts.
pub(super) const ROWS: &[Row] = &[
    row(Scrub::Apt, "var/log/apt/history.log", Action::Empty),
    row(Scrub::Apt, "var/log/apt/term.log", Action::Empty),
    // What is empty is no xz file.
    row(Scrub::Apt, "var/log/apt/eipp.log.xz", Action::Remove),
    row(Scrub::Apt, "var/log/dpkg.log", Action::Empty),
    row(Scrub::Apt, "var/log/alternatives.log", Action::Empty),
    row(Scrub::Apt, "var/cache/apt/pkgcache.bin", Action::Remove),
    row(Scrub::Apt, "var/cache/apt/srcpkgcache.bin", Action::Remove),
    row(Scrub::AptLists, "var/lib/apt/lists/**", Action::Remove),
    row(Scrub::Fontconfig, "var/cache/fontconfig/**", Action::Remove),
    row(Scrub::Fontconfig, "~/.cache/fontconfig/**", Action::Remove),
    row(Scrub::Fontconfig, "var/log/fontconfig.log", Action::Empty),
    row(Scrub::History, "~/.bash_history", Action::Remove),
    row(Scrub::History, "~/.ash_history", Action::Remove),
    row(Scrub::History, "~/.zsh_history", Action::Remove),
    row(Scrub::History, "~/.python_history", Action::Remove),
    row(Scrub::History, "~/.node_repl_history", Action::Remove),
    row(Scrub::History, "~/.sqlite_history", Action::Remove),
    row(Scrub::History, "~/.lesshst", Action::Remove),
    row(Scrub::History, "~/.viminfo", Action::Remove),
    row(Scrub::Ldconfig, "var/cache/ldconfig/aux-cache", Action::Remove),
    row(Scrub::Logins, "var/log/btmp", Action::Empty),
    row(Scrub::Logins, "var/log/faillog", Action::Empty),
    row(Scrub::Logins, "var/log/lastlog", Action::Empty),
    row(Scrub::Logins, "var/log/wtmp", Action::Empty),
    row(Scrub::MachineId, "etc/machine-id", Action::Empty),
    // D-Bus takes an empty one for damaged, and a missing one for the one in /etc.
    row(Scrub::MachineId, "var/lib/dbus/machine-id", Action::Remove),
    row(Scrub::ManDb, "var/cache/man/**/index.db", Action::Remove),
    row(Scrub::Npm, "~/.npm/_logs/**", Action::Remove),
    row(Scrub::Npm, "~/.npm/_cacache/**", Action::Remove),
    row(Scrub::Npm, "~/.npm/_update-notifier-last-checked", Action::Remove),
    row(Scrub::Pip, "~/.cache/pip/**", Action::Remove),
    row(Scrub::Python, "**/*.pyc", Action::BySource),
    row(Scrub::Shadow, "etc/shadow", Action::DayOfChange),
    row(Scrub::Shadow, "etc/shadow-", Action::DayOfChange),
    row(Scrub::Systemd, "var/log/journal/**", Action::Remove),
    row(Scrub::Systemd, "var/lib/systemd/random-seed", Action::Remove),
    row(Scrub::Tmp, "tmp/**", Action::Remove),
    row(Scrub::Tmp, "var/tmp/**", Action::Remove),
    row(Scrub::WgetHsts, "~/.wget-hsts", Action::Remove),
];
