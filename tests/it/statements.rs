//! What is said about images, beside them: lists of packages and provenance, and what other programs make of such images.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::registry::Registry;
use crate::support::{Store, outcome, put, run, scratch, sh, text};

/// A context whose image has packages of two kinds.
fn context() -> tempfile::TempDir {
    let folder = scratch();
    put(folder.path(), "Dockerfile", "FROM busybox\nARG TOKEN\nCOPY root /\nRUN rm /gone/requirements.txt\n");
    let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1+b1\n";
    put(folder.path(), "root/var/lib/dpkg/status", status);
    put(folder.path(), "root/usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    put(folder.path(), "root/app/requirements.txt", "requests==2.31.0\n");
    put(folder.path(), "root/gone/requirements.txt", "removed==1\n");
    folder
}

fn inspect(store: &Store, image: &str) -> Value {
    serde_json::from_str::<Value>(&store.run(&["inspect", image])).unwrap()[0].take()
}

/// The statements about an image, by the type of what they state.
fn statement(store: &Store, image: &str, kind: &str) -> Value {
    let shown = inspect(store, image);
    let found = shown["Attestations"].as_array().unwrap().iter().find(|one| one["PredicateType"] == kind);
    let digest = found.unwrap_or_else(|| panic!("{shown:#}"))["Digest"].as_str().unwrap().replace(':', "/");
    let statement: Value = serde_json::from_slice(&fs::read(store.path().join("blobs").join(digest)).unwrap()).unwrap();
    let about = format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap());
    assert_eq!(shown["ManifestDigest"], about);
    assert_eq!(statement["predicateType"], kind);
    statement
}

const SPDX: &str = "https://spdx.dev/Document";
const SLSA: &str = "https://slsa.dev/provenance/v1";

#[test]
fn statements_leave_the_image_alone_and_are_the_same_everywhere() {
    let (folder, store) = (context(), Store::with_busybox());
    let plain = store.build(folder.path(), &["-t", "plain"]).digest;
    let said = store.build(folder.path(), &["-t", "said", "--sbom", "--provenance", "mode=max"]).digest;
    assert_eq!(inspect(&store, "plain")["ManifestDigest"], plain);
    assert_eq!(inspect(&store, "said")["ManifestDigest"], plain);
    assert_eq!(inspect(&store, "plain")["Attestations"], Value::Null);
    assert_ne!(said, plain);
    // Asked away, in each of the ways.
    for arguments in [&["--sbom=false", "--provenance=false"][..], &["--attest", "type=provenance,disabled=true"]] {
        assert_eq!(store.build(folder.path(), arguments).digest, plain);
    }
    // Elsewhere, under another name, from nothing, one after the other.
    let (elsewhere, other) = (context(), Store::with_busybox());
    let arguments = ["--attest=type=sbom", "--attest", "type=provenance,mode=max", "--jobs=1", "-t", "other"];
    assert_eq!(other.build(elsewhere.path(), &arguments).digest, said);
    // And without being asked to look again.
    assert_eq!(store.build(folder.path(), &["--sbom", "--provenance=mode=max"]).executed, 0);
}

