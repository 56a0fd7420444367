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

use crate::support::{self, outcome, text};

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

/// Runs the program, which is to fail with this code and these words on standard error, and nothing on standard output.
#[track_caller]
fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let (actual, out, err) = outcome(command);
    assert_eq!((actual, out.as_str()), (code, ""), "{command:?}: {err}");
    for word in words {
        assert!(err.contains(word), "{word:?} is not in {err}");
    }
}

#[test]
fn the_program_lists_names_and_removes() {
    let store = support::Store::new();
    assert_eq!(store.run(&["load", "-q", "-i", BUSYBOX]), "Loaded image: busybox:latest\n");
    assert_eq!(store.run(&["images", "-q", "--no-trunc"]), format!("{CONFIG}\n"));
    assert_eq!(store.run(&["tag", "busybox", "registry.example/box:1"]), "");
    let json = store.run(&["images", "--format", "json", "registry.example/box"]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&row["Repository"], &row["Tag"]), (&"registry.example/box".into(), &"1".into()));
    assert_eq!(
        (&row["ID"], &row["Digest"], &row["Platform"]),
        (&CONFIG.into(), &MANIFEST.into(), &"linux/amd64".into())
    );
    let history = store.run(&["history", "--no-trunc", "--format", "json", "busybox"]);
    assert!(history.lines().next().unwrap().contains(r#""CreatedBy":"CMD [\"sh\"]""#), "{history}");
    let short = &CONFIG["sha256:".len()..][..12];
    let images: Vec<serde_json::Value> = serde_json::from_str(&store.run(&["inspect", "busybox", short])).unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0], images[1]);
    assert_eq!(images[0]["RepoTags"], serde_json::json!(["busybox:latest", "registry.example/box:1"]));

    fails(store.command().args(["rmi", short]), 1, &["several names", "busybox:latest", "registry.example/box:1"]);
    assert_eq!(store.run(&["rmi", "busybox"]), "Untagged: busybox:latest\n");
    let removed = store.run(&["rmi", short]);
    assert!(removed.starts_with("Untagged: registry.example/box:1\nDeleted: sha256:"), "{removed}");
    assert_eq!(removed.lines().count(), 4);
    assert_eq!(store.run(&["images", "-q"]), "");
}

#[test]
fn the_program_says_what_is_missing() {
    let store = support::Store::new();
    store.run(&["load", "-q", "-i", BUSYBOX]);
    for command in ["rmi", "inspect", "history", "save"] {
        let (code, _, err) = outcome(store.command().args([command, "nosuch"]));
        assert_eq!(code, 1, "{command}: {err}");
        assert!(err.contains("no image \"nosuch\""), "{command}: {err}");
    }
    fails(store.command().args(["tag", "nosuch", "a"]), 1, &["no image \"nosuch\""]);
    fails(store.command().args(["tag", "busybox", "Upper"]), 2, &["\"Upper\""]);
    fails(store.command().args(["rmi"]), 2, &["<IMAGE>"]);
    assert_eq!(store.run(&["rmi", "-f", "nosuch"]), "");
    // What is there is shown and removed all the same.
    let (code, out, err) = outcome(store.command().args(["inspect", "nosuch", "busybox", "neither"]));
    assert_eq!((code, out.matches(MANIFEST).count() > 0), (1, true));
    assert!(err.contains("\"nosuch\"") && err.contains("\"neither\""), "{err}");
    let (code, out, _) = outcome(store.command().args(["rmi", "nosuch", "busybox"]));
    assert_eq!((code, out.starts_with("Untagged: busybox:latest\n")), (1, true));
}

#[test]
fn a_build_from_the_cache_keeps_the_layers_of_its_base() {
    let store = support::Store::new();
    store.run(&["load", "-q", "-i", BUSYBOX]);
    let context = support::scratch();
    fs::write(context.path().join("Dockerfile"), "FROM busybox\nRUN echo hi > /x\n").unwrap();
    let first = store.build(context.path(), &[] as &[&str]);
    // Nobody asks for the base any more; its layer is not compressed anew all the same.
    let again = store.build(context.path(), &[] as &[&str]);
    assert_eq!((again.executed, again.digest), (0, first.digest));
}

