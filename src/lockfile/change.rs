//! What differs between two lockfiles, for messages: `--locked` refuses with it, `update` shows it.

use std::collections::BTreeMap;
use std::fmt;

use super::format::{Field, Row};
use super::{LockKey, Lockfile};

/// One entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What the entry is about.
    pub key: LockKey,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How an entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These of its fields differ: name, old value, new value. A value that is not there is empty.
    Changed(Vec<(&'static str, String, String)>),
}

pub(super) fn diff(old: &Lockfile, new: &Lockfile) -> Vec<Change> {
    let by_key = |lock: &Lockfile| -> BTreeMap<LockKey, Vec<(&'static str, Field)>> {
        lock.rows().into_iter().map(|Row { key, fields }| (key, fields)).collect()
    };
    let [mut old, new] = [by_key(old), by_key(new)];
    let mut changes = Vec::new();
    for (key, fields) in new {
        let kind = match old.remove(&key) {
            None => ChangeKind::Added,
            Some(before) if before == fields => continue,
            Some(before) => ChangeKind::Changed(changed_fields(&before, &fields)),
        };
        changes.push(Change { key, kind });
    }
    changes.extend(old.into_keys().map(|key| Change { key, kind: ChangeKind::Removed }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn changed_fields(old: &[(&'static str, Field)], new: &[(&'static str, Field)]) -> Vec<(&'static str, String, String)> {
    let value = |fields: &[(&'static str, Field)], name: &str| match fields.iter().find(|(other, _)| *other == name) {
        None => String::new(),
        Some((_, Field::Text(text))) => text.clone(),
        Some((_, Field::List(items))) => items.join(", "),
        Some((_, field)) => field.to_string(),
    };
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in old.iter().chain(new) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let both = names.into_iter().map(|name| (name, value(old, name), value(new, name)));
    both.filter(|(_, old, new)| old != new).collect()
}

/// Such as `image redis:7 (linux/amd64): manifest sha256:12… is now sha256:34…`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, kind } = self;
        match kind {
            ChangeKind::Added => write!(f, "{key}: is not pinned yet"),
            ChangeKind::Removed => write!(f, "{key}: is not used any more"),
            ChangeKind::Changed(fields) => {
                write!(f, "{key}: ")?;
                for (place, (name, old, new)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    match (old.as_str(), new.as_str()) {
                        ("", new) => write!(f, "{comma}{name} is now {new}")?,
                        (_, "") => write!(f, "{comma}{name} is gone")?,
                        (old, new) => write!(f, "{comma}{name} {old} is now {new}")?,
                    }
                }
                Ok(())
            }
        }
    }
}
