//! Where blobs are known to be: which repositories they were fetched from or sent to.
//!
//! Kept beside the action cache, as a hint: a registry that has a blob under one name can be asked to have it under another,
//! and what is missing here can be fetched there. A hint that is wrong costs a request.

use crate::digest::{CacheKey, Digest};
use crate::graph::key::{KeyHasher, Visitor};
use crate::store::Store;

/// How many places of one blob are kept; the newest stay.
const MOST: usize = 8;

/// Notes that a repository (`registry/path`) has a blob.
pub fn remember(store: &Store, digest: &Digest, repository: &str) {
    let mut all = known(store, digest);
    if all.last().is_some_and(|last| last == repository) {
        return;
    }
    all.retain(|one| one != repository);
    all.push(repository.to_owned());
    let surplus = all.len().saturating_sub(MOST);
    // It is only a hint.
    let _ = store.put_action(&key(digest), all[surplus..].join("\n").as_bytes());
}

/// The repositories that are known to have a blob, or to have had it; the newest last.
pub fn known(store: &Store, digest: &Digest) -> Vec<String> {
    let record = store.get_action(&key(digest)).unwrap_or_default();
    let text = String::from_utf8(record).unwrap_or_default();
    text.lines().filter(|line| line.contains('/')).map(str::to_owned).collect()
}

fn key(digest: &Digest) -> CacheKey {
    let mut hasher = KeyHasher::new("blob-origins");
    hasher.value("blob", digest.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"x");
        assert_eq!(known(&store, &digest), Vec::<String>::new());
        for number in 0..10 {
            remember(&store, &digest, &format!("h/{number}"));
        }
        remember(&store, &digest, "h/4");
        let expected: Vec<String> = [2, 3, 5, 6, 7, 8, 9, 4].iter().map(|number| format!("h/{number}")).collect();
        assert_eq!(known(&store, &digest), expected);
    }

    /// A change here makes every store forget its hints.
    #[test]
    fn keys_are_stable() {
        assert_eq!(key(&Digest::of(b"x")).hex(), "8df141606105d4f98f2f1c82802028ad154f2dc7e21bd5888d589e4acac0fadd");
    }
}
