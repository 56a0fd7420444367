//! The keys of docker's targets: what each is called here, and what happens where several places have it.

use super::super::keys::{Key, KeyInfo};
use super::super::model::{BuildFile, Declaration, Value, Values};
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
    "secret",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Keys that have no effect here, and why that is no harm.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[("resources", "steps run without limits of their own")];

/// Keys that are refused, and what to do.
pub(super) const REFUSED: &[(&str, &str)] =
    &[("policy", "policies are not evaluated: the lockfile pins what comes from outside")];

/// Lists that add up where docker has several of them.
const ADDED: &[&str] = &["attest", "cache-from", "entitlements", "no-cache-filter", "ulimits"];

/// All names that can stand in a target.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let others = WITHOUT_EFFECT.iter().chain(REFUSED).map(|(name, _)| *name);
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
    let order: Vec<String> = file.targets().map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    for name in &order {
        spell_out_target(file, name, &mut done, 0);
    }
}

/// The longest chain of parents that is followed; longer ones are refused later.
const DEEPEST: usize = 256;

fn spell_out_target(file: &mut BuildFile, name: &str, done: &mut Vec<String>, depth: usize) {
    if depth > DEEPEST || done.iter().any(|other| other == name) {
        return;
    }
    done.push(name.to_owned());
    let Some(target) = file.targets.iter().find(|target| target.name == name) else { return };
    let parents: Vec<String> = target.inherits.iter().map(|parent| parent.text.clone()).collect();
    let own: Values = target.values.clone();
    let mut added = Values::new();
    for parent in &parents {
        spell_out_target(file, parent, done, depth + 1);
        for (key, value) in inherited(file, parent, 0) {
            add(&mut added, key, value);
        }
    }
    for (key, value) in own {
        add(&mut added, key, value);
    }
    let Some(target) = file.targets.iter_mut().find(|target| target.name == name) else { return };
    let several = parents.len() + usize::from(!target.values.is_empty()) > 1;
    if several {
        target.values.extend(added);
    }
}

fn add(values: &mut Values, key: Key, value: Value) {
    if ADDED.contains(&key.info().name) {
        set(values, key, value, true);
    }
}

/// The lists of a target that is spelt out already, or that it has from the only parent it has.
fn inherited(file: &BuildFile, name: &str, depth: usize) -> Values {
    let Some(target) = file.targets.iter().find(|target| target.name == name) else { return Values::new() };
    let mut values = match target.inherits.as_slice() {
        [parent] if depth < DEEPEST => inherited(file, &parent.text, depth + 1),
        _ => Values::new(),
    };
    values.extend(target.values.clone());
    values.retain(|key, _| ADDED.contains(&key.info().name));
    values
}
