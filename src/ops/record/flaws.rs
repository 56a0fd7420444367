//! Which records of builds, and which of the objects that they name, cannot be read.
//!
//! Nobody depends on a record: whoever reads them passes over those. They are looked for so that a damaged disk is noticed.

use std::collections::BTreeMap;

use super::{Summary, events, format, lists};
use crate::digest::CacheKey;
use crate::store::Store;

/// What an object is to a record that names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Snapshot,
    List,
    Log,
}

/// What is wrong with the records of a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// How many records there are.
    pub records: usize,
    /// Records that cannot be read.
    pub unreadable: Vec<String>,
    /// Objects that cannot be read although a record names them.
    pub objects: Vec<CacheKey>,
    /// Records whose graph is not there.
    pub lacking: Vec<(String, CacheKey)>,
}

/// Reads all records and all objects that they name.
pub fn flaws(store: &Store) -> Flaws {
    let mut flaws = Flaws::default();
    let mut named: BTreeMap<CacheKey, Role> = BTreeMap::new();
    for name in store.builds() {
        let Some(bytes) = store.get_build(&name) else { continue };
        flaws.records += 1;
        let Some(Summary { snapshot, lists, log, .. }) = format::summary(name.clone(), &bytes) else {
            flaws.unreadable.push(name);
            continue;
        };
        if !store.has_build_object(&snapshot) {
            flaws.lacking.push((name, snapshot));
        }
        named.insert(snapshot, Role::Snapshot);
        named.extend(lists.into_iter().map(|list| (list, Role::List)));
        named.extend(log.map(|log| (log, Role::Log)));
    }
    for (object, role) in named {
        let Some(bytes) = store.get_build_object(&object) else { continue };
        let is_whole = match role {
            Role::Snapshot => format::snapshot(&bytes).is_some(),
            Role::List => lists::is_whole(&bytes),
            Role::Log => events::decode(&bytes).is_some(),
        };
        if !is_whole {
            flaws.objects.push(object);
        }
    }
    flaws
}
