//! Signatures of images: made by us and checked by other people's programs, and the other way round; and who is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use imgbuild::trust::PublicKey;
use serde_json::Value;

use crate::registry::Registry;
use crate::support::{Store, outcome, put, run, scratch, sh};

/// A folder with the key pairs `a` and `b`.
pub fn keys() -> tempfile::TempDir {
    let folder = scratch();
    for name in ["a", "b"] {
        let mut generate = Store::new().command();
        run(generate.current_dir(folder.path()).args(["key", "generate", "--no-password", name]));
    }
    folder
}

/// The path of a file in a folder, as an argument.
pub fn file(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

fn context() -> tempfile::TempDir {
    let folder = scratch();
    put(folder.path(), "Dockerfile", "FROM busybox\nCOPY requirements.txt /app/\n");
    put(folder.path(), "requirements.txt", "requests==2.31.0\n");
    folder
}

/// Whether an image is good, and what is said about it.
fn verify(store: &Store, key: &str, arguments: &[&str]) -> (bool, String) {
    let (code, out, error) = outcome(store.command().args(["verify-image", "--key", key]).args(arguments));
    assert!(code == 0 || code == 1, "{code} {out} {error}");
    (code == 0, out + &error)
}

fn manifest(name: &str) -> Value {
    serde_json::from_str(&sh(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]))
        .unwrap()
}

fn signature_tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

#[test]
fn others_accept_what_we_sign() {
    let (folder, keys, registry) = (context(), keys(), Registry::open());
    let name = format!("{}/team/app:1", registry.host());
    let store = Store::with_busybox();
    let sign = ["--sign", &file(&keys, "a.key"), "--sbom=true", "--provenance=true", "--push", "-t", &name];
    let digest = store.build(folder.path(), &sign).digest;
    // Elsewhere, the same key signs with the same bytes.
    let other = Store::with_busybox();
    assert_eq!(other.build(context().path(), &[&sign[..4], &["-t", &name]].concat()).digest, digest);
    let kept = |store: &Store| {
        let folder = store.path().join("signatures").join(digest.trim_start_matches("sha256:"));
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!(kept(&store), kept(&other));

    // What skopeo finds under cosign's tag, openssl accepts.
    let repository = name.trim_end_matches(":1");
    let index = manifest(&name);
    let below = index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap());
    for digest in below.chain([digest.as_str()]) {
        let found = folder.path().join("found");
        let _ = fs::remove_dir_all(&found);
        let tagged = format!("docker://{repository}:{}", signature_tag(digest));
        sh(&["skopeo", "copy", "-q", "--src-tls-verify=false", &tagged, &format!("dir:{}", found.display())]);
        let manifest: Value = serde_json::from_slice(&fs::read(found.join("manifest.json")).unwrap()).unwrap();
        let layer = &manifest["layers"][0];
        let payload = found.join(layer["digest"].as_str().unwrap().trim_start_matches("sha256:"));
        let said: Value = serde_json::from_slice(&fs::read(&payload).unwrap()).unwrap();
        assert_eq!(said["critical"]["image"]["docker-manifest-digest"], digest);
        assert_eq!(said["critical"]["identity"]["docker-reference"], name.as_str());
        let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
        put(&found, "signature.b64", signature);
        let decoded = format!("openssl base64 -d -A -in {0}/signature.b64 -out {0}/signature", found.display());
        sh(&["sh", "-c", &decoded]);
        let check = |key: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["dgst", "-sha256", "-verify", &file(&keys, key), "-signature"]).arg(found.join("signature"));
            outcome(openssl.arg(&payload)).0 == 0
        };
        assert!(check("a.pub") && !check("b.pub"));
    }
    skopeo_and_podman(folder.path(), &keys, &name, &registry);
}

