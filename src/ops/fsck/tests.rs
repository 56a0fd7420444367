//! Stores that are harmed, and what is found and mended.

use std::fs;
use std::path::Path;

use super::*;
use crate::digest::{ChainId, ContentDigest, TreeDigest};
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};
use crate::ops::record::tests::write_example;
use crate::source::StatCache;
use crate::source::statcache::{Known, Stamp};
use crate::store::containers::ContainerRecord;
use crate::store::containers::tests::record as container;
use crate::store::images::tests::image;
use crate::store::scenes::tests::scene;
use crate::store::scenes::{Scene, SceneKind};

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
        Subject::Container(_) => "container",
        Subject::Scene(_) => "scene",
        Subject::Mount(_) => "mount",
        Subject::Context(_) => "context",
        Subject::Build(_) => "build",
        Subject::BuildObject(_) => "object",
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

/// Something that a store gets, which is whole, and the same with some harm.
fn check_with(make: impl Fn(&Store, &Descriptor) -> PathBuf, harm: impl Fn(&Path), expected: &[&str]) {
    check(true, |_, store, image| drop(make(store, image)), &[], 1);
    check(false, |_, store, image| harm(&make(store, image)), expected, 1);
}

/// A container that needs the image and no layer; its folder.
fn boxed(store: &Store, image: &Descriptor) -> PathBuf {
    let record = ContainerRecord { manifest: image.digest, layers: Vec::new(), ..container(&"a".repeat(64), "box") };
    let (made, _) = store.create_container(record, |_| Ok(())).unwrap();
    fs::write(made.upper().join("thesis"), "x").unwrap();
    made.folder
}

#[test]
fn what_a_container_changed_is_set_aside() {
    check_with(boxed, |folder| fs::write(folder.join("container.json"), "{").unwrap(), &["container"]);
    check_with(boxed, |folder| fs::remove_file(folder.join("container.json")).unwrap(), &["container"]);
    let folder = tempfile::tempdir().unwrap();
    let (mut store, image) = store(folder.path());
    let home = boxed(&store, &image);
    fs::write(home.join("container.json"), "{").unwrap();
    repair(&mut store, false, false).unwrap();
    let thesis = folder.path().join("lost+found").join(home.file_name().unwrap()).join("upper/thesis");
    assert_eq!(fs::read_to_string(thesis).unwrap(), "x");
}

#[test]
fn a_container_whose_image_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, image) = store(folder.path());
    let layers = vec![LayerId::Made(TreeDigest::from_bytes([5; 32]))];
    let record = ContainerRecord { manifest: image.digest, layers, ..container(&"a".repeat(64), "box") };
    store.create_container(record, |_| Ok(())).unwrap();
    assert_eq!(fsck(&store, true).unwrap().findings, []);
    fs::remove_file(store.blob_path(&Digest::of(b"layer"))).unwrap();
    let found = repair(&mut store, false, false).unwrap();
    assert!(found.findings.iter().any(|finding| matches!(finding.subject, Subject::Container(_))), "{found:?}");
    assert_eq!(store.containers().unwrap(), []);
}

#[test]
fn a_container_that_runs_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    let (made, lock) = store.create_container(container(&"a".repeat(64), "box"), |_| Ok(())).unwrap();
    fs::write(made.folder.join("container.json"), "{").unwrap();
    let found = repair(&mut store, false, false).unwrap();
    assert_eq!(found.in_use, [Subject::Container(made.folder.clone())]);
    assert!(made.folder.exists());
    drop(lock);
    assert_eq!(repair(&mut store, false, false).unwrap().in_use, []);
    assert!(!made.folder.exists());
}

#[test]
fn a_layer_that_a_container_stands_on_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, image) = store(folder.path());
    let layer = LayerId::Made(TreeDigest::from_bytes([5; 32]));
    let files = store.snapshots_dir().join(layer.to_string()).join("fs");
    fs::create_dir_all(&files).unwrap();
    let record = ContainerRecord { manifest: image.digest, layers: vec![layer], ..container(&"a".repeat(64), "box") };
    let (_, lock) = store.create_container(record, |_| Ok(())).unwrap();
    let found = repair(&mut store, false, false).unwrap();
    assert_eq!(
        (found.findings.len(), &found.in_use[..]),
        (1, &[Subject::Layer(layer)][..]),
        "it has no table: {found:?}"
    );
    assert!(files.exists());
    drop(lock);
    assert_eq!(repair(&mut store, false, false).unwrap().in_use, []);
    assert!(!files.exists());
}

