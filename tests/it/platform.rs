//! Builds for several platforms, and for another one than this machine's: images, shared steps, emulation.
//!
//! The programs are Debian's static busybox for amd64 and arm64, unpacked by mmdebstrap without installing anything.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use imgbuild::digest::Digest;
use serde_json::{Value, json};

use crate::debian::sources_of_this_machine;
use crate::support::{Store, outcome, put, run, scratch, sh, text};

/// A context with `amd64/bin/busybox` and `arm64/bin/busybox`.
fn context() -> tempfile::TempDir {
    let folder = scratch();
    for architecture in ["amd64", "arm64"] {
        put(folder.path(), &format!("{architecture}/bin/busybox"), "");
        fs::copy(busybox(architecture), folder.path().join(architecture).join("bin/busybox")).unwrap();
    }
    folder
}

/// Debian's static busybox. Downloaded once; whoever comes first holds a lock meanwhile.
fn busybox(architecture: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("busybox-static.{architecture}"));
    let lock = File::create(folder.join(format!("busybox-static.{architecture}.lock"))).unwrap();
    lock.lock().unwrap();
    if !program.exists() {
        let work = scratch();
        let root = work.path().join("root.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=extract", "--include=busybox-static"]);
        command.arg(format!("--arch={architecture}")).arg("bookworm").arg(&root).args(sources_of_this_machine());
        run(&mut command);
        let folder = work.path().to_str().unwrap();
        sh(&["tar", "-xf", root.to_str().unwrap(), "-C", folder, "./bin/busybox"]);
        fs::rename(work.path().join("bin/busybox"), &program).unwrap();
    }
    program
}

