//! Archives of all kinds, good and bad, made by hand.

use std::fs;

use super::*;
use crate::digest::DiffId;
use crate::oci::{Index, RootFs};
use crate::ops::{SaveOptions, save};
use crate::store::ArchiveFormat;

fn load(store: &Store, input: &[u8]) -> Result<Vec<LoadedImage>> {
    super::load(store, input, &LoadOptions::default())
}

fn load_path(store: &Store, path: &Path) -> Result<Vec<LoadedImage>> {
    super::load_path(store, path, &LoadOptions::default())
}

/// A tar of files; a name `a -> b` is a symbolic link, `a => b` a hard link.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        let link = |sign| name.split_once(sign);
        if let Some((name, target)) = link(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = link(" => ") {
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, name, target).unwrap();
        } else {
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// The files of a tar of ours.
#[expect(clippy::disallowed_methods, reason = "nothing in it is hostile")]
fn unpack(tar: &[u8], folder: &Path) {
    tar::Archive::new(tar).unpack(folder).unwrap();
}

fn config(platform: &str, layers: &[&[u8]]) -> Vec<u8> {
    let platform: Platform = platform.parse().unwrap();
    let diff_ids = layers.iter().map(|layer| DiffId::from_bytes(*Digest::of(layer).as_bytes())).collect();
    let config = ImageConfig {
        os: platform.os,
        architecture: platform.architecture,
        rootfs: RootFs { diff_ids, ..RootFs::default() },
        ..ImageConfig::default()
    };
    config.to_json()
}

fn manifest(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layers = layers.iter().map(|layer| Descriptor::of(media::LAYER, layer)).collect();
    Manifest::new(Descriptor::of(media::CONFIG, config), layers).to_json()
}

/// A tar of an image layout with these blobs and entries.
fn layout(blobs: &[&[u8]], entries: Vec<Descriptor>) -> Vec<u8> {
    let names: Vec<String> = blobs.iter().map(|blob| blob_path(&Digest::of(blob))).collect();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(blobs.iter().copied()).collect();
    let index = Index::new(entries).to_json();
    files.extend([("index.json", &index[..]), ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)]);
    tar(&files)
}

fn named(media_type: &str, bytes: &[u8], name: &str) -> Descriptor {
    let mut descriptor = Descriptor::of(media_type, bytes);
    descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), name.into());
    descriptor
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn names(image: &LoadedImage) -> Vec<String> {
    image.references.iter().map(Reference::familiar).collect()
}

/// Loads something bad: the message has `expected` in it, and the store has nothing.
#[track_caller]
fn check_bad(archive: &[u8], expected: &str) {
    let (_folder, store) = store();
    let message = load(&store, archive).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
    assert_eq!(store.blobs().unwrap(), [].into());
    assert_eq!(store.list_references().unwrap(), []);
    assert_eq!(fs::read_dir(store.tmp_dir().unwrap()).unwrap().count(), 0);
}

const DOCKER: &str = r#"[{"Config":"CONFIG.json","RepoTags":["a:1","b.c/d:2"],"Layers":["one/layer.tar","two/layer.tar","three/layer.tar"]}]"#;

#[test]
fn a_docker_archive_keeps_its_ids() {
    let (_folder, store) = store();
    let layers: [&[u8]; 3] = [b"one", b"two", b"one"];
    let config = config("linux/arm64", &layers);
    let id = Digest::of(&config);
    let config_name = format!("{}.json", id.hex());
    let listing = DOCKER.replace("CONFIG", &id.hex());
    let archive = tar(&[
        ("one/layer.tar", layers[0]),
        ("one/VERSION", b"1.0"),
        ("./two/layer.tar", layers[1]),
        ("three/layer.tar -> ../one/layer.tar", b""),
        (&config_name, &config),
        ("manifest.json", listing.as_bytes()),
    ]);
    let loaded = load(&store, &archive[..]).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(names(&loaded[0]), ["b.c/d:2", "a:1"]);
    assert_eq!(loaded[0].platforms, [("linux/arm64".parse().unwrap(), id)]);
    let image = store.resolve(&"a:1".parse().unwrap(), &Platform::host()).unwrap().unwrap();
    assert_eq!((image.config_digest, image.layers.len()), (id, 3));
    assert!(image.layers.iter().all(|(layer, diff_id)| layer.digest.as_bytes() == diff_id.as_bytes()));
    assert_eq!(store.blobs().unwrap().len(), 4, "two layers, configuration, manifest; nothing else");
    assert_eq!(load(&store, &archive[..]).unwrap(), loaded, "again is the same");
}

