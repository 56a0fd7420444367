//! Short texts of others: addresses, users, modes, policies, caches.

use imgbuild::fstree::chmod::ModeChange;
use imgbuild::fstree::passwd::{resolve_owner, resolve_user};
use imgbuild::lockfile::{Lockfile, SourcePolicy};
use imgbuild::oci::Manifest;
use imgbuild::remote_cache::Cache;
use imgbuild::source::http::{Address, shown};

/// The manifest of a cache, a zero byte, and its configuration: what is understood is written and read again as the same.
pub fn cache(data: &[u8]) {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (manifest, config) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(imgbuild::oci::Document::Manifest(manifest)) = imgbuild::oci::Document::parse(manifest) else { return };
    let Ok(cache) = Cache::decode(&manifest, config) else { return };
    let (manifest, config): (Manifest, _) = cache.encode(None);
    let again = Cache::decode(&manifest, &config).expect("what is written reads");
    let keys = |cache: &Cache| cache.results.iter().filter(|result| !result.keys.is_empty()).count();
    assert_eq!((keys(&again), &again.mounts), (keys(&cache), &cache.mounts));
}

/// URLs, one in a line: what is taken apart is put together again, the second one as seen from the first.
pub fn address(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let mut lines = text.lines();
    let (Some(first), location) = (lines.next(), lines.next().unwrap_or_default()) else { return };
    shown(first);
    let Ok(address) = Address::parse(first) else { return };
    let again = Address::parse(&address.url()).expect("what is printed parses");
    assert_eq!((again.origin(), again.url()), (address.origin(), address.url()));
    if let Ok(joined) = address.join(location) {
        assert!(Address::parse(&joined.url()).is_ok());
    }
    address.is_listed(location);
}

/// A user, a group, `/etc/passwd` and `/etc/group`, with zero bytes between them; and a change of mode.
pub fn passwd(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let mut parts = text.split('\0');
    let [user, group, users, groups] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let _ = resolve_user(user, Some(users), Some(groups));
    resolve_owner(user, Some(group), Some(users), Some(groups));
    if let Ok(change) = ModeChange::parse(user) {
        assert!(change.apply(0o755, true) <= 0o7777 && change.apply(0, false) <= 0o7777 && change.for_made_parent() <= 0o7777);
    }
}

/// Source policies: what they pin can be asked for, and lockfiles are written as such.
pub fn policy(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    if let Ok(policy) = SourcePolicy::parse(text) {
        let _ = SourcePolicy::of(&Lockfile::new());
        for key in Lockfile::new().keys() {
            policy.denies(&key);
        }
    }
}