#[test]
fn the_program_saves_what_it_loads() {
    let store = support::Store::new();
    store.run(&["load", "-q", "-i", BUSYBOX]);
    store.run(&["tag", "busybox", "other:1"]);
    store.run(&["import", "-q", "-c", "CMD sh", BUSYBOX, "third"]);
    let folder = support::scratch();
    let file = folder.path().join("images.tar");
    for format in ["docker", "oci"] {
        let arguments = ["save", "-q", "--format", format, "other:1", "third", "busybox"];
        assert_eq!(store.run(&[&arguments[..], &["-o", file.to_str().unwrap()]].concat()), "");
        let output = support::run(store.command().args(arguments));
        assert_eq!(output.stdout, fs::read(&file).unwrap(), "{format}: a file and a stream are the same");
        assert_eq!(text(&output.stderr), "");
        let copy = support::Store::new();
        let loaded = copy.run(&["load", "-q", "-i", file.to_str().unwrap()]);
        let mut lines: Vec<&str> = loaded.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["Loaded image: busybox:latest", "Loaded image: other:1", "Loaded image: third:latest"]);
        assert_eq!(copy.run(&["images", "--digests"]), store.run(&["images", "--digests"]));
    }
    // A save that fails leaves the file that was there, and nothing else.
    let before = fs::read(&file).unwrap();
    fails(store.command().args(["save", "-q", "nosuch", "-o"]).arg(&file), 1, &["\"nosuch\""]);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let full = ["save", "-q", "busybox", "-o", "/dev/full"];
    fails(store.command().args(full), 3, &["cannot write the archive", "No space left"]);
    fails(store.command().args(["save", "-q", "--platform", "linux/s390x", "busybox"]), 1, &["linux/s390x"]);
    fails(store.command().args(["load", "-q", "--platform", "linux/s390x", "-i", BUSYBOX]), 1, &["linux/s390x"]);
}

#[test]
fn the_program_refuses_damaged_archives() {
    let store = support::Store::new();
    let folder = support::scratch();
    let whole = fs::read(BUSYBOX).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let damaged: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"hello"),
        ("zeros", &[0; 10240]),
        ("half", &whole[..whole.len() / 2]),
        ("flipped", &flipped),
        ("half-gzip", &gzip(&whole)[..100_000]),
    ];
    let path = folder.path().join("archive.tar");
    for (name, bytes) in damaged {
        fs::write(&path, bytes).unwrap();
        eprintln!("{name}");
        fails(store.command().args(["load", "-q", "-i"]).arg(&path), 1, &["archive"]);
        // As a root file system, no files are fine, and so is that archive.
        if !["zeros", "flipped"].contains(&name) {
            let mut import = store.command();
            fails(import.args(["import", "-q"]).arg(&path).arg("imported"), 1, &["root file system"]);
        }
    }
    fails(store.command().args(["load", "-q", "-i", "/nosuch.tar"]), 1, &["/nosuch.tar"]);
    fails(store.command().args(["import", "-q", "/nosuch.tar"]), 1, &["/nosuch.tar"]);
    assert_eq!(store.run(&["images", "-q"]), "");
    assert_eq!(fs::read_dir(store.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn the_program_imports() {
    let store = support::Store::new();
    let arguments = |tail: &[&'static str]| [&["import", "-q", "-c", "ENV A=b", "-c", "CMD [\"sh\"]"], tail].concat();
    let id = store.run(&arguments(&["-m", "by hand", BUSYBOX, "imported:1"]));
    let inspected = store.run(&["inspect", "imported:1"]);
    let image: Vec<serde_json::Value> = serde_json::from_str(&inspected).unwrap();
    assert_eq!(image[0]["Id"], id.trim_end());
    assert_eq!((&image[0]["Comment"], &image[0]["Created"]), (&"by hand".into(), &"1980-01-01T00:00:00Z".into()));
    assert_eq!(image[0]["Config"]["Cmd"], serde_json::json!(["sh"]));
    // The same again, on another day and from a stream, is the same image.
    let mut again = store.command();
    again.args(arguments(&["-m", "by hand", "-"])).stdin(fs::File::open(BUSYBOX).unwrap());
    assert_eq!(text(&support::run(&mut again).stdout), id);
    let mut later = store.command();
    later.args(arguments(&[BUSYBOX])).env("SOURCE_DATE_EPOCH", "86400");
    let later = text(&support::run(&mut later).stdout);
    let inspected = store.run(&["inspect", later.trim_end()]);
    assert!(inspected.contains("\"1970-01-02T00:00:00Z\""), "{inspected}");

    let mut wrong = store.command();
    wrong.args(["import", "-q", "-c", "CMD sh", "-c", "RUN make", BUSYBOX, "wrong"]);
    fails(&mut wrong, 1, &["--change:2:1", "2 | RUN make", "allowed are CMD"]);
    fails(store.command().args(["import", "-q", BUSYBOX, "Upper"]), 2, &["\"Upper\""]);
    assert_eq!(store.run(&["images", "-q", "wrong"]), "");
}

#[test]
fn the_program_says_what_is_wrong_with_a_store() {
    let folder = support::scratch();
    let program = |root: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgbuild"));
        command.args(["images", "--root"]).arg(root);
        command
    };
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    fails(&mut program(&file), 3, &[file.to_str().unwrap()]);
    fails(&mut program(folder.path()), 3, &["not an imgbuild store", "\"file\""]);
    let store = support::Store::new();
    store.run(&["images"]);
    fs::write(store.path().join("version"), "999\n").unwrap();
    fails(store.command().arg("images"), 3, &["format 999", "newer imgbuild"]);
    fs::write(store.path().join("version"), "x").unwrap();
    fails(store.command().arg("images"), 1, &["damaged"]);
}
