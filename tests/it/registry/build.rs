//! Builds on images that are in a registry.

use std::fs;

use super::server::{Proxy, Registry};
use super::{HURRIED, context, digest_of, has_blob};
use crate::support::{Store, edit, outcome, put, scratch};

/// The layer of the image `busybox`.
fn layer_of_busybox(store: &Store) -> String {
    let shown: serde_json::Value = serde_json::from_str(&store.run(&["inspect", "busybox"])).unwrap();
    let manifest = shown[0]["ManifestDigest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = fs::read(store.path().join("blobs/sha256").join(manifest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

/// A registry that has busybox as `base:1`, seen through a proxy, and the digest of its layer.
fn with_base() -> (Registry, Proxy, String) {
    let (registry, store) = (Registry::open(), Store::with_busybox());
    store.run(&["copy", "store:busybox", &format!("{}/base:1", registry.host())]);
    let proxy = Proxy::before(registry.port());
    (registry, proxy, layer_of_busybox(&store))
}

#[test]
fn a_base_comes_from_its_registry() {
    let (_registry, proxy, layer) = with_base();
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), &format!("FROM {}/base:1\nRUN echo made > /made\n", proxy.host()));
    let built = store.build(&context, &["-t", "app"]);
    assert_eq!(built.ran, ["RUN echo made > /made"]);
    assert!(has_blob(&store, &layer));
    // Once more, by the lockfile: nobody is asked.
    let asked = proxy.requests().len();
    assert_eq!(store.build(&context, &["--frozen"]).digest, built.digest);
    assert_eq!(proxy.requests().len(), asked);
    // With the lockfile alone, in another store: by digest, and not by name.
    let other = Store::new();
    assert_eq!(other.build(&context, &["--locked"]).digest, built.digest);
    assert!(
        !proxy.requests()[asked..].iter().any(|request| request.contains("/manifests/1")),
        "{:#?}",
        proxy.requests()
    );
}

#[test]
fn copies_and_contexts_come_from_registries_too() {
    let (_registry, proxy, _) = with_base();
    let (store, folder) = (Store::new(), scratch());
    let base = format!("{}/base:1", proxy.host());
    let context = context(
        folder.path(),
        &format!("FROM scratch\nCOPY --from={base} /bin/busybox /one\nCOPY --from=named /bin/busybox /two\n"),
    );
    let source = format!("named=docker-image://{base}");
    let output = format!("type=local,dest={}", folder.path().join("out").display());
    store.build(&context, &["--build-context", &source, "-o", &output]);
    for name in ["one", "two"] {
        assert!(folder.path().join("out").join(name).is_file(), "{name}");
    }
}

#[test]
fn what_is_only_added_to_needs_no_layer() {
    let (registry, proxy, layer) = with_base();
    let (store, folder) = (Store::new(), scratch());
    let dockerfile = format!("FROM {}/base:1\nCOPY --link hello /hello\nENV A=b\n", proxy.host());
    let context = context(folder.path(), &dockerfile);
    let name = format!("{}/team/app:1", proxy.host());
    let built = store.build(&context, &["--push", "-t", &name]);
    let requests = proxy.requests();
    assert!(!requests.iter().any(|request| request.starts_with("GET") && request.ends_with(&layer)), "{requests:#?}");
    assert!(!has_blob(&store, &layer));
    assert_eq!(store.run(&["images"]).lines().count(), 1, "what is pushed is not listed");
    // It is whole there.
    let other = Store::new();
    let there = format!("{}/team/app:1", registry.host());
    other.run(&["pull", &there]);
    assert_eq!(digest_of(&other, &there), built.digest);
    assert!(has_blob(&other, &layer));
    // To another registry the layer goes without entering the store.
    let elsewhere = Registry::open();
    let name = format!("{}/app:1", elsewhere.host());
    assert_eq!(store.build(&context, &["-o", "type=registry", "-t", &name]).digest, built.digest);
    assert!(!has_blob(&store, &layer));
    other.run(&["pull", &name]);
    // An image that the store lists has all of its layers.
    assert_eq!(store.build(&context, &["-o", "type=image,push=true", "-t", &name]).digest, built.digest);
    assert!(has_blob(&store, &layer));
    assert_eq!(digest_of(&store, &name), built.digest);
}

