//! How little of a base image is needed: counted at its registry, and looked for in the store.

use std::fs;
use std::path::Path;

use super::server::{Proxy, Registry};
use super::{HURRIED, context, digest_of, has_blob, is_root};
use crate::support::{Built, Store, outcome, put, run, scratch, text};

/// The digests of an image's layers.
fn layers_of(store: &Store, image: &str) -> Vec<String> {
    let shown: serde_json::Value = serde_json::from_str(&store.run(&["inspect", image])).unwrap();
    let manifest = shown[0]["ManifestDigest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = fs::read(store.path().join("blobs/sha256").join(manifest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// A base of several layers in a registry that is seen through a proxy.
struct Base {
    registry: Registry,
    proxy: Proxy,
    layers: Vec<String>,
}

impl Base {
    fn new() -> Self {
        let (registry, store, folder) = (Registry::open(), Store::with_busybox(), scratch());
        put(folder.path(), "passwd", "root:x:0:0::/root:/bin/sh\nme:x:1234:1235::/home/me:/bin/sh\n");
        let dockerfile = "FROM busybox\nRUN mkdir /real && ln -s real /link && ln /bin/busybox /again\n\
                          COPY passwd /etc/passwd\nRUN rm -rf /home && chmod 700 /real && touch /real/there\n";
        put(folder.path(), "Dockerfile", dockerfile);
        store.build(folder.path(), &["-t", "base"]);
        store.run(&["copy", "store:base", &format!("{}/base:1", registry.host())]);
        let proxy = Proxy::before(registry.port());
        let layers = layers_of(&store, "base");
        assert_eq!(layers.len(), 4);
        Self { registry, proxy, layers }
    }

    fn name(&self) -> String {
        format!("{}/base:1", self.proxy.host())
    }

    /// How often each layer was downloaded.
    fn downloads(&self) -> Vec<usize> {
        let requests = self.proxy.requests();
        let of = |layer: &String| {
            requests.iter().filter(|request| request.starts_with("GET") && request.ends_with(layer)).count()
        };
        self.layers.iter().map(of).collect()
    }
}

/// How many layers of images are unpacked.
fn unpacked(store: &Store) -> usize {
    let folders = fs::read_dir(store.path().join("snapshots")).unwrap().map(|entry| entry.unwrap());
    let of_images = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("chain-"));
    of_images.filter(|entry| entry.path().join("fs").exists()).count()
}

/// What `build` makes with a store that has unpacked everything.
fn as_without_any_of_it(base: &Base, context: &Path) -> String {
    let store = Store::new();
    let name = base.name();
    store.run(&["pull", &name]);
    let own = scratch();
    put(own.path(), "Dockerfile", format!("FROM {name}\nRUN true\n"));
    store.build(own.path(), &["--no-lock", "-t", "unpacked"]);
    assert_eq!(unpacked(&store), 4);
    store.build(context, &["--no-lock", "-t", "app"]).digest
}

#[test]
fn what_is_added_by_path_takes_each_layer_once_and_unpacks_none() {
    let base = Base::new();
    let (store, folder) = (Store::new(), scratch());
    let dockerfile = format!(
        "FROM {}\nCOPY hello /link/hello\nCOPY --chown=me hello /home/me/\nADD hello /new/\nWORKDIR /work\n",
        base.name()
    );
    let context = context(folder.path(), &dockerfile);
    let name = format!("{}/team/app:1", base.proxy.host());
    let build = || -> Built { store.build(&context, &["--push", "-t", &name]) };
    let built = build();
    assert_eq!(base.downloads(), [1, 1, 1, 1], "{:#?}", base.proxy.requests());
    assert_eq!(unpacked(&store), 0);
    assert_eq!(built.digest, as_without_any_of_it(&base, &context));

    // What the layers hold is known by now, whether or not they are here.
    let before = base.downloads();
    put(&context, "hello", "hello again\n");
    assert_ne!(build().digest, built.digest);
    let sent = |requests: &[String]| requests.iter().filter(|request| request.starts_with("PUT")).count();
    assert!(sent(&base.proxy.requests()) > 0);
    store.run(&["prune", "--force"]);
    assert!(base.layers.iter().all(|layer| !has_blob(&store, layer)), "nothing lists them");
    put(&context, "Dockerfile", dockerfile.replace("--chown=me", "--chown=1:1"));
    let last = build();
    assert_eq!(base.downloads(), before);
    assert_eq!(unpacked(&store), 0);
    // It is whole.
    let other = Store::new();
    let there = format!("{}/team/app:1", base.registry.host());
    other.run(&["pull", &there]);
    assert_eq!(digest_of(&other, &there), last.digest);
}

#[test]
fn another_registry_gets_what_was_downloaded_once() {
    let (base, elsewhere) = (Base::new(), Registry::open());
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), &format!("FROM {}\nCOPY hello /link/hello\n", base.name()));
    let name = format!("{}/app:1", elsewhere.host());
    let built = store.build(&context, &["--push", "-t", &name]);
    assert_eq!(base.downloads(), [1, 1, 1, 1]);
    assert_eq!(unpacked(&store), 0);
    let other = Store::new();
    other.run(&["pull", &name]);
    assert_eq!(digest_of(&other, &name), built.digest);
    // As an image of the store, it needs them, and has them.
    store.build(&context, &["-t", "app"]);
    assert_eq!(base.downloads(), [1, 1, 1, 1]);
}

