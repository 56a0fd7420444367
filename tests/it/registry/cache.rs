//! Caches that machines share: what one store built, another one need not.

use std::fs;
use std::path::{Path, PathBuf};

use imgbuild::digest::Digest;
use serde_json::{Value, json};

use super::assert_sound;
use super::server::{Proxy, Registry, free_port};
use crate::support::{Built, Store, copy_folder, edit, outcome, put, repository, scratch};

/// A stage whose layers are not in the image, and one that is.
const DOCKERFILE: &str = "\
FROM busybox AS make
WORKDIR /work
COPY src /work/src
RUN cat src/* > made && yes | head -c 300000 > large
FROM busybox
RUN echo base > /base && rm -r /bin/yes /home && mkdir /home
COPY --from=make /work/made /made
RUN cat /base /made > /both
";

/// The instructions that depend on `src`, but for one that sees nothing of it but what is made of it.
const DEPENDENT: [&str; 4] = [
    "COPY src /work/src",
    "RUN cat src/* > made && yes | head -c 300000 > large",
    "COPY --from=make /work/made /made",
    "RUN cat /base /made > /both",
];

pub(super) fn context(folder: &Path) -> PathBuf {
    put(folder, "Dockerfile", DOCKERFILE);
    put(folder, "src/one", "one\n");
    put(folder, "src/two", "two\n");
    folder.to_owned()
}

/// Builds, and says what a person was told.
pub(super) fn told(store: &Store, context: &Path, words: &[&str]) -> (i32, String) {
    let (code, _, said) = outcome(store.command().args(["build", "--progress", "plain"]).args(words).arg(context));
    (code, said)
}

/// What was read of blobs since some request.
fn blobs_read(proxy: &Proxy, since: usize) -> Vec<String> {
    let requests = proxy.requests();
    let blobs = requests[since..].iter().filter(|request| request.starts_with("GET ") && request.contains("/blobs/"));
    blobs.map(|request| request.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The digest of a cache's configuration in a registry, and those of its layers.
fn cache_in(registry: &Registry, path: &str, reference: &str) -> (String, Vec<String>) {
    let url = format!("http://127.0.0.1:{}/v2/{path}/manifests/{reference}", registry.port());
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    let manifest: Value = serde_json::from_str(&crate::support::sh(&["curl", "-sf", "-H", accept, &url])).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.imgbuild.cache.v1", "{manifest}");
    let digest = |blob: &Value| blob["digest"].as_str().unwrap().to_owned();
    (digest(&manifest["config"]), manifest["layers"].as_array().unwrap().iter().map(digest).collect())
}

/// The layers of an image of a store.
pub(super) fn layers_of(store: &Store, image: &str) -> Vec<String> {
    let shown: Value = serde_json::from_str(&store.run(&["inspect", image])).unwrap();
    let manifest = shown[0]["ManifestDigest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = fs::read(store.path().join("blobs/sha256").join(manifest)).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
pub(super) fn assert_nothing_ran(built: &Built, digest: &str) {
    assert_eq!((built.executed, &built.digest[..]), (0, digest), "{built:?}");
}

#[test]
fn another_store_runs_nothing_and_reads_no_layer() {
    let (registry, folder) = (Registry::open(), scratch());
    let proxy = Proxy::before(registry.port());
    let context = context(folder.path());
    let cache = format!("type=registry,ref={}/cache:main", proxy.host());
    let one = Store::with_busybox();
    let built = one.build(&context, &["-t", "app", "--cache-to", &format!("{cache},mode=max")]);
    assert_eq!(built.executed, 6);
    let (config, layers) = cache_in(&registry, "cache", "main");
    assert_eq!(layers.len(), 12, "six layers and what is in them: {layers:#?}");

    // What is pushed to where the layers are is only linked.
    let (two, since) = (Store::with_busybox(), proxy.requests().len());
    let name = format!("{}/app:1", proxy.host());
    let pushed = two.build(&context, &["--push", "-t", &name, "--cache-from", &cache]);
    assert_nothing_ran(&pushed, &built.digest);
    assert_eq!(blobs_read(&proxy, since), std::slice::from_ref(&config));
    let third = Store::new();
    third.run(&["pull", &name]);
    assert_eq!(super::digest_of(&third, &name), built.digest);

    // What the store is to list has its layers, and no others.
    let (three, since) = (Store::with_busybox(), proxy.requests().len());
    assert_nothing_ran(&three.build(&context, &["-t", "app", "--cache-from", &cache]), &built.digest);
    let mut expected = layers_of(&three, "app").split_off(1);
    expected.push(config);
    let mut read = blobs_read(&proxy, since);
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
    assert_sound(&three);
    // From now on they are like its own: nobody is asked.
    let since = proxy.requests().len();
    assert_nothing_ran(&three.build(&context, &["-t", "app"]), &built.digest);
    assert_nothing_ran(&three.build(&context, &["-t", "app", "--cache-from", &cache]), &built.digest);
    assert_eq!(proxy.requests().len(), since);
}

#[test]
fn only_what_depends_on_a_change_runs() {
    let (registry, folder) = (Registry::open(), scratch());
    let context = context(folder.path());
    let cache = format!("{}/cache", registry.host());
    let export = format!("type=registry,ref={cache},mode=max");
    Store::with_busybox().build(&context, &["--cache-to", &export]);
    edit(&context.join("src/one"), "one", "1");
    let two = Store::with_busybox();
    let built = two.build(&context, &["-t", "app", "--cache-from", &cache]);
    assert_eq!(built.ran, DEPENDENT);
    let alone = Store::with_busybox();
    assert_eq!(alone.build(&context, &["--no-cache", "-t", "app"]).digest, built.digest);
    assert_sound(&two);

    // What a changed stage comes to can be what it was.
    put(&context, "src/one", "on");
    put(&context, "src/two", "e\ntwo\n");
    let three = Store::with_busybox();
    assert_eq!(three.build(&context, &["-t", "app", "--cache-from", &cache]).ran, DEPENDENT[..2]);
}

#[test]
fn a_build_with_nothing_to_do_exports_what_the_store_knows() {
    let (registry, folder) = (Registry::open(), scratch());
    let proxy = Proxy::before(registry.port());
    let context = context(folder.path());
    let one = Store::with_busybox();
    one.build(&context, &["-t", "app"]);
    let cache = format!("{}/cache", proxy.host());
    let export = format!("type=registry,ref={cache},mode=max");
    assert_eq!(one.build(&context, &["-t", "app", "--cache-to", &export]).executed, 0);
    let written = |since: usize| -> Vec<String> {
        let requests = proxy.requests();
        let changes = requests[since..].iter().filter(|one| !one.starts_with("GET ") && !one.starts_with("HEAD "));
        changes.cloned().collect()
    };
    assert!(written(0).len() > 12);
    // Once more, and from a store that has it from there: nothing is new but the manifest's name.
    let since = proxy.requests().len();
    one.build(&context, &["-t", "app", "--cache-to", &export]);
    let two = Store::with_busybox();
    two.build(&context, &["-o", "type=cacheonly", "--cache-from", &cache, "--cache-to", &export]);
    let names = written(since);
    assert!(names.iter().all(|request| request.starts_with("PUT /v2/cache/manifests/latest")), "{names:#?}");
    assert_eq!(names.len(), 2);
    // All steps are there, not only the last.
    edit(&context.join("Dockerfile"), "RUN cat /base /made > /both\n", "RUN cat /base /made > /all\n");
    let three = Store::with_busybox();
    assert_eq!(three.build(&context, &["-t", "app", "--cache-from", &cache]).ran, ["RUN cat /base /made > /all"]);
}

#[test]
fn less_is_exported_without_mode_max() {
    let (registry, folder) = (Registry::open(), scratch());
    let context = context(folder.path());
    let cache = format!("{}/cache", registry.host());
    Store::with_busybox().build(&context, &["--cache-to", &format!("type=registry,ref={cache}")]);
    assert_eq!(cache_in(&registry, "cache", "latest").1.len(), 6, "the image's three layers and what is in them");
    edit(&context.join("Dockerfile"), "/both", "/all");
    let two = Store::with_busybox();
    let built = two.build(&context, &["-t", "app", "--cache-from", &cache]);
    assert_eq!(built.ran, ["RUN cat /base /made > /all"]);
    edit(&context.join("src/one"), "one", "1");
    let three = Store::with_busybox();
    let mut ran = three.build(&context, &["-t", "app", "--cache-from", &cache]).ran;
    ran.sort();
    assert_eq!(ran.len(), 5, "{ran:#?}");
    assert!(!ran.iter().any(|name| name == "RUN echo base > /base && rm -r /bin/yes /home && mkdir /home"), "{ran:#?}");
}

#[test]
fn a_cache_goes_along_with_an_image() {
    let (registry, folder) = (Registry::open(), scratch());
    let proxy = Proxy::before(registry.port());
    let context = context(folder.path());
    let name = format!("{}/app:1", proxy.host());
    let one = Store::with_busybox();
    let plain = one.build(&context, &["--push", "-t", &name]);
    let (code, said) = told(&Store::with_busybox(), &context, &["-o", "type=cacheonly", "--cache-from", &name]);
    assert!(code == 0 && said.contains("it is an image that no cache came along with"), "{said}");
    // The image stays what it is.
    let with = one.build(&context, &["--push", "-t", &name, "--cache-to", "type=inline"]);
    assert_eq!(with.digest, plain.digest);
    let (two, since) = (Store::with_busybox(), proxy.requests().len());
    let again = two.build(&context, &["--push", "-t", &format!("{}/app:2", proxy.host()), "--cache-from", &name]);
    assert_nothing_ran(&again, &plain.digest);
    assert_eq!(blobs_read(&proxy, since).len(), 1, "the configuration of the cache");
    // By digest as well; of what is not in the image, nothing is there.
    edit(&context.join("src/one"), "one", "1");
    let by_digest = format!("{}/app@{}", proxy.host(), plain.digest);
    let three = Store::with_busybox();
    let ran = three.build(&context, &["-t", "app", "--cache-from", &by_digest]).ran;
    assert!(
        ran.len() == 5
            && !ran.iter().any(|name| name == "RUN echo base > /base && rm -r /bin/yes /home && mkdir /home"),
        "{ran:#?}"
    );
    // What is not pushed takes nothing along.
    let (code, said) = told(&one, &context, &["-t", "app", "--cache-to", "type=inline"]);
    assert!(code == 0 && said.contains("type=inline has no effect"), "{said}");
}

#[test]
fn a_folder_is_a_cache_too() {
    let folder = scratch();
    let context = context(&folder.path().join("context"));
    let place = folder.path().join("cache");
    let (to, from) =
        (format!("type=local,dest={},mode=max", place.display()), format!("type=local,src={}", place.display()));
    // For the first time, there is nothing.
    let one = Store::with_busybox();
    let (code, said) = told(&one, &context, &["-t", "app", "--cache-from", &from, "--cache-to", &to]);
    assert!(code == 0 && said.contains("is not used: nothing is there yet"), "{said}");
    let digest = super::digest_of(&one, "app");
    let two = Store::with_busybox();
    let built = two.build(&context, &["-t", "app", "--offline", "--cache-from", &from]);
    assert_nothing_ran(&built, &digest);
    let brought = fs::read_dir(two.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(brought, 3 + 3 + 2, "busybox, three layers, a configuration and a manifest");
    assert_sound(&two);
    // What a push needs of it is sent.
    let (registry, three) = (Registry::open(), Store::with_busybox());
    let name = format!("{}/app:1", registry.host());
    assert_nothing_ran(&three.build(&context, &["--push", "-t", &name, "--cache-from", &from]), &digest);
    Store::new().run(&["pull", &name]);
    // From one cache to another, without an image.
    let four = Store::with_busybox();
    let cache = format!("{}/cache", registry.host());
    let to = format!("type=registry,ref={cache},mode=max");
    let built = four.build(&context, &["-o", "type=cacheonly", "--cache-from", &from, "--cache-to", &to]);
    assert_eq!(built.executed, 0);
    assert_eq!(cache_in(&registry, "cache", "latest").1.len(), 12);
    assert_nothing_ran(&Store::with_busybox().build(&context, &["-t", "app", "--cache-from", &cache]), &digest);
}

#[test]
fn all_targets_of_a_monorepo_share_a_cache() {
    let (registry, folder) = (Registry::open(), scratch());
    copy_folder(&repository("examples/monorepo"), folder.path());
    let cache = format!("type=registry,ref={}/cache", registry.host());
    let built = Store::with_busybox().bake(folder.path(), &["--no-lock", "--cache-to", &format!("{cache},mode=max")]);
    assert_eq!(built.images.values().filter(|digest| digest.starts_with("sha256:")).count(), 12);
    let elsewhere = scratch();
    copy_folder(&repository("examples/monorepo"), elsewhere.path());
    let again = Store::with_busybox().bake(elsewhere.path(), &["--no-lock", "--cache-from", &cache]);
    assert_eq!((again.executed, &again.images), (0, &built.images));
    assert_eq!(fs::read_to_string(elsewhere.path().join("out/greetings/web")).unwrap(), "Welcome to web\n");
    edit(&elsewhere.path().join("services/web/index.html"), "This is web", "This is the web");
    let changed = Store::with_busybox().bake(elsewhere.path(), &["--no-lock", "--cache-from", &cache]);
    assert_eq!(changed.ran.len(), 7, "only the web in its three languages: {changed:#?}");
}

#[test]
fn a_build_file_names_its_caches() {
    let folder = scratch();
    context(folder.path());
    let file = "[target.default]\ntags = [\"app\"]\ncache-to = [{ type = \"local\", dest = \"../cache\", mode = \"max\" }]\n\
        cache-from = [\"type=local,src=../cache\"]\n";
    let place = folder.path().join("deep");
    fs::create_dir(&place).unwrap();
    put(&place, "build.toml", file.replace("[target.default]", "[target.default]\ncontext = \"..\""));
    let built = Store::with_busybox().bake(&place, &["--no-lock"]);
    assert_eq!(built.executed, 6);
    assert!(folder.path().join("cache/index.json").is_file());
    assert_nothing_ran(&Store::with_busybox().bake(&place, &["--no-lock"]), &built.digest);
    // A flag comes in place of them.
    let none = format!("type=local,src={}", folder.path().join("none").display());
    assert_eq!(Store::with_busybox().bake(&place, &["--cache-from", &none]).executed, 6);
}

#[test]
fn a_dead_cache_is_told_and_passed_over() {
    let (registry, folder) = (Registry::open(), scratch());
    let context = context(folder.path());
    let config = put(folder.path(), "imgbuild.toml", super::HURRIED);
    let (cache, dead) = (format!("{}/cache", registry.host()), format!("localhost:{}/cache", free_port()));
    Store::with_busybox().build(&context, &["--cache-to", &format!("type=registry,ref={cache},mode=max")]);
    let build = |words: &[&str]| {
        let store = Store::with_busybox();
        let mut command = store.command();
        command.env("IMGBUILD_CONFIG", &config).args(["build", "--progress", "plain", "-o", "type=cacheonly"]);
        let (code, _, said) = outcome(command.args(words).arg(&context));
        (code, said)
    };
    let (code, said) = build(&["--cache-from", &dead, "--cache-from", &cache]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("WARNING: the cache {dead}:latest is not used: ")), "{said}");
    assert!(said.contains("nothing to do, 6 steps cached"), "{said}");
    let (code, said) = build(&["--offline", "--cache-from", &cache]);
    assert!(code == 0 && said.contains("--offline forbids to ask for it") && said.contains("6 steps run"), "{said}");
    // What cannot be written is an error, unless it need not be.
    let to = format!("type=registry,ref={dead}");
    let (code, said) = build(&["--cache-to", &to]);
    assert!(code == 1 && said.contains(&format!("the cache {dead}:latest cannot be written")), "{said}");
    let (code, said) = build(&["--cache-to", &format!("{to},ignore-error=true")]);
    assert!(code == 0 && said.contains(&format!("WARNING: the cache {dead}:latest was not written")), "{said}");
    let (code, said) = build(&["--offline", "--cache-to", &to]);
    assert!(code == 2 && said.contains("--offline forbids to send the cache"), "{said}");
    let (code, said) = build(&["--cache-to", "type=registry,reff=a"]);
    assert!(code == 2 && said.contains("did you mean ref?"), "{said}");
}

#[test]
fn cache_mounts_go_along_where_that_is_wanted() {
    let (registry, folder) = (Registry::open(), scratch());
    let mount = "--mount=type=cache,id=work,target=/work,mode=0750,uid=7";
    let dockerfile = |note: &str| {
        let count = "n=$(cat /work/deep/n 2>/dev/null || echo 0); mkdir -p /work/deep; echo $((n + 1)) > /work/deep/n";
        let show = "cp /work/deep/n /n; stat -c '%a %u' /work > /mode";
        format!("FROM busybox\nRUN {mount} {count}; ln -sf n /work/deep/link; {show}; echo {note} > /note\n")
    };
    let context = folder.path().join("context");
    put(&context, "Dockerfile", dockerfile("first"));
    let cache = format!("type=registry,ref={}/cache", registry.host());
    let (to, from) = (format!("{cache},mode=max,mounts=true"), format!("{cache},mounts=true"));
    let out = folder.path().join("out");
    let build = |store: &Store, words: &[&str]| {
        let output = format!("type=local,dest={}", out.display());
        store.build(&context, &[&["-o", &output][..], words].concat());
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap().trim().to_owned();
        (read("n"), read("mode"))
    };
    let mode = || "750 7".to_owned();
    assert_eq!(build(&Store::with_busybox(), &["--cache-to", &to]), ("1".to_owned(), mode()));
    // Without a step that runs, nothing is fetched.
    let two = Store::with_busybox();
    assert_eq!(build(&two, &["--cache-from", &from, "--cache-to", &to]), ("1".to_owned(), mode()));
    let mut mounts = fs::read_dir(two.path().join("mounts")).unwrap();
    assert!(!mounts.any(|mount| mount.unwrap().path().join("0").exists()));
    // A mount that is not there yet begins with what the cache has; that is so after the export above as well.
    put(&context, "Dockerfile", dockerfile("second"));
    assert_eq!(build(&two, &["--cache-from", &from]), ("2".to_owned(), mode()));
    put(&context, "Dockerfile", dockerfile("third"));
    assert_eq!(build(&two, &["--cache-from", &from]), ("3".to_owned(), mode()), "and then it has its own");
    assert_eq!(
        build(&Store::with_busybox(), &["--cache-from", &cache]),
        ("1".to_owned(), mode()),
        "it was not asked for"
    );
}

/// A cache in a folder, to be changed by somebody who may write to it.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn blob(&self, digest: &Value) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"))
    }

    fn read(&self, digest: &Value) -> Value {
        serde_json::from_slice(&fs::read(self.blob(digest)).unwrap()).unwrap()
    }

    fn put(&self, value: &Value) -> (Value, Value) {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Digest::of(&bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
        (json!(digest.to_string()), json!(bytes.len()))
    }

    /// Changes manifest and configuration, and makes all digests fit again.
    fn change(&self, change: impl FnOnce(&mut Value, &mut Value)) {
        let index = self.0.join("index.json");
        let mut listed: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
        let mut manifest = self.read(&listed["manifests"][0]["digest"]);
        let mut config = self.read(&manifest["config"]["digest"]);
        change(&mut manifest, &mut config);
        (manifest["config"]["digest"], manifest["config"]["size"]) = self.put(&config);
        let entry = &mut listed["manifests"][0];
        (entry["digest"], entry["size"]) = self.put(&manifest);
        fs::write(index, serde_json::to_vec(&listed).unwrap()).unwrap();
    }

    /// Changes the layers that steps made.
    fn change_layers(&self, change: impl FnOnce(&mut [&mut Value])) {
        self.change(|_, config| {
            let all = config["layers"].as_array_mut().unwrap().iter_mut();
            change(&mut all.filter(|layer| layer["blob"].is_string()).collect::<Vec<_>>());
        });
    }
}

/// Exchanges a value of all layers for that of another one.
fn reverse(layers: &mut [&mut Value], keys: &[&str]) {
    for key in keys {
        let values: Vec<Value> = layers.iter().map(|layer| layer[*key].clone()).collect();
        layers.iter_mut().zip(values.into_iter().rev()).for_each(|(layer, value)| layer[*key] = value);
    }
}

#[test]
fn a_cache_that_lies_changes_nothing() {
    let folder = scratch();
    let context = context(&folder.path().join("context"));
    let place = folder.path().join("cache");
    let one = Store::with_busybox();
    one.build(&context, &["-t", "app", "--cache-to", &format!("type=local,dest={},mode=max", place.display())]);
    let check = |change: &dyn Fn(Folder<'_>), expected: &str| {
        let digest = one.build(&context, &["-t", "app"]).digest;
        let changed = scratch();
        copy_folder(&place, changed.path());
        change(Folder(changed.path()));
        let store = Store::with_busybox();
        let from = format!("type=local,src={}", changed.path().display());
        let (code, said) = told(&store, &context, &["-t", "app", "--cache-from", &from]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("WARNING: the cache ") && said.contains(expected), "{expected}: {said}");
        assert_eq!(super::digest_of(&store, "app"), digest);
        assert_sound(&store);
        // Nothing of it stays.
        assert_eq!(store.build(&context, &["-t", "app"]).digest, digest);
        assert_eq!(store.build(&context, &["-t", "app", "--no-cache"]).digest, digest);
    };
    let spoil = |blob: PathBuf| fs::write(&blob, vec![b'x'; fs::metadata(&blob).unwrap().len() as usize]).unwrap();
    let damage = |cache: Folder<'_>| {
        cache.change_layers(|all| all.iter().for_each(|one| spoil(cache.blob(&one["blob"]))));
    };
    check(&damage, "with the digest");
    let remove = |cache: Folder<'_>| {
        cache.change_layers(|all| all.iter().for_each(|one| fs::remove_file(cache.blob(&one["blob"])).unwrap()));
    };
    check(&remove, "; building again without any cache but the store's");
    // A blob under another layer's name: its digest is right.
    check(&|cache| cache.change_layers(|all| reverse(all, &["blob", "diffId"])), "its blob holds something else");
    let zeros = format!("sha256:{}", "00".repeat(32));
    let lie = |cache: Folder<'_>| {
        cache.change_layers(|all| all.iter_mut().for_each(|one| one["diffId"] = json!(zeros)));
    };
    check(&lie, "its blob does not unpack to sha256:0000");
    // What does not fit together is not used at all.
    let unlisted = |cache: Folder<'_>| cache.change(|manifest, _| manifest["layers"] = json!([]));
    check(&unlisted, "which its manifest does not list");
    check(&|cache| cache.change(|_, config| config["version"] = json!(2)), "it has version 2 of the format");
    let image = |cache: Folder<'_>| cache.change(|manifest, _| manifest["artifactType"] = Value::Null);
    check(&image, "it is an image that no cache came along with");
    // What is in a layer is read when a step that runs is to see it.
    edit(
        &context.join("Dockerfile"),
        "COPY --from=make /work/made /made",
        "COPY --from=make --chmod=600 /work/made /made",
    );
    check(&|cache| cache.change_layers(|all| reverse(all, &["toc"])), "its table of contents is of another layer");
    // As are the layers that a process stands on.
    check(&|cache| cache.change_layers(|all| reverse(all, &["blob", "diffId"])), "its blob holds something else");
}