const BASE: &str = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH/ /\nCMD [\"/bin/busybox\", \"uname\", \"-m\"]\n";

/// A store with the image `base` for both platforms; its digest.
fn store_with_base() -> (Store, String) {
    let store = Store::new();
    let context = context();
    put(context.path(), "Dockerfile", BASE);
    let digest = store.build(context.path(), &["--platform", "linux/amd64,linux/arm64", "-t", "base"]).digest;
    (store, digest)
}

fn raw(archive: &Path) -> Value {
    let reference = format!("oci-archive:{}", archive.display());
    serde_json::from_str(&sh(&["skopeo", "inspect", "--raw", &reference])).unwrap()
}

#[test]
fn several_platforms_make_an_index() {
    let store = Store::new();
    let context = context();
    put(context.path(), "Dockerfile", BASE);
    let work = scratch();
    let [archive, id, saved] = ["image.tar", "id", "saved.tar"].map(|name| work.path().join(name));
    let output = format!("type=oci,dest={}", archive.display());
    // In all the ways that people write them; twice the same is once.
    let platforms = "linux/x86_64,aarch64,linux/arm64/v8";
    let arguments = ["--platform", platforms, "-t", "base:1", "-o", "type=image", "-o", &output];
    let arguments = [&arguments[..], &["--iidfile", id.to_str().unwrap()]].concat();
    let first = store.build(context.path(), &arguments);
    assert_eq!(first.executed, 2);
    let again = store.build(context.path(), &arguments);
    assert_eq!((again.executed, &again.digest), (0, &first.digest));
    assert_eq!(fs::read_to_string(&id).unwrap(), first.digest);

    let index = raw(&archive);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let platforms: Vec<&Value> = index["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]).collect();
    let expected = ["amd64", "arm64"].map(|name| json!({ "architecture": name, "os": "linux" }));
    assert_eq!(platforms, expected.iter().collect::<Vec<_>>());
    for (architecture, machine) in [("amd64", 62), ("arm64", 183)] {
        let image = format!("oci-archive:{}", archive.display());
        let choose = ["skopeo", "--override-arch", architecture, "inspect", "--config", &image];
        let config: Value = serde_json::from_str(&sh(&choose)).unwrap();
        assert_eq!(config["architecture"], architecture);
        let copy = work.path().join(architecture);
        let target = format!("dir:{}", copy.display());
        sh(&["skopeo", "--override-arch", architecture, "copy", "--quiet", &image, &target]);
        let layer = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(layer.len(), 1);
        let manifest: Value = serde_json::from_slice(&fs::read(copy.join("manifest.json")).unwrap()).unwrap();
        let blob = manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let elf = run(Command::new("tar").args(["-xzOf"]).arg(copy.join(blob)).arg("bin/busybox")).stdout;
        assert_eq!(elf[18], machine, "the program is for {architecture}");
    }

    let listed = store.run(&["images", "--format", "json", "base:1"]);
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(listed.contains(platform), "{listed}");
        let inspected: Value =
            serde_json::from_str(&store.run(&["inspect", "--platform", platform, "base:1"])).unwrap();
        assert_eq!(format!("linux/{}", inspected[0]["Architecture"].as_str().unwrap()), platform);
        assert_eq!(inspected[0]["Descriptor"]["digest"], *first.digest);
        let architecture = platform.trim_start_matches("linux/");
        let history = store.run(&["history", "--no-trunc", "--platform", platform, "base:1"]);
        assert!(history.contains(&format!("COPY {architecture}/ / # buildkit")), "{history}");
    }
    store.run(&["save", "-q", "base:1", "-o", saved.to_str().unwrap()]);
    let copy = Store::new();
    copy.run(&["load", "-q", "-i", saved.to_str().unwrap()]);
    let columns = ["images", "--digests", "base"];
    assert_eq!(copy.run(&columns), store.run(&columns));
    // Of an archive for Docker, which knows one platform, the rest is in the index still.
    store.run(&["save", "-q", "--platform", "arm64", "base:1", "-o", saved.to_str().unwrap()]);
    let copy = Store::new();
    copy.run(&["load", "-q", "-i", saved.to_str().unwrap()]);
    assert!(copy.run(&["inspect", "base:1"]).contains("\"arm64\""));
}

#[test]
fn platforms_are_normalised() {
    let context = scratch();
    put(context.path(), "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let check = |platform: &str, expected: Value| {
        let store = Store::new();
        let archive = context.path().join("image.tar");
        let output = format!("type=oci,dest={}", archive.display());
        // A single one gives an image and not an index.
        let built =
            store.build(context.path(), &["--platform", platform, "-t", "a", "-o", "type=image", "-o", &output]);
        assert_eq!(raw(&archive)["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let image: Value = serde_json::from_str(&store.run(&["inspect", "a"])).unwrap();
        let facts = json!([image[0]["Os"], image[0]["Architecture"], image[0]["Variant"]]);
        assert_eq!(facts, expected, "{platform}");
        assert_eq!(image[0]["ManifestDigest"], *built.digest);
    };
    check("x86_64", json!(["linux", "amd64", null]));
    check("linux/i386", json!(["linux", "386", null]));
    check("linux/arm64/v8", json!(["linux", "arm64", null]));
    check("linux/arm/v6", json!(["linux", "arm", "v6"]));
    check("armhf", json!(["linux", "arm", "v7"]));
    let store = Store::new();
    let (code, _, err) = outcome(store.command().args(["build", "--platform", "linux/arm64/v8/x"]).arg(context.path()));
    assert!(code == 2 && err.contains("os/architecture[/variant]"), "{err}");
}

/// An OCI layout whose one image, `base`, is an index of the images of other layouts. As many base images have it, the one
/// for arm64 says that it is for variant v8.
fn merge(layouts: &[PathBuf], into: &Path) {
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blobs = into.join("blobs/sha256");
    let path = |descriptor: &Value| blobs.join(descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:"));
    let write = |document: &Value, media_type: &str| -> Value {
        let text = document.to_string();
        let descriptor =
            json!({ "mediaType": media_type, "digest": Digest::of(text.as_bytes()).to_string(), "size": text.len() });
        fs::write(path(&descriptor), text).unwrap();
        descriptor
    };
    fs::create_dir_all(&blobs).unwrap();
    let mut manifests = Vec::new();
    for layout in layouts {
        for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            fs::copy(blob.path(), blobs.join(blob.file_name())).unwrap();
        }
        let mut manifest = read(path(&read(layout.join("index.json"))["manifests"][0]));
        let mut config = read(path(&manifest["config"]));
        let mut platform = json!({ "os": config["os"], "architecture": config["architecture"] });
        if config["architecture"] == "arm64" {
            config["variant"] = "v8".into();
            platform["variant"] = "v8".into();
        }
        manifest["config"] = write(&config, "application/vnd.oci.image.config.v1+json");
        let mut entry = write(&manifest, "application/vnd.oci.image.manifest.v1+json");
        entry["platform"] = platform;
        manifests.push(entry);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    let mut entry = write(&index, media_type);
    entry["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/base:latest" });
    put(into, "index.json", json!({ "schemaVersion": 2, "manifests": [entry] }).to_string());
    put(into, "oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn what_does_not_depend_on_the_platform_runs_once() {
    let work = scratch();
    let context = context();
    put(context.path(), "Dockerfile", BASE);
    let layouts = ["amd64", "arm64"].map(|platform| {
        let layout = work.path().join(platform);
        let output = format!("type=oci,tar=false,dest={}", layout.display());
        Store::new().build(context.path(), &["--platform", platform, "-o", &output]);
        layout
    });
    let store = Store::new();
    let layout = work.path().join("layout");
    merge(&layouts, &layout);
    assert_eq!(store.run(&["load", "-q", "-i", layout.to_str().unwrap()]), "Loaded image: base:latest\n");

    let cross = "\
FROM --platform=$BUILDPLATFORM base AS build
RUN [\"/bin/busybox\", \"mkdir\", \"/out\"]
COPY Dockerfile /src/
ARG BUILDPLATFORM TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT
RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo $(/bin/busybox uname -m) for $TARGETPLATFORM: $TARGETOS $TARGETARCH $TARGETVARIANT. > /out/for\"]
FROM base
COPY --link Dockerfile /linked/
COPY --from=build /out/ /
";
    let context = scratch();
    put(context.path(), "Dockerfile", cross);
    let out = work.path().join("out");
    let output = format!("type=local,dest={}", out.display());
    let arguments = ["--platform", "linux/amd64,linux/arm64", "-t", "app", "-o", "type=image", "-o", &output];
    let built = store.build(context.path(), &arguments);
    let count = |start: &str| built.ran.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!(count("RUN [/bin/busybox mkdir /out]"), 1, "{built:?}");
    assert_eq!(count("COPY Dockerfile /src/"), 1, "{built:?}");
    assert_eq!(count("COPY --link"), 1, "{built:?}");
    assert_eq!(count("RUN [/bin/busybox sh"), 2, "{built:?}");
    assert_eq!(count("COPY --from=build"), 2, "{built:?}");
    for (folder, machine, expected) in [
        ("linux_amd64", 62, "x86_64 for linux/amd64: linux amd64 .\n"),
        ("linux_arm64", 183, "x86_64 for linux/arm64: linux arm64 .\n"),
    ] {
        assert_eq!(fs::read_to_string(out.join(folder).join("for")).unwrap(), expected);
        assert_eq!(fs::read(out.join(folder).join("bin/busybox")).unwrap()[18], machine);
    }
    // The lockfile pins each platform's image, of the same index.
    let lock = fs::read_to_string(context.path().join("Dockerfile.lock")).unwrap();
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(lock.contains(&format!("platform = \"{platform}\"")), "{lock}");
    }
    assert_eq!(store.build(context.path(), &[&arguments[..], &["--locked"]].concat()).executed, 0);
    assert!(!lock.contains("v8"), "{lock}");
    // One of the platforms alone is the same image.
    let alone = store.build(context.path(), &["--platform", "arm64", "-t", "alone", "--no-lock"]);
    assert_eq!(alone.executed, 0);
    let inspected: Value = serde_json::from_str(&store.run(&["inspect", "--platform", "arm64", "app"])).unwrap();
    assert_eq!(inspected[0]["ManifestDigest"], *alone.digest);

    let mut missing = store.command();
    missing.args(["build", "--platform", "linux/amd64,linux/s390x"]).arg(context.path());
    let (code, _, err) = outcome(&mut missing);
    assert!(code == 1 && err.contains("linux/s390x") && err.contains("FROM base"), "{err}");
}

#[test]
fn a_base_for_another_platform_is_warned_of() {
    let store = Store::new();
    let context = context();
    put(context.path(), "Dockerfile", BASE);
    store.build(context.path(), &["--platform", "arm64", "-t", "arm-only"]);
    let user = scratch();
    put(user.path(), "Dockerfile", "FROM arm-only\nCOPY Dockerfile /\n");
    let build = |platform: &str| {
        let mut command = store.command();
        command.args(["build", "--progress", "plain", "--platform", platform, "-t", "result"]).arg(user.path());
        let log = text(&run(&mut command).stderr);
        let image: Value = serde_json::from_str(&store.run(&["inspect", "result"])).unwrap();
        (log, image[0]["Architecture"].as_str().unwrap().to_owned())
    };
    let (log, architecture) = build("linux/amd64");
    assert!(log.contains("InvalidBaseImagePlatform"), "{log}");
    assert_eq!(architecture, "amd64");
    let (log, architecture) = build("linux/arm64");
    assert!(!log.contains("InvalidBaseImagePlatform"), "{log}");
    assert_eq!(architecture, "arm64");
}

const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

#[test]
fn without_an_emulator_the_error_says_how_to_get_one() {
    if Path::new(REGISTERED).join("qemu-loongarch64").exists() {
        eprintln!("skipped: this machine has emulators for everything");
        return;
    }
    // All of a program that the kernel looks at before it gives up.
    let elf = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x02\x01\x01\0\0\0";
    let context = scratch();
    put(context.path(), "program", elf);
    put(context.path(), "Dockerfile", "FROM scratch\nCOPY --chmod=755 program /\nRUN [\"/program\"]\n");
    let store = Store::new();
    let mut command = store.command();
    let (code, _, err) = outcome(command.args(["build", "--platform", "linux/loong64"]).arg(context.path()));
    assert_eq!(code, 3, "{err}");
    for word in ["RUN [/program]", "cannot run programs for linux/loong64", "qemu-user-static", "binfmt-support"] {
        assert!(err.contains(word), "{word:?} is not in {err}");
    }
    // For this machine's own platform it is the program that is wrong.
    let mut command = store.command();
    let (code, _, err) = outcome(command.arg("build").arg(context.path()));
    assert!(code == 1 && err.contains("exec format error") && !err.contains("qemu"), "{err}");
}

/// The emulator for arm64, registered for as long as this is there if the machine does not have it anyway.
struct Emulator {
    name: Option<PathBuf>,
    mounted: bool,
}

impl Emulator {
    fn register() -> Self {
        let register = Path::new(REGISTERED).join("register");
        let mounted = !register.exists();
        if mounted {
            sh(&["mount", "-t", "binfmt_misc", "binfmt_misc", REGISTERED]);
        }
        let mut emulator = Self { name: None, mounted };
        let entries =
            fs::read_dir(REGISTERED).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
        let mut known = entries.filter(|entry| entry.starts_with("enabled") && entry.contains("flags: "));
        if known.any(|entry| entry.contains("magic 7f454c460201010000000000000000000200b700")) {
            return emulator;
        }
        // As Debian's package has it for systemd, under a name of our own.
        let text = fs::read_to_string("/usr/lib/binfmt.d/qemu-aarch64.conf")
            .expect("qemu-user-static is missing; `sh tests/run.sh` as root installs what tests need");
        let line = text.lines().find(|line| line.starts_with(':')).unwrap();
        let name = format!("imgbuild-test-{}", std::process::id());
        fs::write(register, line.replacen("qemu-aarch64", &name, 1)).unwrap();
        emulator.name = Some(Path::new(REGISTERED).join(name));
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::write(name, "-1");
        }
        if self.mounted {
            let _ = Command::new("umount").arg(REGISTERED).status();
        }
    }
}

#[test]
fn steps_for_another_platform_run_emulated() {
    let (store, _) = store_with_base();
    let context = scratch();
    put(
        context.path(),
        "Dockerfile",
        "FROM base\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\nRUN /bin/busybox uname -m > /machine\n\
         USER 1000\nRUN [\"/bin/busybox\", \"id\", \"-u\"]\n",
    );
    let out = scratch();
    let output = format!("type=local,dest={}", out.path().display());
    let _emulator = Emulator::register();
    let arguments = ["--platform", "linux/amd64,linux/arm64", "-o", &output];
    let built = store.build(context.path(), &arguments);
    assert_eq!(built.ran.len(), 4, "a step's key has its platform: {built:?}");
    for (folder, machine) in [("linux_amd64", "x86_64\n"), ("linux_arm64", "aarch64\n")] {
        assert_eq!(fs::read_to_string(out.path().join(folder).join("machine")).unwrap(), machine);
    }
    assert_eq!(store.build(context.path(), &arguments).executed, 0);
}