#[test]
fn a_docker_archive_may_have_links_and_compressed_layers() {
    let (_folder, store) = store();
    let layers: [&[u8]; 3] = [b"one", b"two", b"three"];
    let config = config("linux/amd64", &layers);
    let zstd = zstd::encode_all(layers[0], 1).unwrap();
    let xz = liblzma::encode_all(layers[1], 1).unwrap();
    let archive = tar(&[
        ("CONFIG.json", &config),
        ("one/layer.tar", &zstd),
        ("two/layer.tar", &xz),
        ("x", layers[2]),
        ("three/layer.tar => x", b""),
        ("manifest.json", DOCKER.as_bytes()),
    ]);
    let loaded = load(&store, &liblzma::encode_all(&archive[..], 1).unwrap()[..]).unwrap();
    let image = store.resolve_digest(&loaded[0].descriptor.digest, &Platform::host()).unwrap().unwrap();
    let types: Vec<&str> = image.layers.iter().map(|(layer, _)| layer.media_type.as_str()).collect();
    assert_eq!(types, [media::LAYER_ZSTD, media::LAYER, media::LAYER]);
    assert!(image.layers.iter().all(|(layer, _)| store.has(&layer.digest)));
}

#[test]
fn a_layout_gives_all_platforms_and_names() {
    let (_folder, store) = store();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| config(platform, &[b"layer"]));
    let [amd_manifest, arm_manifest] = [&amd, &arm].map(|config| manifest(config, &[b"layer"]));
    let attestation = DescriptorWith::attestation(b"not here");
    let index = Index::new(vec![
        Descriptor::of(media::MANIFEST, &amd_manifest).for_platform(&"linux/amd64".parse().unwrap()),
        Descriptor::of(media::MANIFEST, &arm_manifest).for_platform(&"linux/arm64".parse().unwrap()),
        Descriptor::of(media::MANIFEST, b"left out").for_platform(&"linux/s390x".parse().unwrap()),
        attestation,
    ])
    .to_json();
    let mut latest = named(media::INDEX, &index, "latest");
    latest.annotations.insert("io.containerd.image.name".into(), "docker.io/library/both:latest".into());
    let entries = vec![
        latest,
        named(media::INDEX, &index, "docker.io/library/both:1"),
        named(media::MANIFEST, &amd_manifest, "justatag"),
    ];
    let archive = layout(&[b"layer", &amd, &arm, &amd_manifest, &arm_manifest, &index], entries);
    let loaded = load(&store, &archive[..]).unwrap();
    assert_eq!(names(&loaded[0]), ["both:1", "both:latest"]);
    assert_eq!(loaded[0].platforms.len(), 2);
    assert_eq!(names(&loaded[1]), [""; 0]);
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(store.resolve(&"both".parse().unwrap(), &platform.parse().unwrap()).unwrap().is_some());
    }
    assert_eq!(store.list_references().unwrap().len(), 3);
}

/// Descriptors that only tests make.
struct DescriptorWith;

impl DescriptorWith {
    fn attestation(bytes: &[u8]) -> Descriptor {
        let mut descriptor = Descriptor::of(media::MANIFEST, bytes);
        descriptor.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
        descriptor
    }
}

#[test]
fn a_folder_loads_like_a_tar() {
    let (_folder, store) = store();
    let config = config("linux/amd64", &[b"layer"]);
    let json = manifest(&config, &[b"layer"]);
    let archive = layout(&[b"layer", &config, &json], vec![named(media::MANIFEST, &json, "a:b")]);
    let folder = tempfile::tempdir().unwrap();
    unpack(&archive, folder.path());
    let loaded = load_path(&store, folder.path()).unwrap();
    let file = folder.path().join("file.tar");
    fs::write(&file, &archive).unwrap();
    assert_eq!(load_path(&store, &file).unwrap(), loaded);
    assert_eq!(names(&loaded[0]), ["a:b"]);
    let message = load_path(&store, &folder.path().join("nothing")).unwrap_err().to_string();
    assert!(message.contains("nothing"), "{message}");
}