/// With a policy that demands our signature. Debian's programs find it but cannot check it: there, that part was taken out.
fn skopeo_and_podman(folder: &Path, keys: &tempfile::TempDir, name: &str, registry: &Registry) {
    put(folder, "registries.d/all.yaml", "default-docker:\n  use-sigstore-attachments: true\n");
    let unsigned = format!("{}/team/unsigned:1", registry.host());
    let copied = folder.join("copied");
    let copy = |key: &str, image: &str| {
        let demands = serde_json::json!({"default": [{"type": "sigstoreSigned", "keyPath": file(keys, key)}]});
        let policy = put(folder, "policy.json", demands.to_string());
        let _ = fs::remove_dir_all(&copied);
        let mut skopeo = Command::new("skopeo");
        skopeo.arg("--policy").arg(policy).arg("--registries.d").arg(folder.join("registries.d"));
        skopeo.args(["copy", "-q", "--src-tls-verify=false", &format!("docker://{image}")]);
        outcome(skopeo.arg(format!("dir:{}", copied.display())))
    };
    sh(&[
        "skopeo",
        "copy",
        "-q",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &format!("docker://{name}"),
        &format!("docker://{unsigned}"),
    ]);
    let (code, _, error) = copy("a.pub", &unsigned);
    assert!(code != 0 && error.contains("no signature exists"), "{error}");
    let (code, _, error) = copy("a.pub", name);
    if !error.contains("sigstore disabled") {
        assert_eq!(code, 0, "{error}");
        assert_ne!(copy("b.pub", name).0, 0);
    }
    let [root, run_root] = ["root", "run"].map(|part| folder.join(part).display().to_string());
    let mut podman = Command::new("podman");
    podman.args([
        "--root",
        &root,
        "--runroot",
        &run_root,
        "--storage-driver",
        "vfs",
        "pull",
        "-q",
        "--tls-verify=false",
    ]);
    run(podman.arg(name));
}

