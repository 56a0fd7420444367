//! Images to and from a real registry, and what other programs make of them.

use std::process::Command;

use super::server::{Proxy, Registry};
use super::{assert_sound, context, digest_of};
use crate::support::{Store, outcome, put, run, scratch, sh, text};

/// What skopeo says that a reference stands for.
fn skopeo_digest(reference: &str) -> String {
    let raw = sh(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{reference}")]);
    imgbuild::digest::Digest::of(raw.as_bytes()).to_string()
}

#[test]
fn others_pull_what_is_pushed_and_push_what_is_pulled() {
    let (registry, store, folder) = (Registry::open(), Store::with_busybox(), scratch());
    let name = format!("{}/team/busybox:1", registry.host());
    store.run(&["tag", "busybox", &name]);
    assert!(store.run(&["push", &name]).contains(&digest_of(&store, "busybox")));
    assert_eq!(skopeo_digest(&name), digest_of(&store, "busybox"));

    // skopeo, unchanged.
    let theirs = format!("{}/theirs/busybox:2", registry.host());
    let (from, to) = (format!("docker://{name}"), format!("docker://{theirs}"));
    sh(&["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
    let other = Store::new();
    other.run(&["pull", &theirs]);
    assert_eq!(digest_of(&other, &theirs), digest_of(&store, "busybox"));
    assert_sound(&other);

    // podman and buildah, who unpack: the identity of the image is its configuration's digest.
    let id = |store: &Store, image: &str| {
        let shown: serde_json::Value = serde_json::from_str(&store.run(&["inspect", image])).unwrap();
        shown[0]["Id"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    for program in ["podman", "buildah"] {
        let at = |part: &str| folder.path().join(program).join(part).to_str().unwrap().to_owned();
        let (root, run_root) = (at("root"), at("run"));
        let with = |words: &[&str]| {
            let mut command = Command::new(program);
            command.args(["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"]).args(words);
            text(&run(&mut command).stdout)
        };
        let pulled = with(&["pull", "--quiet", "--tls-verify=false", &name]);
        assert_eq!(pulled.trim(), id(&store, "busybox"), "{program}");
        let again = format!("{}/{program}/busybox:3", registry.host());
        with(&["push", "--tls-verify=false", &name, &again]);
        other.run(&["pull", &again]);
        assert_eq!(id(&other, &again), id(&store, "busybox"), "{program}");
    }
}

#[test]
fn what_is_there_is_not_sent_and_what_is_elsewhere_is_linked() {
    let (registry, store) = (Registry::open(), Store::with_busybox());
    let proxy = Proxy::before(registry.port());
    let push = |name: &str| {
        let name = format!("{}/{name}", proxy.host());
        store.run(&["tag", "busybox", &name]);
        store.run(&["push", &name])
    };
    push("a/one:1");
    let uploads = |requests: &[String]| {
        requests.iter().filter(|request| request.starts_with("PUT /v2/") && request.contains("/blobs/")).count()
    };
    let before = uploads(&proxy.requests());
    assert_eq!(before, 2, "{:#?}", proxy.requests());
    assert!(push("b/two:1").contains("0 sent, 2 linked"));
    push("a/one:2");
    assert_eq!(uploads(&proxy.requests()), before);
    let tags = store.run(&["tags", &format!("{}/a/one", proxy.host())]);
    assert_eq!(tags.lines().collect::<std::collections::BTreeSet<_>>(), ["1", "2"].into());
    let found = store.run(&["search", &format!("{}/b/", proxy.host())]);
    assert_eq!(found, format!("{}/b/two\n", proxy.host()));
}

#[test]
fn a_registry_that_links_nothing_gets_the_bytes() {
    let (registry, store) = (Registry::open(), Store::with_busybox());
    let first = format!("{}/a:1", registry.host());
    store.run(&["tag", "busybox", &first]);
    store.run(&["push", &first]);
    // Another registry under the same name has nothing to link: it answers 202 and wants the blob.
    let port = registry.port();
    drop(registry);
    let registry = Registry::at(port, scratch(), "", "");
    let second = format!("{}/b:1", registry.host());
    store.run(&["tag", "busybox", &second]);
    store.run(&["push", &second]);
    assert_eq!(skopeo_digest(&second), digest_of(&store, "busybox"));
}

#[test]
fn all_platforms_go_or_one() {
    let (registry, store, folder) = (Registry::open(), Store::new(), scratch());
    let context = context(folder.path(), "FROM scratch\nCOPY hello /\n");
    let name = format!("{}/multi:1", registry.host());
    let built = store.build(&context, &["--platform", "linux/amd64,linux/arm64", "-t", &name]);
    store.run(&["push", &name]);
    assert_eq!(skopeo_digest(&name), built.digest);

    let one = Store::new();
    one.run(&["pull", "--platform", "linux/arm64", &name]);
    assert_eq!(digest_of(&one, &name), built.digest);
    assert_eq!(one.run(&["images"]).lines().count(), 2);
    let all = Store::new();
    all.run(&["pull", "--all-platforms", &name]);
    assert_eq!(all.run(&["images"]).lines().count(), 3);
    let (code, _, said) = outcome(one.command().args(["pull", "--platform", "linux/s390x", &name]));
    assert_eq!(code, 1);
    assert!(said.contains("s390x"), "{said}");

    // What was pulled in part goes to the same registry as a whole, and elsewhere as what there is of it.
    let elsewhere = format!("{}/elsewhere:1", registry.host());
    one.run(&["tag", &name, &elsewhere]);
    let (code, printed, said) = outcome(one.command().args(["push", &elsewhere]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("not all platforms"), "{said}");
    assert!(printed.contains(&skopeo_digest(&elsewhere)), "{printed}");
    one.run(&["push", &name]);
    assert_eq!(skopeo_digest(&name), built.digest);
    // All of the tags of a repository.
    all.run(&["tag", &name, &format!("{}/multi:2", registry.host())]);
    all.run(&["push", "--all-tags", &format!("{}/multi", registry.host())]);
    let tagged = Store::new();
    tagged.run(&["pull", "--all-tags", &format!("{}/multi", registry.host())]);
    assert_eq!(tagged.run(&["images"]).lines().count(), 3);
}

#[test]
fn copies_keep_every_digest() {
    let (registry, store, folder) = (Registry::open(), Store::with_busybox(), scratch());
    let digest = digest_of(&store, "busybox");
    let at = |name: &str| format!("{}/{name}", registry.host());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let steps = [
        ("store:busybox".to_owned(), at("a:1")),
        (at("a:1"), at("b:1")),
        (format!("{}@{digest}", at("b")), format!("oci:{}:x", file("layout"))),
        (format!("oci:{}:x", file("layout")), at("c:1")),
        (at("c:1"), format!("oci-archive:{}", file("a.tar"))),
        (format!("oci-archive:{}", file("a.tar")), at("d:1")),
        (at("d:1"), format!("docker-archive:{}:busybox:2", file("d.tar"))),
        (format!("docker-archive:{}:busybox:2", file("d.tar")), "store:back".to_owned()),
        ("store:back".to_owned(), at("e:1")),
        (at("e:1"), format!("{}@{digest}", at("f"))),
    ];
    let copying = Store::new();
    for (from, to) in &steps {
        let store = if from == "store:busybox" { &store } else { &copying };
        assert_eq!(store.run(&["copy", from, to]).trim(), digest, "{from} {to}");
    }
    assert_eq!(skopeo_digest(&at("e:1")), digest);
    assert_eq!(skopeo_digest(&format!("{}@{digest}", at("f"))), digest);
    sh(&["skopeo", "inspect", &format!("oci:{}:x", file("layout"))]);
    sh(&["skopeo", "inspect", &format!("docker-archive:{}:busybox:2", file("d.tar"))]);
    assert_sound(&copying);
    let (code, _, said) =
        outcome(copying.command().args(["copy", &at("e:1"), &format!("{}@sha256:{}", at("g"), "0".repeat(64))]));
    assert_eq!(code, 1);
    assert!(said.contains("as the target says"), "{said}");
}

#[test]
fn an_image_can_be_looked_at_without_pulling_it() {
    let (registry, store) = (Registry::open(), Store::with_busybox());
    let name = format!("{}/seen:1", registry.host());
    store.run(&["copy", "store:busybox", &name]);
    let empty = Store::new();
    let remote: serde_json::Value = serde_json::from_str(&empty.run(&["inspect", "--remote", &name])).unwrap();
    let local: serde_json::Value = serde_json::from_str(&store.run(&["inspect", "busybox"])).unwrap();
    for field in ["Id", "Config", "Size", "RootFS", "Architecture", "ManifestDigest"] {
        assert_eq!(remote[0][field], local[0][field], "{field}");
    }
    assert_eq!(remote[0]["RepoTags"][0], name);
    let (code, _, _) = outcome(empty.command().args(["inspect", &name]));
    assert_eq!(code, 1);
}

#[test]
fn what_a_registry_lacks_or_refuses_is_said() {
    let (registry, store) = (Registry::open(), Store::with_busybox());
    let gone = Registry::open().host();
    let fails = |words: &[&str], expected: &str| {
        let (code, _, said) = outcome(store.command().args(words));
        assert_eq!(code, 1, "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    };
    let host = registry.host();
    fails(&["pull", &format!("{host}/no/such:1")], &format!("{host} has no image {host}/no/such:1"));
    fails(&["tags", &format!("{host}/no/such")], "has no repository no/such");
    fails(&["push", &format!("{host}/not-here:1")], "there is no image");
    store.run(&["tag", "busybox", &format!("{gone}/x:1")]);
    fails(&["push", &format!("{gone}/x:1")], "refuses the connection");
}

#[test]
fn a_registry_that_is_read_only_is_said_to_be() {
    let store = Store::with_busybox();
    let registry = Registry::with("");
    let (port, name) = (registry.port(), format!("{}/a:1", registry.host()));
    drop(registry);
    let folder = scratch();
    let mut config =
        "storage:\n  filesystem: {rootdirectory: FOLDER/data}\n  maintenance: {readonly: {enabled: true}}\n".to_owned();
    config = config.replace("FOLDER", folder.path().to_str().unwrap());
    let registry = ReadOnly::start(port, &folder, &config);
    store.run(&["tag", "busybox", &name]);
    let (code, _, said) = outcome(store.command().args(["push", &name]));
    assert_eq!(code, 1);
    assert!(said.contains("405") || said.contains("unsupported"), "{said}");
    drop(registry);
}

/// A registry whose storage is configured in another way.
struct ReadOnly(std::process::Child);

impl ReadOnly {
    fn start(port: u16, folder: &tempfile::TempDir, storage: &str) -> Self {
        use std::io::BufRead as _;
        let text = format!("version: 0.1\nlog: {{level: info}}\n{storage}http:\n  addr: 127.0.0.1:{port}\n");
        let config = put(folder.path(), "config.yml", text);
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("listening on")));
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