#[test]
fn packages_are_listed() {
    let (folder, store) = (context(), Store::with_busybox());
    store.build(folder.path(), &["-t", "app", "--sbom=true"]);
    let spdx: Value = serde_json::from_str(&store.run(&["sbom", "app"])).unwrap();
    let purls: Vec<&str> = spdx["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect();
    let expected = ["pkg:deb/debian/bash@5.2-1%2Bb1?arch=amd64&distro=debian-12", "pkg:pypi/requests@2.31.0"];
    assert_eq!(purls, expected);
    assert_eq!(statement(&store, "app", SPDX)["predicate"], spdx);
    let cyclonedx: Value = serde_json::from_str(&store.run(&["sbom", "--format=cyclonedx", "app"])).unwrap();
    let purls: Vec<&str> =
        cyclonedx["components"].as_array().unwrap().iter().filter_map(|one| one["purl"].as_str()).collect();
    assert_eq!(purls, expected);
    // Looked at in an archive it is the same image.
    let archive = folder.path().join("app.tar");
    store.run(&["save", "-o", archive.to_str().unwrap(), "app"]);
    let looked = store.run(&["sbom", &format!("docker-archive:{}", archive.display())]);
    assert_eq!(serde_json::from_str::<Value>(&looked).unwrap(), spdx);
}

#[test]
fn provenance_says_what_went_in() {
    let (folder, store) = (context(), Store::with_busybox());
    let build = |mode: &str| {
        let arguments = ["--build-arg=TOKEN=abc123", "--build-arg=http_proxy=http://me:word@p", "-t", "app", mode];
        store.build(folder.path(), &arguments);
        statement(&store, "app", SLSA)["predicate"]["buildDefinition"].take()
    };
    let mut definition = build("--provenance=true");
    assert_eq!(definition["externalParameters"]["args"], serde_json::json!(["TOKEN"]));
    assert_eq!(definition["externalParameters"]["definition"], "Dockerfile");
    let lock = fs::read_to_string(folder.path().join("Dockerfile.lock")).unwrap();
    let base = definition["resolvedDependencies"][0].take();
    assert_eq!(base["name"], "busybox");
    assert!(lock.contains(base["digest"]["sha256"].as_str().unwrap()), "{base} {lock}");
    let definition = build("--provenance=mode=max");
    assert_eq!(definition["externalParameters"]["args"], serde_json::json!({"TOKEN": "abc123"}));
}

#[test]
fn build_files_ask_for_statements() {
    let (folder, store) = (context(), Store::with_busybox());
    put(
        folder.path(),
        "build.toml",
        "[target.app]\ntags = [\"app\"]\nattest = [\"type=sbom\", { type = \"provenance\" }]\n",
    );
    store.bake(folder.path(), &["app"]);
    assert_eq!(inspect(&store, "app")["Attestations"].as_array().unwrap().len(), 2);
    let provenance = statement(&store, "app", SLSA);
    assert_eq!(provenance["predicate"]["buildDefinition"]["externalParameters"]["target"], "app");
    store.bake(folder.path(), &["--provenance=false", "app"]);
    assert_eq!(inspect(&store, "app")["Attestations"].as_array().unwrap().len(), 1);
    let bad = ["bake", "--set", "app.attest=type=sbom,generator=x/y", "app"];
    let (code, _, error) = outcome(store.command().current_dir(folder.path()).args(bad));
    assert!(code == 2 && error.contains("target app: generator: imgbuild looks"), "{code} {error}");
}

#[test]
fn statements_travel_with_their_image() {
    let (folder, store, registry) = (context(), Store::with_busybox(), Registry::open());
    let name = format!("{}/team/app:1", registry.host());
    let digest = store.build(folder.path(), &["-t", &name, "--sbom=true", "--provenance=true"]).digest;
    let check = |other: &Store| {
        let shown = inspect(other, &name);
        assert_eq!(shown["Descriptor"]["digest"], digest);
        assert_eq!(shown["Attestations"], inspect(&store, &name)["Attestations"]);
        statement(other, &name, SPDX);
        statement(other, &name, SLSA);
    };
    for format in ["docker", "oci"] {
        let (other, archive) = (Store::new(), folder.path().join(format));
        store.run(&["save", "--format", format, "-o", archive.to_str().unwrap(), &name]);
        other.run(&["load", "-i", archive.to_str().unwrap()]);
        check(&other);
    }
    store.run(&["push", &name]);
    let other = Store::new();
    other.run(&["copy", &name, &format!("store:{name}")]);
    check(&other);
    // skopeo copies all of it, unchanged; an image alone it takes out of it.
    let theirs = format!("oci:{}", folder.path().join("theirs").display());
    sh(&["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", &format!("docker://{name}"), &theirs]);
    let other = Store::new();
    other.run(&["copy", &theirs, &format!("store:{name}")]);
    check(&other);
    assert_eq!(in_podman(folder.path(), &name), "requests==2.31.0\n");
}

/// Pulls an image with podman, and reads a file in a container of it.
fn in_podman(folder: &Path, name: &str) -> String {
    let [root, run_root] = ["root", "run"].map(|part| folder.join(part).display().to_string());
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.args(["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"]).args(arguments);
        text(&run(&mut command).stdout)
    };
    podman(&["pull", "-q", "--tls-verify=false", name]);
    assert_eq!(podman(&["image", "inspect", "-f", "{{.Architecture}}", name]).trim(), "amd64");
    let id = podman(&["create", name, "true"]);
    let copied = folder.join("copied.txt");
    podman(&["cp", &format!("{}:/app/requirements.txt", id.trim()), copied.to_str().unwrap()]);
    fs::read_to_string(copied).unwrap()
}