#[test]
fn verifies_what_is_good_and_refuses_the_rest() {
    let (folder, keys, registry) = (context(), keys(), Registry::open());
    let store = Store::with_busybox();
    let [name, other] = ["app", "other"].map(|name| format!("{}/team/{name}:1", registry.host()));
    let sign = ["--sign", &file(&keys, "a.key"), "--sbom=true", "-t", &name];
    let digest = store.build(folder.path(), &sign).digest;
    store.run(&["push", &name]);
    let (a, b) = (file(&keys, "a.pub"), file(&keys, "b.pub"));
    let remote = format!("docker://{name}");
    let check = |store: &Store, key: &str, arguments: &[&str], expected: Result<&str, &str>| {
        let (good, said) = verify(store, key, arguments);
        assert_eq!(good, expected.is_ok(), "{arguments:?} {said}");
        let part = expected.unwrap_or_else(|part| part);
        assert!(said.contains(part), "{arguments:?}: no {part:?} in {said}");
    };
    check(&store, &a, &["--offline", &name], Ok("by "));
    check(&store, &a, &["--offline", &name], Ok("https://spdx.dev/Document about sha256:"));
    check(&Store::new(), &a, &[&remote], Ok("--deep fetches it to see"));
    check(&Store::new(), &a, &["--deep", &remote], Ok("2 are what their digests say"));
    check(&Store::new(), &b, &["--key", &a, &remote], Ok("verified"));
    check(&Store::new(), &b, &[&remote], Err("by none of these keys"));
    let (_, said) = verify(&Store::new(), &b, &["--format=json", &remote]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["verified"], &said["checks"][0]["outcome"]), (&false.into(), &"failed".into()));
    // Pulled, its signatures are where it came from.
    let pulled = Store::new();
    pulled.run(&["pull", "--all-platforms", &name]);
    check(&pulled, &a, &["--offline", &name], Err("it has no signature"));
    check(&pulled, &a, &[&name], Ok("verified"));
    check(&pulled, &a, &["--offline", &name], Ok("verified"));

    // The signature of another image, and the image under another name.
    store.build(folder.path(), &["-t", &other, "--label=other=yes", "--push"]);
    check(&store, &a, &[&format!("docker://{other}")], Err("it has no signature"));
    let theirs = sh(&["skopeo", "inspect", "--tls-verify=false", "-f", "{{.Digest}}", &format!("docker://{other}")]);
    let from = format!("docker://{}:{}", name.trim_end_matches(":1"), signature_tag(&digest));
    let to = format!("docker://{}:{}", other.trim_end_matches(":1"), signature_tag(theirs.trim()));
    sh(&["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
    check(&store, &a, &[&format!("docker://{other}")], Err(&format!("is of {digest}")));
    let moved = format!("{}/mirror/app:1", registry.host());
    store.run(&["copy", "--signatures", &name, &moved]);
    let there = format!("docker://{moved}");
    check(&Store::new(), &a, &[&there], Err("calls it"));
    check(&Store::new(), &a, &["--signed-as", name.trim_end_matches(":1"), &there], Ok("verified"));
    check(&Store::new(), &a, &["--signed-as=any", &there], Ok("verified"));
    let copied = Store::new();
    copied.run(&["copy", "--signatures", &name, &format!("store:{name}")]);
    check(&copied, &a, &["--offline", &name], Ok("verified"));

    // A layer that somebody has changed.
    let index = manifest(&name);
    let image =
        manifest(&format!("{}@{}", name.trim_end_matches(":1"), index["manifests"][0]["digest"].as_str().unwrap()));
    let layer = image["layers"][1]["digest"].as_str().unwrap().replace(':', "/");
    let blob = copied.path().join("blobs").join(layer);
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    check(&copied, &a, &["--offline", &name], Err("layer      WRONG"));
}

#[test]
fn signatures_of_many_do_not_displace_each_other() {
    let (folder, registry, store) = (scratch(), Registry::open(), Store::with_busybox());
    put(folder.path(), "Dockerfile", "FROM busybox\n");
    let name = format!("{}/team/app:1", registry.host());
    let digest = store.build(folder.path(), &["-t", &name, "--push"]).digest;
    let signers: Vec<String> = (0..6).map(|number| format!("signer{number}")).collect();
    for signer in &signers {
        run(store.command().current_dir(folder.path()).args(["key", "generate", "--no-password", signer]));
    }
    std::thread::scope(|scope| {
        for signer in &signers {
            let (store, name, folder) = (&store, &name, folder.path());
            scope.spawn(move || {
                let key = format!("{signer}.key");
                run(store.command().current_dir(folder).args(["sign", "--key", &key, &format!("docker://{name}")]))
            });
        }
    });
    // A registry lets the last writer win, so one of them may have been overwritten behind its back; whoever signs again is there.
    let key_of = |signer: &String| folder.path().join(format!("{signer}.pub")).display().to_string();
    let arrived = |signer: &&String| verify(&store, &key_of(signer), &[&format!("docker://{name}")]).0;
    assert!(signers.iter().any(|signer| arrived(&signer)));
    for signer in &signers {
        let key = format!("{signer}.key");
        run(store.command().current_dir(folder.path()).args(["sign", "--key", &key, &format!("docker://{name}")]));
    }
    assert_eq!(signers.iter().filter(arrived).count(), signers.len());
    // Who looks for referrers finds them as well: under the tag for them, since this registry does not know of any.
    let repository = name.trim_end_matches(":1");
    let listed = manifest(&format!("{repository}:{}", digest.replace(':', "-")));
    let kinds: Vec<&str> =
        listed["manifests"].as_array().unwrap().iter().map(|one| one["artifactType"].as_str().unwrap()).collect();
    assert!(kinds.iter().all(|kind| *kind == "application/vnd.dev.cosign.artifact.sig.v1+json"), "{listed}");
    let tagged = sh(&[
        "skopeo",
        "inspect",
        "--tls-verify=false",
        "--raw",
        &format!("docker://{repository}:{}", signature_tag(&digest)),
    ]);
    let tagged_digest = imgbuild::digest::Digest::of(tagged.as_bytes()).to_string();
    assert!(listed["manifests"].as_array().unwrap().iter().any(|one| one["digest"] == tagged_digest), "{listed}");
}

#[test]
fn statements_are_listed_as_referrers() {
    let (folder, registry, store) = (context(), Registry::open(), Store::with_busybox());
    let name = format!("{}/team/app:1", registry.host());
    store.build(folder.path(), &["-t", &name, "--sbom=true", "--push"]);
    let entries = manifest(&name)["manifests"].clone();
    let repository = name.trim_end_matches(":1");
    let tag = |digest: &Value| digest.as_str().unwrap().replace(':', "-");
    let listed = || manifest(&format!("{repository}:{}", tag(&entries[0]["digest"])));
    assert_eq!(listed()["manifests"][0]["digest"], entries[1]["digest"]);
    // Once is enough.
    let before = listed();
    store.build(folder.path(), &["-t", &name, "--sbom=true", "--push"]);
    assert_eq!(listed(), before);
}

#[test]
fn keys_are_kept_under_a_password() {
    let (folder, store) = (context(), Store::with_busybox());
    let key = |password: &str, words: &[&str]| {
        let mut command = store.command();
        command.current_dir(folder.path()).env("COSIGN_PASSWORD", password).args(words);
        outcome(&mut command)
    };
    assert_eq!(key("word", &["key", "generate", "release"]).0, 0);
    let text_of = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(text_of("release.key").starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    assert_eq!(key("word", &["key", "show", "release.key"]).1, text_of("release.pub"));
    let (code, _, error) = key("word", &["key", "generate", "release"]);
    assert!(code == 1 && error.contains("release.key is there already"), "{error}");
    store.build(folder.path(), &["-t", "h.x/app:1"]);
    let (code, _, error) = key("ward", &["sign", "--key", "release.key", "h.x/app:1"]);
    assert!(code == 1 && error.contains("the password does not open it"), "{error}");
    let (code, out, _) = key("word", &["sign", "--key", "release.key", "h.x/app:1"]);
    assert!(code == 0 && out.ends_with("as h.x/app:1\n"), "{out}");
    let (code, _, error) = key("word", &["sign", "--key", "release.pub", "h.x/app:1"]);
    assert!(code == 1 && error.contains("give the file that ends with .key"), "{error}");
    let mode = fs::metadata(folder.path().join("release.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[test]
fn build_files_sign() {
    let (folder, keys, store) = (context(), keys(), Store::with_busybox());
    put(
        folder.path(),
        "sub/build.toml",
        "[target.app]\ncontext = \"..\"\ntags = [\"h.x/app:1\"]\nsign = [\"a.key\"]\n",
    );
    fs::copy(keys.path().join("a.key"), folder.path().join("sub/a.key")).unwrap();
    store.bake(folder.path(), &["-f", "sub/build.toml", "app"]);
    assert!(verify(&store, &file(&keys, "a.pub"), &["--offline", "h.x/app:1"]).0);
    store.bake(
        folder.path(),
        &["-f", "sub/build.toml", "--sign", &file(&keys, "b.key"), "--set", "app.tags=h.x/b:1", "app"],
    );
    assert!(verify(&store, &file(&keys, "b.pub"), &["--offline", "h.x/b:1"]).0);
    let words = ["build", "--sign", &file(&keys, "a.key"), "."];
    let (code, _, error) = outcome(store.command().current_dir(folder.path()).args(words));
    assert!(code == 2 && error.contains("give one with -t NAME"), "{code} {error}");
    // What is signed goes when its image goes.
    assert!(folder_of_signatures(&store).count() > 0);
    store.run(&["rmi", "-f", "h.x/app:1", "h.x/b:1"]);
    store.run(&["prune", "--all", "--force"]);
    assert_eq!(folder_of_signatures(&store).count(), 0);
    store.run(&["fsck"]);
}

fn folder_of_signatures(store: &Store) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(store.path().join("signatures")).into_iter().flatten().map(|entry| entry.unwrap().path())
}

#[test]
fn keys_of_other_kinds_check() {
    let folder = scratch();
    put(folder.path(), "message", "message");
    let openssl = |words: &[&str]| run(Command::new("openssl").current_dir(folder.path()).args(words));
    for (kind, sign) in [
        (&["ed25519"][..], &["pkeyutl", "-sign", "-rawin", "-inkey", "key", "-in", "message", "-out", "signature"][..]),
        (
            &["rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
            &["dgst", "-sha256", "-sign", "key", "-out", "signature", "message"],
        ),
        (
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["dgst", "-sha256", "-sign", "key", "-out", "signature", "message"],
        ),
    ] {
        openssl(&[&["genpkey", "-out", "key", "-algorithm"], kind].concat());
        openssl(&["pkey", "-in", "key", "-pubout", "-out", "public"]);
        openssl(sign);
        let key = PublicKey::parse(&fs::read_to_string(folder.path().join("public")).unwrap()).unwrap();
        let mut signature = fs::read(folder.path().join("signature")).unwrap();
        assert!(key.accepts(b"message", &signature), "{kind:?}");
        assert!(!key.accepts(b"massage", &signature), "{kind:?}");
        *signature.last_mut().unwrap() ^= 1;
        assert!(!key.accepts(b"message", &signature), "{kind:?}");
    }
    openssl(&["genpkey", "-out", "key", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    openssl(&["pkey", "-in", "key", "-pubout", "-out", "public"]);
    let other = PublicKey::parse(&fs::read_to_string(folder.path().join("public")).unwrap()).unwrap_err();
    assert!(other.to_string().contains("another kind"), "{other}");
}

/// An image that is signed as `example.org/app:1` by key `a`, with statements, so that it is an index.
fn signed_app(store: &Store, keys: &tempfile::TempDir) -> String {
    let sign = ["--sign", &file(keys, "a.key"), "--sbom=true", "-t", "example.org/app:1"];
    store.build(context().path(), &sign).digest
}

#[test]
fn signatures_travel_in_archives() {
    let (keys, work) = (keys(), scratch());
    let store = Store::with_busybox();
    let digest = signed_app(&store, &keys);
    let archive = file(&work, "app.tar");
    let key = file(&keys, "a.pub");
    for format in ["oci", "docker"] {
        store.run(&["save", "-q", "--format", format, "-o", &archive, "example.org/app:1"]);
        let saved = fs::read(&archive).unwrap();

        // On another machine, in the archive as it is.
        let other = Store::new();
        let (good, said) = verify(&other, &key, &["--offline", &format!("oci-archive:{archive}:example.org/app:1")]);
        assert!(good && said.contains("as example.org/app:1"), "{said}");
        let place = format!("oci-archive:{archive}");
        assert!(verify(&other, &key, &["--offline", "--signed-as", "example.org/app", &place]).0);
        let (good, said) = verify(&other, &key, &["--offline", &place]);
        assert!(!good && said.contains("the name of the image, which has none"), "nobody said which: {said}");
        let (good, said) = verify(&other, &file(&keys, "b.pub"), &["--offline", "--signed-as", "any", &place]);
        assert!(!good && said.contains("by none of these keys"), "{said}");

        // And loaded there: what is saved again is the same.
        other.run(&["load", "-q", "-i", &archive]);
        assert!(verify(&other, &key, &["--offline", "example.org/app:1"]).0, "{format}");
        other.run(&["save", "-q", "--format", format, "-o", &archive, "example.org/app:1"]);
        assert!(fs::read(&archive).unwrap() == saved, "{format}");
        assert!(verify(&other, &key, &["--offline", "--signed-as", "example.org/app", &digest]).0);

        // One platform has signatures of its own.
        other.run(&[
            "save",
            "-q",
            "--format",
            format,
            "--platform",
            "linux/amd64",
            "-o",
            &archive,
            "example.org/app:1",
        ]);
        let (good, said) = verify(&Store::new(), &key, &[&format!("oci-archive:{archive}:example.org/app:1")]);
        assert!(good && !said.contains(&digest), "{said}");
    }

    // An image without signatures is saved as ever: nothing is in the archive but what the image needs.
    let plain = Store::with_busybox();
    assert_eq!(signed_app(&plain, &keys), digest);
    fs::remove_dir_all(plain.path().join("signatures")).unwrap();
    plain.run(&["save", "-q", "--format", "oci", "-o", &archive, "example.org/app:1"]);
    let without = fs::read(&archive).unwrap();
    store.run(&["save", "-q", "--format", "oci", "-o", &archive, "example.org/app:1"]);
    let (with, index) = (fs::read(&archive).unwrap(), "vnd.imgbuild.signatures");
    let holds = |archive: &[u8]| archive.windows(index.len()).any(|part| part == index.as_bytes());
    assert!(holds(&with) && !holds(&without) && with.len() > without.len());
}

#[test]
fn others_take_archives_with_signatures() {
    let (keys, work) = (keys(), scratch());
    let store = Store::with_busybox();
    signed_app(&store, &keys);
    let [root, run_root] = ["root", "run"].map(|part| file(&work, part));
    let copied = file(&work, "copied");
    let take = |archive: &str, layout: Option<&str>, docker: bool| {
        let mut sources = vec![format!("oci-archive:{archive}"), format!("oci-archive:{archive}:1")];
        sources.extend(layout.map(|layout| format!("oci:{layout}")));
        sources.extend(docker.then(|| format!("docker-archive:{archive}:example.org/app:1")));
        for source in sources {
            sh(&["skopeo", "--insecure-policy", "copy", "-q", &source, &format!("dir:{copied}")]);
            fs::remove_dir_all(&copied).unwrap();
        }
        let mut podman = Command::new("podman");
        podman.args(["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs", "load", "-q", "-i", archive]);
        let said = String::from_utf8(run(&mut podman).stdout).unwrap();
        assert!(said.contains("example.org/app:1") || said.contains("Loaded image"), "{said}");
    };
    let archive = file(&work, "app.tar");
    for format in ["oci", "docker"] {
        store.run(&["save", "-q", "--format", format, "-o", &archive, "example.org/app:1"]);
        take(&archive, None, format == "docker");
    }
    // The exporters sign what they write, whatever the store knows.
    let (layout, exported, context) = (file(&work, "layout"), file(&work, "exported.tar"), context());
    let sign = ["--sign", &file(&keys, "a.key"), "-t", "example.org/app:1"];
    let outputs = |archive: &str| {
        let layout = format!("type=oci,tar=false,dest={layout}");
        [format!("type=oci,dest={archive}"), layout].into_iter().flat_map(|one| ["-o".to_owned(), one]).collect()
    };
    let first: Vec<String> = outputs(&exported);
    let build = |store: &Store, outputs: &[String]| {
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        store.build(context.path(), &[&sign[..], &outputs].concat());
    };
    build(&store, &first);
    take(&exported, Some(&layout), false);
    for place in [format!("oci-archive:{exported}"), format!("oci:{layout}"), format!("oci:{layout}:1")] {
        let (good, said) = verify(&Store::new(), &file(&keys, "a.pub"), &["--signed-as", "example.org/app", &place]);
        assert!(good, "{place}: {said}");
    }
    let second: Vec<String> = outputs(&archive);
    build(&Store::with_busybox(), &second);
    assert!(fs::read(&exported).unwrap() == fs::read(&archive).unwrap(), "in another store, without other signatures");
}

#[test]
fn signatures_are_copied_from_and_to_files() {
    let (keys, work, registry) = (keys(), scratch(), Registry::open());
    let name = format!("{}/team/app:1", registry.host());
    let store = Store::with_busybox();
    store.build(context().path(), &["--sign", &file(&keys, "a.key"), "--push", "-t", &name]);
    let (key, signed_as) = (file(&keys, "a.pub"), format!("{}/team/app", registry.host()));
    let good = |place: &str| verify(&Store::new(), &key, &["--signed-as", &signed_as, place]).0;
    let places = [
        format!("docker://{name}"),
        format!("oci:{}:1", file(&work, "layout")),
        format!("oci-archive:{}:example.org/app:1", file(&work, "app.tar")),
        format!("docker-archive:{}:example.org/app:1", file(&work, "docker.tar")),
        format!("docker://{}/copied/app:1", registry.host()),
        format!("oci:{}:2", file(&work, "layout")),
    ];
    let other = Store::new();
    for pair in places.windows(2) {
        other.run(&["copy", "-q", "--signatures", &pair[0], &pair[1]]);
        assert!(good(&pair[1]), "{pair:?}");
    }
    let plain = format!("oci:{}:1", file(&work, "plain"));
    other.run(&["copy", "-q", &places[5], &plain]);
    assert!(!good(&plain), "nobody asked for them");

    // Tools for referrers list signatures beside the image.
    let layout = work.path().join("layout");
    let index = fs::read(layout.join("index.json")).unwrap();
    let mut index: Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == "2");
    let list = entries[0]["annotations"]["vnd.imgbuild.signatures"].as_str().unwrap().replace(':', "/");
    let list: Value = serde_json::from_slice(&fs::read(layout.join("blobs").join(list)).unwrap()).unwrap();
    entries[0]["annotations"].as_object_mut().unwrap().remove("vnd.imgbuild.signatures");
    assert!(!good(&format!("oci:{}", layout.display())));
    entries.extend(list["manifests"].as_array().unwrap().clone());
    put(&layout, "index.json", index.to_string());
    assert!(good(&format!("oci:{}", layout.display())), "and it is still the only image");
    let loaded = Store::new();
    loaded.run(&["load", "-q", "-i", layout.to_str().unwrap()]);
    assert_eq!(loaded.run(&["images", "-q"]).lines().count(), 1);
}
