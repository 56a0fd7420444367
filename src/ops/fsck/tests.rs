//! Stores that are harmed, and what is found and mended.

use std::fs;
use std::path::Path;

use super::*;
use crate::store::images::tests::image;

/// A store with an image called `a` and a record.
fn store(folder: &Path) -> (Store, Descriptor) {
    let store = Store::open(folder).unwrap();
    let descriptor = image(&store, "linux/amd64", b"layer");
    store.set_reference(&"a".parse().unwrap(), descriptor.clone()).unwrap();
    store.put_action(&key(), b"value").unwrap();
    (store, descriptor)
}

fn key() -> CacheKey {
    CacheKey::from_bytes([1; 32])
}

fn record(folder: &Path) -> PathBuf {
    folder.join("actions/v1/01").join("01".repeat(31))
}

/// Does something to a store, and checks what is found, what is removed, and that nothing is found after that.
fn check(deep: bool, harm: impl Fn(&Path, &Store, &Descriptor), expected: &[&str], images: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, descriptor) = store(folder.path());
    harm(folder.path(), &store, &descriptor);
    let kind = |finding: &Finding| match finding.subject {
        Subject::Index => "index",
        Subject::Image(..) => "image",
        Subject::Blob(_) => "blob",
        Subject::Record(_) => "record",
        Subject::Layer(_) => "layer",
        Subject::Temporary(_) => "temporary",
    };
    let found = fsck(&store, deep).unwrap();
    assert_eq!(found.findings.iter().map(kind).collect::<Vec<_>>(), expected, "{found:?}");
    assert_eq!(repair(&mut store, deep, false).unwrap(), found);
    assert_eq!(fsck(&store, true).unwrap().findings, []);
    assert_eq!(store.list_references().unwrap().len(), images);
}

#[test]
fn finds_and_removes() {
    let layer = Digest::of(b"layer");
    let overwrite = |store: &Store, digest: &Digest, bytes: &[u8]| fs::write(store.blob_path(digest), bytes).unwrap();
    let remove = |store: &Store, digest: &Digest| fs::remove_file(store.blob_path(digest)).unwrap();
    check(true, |_, _, _| {}, &[], 1);
    check(false, |_, store, _| overwrite(store, &layer, b"lay"), &["image", "blob"], 0);
    check(true, |_, store, _| overwrite(store, &layer, b"LAYER"), &["image", "blob"], 0);
    check(false, |_, store, _| remove(store, &layer), &["image"], 0);
    check(false, |_, store, image| remove(store, &image.digest), &["image"], 0);
    check(
        false,
        |_, store, image| overwrite(store, &image.digest, &vec![b' '; image.size as usize]),
        &["image", "blob"],
        0,
    );
    check(false, |folder, _, _| fs::write(record(folder), "torn").unwrap(), &["record"], 1);
    check(false, |folder, _, _| fs::write(folder.join("tmp/1-0.lock"), "").unwrap(), &["temporary"], 1);
    // The image is listed again, without its name.
    check(false, |folder, _, _| fs::write(folder.join("index.json"), "{").unwrap(), &["index"], 1);
}

#[test]
fn what_can_be_fetched_is_not_lost() {
    let layer = Digest::of(b"layer");
    let fetched = |store: &Store| origins::remember(store, &layer, "registry.test/a");
    let harm = |_: &Path, store: &Store, _: &Descriptor| {
        fetched(store);
        fs::remove_file(store.blob_path(&layer)).unwrap();
    };
    check(true, harm, &[], 1);
    let harm = |_: &Path, store: &Store, _: &Descriptor| {
        fetched(store);
        fs::write(store.blob_path(&layer), "lay").unwrap();
    };
    check(false, harm, &["blob"], 1);
}

#[test]
fn the_blob_of_a_layer_has_the_size_that_was_recorded() {
    let harm = |_: &Path, store: &Store, _: &Descriptor| {
        let blob = store.put(b"cached").unwrap();
        let value =
            [blob.digest.as_bytes().as_slice(), &[0; 32], &6u64.to_le_bytes(), media::LAYER.as_bytes()].concat();
        store.put_action(&key(), &value).unwrap();
        fs::write(store.blob_path(&blob.digest), "cac").unwrap();
    };
    check(false, harm, &["blob"], 1);
}

#[test]
fn nobody_may_use_what_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    let other = Store::open(folder.path()).unwrap();
    assert!(matches!(repair(&mut store, false, false), Err(StoreError::Busy { .. })));
    drop(other);
    repair(&mut store, false, false).unwrap();
}
