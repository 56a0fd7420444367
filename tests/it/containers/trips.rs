//! Round trips through other people's tools, which keep IDs and layers: docker, podman, skopeo and umoci.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::is_root;
use crate::support::{Store, put, run, scratch, text};

/// A store with an image of three layers, its ID and its layers.
fn store() -> (Store, String, Vec<String>) {
    let store = Store::with_busybox();
    let folder = scratch();
    put(folder.path(), "f", "f\n");
    put(
        folder.path(),
        "Dockerfile",
        "FROM busybox\nRUN mkdir /d && rm /bin/yes\nCOPY f /d/\nCMD [\"cat\", \"/d/f\"]\n",
    );
    store.build(folder.path(), &["-t", "x.example/trip:1"]);
    let (id, layers) = identity(&store);
    (store, id, layers)
}

fn identity(store: &Store) -> (String, Vec<String>) {
    let json: serde_json::Value = serde_json::from_str(&store.run(&["inspect", "x.example/trip:1"])).unwrap();
    let layers = json[0]["RootFS"]["Layers"].as_array().unwrap();
    (json[0]["Id"].as_str().unwrap().into(), layers.iter().map(|layer| layer.as_str().unwrap().into()).collect())
}

/// What another store makes of an archive is the same image.
#[track_caller]
fn comes_back(archive: &Path, expected: &(String, Vec<String>)) {
    let other = Store::new();
    other.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
    assert_eq!(identity(&other), *expected, "{}", archive.display());
}

fn is_there(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

#[test]
fn loading_what_is_there_writes_nothing() {
    let store = Store::with_busybox();
    let folder = scratch();
    let [one, two] = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
    let save = |to: &Path| store.run(&["save", "-o", to.to_str().unwrap(), "busybox"]);
    save(&one);
    save(&two);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "saving twice gives the same bytes");
    let state = || -> Vec<(PathBuf, u64, i64, i64)> {
        let blobs = fs::read_dir(store.path().join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = blobs.chain([store.path().join("index.json")]).collect();
        files.sort();
        let of = |path: PathBuf| {
            let metadata = fs::metadata(&path).unwrap();
            (path, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
        };
        files.into_iter().map(of).collect()
    };
    let before = state();
    store.run(&["load", "-q", "-i", one.to_str().unwrap()]);
    assert_eq!(state(), before);
    // From a stream, and compressed, as well.
    for tool in ["gzip", "zstd", "xz"] {
        run(Command::new(tool).args(["-k", "-f", "-q"]).arg(&one));
        let suffix = match tool {
            "gzip" => "gz",
            "zstd" => "zst",
            other => other,
        };
        let packed = fs::File::open(folder.path().join(format!("one.tar.{suffix}"))).unwrap();
        let loaded = run(store.command().args(["load", "-q"]).stdin(packed));
        assert_eq!(text(&loaded.stdout), "Loaded image: busybox:latest\n");
    }
    assert_eq!(state(), before);
}

#[test]
fn podman_keeps_ids() {
    if !is_root() || !is_there("podman") {
        return;
    }
    let (store, id, layers) = store();
    let folder = scratch();
    let archive = folder.path().join("ours.tar");
    let [root, runroot] = ["root", "run"].map(|name| folder.path().join(name).display().to_string());
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        // The plainest driver: these are files of a few megabytes.
        command.args(["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"]).args(arguments);
        text(&run(&mut command).stdout)
    };
    for format in ["docker", "oci"] {
        store.run(&["save", "--format", format, "-o", archive.to_str().unwrap(), "x.example/trip:1"]);
        podman(&["load", "-q", "-i", archive.to_str().unwrap()]);
        let told =
            podman(&["image", "inspect", "-f", "{{.Id}} {{range .RootFS.Layers}}{{.}} {{end}}", "x.example/trip:1"]);
        assert_eq!(format!("sha256:{}", told.trim()), format!("{id} {}", layers.join(" ")));
        for format in ["docker-archive", "oci-archive"] {
            let theirs = folder.path().join(format);
            let _ = fs::remove_file(&theirs);
            podman(&["save", "-q", "--format", format, "-o", theirs.to_str().unwrap(), "x.example/trip:1"]);
            comes_back(&theirs, &(id.clone(), layers.clone()));
        }
        podman(&["rmi", "x.example/trip:1"]);
    }
}

#[test]
fn skopeo_and_umoci_keep_ids() {
    if !is_root() || !is_there("skopeo") || !is_there("umoci") {
        return;
    }
    let (store, id, layers) = store();
    let folder = scratch();
    let (archive, layout) = (folder.path().join("ours.tar"), folder.path().join("layout"));
    store.run(&["save", "-o", archive.to_str().unwrap(), "x.example/trip:1"]);
    let source = format!("docker-archive:{}:x.example/trip:1", archive.display());
    let target = format!("oci:{}:x.example/trip:1", layout.display());
    run(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", &source, &target]));
    comes_back(&layout, &(id.clone(), layers.clone()));
    // Another tool unpacks the image and says the same of it.
    let image = format!("{}:x.example/trip:1", layout.display());
    let bundle = folder.path().join("bundle");
    run(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    assert_eq!(fs::read_to_string(bundle.join("rootfs/d/f")).unwrap(), "f\n");
    assert!(!bundle.join("rootfs/bin/yes").exists());
    run(Command::new("umoci").args(["tag", "--image", &image, "other"]));
    comes_back(&layout, &(id, layers));
}

/// A Docker of one's own, gone with the test.
struct Docker {
    daemon: Child,
    socket: String,
}

impl Docker {
    /// None if it cannot be started here.
    fn start(folder: &Path) -> Option<Self> {
        let place = |name: &str| folder.join(name).display().to_string();
        let socket = format!("unix://{}", place("sock"));
        let mut command = Command::new("dockerd");
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs", "-H", &socket]);
        command.args(["--data-root", &place("data"), "--exec-root", &place("exec"), "--pidfile", &place("pid")]);
        let mut daemon = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut said = String::new();
        let mut lines = BufReader::new(daemon.stderr.take()?);
        while !said.contains("API listen on") {
            if lines.read_line(&mut said).ok()? == 0 {
                eprintln!("skipped: dockerd does not start here: {said}");
                let _ = daemon.wait();
                return None;
            }
        }
        // It goes on writing, and must not wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Some(Self { daemon, socket })
    }

    fn run(&self, arguments: &[&str]) -> String {
        text(&run(Command::new("docker").args(["-H", &self.socket]).args(arguments)).stdout)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

#[test]
fn docker_keeps_ids() {
    if !is_root() || !is_there("dockerd") || !is_there("docker") {
        return;
    }
    let folder = scratch();
    // A socket's path must be short.
    let home = tempfile::tempdir().unwrap();
    let Some(docker) = Docker::start(home.path()) else { return };
    let (store, id, layers) = store();
    let archive = folder.path().join("ours.tar").display().to_string();
    store.run(&["save", "-o", &archive, "x.example/trip:1"]);
    docker.run(&["load", "-q", "-i", &archive]);
    let told =
        docker.run(&["image", "inspect", "-f", "{{.Id}} {{range .RootFS.Layers}}{{.}} {{end}}", "x.example/trip:1"]);
    assert_eq!(told.trim(), format!("{id} {}", layers.join(" ")));
    let theirs = folder.path().join("theirs.tar");
    docker.run(&["save", "-o", theirs.to_str().unwrap(), "x.example/trip:1"]);
    comes_back(&theirs, &(id, layers));
}