#[test]
fn a_name_is_asked_for_anew_when_that_is_wanted() {
    let (registry, proxy, _) = with_base();
    let (store, folder) = (Store::with_busybox(), scratch());
    let base = format!("{}/base:1", proxy.host());
    let context = context(folder.path(), &format!("FROM {base}\nCOPY hello /hello\n"));
    let first = store.build(&context, &["-t", "app"]).digest;
    // The name moves; the lockfile holds on to what it was.
    let moved = scratch();
    let own = super::context(moved.path(), "FROM busybox\nENV MOVED=1\n");
    store.build(&own, &["--push", "-t", &format!("{}/base:1", registry.host())]);
    assert_eq!(store.build(&context, &["-t", "app"]).digest, first);
    let anew = store.build(&context, &["--pull", "-t", "app"]).digest;
    assert_ne!(anew, first);
    assert_eq!(store.build(&context, &["--locked", "-t", "app"]).digest, anew);
    // A registry that is gone is told, and what the store has is taken.
    drop((registry, proxy));
    let local = super::context(moved.path(), "FROM busybox\nCOPY hello /hello\n");
    let gone = format!("docker-image://{}/base:1", Registry::open().host());
    let (code, _, said) = outcome(
        store.command().args(["build", "--no-lock", "--build-context"]).arg(format!("busybox={gone}")).arg(&local),
    );
    assert_eq!(code, 1);
    assert!(said.contains("refuses the connection") && said.contains("nor can it be had"), "{said}");
}

#[test]
fn without_a_network_nobody_is_asked() {
    let (_registry, proxy, _) = with_base();
    let (store, folder) = (Store::new(), scratch());
    let base = format!("{}/base:1", proxy.host());
    let context = context(folder.path(), &format!("FROM {base}\nCOPY --link hello /hello\n"));
    let fails = |words: &[&str], expected: &str| {
        let (code, _, said) = outcome(store.command().arg("build").args(words).arg(&context));
        assert!(code == 1 || code == 2, "{said}");
        assert!(said.contains(expected), "{said}");
    };
    fails(&["--offline"], "--offline forbids to ask localhost:");
    assert_eq!(proxy.requests(), Vec::<String>::new());
    store.build(&context, &["-o", "type=cacheonly"]);
    // Manifest and configuration are here by now, the layer is not.
    fails(&["--offline", "-t", "app"], "--offline forbids to fetch it");
    fails(&["--offline", "--push", "-t", "app"], "--offline forbids to push");
    store.build(&context, &["-t", "app"]);
    store.build(&context, &["--offline", "-t", "app"]);
}

#[test]
fn a_build_file_pushes_its_targets() {
    let (registry, proxy, _) = with_base();
    let (store, folder) = (Store::new(), scratch());
    context(folder.path(), &format!("FROM {}/base:1\nCOPY --link hello /hello\n", proxy.host()));
    let host = registry.host();
    let file = format!(
        "[group]\ndefault = [\"one\", \"two\"]\n[target.one]\ntags = [\"{host}/one:1\"]\n[target.two]\ntags = [\"{host}/two:1\"]\nargs = {{ A = \"b\" }}\n"
    );
    put(folder.path(), "build.toml", file);
    let built = store.bake(folder.path(), &["--push"]);
    let other = Store::new();
    for name in ["one", "two"] {
        let there = format!("{host}/{name}:1");
        other.run(&["pull", &there]);
        assert_eq!(digest_of(&other, &there), built.images[name]);
    }
}

#[test]
fn a_mirror_is_asked_first_and_can_be_missing() {
    let (registry, proxy, _) = with_base();
    let folder = scratch();
    // A pull-through cache of the first, which is seen through a proxy of its own.
    let cache = Registry::with(&format!("proxy: {{remoteurl: \"http://{}\"}}", registry.host()));
    let mirror = Proxy::before(cache.port());
    let config = put(
        folder.path(),
        "imgbuild.toml",
        format!("{HURRIED}[registry.\"{}\"]\nmirrors = ['http://{}']\n", proxy.host(), mirror.host()),
    );
    let name = format!("{}/base:1", proxy.host());
    let store = Store::new();
    crate::support::run(store.command().env("IMGBUILD_CONFIG", &config).args(["pull", &name]));
    assert_eq!(proxy.requests(), Vec::<String>::new(), "the mirror has everything");
    assert!(!mirror.requests().is_empty());
    drop(cache);
    let store = Store::new();
    crate::support::run(store.command().env("IMGBUILD_CONFIG", &config).args(["pull", &name]));
    assert!(proxy.requests().iter().any(|request| request.contains("/blobs/")), "{:#?}", proxy.requests());
    // A file that says something else than it means.
    edit(&config, "mirrors", "mirors");
    let (code, _, said) = outcome(store.command().env("IMGBUILD_CONFIG", &config).args(["pull", &name]));
    assert_eq!(code, 2);
    assert!(said.contains("mirors"), "{said}");
}
