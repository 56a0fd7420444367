//! Connections that break in the middle of a blob.

use super::server::{Proxy, Registry};
use super::{HURRIED, assert_sound, context, digest_of};
use crate::support::{Store, outcome, put, run, scratch};

/// Bytes that do not compress.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// A store with an image of one layer of eight megabytes, and its folder.
fn large() -> (Store, tempfile::TempDir) {
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), "FROM scratch\nCOPY noise /\n");
    put(&context, "noise", noise(8 << 20));
    store.build(&context, &["-t", "large"]);
    put(folder.path(), "imgbuild.toml", HURRIED);
    (store, folder)
}

#[test]
fn a_pull_goes_on_where_it_broke() {
    let (store, folder) = large();
    let registry = Registry::open();
    store.run(&["copy", "store:large", &format!("{}/large:1", registry.host())]);
    let config = folder.path().join("imgbuild.toml");
    // Three cuts after three megabytes each: what was there is not asked for again.
    let proxy = Proxy::cutting(registry.port(), 2, 3 << 20);
    let (other, name) = (Store::new(), format!("{}/large:1", proxy.host()));
    run(other.command().env("IMGBUILD_CONFIG", &config).args(["pull", &name]));
    assert_eq!(proxy.left(), 0);
    assert_eq!(digest_of(&other, &name), digest_of(&store, "large"));
    assert_sound(&other);
    // One that never lets it through is given up.
    let proxy = Proxy::cutting(registry.port(), usize::MAX, 100 << 10);
    let (empty, name) = (Store::new(), format!("{}/large:1", proxy.host()));
    let (code, _, said) = outcome(empty.command().env("IMGBUILD_CONFIG", &config).args(["pull", &name]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ended after") || said.contains("ended early"), "{said}");
    assert_eq!(empty.run(&["images"]).lines().count(), 1);
    assert_sound(&empty);
}

#[test]
fn a_push_goes_on_where_it_broke() {
    let (store, folder) = large();
    let registry = Registry::open();
    let proxy = Proxy::cutting(registry.port(), 2, 3 << 20);
    let name = format!("{}/large:1", proxy.host());
    store.run(&["tag", "large", &name]);
    run(store.command().env("IMGBUILD_CONFIG", folder.path().join("imgbuild.toml")).args(["push", &name]));
    assert_eq!(proxy.left(), 0);
    let other = Store::new();
    let name = format!("{}/large:1", registry.host());
    other.run(&["pull", &name]);
    assert_eq!(digest_of(&other, &name), digest_of(&store, "large"));
}