#[test]
fn states_of_failed_steps() {
    let whole = Scene::bare(SceneKind::Failure, Vec::new());
    let kept = |store: &Store, scene: Scene| {
        let upper = store.tmp_path("upper").unwrap();
        fs::create_dir(&upper).unwrap();
        let id = store.keep_failure(scene, &upper).unwrap();
        store.root().join("scenes").join(id)
    };
    let harm = |folder: &Path| fs::write(folder.join("scene.json"), "").unwrap();
    check_with(|store, _| kept(store, whole.clone()), harm, &["temporary"]);
    // Its layers are not there.
    check(false, |_, store, _| drop(kept(store, scene())), &["scene"], 1);
    // Somebody was in it, and was killed.
    let visit = |_: &Path, store: &Store, _: &Descriptor| drop(store.visit(whole.clone(), |_| Ok(())).unwrap());
    check(false, visit, &["temporary"], 1);
}

#[test]
fn what_is_in_the_place_of_cache_mounts() {
    let made = |store: &Store, _: &Descriptor| {
        let folder = store.mounts_dir().join("0".repeat(32)).join("0");
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let harm = |folder: &Path| {
        fs::remove_dir(folder).unwrap();
        fs::write(folder, "").unwrap();
    };
    check_with(made, harm, &["mount"]);
}

#[test]
fn what_is_known_of_contexts() {
    let made = |store: &Store, _: &Descriptor| {
        let file = store.stat_cache(Path::new("/context"));
        let cache = StatCache::open(&file);
        let stamp = Stamp { ino: 1, size: 2, mode: 3, mtime: (4, 0), ctime: (5, 0) };
        cache.put(&TreePath::clean("f"), stamp, Known::default());
        cache.save().unwrap();
        file
    };
    check_with(made, |file| fs::write(file, "torn").unwrap(), &["context"]);
    check_with(made, |file| fs::write(file.with_extension("7-0.new"), "").unwrap(), &["temporary"]);
    check_with(made, |file| fs::write(file, "imgstat\x01").unwrap(), &[]);
}

#[test]
fn records_of_builds() {
    let made = |store: &Store, _: &Descriptor| {
        write_example(store);
        store.build_path(&store.builds()[0])
    };
    let cut = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    };
    let objects = |record: &Path, harm: &dyn Fn(&Path)| {
        let entries = fs::read_dir(record.with_file_name("objects")).unwrap();
        entries.for_each(|entry| harm(&entry.unwrap().path()));
    };
    check_with(made, cut, &["build"]);
    check_with(made, |record| fs::write(record.with_extension("7-0.new"), "").unwrap(), &["temporary"]);
    check_with(made, |record| objects(record, &|object| fs::remove_file(object).unwrap()), &["build"]);
    // The graph and the list of files; with the graph goes the record.
    let folder = tempfile::tempdir().unwrap();
    let (mut store, image) = store(folder.path());
    objects(&made(&store, &image), &cut);
    let found = repair(&mut store, false, false).unwrap();
    assert_eq!(found.findings.len(), 2, "{found:?}");
    assert!(found.findings.iter().all(|finding| matches!(finding.subject, Subject::BuildObject(_))), "{found:?}");
    repair(&mut store, false, false).unwrap();
    assert_eq!(fsck(&store, false).unwrap().findings, []);
}

/// The table of a base image's layer is not named by its hash; with `--deep`, its blob is read.
#[test]
fn a_table_that_reads_well_and_is_wrong() {
    let table = |name: &str| {
        let kind = Kind::File { size: 1, content: ContentDigest::of(b"x") };
        let entry = Entry { path: TreePath::clean(name), meta: Meta { mode: 0o644, ..Meta::default() }, kind };
        Toc::new(vec![entry]).encode()
    };
    let made = |store: &Store, name: &str| {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(1);
        header.set_mode(0o644);
        let mut tar = ::tar::Builder::new(Vec::new());
        tar.append_data(&mut header, "f", &b"x"[..]).unwrap();
        let descriptor = image(store, "linux/amd64", &tar.into_inner().unwrap());
        store.set_reference(&"b".parse().unwrap(), descriptor.clone()).unwrap();
        let found = store.resolve_all(&descriptor.digest).unwrap().remove(0);
        let id = LayerId::Image(ChainId::stack(&[found.layers[0].1])[0]);
        let home = store.snapshots_dir().join(id.to_string());
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("toc"), table(name)).unwrap();
    };
    check(true, |_, store, _| made(store, "f"), &[], 2);
    check(true, |_, store, _| made(store, "g"), &["layer"], 2);
}