#[test]
fn bad_archives_leave_nothing() {
    let amd = config("linux/amd64", &[b"layer"]);
    let json = manifest(&amd, &[b"layer"]);
    let entry = || vec![named(media::MANIFEST, &json, "a:b")];
    check_bad(b"", "it is empty");
    check_bad(&b"just some text, long enough to be read as the header of a tar ".repeat(20), "it is no tar");
    check_bad(&tar(&[("bin/sh", b"x")]), "imgbuild import");
    check_bad(&tar(&[("repositories", b"{}")]), "older than 1.10");
    check_bad(&layout(&[b"layer", &amd], entry()), "listed in index.json but missing");
    check_bad(&layout(&[b"layer", &json], entry()), "configuration is missing");
    check_bad(&layout(&[&amd, &json], entry()), "it is missing");
    check_bad(&layout(&[b"layer", &amd, &json], vec![]), "holds no image");
    let short = Descriptor { size: 7, ..Descriptor::of(media::MANIFEST, &json) };
    check_bad(&layout(&[b"layer", &amd, &json], vec![short]), "should have 7 bytes");
    let wrong = format!("blobs/sha256/{}", "0".repeat(64));
    check_bad(&tar(&[(&wrong, b"x")]), "its content has the digest");
    let two = manifest(&amd, &[b"layer", b"layer"]);
    check_bad(
        &layout(&[b"layer", &amd, &two], vec![Descriptor::of(media::MANIFEST, &two)]),
        "2 layers but its configuration has 1",
    );
    let good = layout(&[b"layer", &amd, &json], entry());
    check_bad(&good[..600], "cannot read the image archive");
    check_bad(&good[..514], "it should have 5 bytes but the archive ends in the middle");
    let zstd = zstd::encode_all(&good[..], 1).unwrap();
    check_bad(&zstd[..zstd.len() / 2], "cannot read the image archive");
    let none = Index::new(vec![Descriptor::of(media::MANIFEST, b"left out")]).to_json();
    check_bad(&layout(&[&none], vec![Descriptor::of(media::INDEX, &none)]), "none of the manifests");
}

#[test]
fn bad_docker_archives_leave_nothing() {
    let config = config("linux/amd64", &[b"one", b"two", b"three"]);
    let layers =
        |third: &'static [u8]| [("one/layer.tar", &b"one"[..]), ("two/layer.tar", b"two"), ("three/layer.tar", third)];
    let archive = |listing: &str, config: &[u8], layers: &[(&str, &[u8])]| {
        tar(&[layers, &[("manifest.json", listing.as_bytes()), ("CONFIG.json", config)]].concat())
    };
    check_bad(&archive(DOCKER, &config, &layers(b"four")), "the layer should be sha256:");
    check_bad(&archive(DOCKER, &config, &layers(b"three")[..2]), "three/layer.tar: a layer is missing");
    check_bad(&archive(DOCKER, b"{", &layers(b"three")), "CONFIG.json");
    check_bad(&archive("{}", &config, &layers(b"three")), "manifest.json");
    check_bad(&archive("[]", &config, &layers(b"three")), "holds no image");
    check_bad(&archive(&DOCKER.replace("a:1", "A:1"), &config, &layers(b"three")), "lower case");
    check_bad(&archive(&DOCKER.replace("CONFIG", "../../etc/passwd"), &config, &layers(b"three")), "is missing");
    let circle = [("one/layer.tar -> ../two/layer.tar", &b""[..]), ("two/layer.tar -> ../one/layer.tar", b"")];
    check_bad(&archive(DOCKER, &config, &circle), "a layer is missing");
}

#[test]
fn what_is_saved_loads_again_and_is_the_same_every_time() {
    let (_folder, first) = store();
    let config = config("linux/amd64", &[b"layer"]);
    let json = manifest(&config, &[b"layer"]);
    let archive = layout(&[b"layer", &config, &json], vec![named(media::MANIFEST, &json, "a:b")]);
    load(&first, &archive[..]).unwrap();
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        let options = SaveOptions { format, platform: None };
        let saved = |store: &Store| {
            let mut out = Vec::new();
            save(store, &["a:b".into()], &options, &mut out).unwrap();
            out
        };
        let (_other_folder, second) = store();
        let loaded = load(&second, &saved(&first)[..]).unwrap();
        assert_eq!(names(&loaded[0]), ["a:b"]);
        assert_eq!(loaded[0].descriptor.digest, Digest::of(&json));
        assert_eq!(saved(&first), saved(&second));
    }
    // Docker's half alone is enough.
    let mut out = Vec::new();
    let options = SaveOptions { format: ArchiveFormat::Docker, platform: Some("linux/amd64".parse().unwrap()) };
    save(&first, &["a:b".into()], &options, &mut out).unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    unpack(&out, unpacked.path());
    fs::remove_file(unpacked.path().join("index.json")).unwrap();
    let (_other_folder, second) = store();
    let loaded = load_path(&second, unpacked.path()).unwrap();
    assert_eq!(names(&loaded[0]), ["a:b"]);
    assert_eq!(loaded[0].platforms[0].1, Digest::of(&config));
}

