//! The keys of docker's targets: what each is called here, and what happens where several places have it.

use std::collections::BTreeMap;

use super::super::keys::{Key, KeyInfo};
use super::super::model::{BuildFile, Declaration, Values};
use super::super::overrides::set;

/// How docker calls the keys of a target that are something here; `secret` is the only one with another name.
const KNOWN: &[&str] = &[
    "annotations",
    "args",
    "attest",
    "cache-from",
    "cache-to",
    "call",
    "context",
    "contexts",
    "description",
    "dockerfile",
    "dockerfile-inline",
    "entitlements",
    "extra-hosts",
    "labels",
    "network",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "pull",
    "resources",
    "secret",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Keys that are refused, and what to do.
pub(super) const REFUSED: &[(&str, &str)] =
    &[("policy", "policies are not evaluated: the lockfile pins what comes from outside")];

/// Lists that add up where docker has several of them.
const ADDED: &[&str] = &["attest", "cache-from", "entitlements", "no-cache-filter", "ulimits"];

/// All names that can stand in a target.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let others = REFUSED.iter().map(|(name, _)| *name);
    KNOWN.iter().copied().chain(others).chain(["inherits", "matrix", "name"])
}

/// The row of a key by docker's name for it.
pub(super) fn named(name: &str) -> Option<&'static KeyInfo> {
    if KNOWN.contains(&name) { KeyInfo::named(name) } else { None }
}

fn adds(key: Key) -> bool {
    let identified = matches!(key, Key::Secrets | Key::Ssh);
    identified || ADDED.contains(&key.info().name)
}

/// Adds what a later file says of the same target.
pub(super) fn merge(target: &mut Declaration, later: Declaration) {
    for (key, value) in later.values {
        set(&mut target.values, key, value, adds(key));
    }
    target.inherits.extend(later.inherits);
    target.span = later.span;
}

/// Here a list takes the place of an inherited one, and docker adds some up: those are spelt out in the target itself.
pub(super) fn spell_out(file: &mut BuildFile) {
    let names = file.targets.iter().enumerate().map(|(number, target)| (target.name.clone(), number)).collect();
    let mut speller = Speller { names, done: vec![false; file.targets.len()], targets: &mut file.targets };
    for number in 0..speller.targets.len() {
        speller.spell_out(number, 0);
    }
}

/// The longest chain of parents that is followed; longer ones are refused later.
const DEEPEST: usize = 256;

struct Speller<'a> {
    names: BTreeMap<String, usize>,
    done: Vec<bool>,
    targets: &'a mut [Declaration],
}

impl Speller<'_> {
    fn spell_out(&mut self, number: usize, depth: usize) {
        if depth > DEEPEST || std::mem::replace(&mut self.done[number], true) {
            return;
        }
        let parents: Vec<usize> =
            self.targets[number].inherits.iter().filter_map(|parent| self.names.get(&parent.text).copied()).collect();
        let mut added = Values::new();
        for parent in &parents {
            self.spell_out(*parent, depth + 1);
            add(&mut added, self.inherited(*parent, 0));
        }
        let target = &mut self.targets[number];
        add(&mut added, target.values.clone());
        if parents.len() + usize::from(!target.values.is_empty()) > 1 {
            target.values.extend(added);
        }
    }

    /// The lists of a target that is spelt out already, or that it has from the only parent it has.
    fn inherited(&self, number: usize, depth: usize) -> Values {
        let target = &self.targets[number];
        let parent = match target.inherits.as_slice() {
            [parent] if depth < DEEPEST => self.names.get(&parent.text),
            _ => None,
        };
        let mut values = parent.map(|parent| self.inherited(*parent, depth + 1)).unwrap_or_default();
        values.extend(target.values.clone());
        values.retain(|key, _| ADDED.contains(&key.info().name));
        values
    }
}

fn add(values: &mut Values, more: Values) {
    for (key, value) in more.into_iter().filter(|(key, _)| ADDED.contains(&key.info().name)) {
        set(values, key, value, true);
    }
}
