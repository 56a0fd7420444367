//! An inventory made by hand, and what goes of it.

use std::collections::BTreeMap;

use super::*;
use crate::digest::TreeDigest;
use crate::oci::ContainerConfig;
use crate::ops::inventory::{StoredContainer, StoredRecord};
use crate::store::containers::{Container, ContainerRecord};
use crate::store::scenes::{KeptScene, Scene, SceneKind};

fn digest(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

fn layer(number: u8) -> LayerId {
    LayerId::Made(TreeDigest::from_bytes([number; 32]))
}

fn key(number: u8) -> CacheKey {
    CacheKey::from_bytes([number; 32])
}

fn measured(used: i64) -> Measured {
    Measured { size: 100, used }
}

fn image(number: u8, name: Option<&str>, blobs: &[u8]) -> StoredImage {
    StoredImage {
        digest: digest(number),
        names: name.map(|name| name.parse().unwrap()).into_iter().collect(),
        ids: Vec::new(),
        blobs: blobs.iter().chain([&number]).map(|&blob| digest(blob)).collect(),
        layers: BTreeSet::new(),
        labels: BTreeMap::from([("keep".into(), number.to_string())]),
        entered: i64::from(number),
    }
}

fn container(name: &str, image: u8, active: bool, layers: &[u8]) -> StoredContainer {
    let record = ContainerRecord {
        id: name.into(),
        name: name.into(),
        kind: ContainerKind::Container,
        image: String::new(),
        image_id: digest(0),
        manifest: digest(image),
        layers: layers.iter().map(|&number| layer(number)).collect(),
        config: ContainerConfig::default(),
        args: Vec::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        created: 5,
        process: None,
        ended: None,
        mounted: None,
    };
    let blobs = [digest(image)].into();
    StoredContainer { container: Container { record, folder: PathBuf::new() }, active, size: 1, blobs }
}

/// Two images with names, one without, all on the blob 50; a running and an ended container; three steps.
fn inventory() -> Inventory {
    let steps = [(1, vec![layer(1)], 10), (2, vec![layer(1), layer(2)], 20), (3, vec![layer(3)], 30)];
    let records = steps.into_iter().map(|(number, layers, used)| StoredRecord {
        key: key(number),
        measured: Measured { size: 1, used },
        holds: Holds::Layers(layers),
    });
    let memo = StoredRecord { key: key(9), measured: Measured { size: 1, used: 40 }, holds: Holds::Blob(digest(60)) };
    Inventory {
        images: vec![image(1, Some("a"), &[50, 51]), image(2, Some("b"), &[50, 52]), image(3, None, &[50, 53, 60])],
        containers: vec![container("runs", 2, true, &[3]), container("ended", 1, false, &[])],
        records: records.chain([memo]).collect(),
        layers: [(1, 20), (2, 20), (3, 30), (4, 15)].map(|(number, used)| (layer(number), measured(used))).into(),
        blobs: [1, 2, 3, 50, 51, 52, 53, 60, 70].map(|number| (digest(number), measured(35))).into(),
        mounts: [("/m", 25)].map(|(path, used)| (path.into(), measured(used))).into(),
        contexts: [("/c", 2)].map(|(path, used)| (path.into(), measured(used))).into(),
        scenes: Vec::new(),
    }
}

/// What goes, in words: containers, images, cached steps, layers, blobs, mounts and contexts.
fn goes(options: &PruneOptions) -> String {
    let plan = plan(&inventory(), options);
    let byte = |bytes: &[u8]| bytes[0].to_string();
    let mut words: Vec<String> = plan.containers.iter().map(|(_, name)| name.clone()).collect();
    words.extend(plan.images.iter().map(|(_, digest)| format!("i{}", byte(digest.as_bytes()))));
    words.extend(plan.records.iter().map(|key| format!("r{}", byte(key.as_bytes()))));
    words.extend(plan.layers.iter().map(|id| match id {
        LayerId::Made(tree) => format!("l{}", byte(tree.as_bytes())),
        LayerId::Image(_) => "chain".into(),
    }));
    words.extend(plan.blobs.iter().map(|digest| format!("b{}", byte(digest.as_bytes()))));
    words.extend(plan.mounts.iter().map(|path| path.display().to_string()));
    words.extend(plan.contexts.iter().map(|path| path.display().to_string()));
    words.join(" ")
}

#[track_caller]
fn check(options: PruneOptions, expected: &str) {
    assert_eq!(goes(&options), expected, "{options:?}");
}

fn options() -> PruneOptions {
    PruneOptions::default()
}

fn only(kinds: &[PruneKind]) -> PruneOptions {
    PruneOptions { kinds: kinds.iter().copied().collect(), ..options() }
}

#[test]
fn only_what_nothing_refers_to_goes_by_itself() {
    // The blob 60 is the layer of a step that is known, 70 is nobody's, 3 and 53 were the nameless image's alone.
    check(options(), "ended i3 l4 b70 b3 b53");
}

#[test]
fn all_leaves_what_containers_need() {
    let all = PruneOptions { all: true, ..options() };
    check(all, "ended i1 i3 r1 r2 r3 r9 l4 l1 l2 b60 b70 b1 b3 b51 b53 /m /c");
    check(PruneOptions { all: true, ..only(&[PruneKind::Images]) }, "i3 b3 b53");
}

#[test]
fn kinds_are_kept_apart() {
    check(only(&[PruneKind::Containers]), "ended");
    check(only(&[PruneKind::Images]), "i3 b3 b53");
    check(only(&[PruneKind::Cache]), "l4 b70");
    check(only(&[PruneKind::Mounts]), "/m");
}

#[test]
fn the_least_recently_used_goes_first_and_only_as_much_as_must() {
    let cache = |keep| PruneOptions { keep_storage: Some(keep), ..only(&[PruneKind::Cache]) };
    // Beside 4 records of a byte each: a context, 3 layers that no container needs, and the blob 70.
    check(cache(504), "");
    check(cache(503), "/c");
    check(cache(404), "/c");
    // Of a step whose layer goes, nothing stays.
    check(cache(403), "r1 /c");
    check(cache(303), "r1 l4 /c");
    check(cache(302), "r1 r2 l4 /c");
    check(cache(301), "r1 r2 l4 l1 /c");
    check(cache(0), "r1 r2 r3 r9 l4 l1 l2 b70 /c");
}

#[test]
fn filters_choose_by_time_and_label() {
    check(PruneOptions { until: Some(5), ..options() }, "i3 b3 b53");
    check(PruneOptions { until: Some(6), ..only(&[PruneKind::Containers]) }, "ended");
    check(PruneOptions { all: true, until: Some(20), ..only(&[PruneKind::Cache]) }, "r1 l4 /c");
    let label = |value: &str, absent| LabelFilter { key: "keep".into(), value: Some(value.into()), absent };
    let labelled = |label| PruneOptions { labels: vec![label], ..options() };
    check(labelled(label("3", false)), "i3 b3 b53");
    check(labelled(label("3", true)), "ended");
}

#[test]
fn states_of_failed_steps_go_unless_somebody_is_in_them() {
    let scene = |id: &str, active, number| StoredScene {
        kept: KeptScene {
            id: id.into(),
            scene: Scene::bare(SceneKind::Failure, vec![layer(number)]),
            folder: PathBuf::new(),
        },
        active,
        measured: measured(50),
    };
    let inventory = Inventory { scenes: vec![scene("free", false, 3), scene("taken", true, 4)], ..inventory() };
    let gone = |options: PruneOptions| {
        let plan = plan(&inventory, &options);
        (plan.scenes.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), plan.layers)
    };
    let free = vec!["free".to_owned()];
    assert_eq!(gone(options()), (free.clone(), vec![]), "the layer 4 is needed by the one that stays");
    let (scenes, layers) = gone(PruneOptions { all: true, ..options() });
    assert!(scenes == free && !layers.contains(&layer(4)), "{scenes:?} {layers:?}");
    assert_eq!(gone(only(&[PruneKind::Containers])).0, [""; 0]);
    assert_eq!(gone(PruneOptions { until: Some(50), ..options() }).0, [""; 0]);
}
