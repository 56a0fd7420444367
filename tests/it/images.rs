//! Images in and out, against skopeo, which reads and writes the same formats with other people's code.
//!
//! Where skopeo is not installed, the tests that need it say so and pass.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use imgbuild::digest::Digest;
use imgbuild::oci::{Platform, Reference};
use imgbuild::ops::{self, LoadOptions, LoadedImage, SaveOptions};
use imgbuild::store::{ArchiveFormat, Store};

const BUSYBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/busybox.oci.tar");
const MANIFEST: &str = "sha256:9333b3fb05c27a15aec4ab3bf86aac119515966f3f0b9bd2a03d610c46eea3d7";
const CONFIG: &str = "sha256:de65ef4636a5ad207f21cccab046f3fc52163b7d321d8de89a725eff94f89c11";

fn loaded() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    ops::load_path(&store, Path::new(BUSYBOX), &LoadOptions::default()).unwrap();
    (folder, store)
}

/// Runs skopeo; none if there is no such program.
#[must_use]
fn skopeo(arguments: &[&str]) -> Option<()> {
    let output = match Command::new("skopeo").arg("--insecure-policy").args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: skopeo is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

fn save(store: &Store, format: ArchiveFormat, path: &Path) {
    let options = SaveOptions { format, platform: None };
    ops::save(store, &["busybox".into()], &options, fs::File::create(path).unwrap()).unwrap();
}

/// The digest of the configuration of an image in skopeo's `dir:` format.
fn config_of(folder: &Path) -> String {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_base_image_loads_by_name() {
    let (_folder, store) = loaded();
    let reference: Reference = "busybox:latest".parse().unwrap();
    let image = store.resolve(&reference, &"linux/amd64".parse().unwrap()).unwrap().unwrap();
    assert_eq!(image.manifest.digest.to_string(), MANIFEST);
    assert_eq!(image.config_digest.to_string(), CONFIG);
    assert_eq!(image.layers.len(), 1);
    assert!(store.has(&image.layers[0].0.digest));
    let rows = ops::images(&store).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].reference.as_ref().map(Reference::familiar).as_deref(), Some("busybox:latest"));
}

#[test]
fn skopeo_reads_the_store_itself() {
    let (folder, store) = loaded();
    let copy = folder.path().join("copy");
    let source = format!("oci:{}:docker.io/library/busybox:latest", store.root().display());
    if skopeo(&["copy", &source, &format!("dir:{}", copy.display())]).is_some() {
        assert_eq!(config_of(&copy), CONFIG);
    }
}

#[test]
fn skopeo_reads_what_is_saved() {
    let (folder, store) = loaded();
    for (format, name) in [
        (ArchiveFormat::Docker, "docker-archive:PATH:busybox:latest"),
        (ArchiveFormat::Docker, "oci-archive:PATH:latest"),
        (ArchiveFormat::Oci, "oci-archive:PATH:latest"),
    ] {
        let archive = folder.path().join("saved.tar");
        save(&store, format, &archive);
        let copy = folder.path().join("copy");
        let source = name.replace("PATH", &archive.display().to_string());
        if skopeo(&["copy", &source, &format!("dir:{}", copy.display())]).is_none() {
            return;
        }
        assert_eq!(config_of(&copy), CONFIG, "{name}");
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn what_skopeo_writes_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| -> LoadedImage {
        let store = Store::open(
            &folder.path().join(format!("store-{}", Digest::of(path.to_string_lossy().as_bytes()).short())),
        )
        .unwrap();
        let mut images = ops::load_path(&store, path, &LoadOptions::default()).unwrap();
        let image = images.remove(0);
        let resolved = store.resolve_digest(&image.descriptor.digest, &Platform::host()).unwrap().unwrap();
        assert!(resolved.layers.iter().all(|(layer, _)| store.has(&layer.digest)));
        image
    };
    let [docker, oci] = ["docker.tar", "oci"].map(|name| folder.path().join(name));
    let source = format!("oci-archive:{BUSYBOX}:busybox:latest");
    let target = format!("docker-archive:{}:example.org/box:1", docker.display());
    if skopeo(&["copy", &source, &target]).is_none() {
        return;
    }
    let image = load(&docker);
    assert_eq!(image.references, ["example.org/box:1".parse().unwrap()]);
    // Converting to Docker's format rewrites manifests, never configurations.
    assert_eq!(image.platforms[0].1.to_string(), CONFIG);
    skopeo(&["copy", &source, &format!("oci:{}:box", oci.display())]).unwrap();
    let image = load(&oci);
    assert_eq!(image.descriptor.digest.to_string(), MANIFEST);
    assert_eq!(image.references, [], "a word is a tag, not a name");
}

#[test]
fn a_killed_process_leaves_a_store_that_works() {
    let (folder, store) = loaded();
    // Another process that takes every kind of lock there is, and dies without a chance to give one back.
    let root = store.root().display().to_string();
    let tmp = folder.path().join("store/tmp");
    let script = format!(
        "mkdir -p {root}/tmp/99999-0/work/work && : > {root}/tmp/99999-0.lock && chmod 0 {root}/tmp/99999-0/work/work \
         && exec 8<>{root}/tmp/99999-0.lock 9<>{root}/index.lock 7<>{root}/gc.lock \
         && flock -x 8 && flock -x 9 && flock -s 7 && kill -9 $$"
    );
    let status = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert_eq!(status.signal(), Some(9));
    drop(store);
    let mut store = Store::open(&folder.path().join("store")).unwrap();
    ops::tag(&store, "busybox", "other").unwrap();
    assert!(!tmp.join("99999-0").exists() && !tmp.join("99999-0.lock").exists());
    ops::rmi(&mut store, "busybox", false).unwrap();
    let removed = ops::rmi(&mut store, "other", false).unwrap();
    assert_eq!((removed.deleted.len(), removed.deferred), (3, false));
}
