//! How little of a base image is needed: counted at its registry, and looked for in the store.

use std::fs;
use std::path::Path;

use super::server::{Proxy, Registry};
use super::{context, digest_of, has_blob};
use crate::support::{Built, Store, put, scratch};

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