#[test]
fn a_result_that_is_known_needs_nothing_of_its_base() {
    let base = Base::new();
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), &format!("FROM {}\nRUN touch /a\n", base.name()));
    store.build(&context, &["--push", "-t", &format!("{}/team/app:1", base.proxy.host())]);
    assert_eq!(base.downloads(), [1, 1, 1, 1]);
    assert_eq!(unpacked(&store), 4);
    store.run(&["prune", "--force"]);
    store.build(&context, &["-o", "type=cacheonly"]);
    assert_eq!(base.downloads(), [1, 1, 1, 1]);
}

#[test]
fn only_layers_with_copied_files_are_unpacked() {
    let base = Base::new();
    let (store, folder) = (Store::new(), scratch());
    let dockerfile = format!("FROM scratch\nCOPY --from={} /etc/passwd /link/there /\n", base.name());
    let context = context(folder.path(), &dockerfile);
    let out = folder.path().join("out");
    let built = store.build(&context, &["-o", out.to_str().unwrap(), "-o", "type=image,name=app"]);
    assert!(fs::read_to_string(out.join("passwd")).unwrap().contains("me:x:1234"));
    assert!(out.join("there").exists());
    assert_eq!(base.downloads(), [1, 1, 1, 1]);
    assert_eq!(unpacked(&store), 2);
    assert_eq!(built.digest, as_without_any_of_it(&base, &context));
}

/// Takes away all that a store has of the layers of images.
fn forget_layers(store: &Store, layers: &[String]) {
    for entry in fs::read_dir(store.path().join("snapshots")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("chain-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    for layer in layers {
        let _ = fs::remove_file(store.path().join("blobs/sha256").join(layer.trim_start_matches("sha256:")));
    }
}

#[test]
fn whoever_reads_an_image_gets_what_is_missing() {
    if !is_root() {
        eprintln!("skipped: containers and mounts are for root");
        return;
    }
    let base = Base::new();
    let (store, folder, name) = (Store::new(), scratch(), base.name());
    store.run(&["pull", &name]);
    store.run(&["run", "--name", "box", "--network=none", &name, "sh", "-c", "echo changed > /real/there"]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tar, archive) = (file("rootfs.tar"), file("image.tar"));
    let steps: [&[&str]; 9] = [
        &["run", "--rm", "--network=none", &name, "cat", "/etc/passwd"],
        &["diff", "box"],
        &["cp", "box:/etc/passwd", &file("passwd")],
        &["export", "-o", &tar, "box"],
        &["export", "-o", &tar, &name],
        &["commit", "box", "committed"],
        &["save", "-o", &archive, &name],
        &["mount", &name],
        &["push", &format!("{}/again:1", base.proxy.host())],
    ];
    store.run(&["tag", &name, &format!("{}/again:1", base.proxy.host())]);
    for words in steps {
        forget_layers(&store, &base.layers);
        let before: usize = base.downloads().iter().sum();
        let (code, _, said) = outcome(store.command().args(words));
        assert_eq!(code, 0, "{words:?}: {said}");
        let fetched = base.downloads().iter().sum::<usize>() - before;
        // What is pushed to where it is already is not fetched.
        assert_eq!(fetched, if words[0] == "push" { 0 } else { 4 }, "{words:?}: {said}");
        assert_eq!(said.contains("pulling"), fetched > 0, "{words:?}: {said}");
    }
    store.run(&["umount", &name]);
    let listed = text(&run(std::process::Command::new("tar").args(["tf", &tar])).stdout);
    assert!(listed.contains("etc/passwd") && listed.contains("real/there"), "{listed}");
    let loaded = Store::new();
    loaded.run(&["load", "--quiet", "-i", &archive]);
    assert_eq!(digest_of(&loaded, &name), digest_of(&store, &name));

    // Nobody is there any more who has it.
    forget_layers(&store, &base.layers);
    let config = put(folder.path(), "imgbuild.toml", HURRIED);
    drop(base);
    let fails: [(&[&str], i32); 4] = [
        (&["run", &name, "true"], 125),
        (&["export", "-o", &tar, &name], 1),
        (&["save", "-o", &archive, &name], 1),
        (&["mount", &name], 1),
    ];
    for (words, expected) in fails {
        let (code, _, said) = outcome(store.command().env("IMGBUILD_CONFIG", &config).args(words));
        assert_eq!(code, expected, "{words:?}: {said}");
        assert!(said.contains("refuses the connection"), "{words:?}: {said}");
    }
    let local = Store::with_busybox();
    forget_layers(&local, &layers_of(&local, "busybox"));
    let (code, _, said) = outcome(local.command().args(["mount", "busybox"]));
    assert_eq!(code, 1);
    assert!(said.contains("is not to be had"), "{said}");
}