#[test]
fn no_damage_makes_it_panic_or_lie() {
    let layers: [&[u8]; 3] = [b"one", b"two", b"three"];
    let config = config("linux/amd64", &layers);
    let id = Digest::of(&config);
    let archive = tar(&[
        ("one/layer.tar", layers[0]),
        ("two/layer.tar", layers[1]),
        ("three/layer.tar", layers[2]),
        ("CONFIG.json", &config),
        ("manifest.json", DOCKER.as_bytes()),
    ]);
    let (_folder, store) = store();
    for at in (0..archive.len()).step_by(101) {
        let mut damaged = archive.clone();
        damaged[at] ^= 0x15;
        for image in load(&store, &damaged[..]).unwrap_or_default() {
            // What still loads is a whole image; only its own configuration may have become another one.
            let resolved = store.resolve_digest(&image.descriptor.digest, &Platform::host()).unwrap().unwrap();
            assert_eq!(resolved.layers.len(), 3);
            assert!(resolved.layers.iter().all(|(layer, diff_id)| layer.digest.as_bytes() == diff_id.as_bytes()));
            assert!(resolved.config_digest == id || at / 512 == 7, "{at}");
        }
    }
}

#[test]
fn loads_only_the_platforms_that_are_wanted() {
    let layers: [&[u8]; 2] = [b"amd64 layer", b"arm64 layer"];
    let configs = [config("linux/amd64", &layers[..1]), config("linux/arm64", &layers[1..])];
    let manifests = [manifest(&configs[0], &layers[..1]), manifest(&configs[1], &layers[1..])];
    let entries: Vec<Descriptor> = manifests.iter().map(|json| Descriptor::of(media::MANIFEST, json)).collect();
    let both = Index::new(entries).to_json();
    let blobs: [&[u8]; 7] = [&both, &manifests[0], &manifests[1], &configs[0], &configs[1], layers[0], layers[1]];
    let list = vec![named(media::INDEX, &both, "both:1"), named(media::MANIFEST, &manifests[0], "amd:1")];
    let archive = layout(&blobs, list);
    let check = |platforms: &[&str], images: usize, blobs: usize| {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let options = LoadOptions { platforms: platforms.iter().map(|text| text.parse().unwrap()).collect() };
        let loaded = super::load(&store, &archive[..], &options);
        assert_eq!(loaded.as_ref().map_or(0, Vec::len), images, "{loaded:?}");
        assert_eq!(store.blobs().unwrap().len(), blobs);
        assert_eq!(crate::ops::images(&store).unwrap().is_empty(), images == 0);
        loaded.err().map(|error| error.to_string())
    };
    assert_eq!(check(&[], 2, 7), None);
    assert_eq!(check(&["linux/amd64"], 2, 4), None);
    assert_eq!(check(&["linux/arm64"], 1, 4), None);
    assert_eq!(check(&["linux/arm64", "linux/amd64"], 2, 7), None);
    let message = check(&["linux/s390x", "windows/amd64"], 0, 0);
    assert_eq!(message.as_deref(), Some("the image archive has no image for linux/s390x or windows/amd64"));
}

#[test]
fn a_hole_leads_nowhere() {
    let (_folder, store) = store();
    let outside = tempfile::tempdir().unwrap();
    let layer = tar(&[("file", b"x")]);
    let config = config("linux/amd64", &[&layer]);
    let manifest = manifest(&config, &[&layer]);
    let image = layout(&[&layer, &config, &manifest], vec![named(media::MANIFEST, &manifest, "box:1")]);
    for input in [image.clone(), zstd::encode_all(&image[..], 3).unwrap()] {
        let input = crate::store::Hole(&input[..], outside.path().into());
        assert_eq!(super::load(&store, input, &LoadOptions::default()).unwrap().len(), 1);
    }
}
