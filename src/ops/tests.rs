//! Listing, naming and removing, on a store with a few tiny images.

use super::*;
use crate::digest::Digest;
use crate::oci::{Platform, Reference};
use crate::store::images::tests::{image, index};
use crate::store::{FindError, Store};

fn setup() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn set(store: &Store, name: &str, descriptor: &crate::oci::Descriptor) {
    store.set_reference(&name.parse().unwrap(), descriptor.clone()).unwrap();
}

#[test]
fn lists_every_platform_and_name() {
    let (_folder, store) = setup();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, platform.as_bytes()));
    let both = index(&store, vec![amd.clone(), arm]);
    set(&store, "b", &amd);
    set(&store, "b", &both);
    set(&store, "a", &both);
    let rows: Vec<String> = images(&store)
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row.reference.as_ref().map_or("-".into(), Reference::familiar), row.platform))
        .collect();
    assert_eq!(
        rows,
        [
            "a:latest linux/amd64",
            "a:latest linux/arm64",
            "b:latest linux/amd64",
            "b:latest linux/arm64",
            "- linux/amd64"
        ]
    );
}

#[test]
fn tags_by_name_and_id() {
    let (_folder, store) = setup();
    let one = image(&store, "linux/amd64", b"one");
    set(&store, "a", &one);
    let id = images(&store).unwrap()[0].id;
    assert_eq!(tag(&store, &id.short(), "x.y/b:c").unwrap().familiar(), "x.y/b:c");
    assert_eq!(store.find("x.y/b:c").unwrap().descriptor.digest, one.digest);
    assert!(matches!(tag(&store, "zz", "b"), Err(TagError::Find(FindError::NotFound(_)))));
    assert!(matches!(tag(&store, "a", "B"), Err(TagError::Reference(_))));
    assert!(matches!(tag(&store, "a", &format!("b@{id}")), Err(TagError::Digest(_))));
}

#[test]
fn removes_names_before_blobs_and_spares_what_is_shared() {
    let (_folder, mut store) = setup();
    let [one, two] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, b"shared"));
    set(&store, "one", &one);
    set(&store, "one:too", &one);
    set(&store, "two", &two);
    let names = |removed: &Removed| removed.untagged.iter().map(Reference::familiar).collect::<Vec<_>>();
    let id = store.resolve_all(&one.digest).unwrap()[0].config_digest;
    assert!(matches!(rmi(&mut store, &id.short(), false), Err(RmiError::SeveralNames { .. })));
    let removed = rmi(&mut store, "one", false).unwrap();
    assert_eq!((names(&removed), removed.deleted.len()), (vec!["one:latest".to_owned()], 0));
    let removed = rmi(&mut store, &id.short(), false).unwrap();
    assert_eq!((names(&removed), removed.deleted.len()), (vec!["one:too".to_owned()], 2));
    assert!(store.has(&Digest::of(b"shared")));
    assert!(matches!(rmi(&mut store, "one:too", false), Err(RmiError::Find(FindError::NotFound(_)))));
    let by_digest = format!("two@{}", two.digest);
    let removed = rmi(&mut store, &by_digest, false).unwrap();
    assert_eq!((names(&removed), removed.deleted.len()), (vec!["two:latest".to_owned()], 3));
    assert_eq!(store.blobs().unwrap(), [].into());
}

#[test]
fn leaves_blobs_while_others_use_the_store() {
    let (folder, mut store) = setup();
    set(&store, "a", &image(&store, "linux/amd64", b"one"));
    let _other = Store::open(folder.path()).unwrap();
    let removed = rmi(&mut store, "a", false).unwrap();
    assert!(removed.deferred && removed.deleted.is_empty());
    assert_eq!(store.list_references().unwrap(), []);
    assert_eq!(store.blobs().unwrap().len(), 3);
}

#[test]
fn inspects_like_docker() {
    let (_folder, store) = setup();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| image(&store, platform, platform.as_bytes()));
    let both = index(&store, vec![amd, arm]);
    set(&store, "x.y/a:b", &both);
    set(&store, "x.y/a:c", &both);
    let platform: Platform = "linux/arm64".parse().unwrap();
    let arm = inspect(&store, "x.y/a:b", Some(&platform)).unwrap();
    assert_eq!(arm.architecture, "arm64");
    assert_eq!(arm.repo_tags, ["x.y/a:b", "x.y/a:c"]);
    assert_eq!(arm.repo_digests, [format!("x.y/a@{}", both.digest)]);
    assert_eq!(inspect(&store, &arm.id.to_string(), None).unwrap(), arm, "an ID chooses the platform");
    let json = serde_json::to_value(&arm).unwrap();
    assert_eq!(json["Id"], arm.id.to_string());
    assert_eq!(json["RootFS"]["Type"], "layers");
    assert_eq!(json["RootFS"]["Layers"][0], Digest::of(b"linux/arm64").to_string());
    let platform: Platform = "linux/s390x".parse().unwrap();
    let message = inspect(&store, "x.y/a:b", Some(&platform)).unwrap_err().to_string();
    assert!(message.contains("for linux/s390x"), "{message}");
}

#[test]
fn history_pairs_instructions_with_layers() {
    let (_folder, store) = setup();
    let layers: [&[u8]; 2] = [b"base", b"top layer"];
    let descriptors = layers.map(|layer| {
        let blob = store.put(layer).unwrap();
        crate::oci::Descriptor::new(crate::oci::media::LAYER, blob.digest, blob.size)
    });
    let instruction = |text: &str, empty_layer| crate::oci::History {
        created_by: text.into(),
        empty_layer,
        ..crate::oci::History::default()
    };
    let mut config = crate::oci::ImageConfig {
        history: vec![instruction("ENV A=b", true), instruction("RUN x", false), instruction("CMD y", true)],
        ..crate::oci::ImageConfig::default()
    };
    config.rootfs.diff_ids =
        layers.map(|layer| crate::digest::DiffId::from_bytes(*Digest::of(layer).as_bytes())).into();
    let config = config.to_json();
    store.put(&config).unwrap();
    let manifest =
        crate::oci::Manifest::new(crate::oci::Descriptor::of(crate::oci::media::CONFIG, &config), descriptors.into())
            .to_json();
    store.put(&manifest).unwrap();
    set(&store, "a", &crate::oci::Descriptor::of(crate::oci::media::MANIFEST, &manifest));
    let rows = history(&store, "a", None).unwrap();
    let lines: Vec<(&str, u64)> = rows.iter().map(|row| (row.history.created_by.as_str(), row.size)).collect();
    assert_eq!(lines, [("CMD y", 0), ("RUN x", 9), ("ENV A=b", 0), ("", 4)]);
    assert_eq!(rows[0].id, Some(Digest::of(&config)));
}
