//! `examples/debian` on a real Debian: built, run by other people's tools, built again after changes, built elsewhere.
//!
//! The base is made with mmdebstrap from the Debian mirror that this machine uses, once, and kept below `target/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, copy_folder, edit, repository, run, scratch, sh, text};

#[test]
fn a_program_goes_from_source_to_image() {
    let work = scratch();
    let context = work.path().join("debian");
    let archive = work.path().join("hellod.tar");
    copy_folder(&repository("examples/debian"), &context);
    let store = store_with_debian();
    let output = format!("type=oci,dest={}", archive.display());
    let build = || store.build(&context, &["-t", "hellod", "-o", "type=image", "-o", &output]);

    let first = build();
    for step in ["RUN apt-get update", "RUN make test", "RUN useradd", "COPY --from=build"] {
        assert!(first.ran.iter().any(|ran| ran.starts_with(step)), "{step} did not run: {first:?}");
    }
    is_described_by_skopeo(&archive);
    runs_in_runc(&archive, work.path());
    runs_in_podman(&archive, work.path());

    let again = build();
    assert_eq!((again.executed, &again.digest), (0, &first.digest), "nothing changed: {again:?}");

    edit(&context.join("Dockerfile"), "# The Makefile first", "# An edited comment: the Makefile first");
    edit(&context.join("README.md"), "# Debian:", "# Debian, edited:");
    let comment = build();
    assert_eq!((comment.executed, &comment.digest), (0, &first.digest), "a comment changed: {comment:?}");

    edit(&context.join("src/hellod.c"), "prints a greeting", "shows a greeting");
    let same_binary = build();
    assert_ran(&same_binary.ran, &["COPY src/", "RUN make test", "RUN make install"]);
    assert_eq!(same_binary.digest, first.digest, "the same program is the same image");

    edit(&context.join("src/greeting.c"), "\"world\"", "\"everybody\"");
    edit(&context.join("src/greeting_test.c"), "Hello, world!", "Hello, everybody!");
    let other_binary = build();
    assert_ran(&other_binary.ran, &["COPY src/", "RUN make test", "RUN make install", "COPY --from=build"]);
    assert_ne!(other_binary.digest, first.digest);
}

#[test]
fn another_store_at_another_path_makes_the_same_image() {
    let work = scratch();
    let builds = ["a", "another/longer path"].map(|name| {
        let context = work.path().join(name).join("debian");
        copy_folder(&repository("examples/debian"), &context);
        let store = store_with_debian();
        let tree = work.path().join(name).join("build.tar");
        let output = format!("type=tar,dest={}", tree.display());
        store.build(&context, &["--target", "build", "-o", &output]);
        (store.build(&context, &["-t", "hellod"]).digest, tree)
    });
    let [(digest, tree), (other_digest, other_tree)] = builds;
    let differing = differing(&files_of(&tree), &files_of(&other_tree));
    assert!(differing.is_empty(), "the stage `build` differs in {differing:?}");
    assert_eq!(digest, other_digest);
}

/// Compares steps that ran with the beginnings of those that should have.
fn assert_ran(ran: &[String], expected: &[&str]) {
    let same = ran.len() == expected.len() && ran.iter().zip(expected).all(|(ran, start)| ran.starts_with(start));
    assert!(same, "expected to run {expected:?}, ran {ran:?}");
}

/// A store that has the image `debian:bookworm`.
pub fn store_with_debian() -> Store {
    let store = Store::new();
    let base = base_image();
    store.run(&["import", base.to_str().unwrap(), "debian:bookworm"]);
    store
}

/// A minimal Debian root file system as a tar file. Made once; whoever comes first holds a lock meanwhile.
fn base_image() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let base = folder.join("bookworm-minbase.tar");
    let lock = File::create(folder.join("bookworm-minbase.lock")).unwrap();
    lock.lock().unwrap();
    if !base.exists() {
        let unfinished = folder.join("bookworm-minbase.unfinished.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "bookworm"]).arg(&unfinished).args(sources_of_this_machine());
        run(&mut command);
        fs::rename(unfinished, &base).unwrap();
    }
    base
}

/// Where this machine gets the same Debian from; nothing for mmdebstrap's own default. The root file system gets them too.
pub fn sources_of_this_machine() -> Vec<PathBuf> {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = folder.chain(["/etc/apt/sources.list".into()]).collect();
    files.retain(|file| {
        let known = file.extension().is_some_and(|extension| extension == "sources" || extension == "list");
        let sources = fs::read_to_string(file).unwrap_or_default();
        let debian = |line: &str| {
            let is_section = line.starts_with("deb ") || line.starts_with("Suites:");
            is_section && line.split_whitespace().any(|word| word == "bookworm")
        };
        known && sources.contains("main") && sources.lines().any(debian)
    });
    files.sort();
    files
}

fn is_described_by_skopeo(archive: &Path) {
    let image = format!("oci-archive:{}", archive.display());
    let description: Value = serde_json::from_str(&sh(&["skopeo", "inspect", &image])).unwrap();
    assert_eq!(description["Os"], "linux");
    assert_eq!(description["Labels"]["org.opencontainers.image.title"], "hellod");
    let config: Value = serde_json::from_str(&sh(&["skopeo", "inspect", "--raw", "--config", &image])).unwrap();
    let started = &config["config"];
    assert_eq!(started["User"], "hellod");
    assert_eq!(started["Entrypoint"], serde_json::json!(["/usr/local/bin/hellod"]));
    assert_eq!(started["Cmd"], serde_json::json!(["greet", "world"]));
    assert_eq!(started["ExposedPorts"], serde_json::json!({ "8080/tcp": {} }));
    assert_eq!(started["StopSignal"], "SIGTERM");
    let health = serde_json::json!({
        "Test": ["CMD", "/usr/local/bin/hellod", "check"],
        "Interval": 30_000_000_000_i64,
        "Timeout": 3_000_000_000_i64,
        "Retries": 3,
    });
    assert_eq!(started["Healthcheck"], health);
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    assert_eq!(layers, 3, "the base, the user and the program: {config}");
}

/// Unpacks the image with umoci and runs it as umoci says.
fn runs_in_runc(archive: &Path, work: &Path) {
    let layout = work.join("layout");
    let bundle = work.join("bundle");
    let source = format!("oci-archive:{}", archive.display());
    sh(&["skopeo", "copy", "--quiet", &source, &format!("oci:{}:hellod", layout.display())]);
    let image = format!("{}:hellod", layout.display());
    sh(&["umoci", "unpack", "--image", &image, bundle.to_str().unwrap()]);
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    assert_eq!(spec["process"]["user"]["uid"], 10001);
    spec["process"]["terminal"] = false.into();
    fs::write(&config, spec.to_string()).unwrap();
    let state = work.join("runc");
    let name = format!("hellod-{}", std::process::id());
    let mut command = Command::new("runc");
    command.arg("--root").arg(&state).args(["run", "--bundle"]).arg(&bundle).arg(name);
    assert_eq!(text(&run(&mut command).stdout), "Hello, world!\n");
}

/// Loads the image into podman and runs it, with other arguments.
fn runs_in_podman(archive: &Path, work: &Path) {
    // podman takes no run root of more than 50 letters.
    let run_root = tempfile::Builder::new().prefix("podman-").tempdir_in("/tmp").unwrap();
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        // A store of its own that mounts nothing; Debian's crun refuses the control groups of some machines.
        command.arg("--root").arg(work.join("podman")).arg("--runroot").arg(run_root.path());
        command.args(["--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        command.args(["--events-backend", "none"]).args(arguments);
        text(&run(&mut command).stdout)
    };
    let loaded = podman(&["load", "--quiet", "-i", archive.to_str().unwrap()]);
    let image = loaded.trim().rsplit(' ').next().unwrap();
    // Limits that any machine permits; podman's own defaults are higher than some allow.
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let arguments = [&["run", "--rm", "--network", "none"], &limits[..], &[image, "greet", "podman"]].concat();
    assert_eq!(podman(&arguments), "Hello, podman!\n");
}

/// Everything about a file that an image keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    modified: u64,
    link: Option<PathBuf>,
    content: Vec<u8>,
}

/// The files of a tar.
pub fn files_of(tree: &Path) -> BTreeMap<String, Facts> {
    let mut archive = tar::Archive::new(File::open(tree).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let facts = Facts {
            kind: header.entry_type().as_byte(),
            mode: header.mode().unwrap(),
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            modified: header.mtime().unwrap(),
            link: entry.link_name().unwrap().map(|link| link.into_owned()),
            content,
        };
        (name, facts)
    });
    entries.collect()
}

/// The names of files that are not the same in both.
pub fn differing(a: &BTreeMap<String, Facts>, b: &BTreeMap<String, Facts>) -> BTreeSet<String> {
    a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}
