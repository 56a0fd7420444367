//! Caches in the cache service of GitHub Actions, or rather in one of our own that makes the same checks ([`Service`]).

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::cache::{assert_nothing_ran, context, layers_of, told};
use super::cuts::noise;
use super::service::{Service, refusal};
use super::{HURRIED, assert_sound};
use crate::support::{Store, edit, outcome, put, scratch, text};
use crate::web::{Reply, Request, Web};

const FROM: &str = "type=gha";
const TO: &str = "type=gha,mode=max";

/// What keys begin with.
const INDEX: &str = "imgbuild-index-1-buildkit-";
const BLOB: &str = "imgbuild-blob-sha256:";

/// The same store with pauses that nobody notices.
fn hurried(store: Store, folder: &Path) -> Store {
    let config = put(folder, "imgbuild.toml", HURRIED);
    store.set("IMGBUILD_CONFIG", config.to_str().unwrap())
}

#[test]
fn stores_share_a_cache_through_the_service() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(folder.path());
    // For the first time, there is nothing.
    let one = service.store();
    let (code, said) = told(&one, &context, &["-t", "app", "--cache-from", FROM, "--cache-to", TO]);
    assert!(code == 0 && said.contains("type=gha,scope=buildkit is not used: nothing is there yet"), "{said}");
    let digest = super::digest_of(&one, "app");
    let there = service.finished();
    assert_eq!(there.len(), 12 + 1 + 1, "six layers, what is in them, a configuration and a manifest: {there:#?}");
    assert!(there.iter().filter(|key| key.starts_with(BLOB)).count() == 13, "{there:#?}");
    assert!(there.iter().any(|key| key.starts_with(INDEX) && key.ends_with("#1")), "{there:#?}");
    // Once more: there is nothing to send, not even a manifest.
    let since = service.count();
    one.build(&context, &["-t", "app", "--cache-to", TO]);
    assert_eq!(service.keys(since, "CreateCacheEntry"), [""; 0]);
    // Without an output, nothing is read but the manifest and the configuration.
    let (two, since) = (service.store(), service.count());
    assert_eq!(two.build(&context, &["-o", "type=cacheonly", "--cache-from", FROM]).executed, 0);
    let read = service.keys(since, "GetCacheEntryDownloadURL");
    assert!(read.len() == 2 && read[0].starts_with(INDEX) && read[1].starts_with(BLOB), "{read:#?}");
    // What the store is to list has its layers, and no others.
    let (three, since) = (service.store(), service.count());
    assert_nothing_ran(&three.build(&context, &["-t", "app", "--cache-from", FROM]), &digest);
    let layers = layers_of(&three, "app").split_off(1);
    let mut layers: Vec<String> = layers.iter().map(|digest| format!("imgbuild-blob-{digest}")).collect();
    let mut read = service.keys(since, "GetCacheEntryDownloadURL").split_off(2);
    layers.sort();
    read.sort();
    assert_eq!(read, layers);
    assert_sound(&three);
    // Another scope is another cache.
    let (code, said) = told(&service.store(), &context, &["--cache-from", "type=gha,scope=other"]);
    assert!(code == 0 && said.contains("scope=other is not used: nothing is there yet"), "{said}");
    // After a change, the rest is there, and what is new gets a manifest with the next number.
    edit(&context.join("Dockerfile"), "/both\n", "/all\n");
    let since = service.count();
    let ran = service.store().build(&context, &["-t", "app", "--cache-from", FROM, "--cache-to", TO]).ran;
    assert_eq!(ran, ["RUN cat /base /made > /all"]);
    let sent = service.keys(since, "CreateCacheEntry");
    assert!(sent.len() == 4 && sent[3].starts_with(INDEX) && sent[3].ends_with("#2"), "{sent:#?}");
    assert_eq!(service.store().build(&context, &["-o", "type=cacheonly", "--cache-from", FROM]).executed, 0);
}

#[test]
fn a_job_reads_the_caches_of_its_references() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(folder.path());
    service.store().build(&context, &["-o", "type=cacheonly", "--cache-to", TO]);
    let token = service.token(&[("refs/pull/7/merge", 3), ("refs/heads/main", 1)]);
    edit(&context.join("Dockerfile"), "/both\n", "/all\n");
    let one = service.store_of(&token);
    let built = one.build(&context, &["-t", "app", "--cache-from", FROM, "--cache-to", "type=gha"]);
    assert_eq!(built.ran, ["RUN cat /base /made > /all"]);
    // What its own has hides nothing of the other one.
    edit(&context.join("src/one"), "one", "1");
    assert_eq!(service.store_of(&token).build(&context, &["--cache-from", FROM]).ran.len(), 4);
    edit(&context.join("src/one"), "1", "one");
    assert_nothing_ran(&service.store_of(&token).build(&context, &["-t", "app", "--cache-from", FROM]), &built.digest);
    // The main branch sees nothing of it.
    assert_eq!(service.store().build(&context, &["--cache-from", FROM]).ran, ["RUN cat /base /made > /all"]);
    // A stranger's may read, and is told so.
    let stranger = service.store_of(&service.token(&[("refs/heads/main", 1)]));
    let (code, said) = told(&stranger, &context, &["--cache-from", FROM, "--cache-to", TO]);
    assert!(code == 1 && said.contains("may only read caches") && said.contains("ignore-error=true"), "{said}");
    let (code, said) = told(&stranger, &context, &["--cache-to", &format!("{TO},ignore-error=true")]);
    assert!(code == 0 && said.contains("was not written"), "{said}");
}

#[test]
fn what_is_large_goes_in_blocks_and_goes_on_after_a_cut() {
    let (service, folder) = (Service::start(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nCOPY noise /noise\n");
    put(folder.path(), "noise", noise(9 << 20));
    // A block is sent again where it was refused.
    let refused = AtomicBool::new(false);
    service.fail(move |request| {
        let block = request.path.contains("comp=block&blockid=");
        (block && !refused.swap(true, Ordering::SeqCst)).then(|| Reply::status(503))
    });
    let store = hurried(service.store(), folder.path());
    let digest = store.build(folder.path(), &["-t", "app", "--cache-to", TO]).digest;
    let sent = service.transfers(0);
    let blocks = sent.iter().filter(|one| one.starts_with("PUT block&blockid=")).count();
    assert_eq!((blocks, sent.iter().filter(|one| *one == "PUT blocklist").count()), (3, 1), "{sent:#?}");
    service.recover();
    // The first answer ends early; the rest comes from a new address.
    let layer = layers_of(&store, "app").remove(1);
    let key = format!("imgbuild-blob-{layer}");
    let (bytes, count) = (service.bytes(&key), AtomicUsize::new(0));
    service.fail(move |request| {
        // After the manifest and the configuration.
        let third = request.method == "GET" && count.fetch_add(1, Ordering::SeqCst) == 2;
        third.then(|| Reply::file(&bytes[..2 << 20]).pretending(bytes.len() as u64))
    });
    let (two, since) = (hurried(service.store(), folder.path()), service.count());
    assert_nothing_ran(&two.build(folder.path(), &["-t", "app", "--cache-from", FROM]), &digest);
    let asked = service.keys(since, "GetCacheEntryDownloadURL").into_iter().filter(|asked| *asked == key).count();
    assert_eq!(asked, 2, "one address for each connection");
    assert_sound(&two);
}

#[test]
fn a_service_that_refuses_or_lies_is_passed_over() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(&folder.path().join("context"));
    let one = service.store();
    let digest = one.build(&context, &["-t", "app", "--cache-to", TO]).digest;
    let token = service.token(&[("refs/heads/main", 3)]);
    let check = |store: Store, expected: &str| {
        let store = hurried(store, folder.path());
        let (code, said) = told(&store, &context, &["-t", "app", "--cache-from", FROM]);
        assert!(code == 0 && said.contains("WARNING: ") && said.contains(expected), "{expected}: {said}");
        assert_eq!(super::digest_of(&store, "app"), digest);
        assert!(!said.contains(&token) && !said.contains("sig="), "{said}");
        assert_sound(&store);
    };
    let echo = token.clone();
    let limit = move || refusal(429, "resource_exhausted", &format!("too many of {echo}")).with("Retry-After", "0");
    check(service.store_of(&service.old_token()), "the token has expired");
    check(service.store_of("other"), "401 Unauthorized: invalid or expired token (unauthenticated)");
    service.fail(move |_| Some(limit()));
    check(service.store_of(&token), "429 Too Many Requests: too many of … (resource_exhausted)");
    service.fail(|_| Some(Reply::status(500)));
    check(service.store(), "answered 500 Internal Server Error");
    service.fail(|_| Some(Reply::file("<html>")));
    check(service.store(), "its answer makes no sense");
    service.fail(|_| Some(Reply::file(vec![b' '; 100 << 10])));
    check(service.store(), "sent more than 65536 bytes");
    let answer = |key: &str, url: &str| {
        let body = json!({"ok": true, "matched_key": key, "signed_download_url": url}).to_string();
        move |_: &Request| Some(Reply::file(body.clone()))
    };
    service.fail(answer("imgbuild-index-1-buildkit", "http://127.0.0.1:1/"));
    check(service.store(), "it answers with the key \"imgbuild-index-1-buildkit\"");
    service.fail(|_| Some(Reply::to("http://127.0.0.1:1/")));
    check(service.store(), "answered 302 Found");
    service.fail(|request| (request.method == "GET").then(|| Reply::status(403)));
    check(service.store(), "answered 403 Forbidden");
    service.fail(|request| (request.method == "GET").then(|| Reply::file(vec![b' '; 5 << 20])));
    check(service.store(), "sent more than ");
    service.recover();
    let hex: Vec<String> = layers_of(&one, "app");
    service.forget(|key| key == format!("imgbuild-blob-{}", hex[1]));
    check(service.store(), "is not to be had");
    one.build(&context, &["-t", "app", "--cache-to", TO]);
    service.damage(|key| key == format!("imgbuild-blob-{}", hex[2]), |bytes| bytes.fill(b'x'));
    check(service.store(), "with the digest");
    service.damage(|key| key.starts_with(INDEX), |bytes| bytes.truncate(9));
    check(service.store(), "is not used");
}

#[test]
fn what_cannot_be_written_is_an_error_unless_it_need_not_be() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(&folder.path().join("context"));
    let store = hurried(service.store(), folder.path());
    store.build(&context, &["-t", "app"]);
    let check = |store: &Store, expected: &str| {
        let (code, said) = told(store, &context, &["--cache-to", TO]);
        let message = format!("the cache {FROM},scope=buildkit cannot be written: ");
        assert!(code == 1 && said.contains(&message) && said.contains(expected), "{expected}: {said}");
        let (code, said) = told(store, &context, &["--cache-to", &format!("{TO},ignore-error=true")]);
        assert!(code == 0 && said.contains("was not written: ") && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("sig="), "{said}");
    };
    let creating = |request: &Request| request.path.ends_with("/CreateCacheEntry");
    service.fail(move |request| {
        creating(request).then(|| refusal(403, "resource_exhausted", "insufficient usage to create cache"))
    });
    check(&store, "403 Forbidden: insufficient usage to create cache (resource_exhausted)");
    service.fail(move |request| {
        creating(request).then(|| refusal(429, "resource_exhausted", "rate limit").with("Retry-After", "0"))
    });
    check(&store, "429 Too Many Requests: rate limit (resource_exhausted)");
    service.fail(move |request| {
        creating(request).then(|| Reply::file(r#"{"ok":false,"message":"cache write denied: read-only"}"#))
    });
    check(&store, "it does not take it: cache write denied: read-only");
    service.fail(|request| (request.method == "PUT").then(|| Reply::status(500)));
    check(&store, "answered 500");
    service.fail(|request| request.path.ends_with("/FinalizeCacheEntryUpload").then(|| Reply::status(502)));
    check(&store, "answered 502");
    service.recover();
    check(&hurried(service.store_of(&service.old_token()), folder.path()), "the token has expired");
    assert_eq!(service.finished(), [""; 0]);
    // What the failures left behind is reserved for ever, and in nobody's way.
    assert_eq!(store.build(&context, &["-t", "app", "--cache-to", TO]).executed, 0);
    assert_eq!(service.store().build(&context, &["--cache-from", FROM]).executed, 0);
    let (code, said) = told(&store, &context, &["--offline", "--cache-to", TO]);
    assert!(code == 2 && said.contains("--offline forbids to send the cache"), "{said}");
    let (code, said) = told(&store, &context, &["--cache-to", &format!("{TO},timeout=1ms")]);
    assert!(code == 1 && said.contains("it is not done after 1ms, which is its timeout"), "{said}");
}

#[test]
fn another_job_at_the_same_time_is_in_nobodys_way() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(folder.path());
    let one = service.store();
    one.build(&context, &["-t", "app", "--cache-to", TO]);
    // Somebody who has reserved the next manifest, and has not finished.
    assert_eq!(service.reserve_like(|key| key.starts_with(INDEX).then(|| key.replace("#1", "#2"))), 1);
    edit(&context.join("Dockerfile"), "/both\n", "/all\n");
    let digest = one.build(&context, &["-t", "app", "--cache-to", TO]).digest;
    assert!(service.finished().iter().any(|key| key.starts_with(INDEX) && key.ends_with("#3")));
    assert_nothing_ran(&service.store().build(&context, &["-t", "app", "--cache-from", FROM]), &digest);
    // Answers that nobody hears, to what was done all the same.
    edit(&context.join("Dockerfile"), "/all\n", "/any\n");
    let (store, since) = (hurried(service.store(), folder.path()), service.count());
    service.lose("CreateCacheEntry");
    service.lose("FinalizeCacheEntryUpload");
    let digest = store.build(&context, &["-t", "app", "--cache-from", FROM, "--cache-to", TO]).digest;
    assert!(service.keys(since, "CreateCacheEntry").iter().any(|key| key.starts_with(BLOB) && key.ends_with("#2")));
    assert_nothing_ran(&service.store().build(&context, &["-t", "app", "--cache-from", FROM]), &digest);
}

#[test]
fn without_a_runner_it_is_told_what_is_missing() {
    let folder = scratch();
    let context = context(folder.path());
    let bare = Store::with_busybox();
    let missing = "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not set";
    let (code, said) = told(&bare, &context, &["-t", "app", "--cache-from", FROM]);
    assert!(code == 0 && said.contains("is not used: ") && said.contains(missing), "{said}");
    assert!(said.contains("crazy-max/ghaction-github-runtime"), "{said}");
    let (code, said) = told(&bare, &context, &["--cache-to", TO]);
    assert!(code == 3 && said.contains("cannot be written: ") && said.contains(missing), "{said}");
    let (code, said) = told(&bare, &context, &["--cache-to", &format!("{TO},ignore-error=true")]);
    assert!(code == 0 && said.contains("was not written: ") && said.contains(missing), "{said}");
    let old = Store::with_busybox().set("ACTIONS_CACHE_URL", "http://127.0.0.1:1/").set("ACTIONS_RUNTIME_TOKEN", "t");
    let (code, said) = told(&old, &context, &["--cache-to", TO]);
    assert!(code == 3 && said.contains("version 1 of the cache service, which is not spoken here"), "{said}");
    // In a build file, which is for other machines as well, it is a warning.
    put(
        &context,
        "build.toml",
        "[target.default]\ncache-from = [\"type=gha\"]\ncache-to = [{ type = \"gha\", mode = \"max\" }]\n",
    );
    let mut command = bare.command();
    let (code, _, said) = outcome(command.current_dir(&context).args(["bake", "--no-lock", "--progress", "plain"]));
    assert!(code == 0 && said.contains("was not written: ") && said.contains(missing), "{said}");
}

#[test]
fn a_build_file_names_the_service() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(folder.path());
    let file = "[target.default]\ntags = [\"app\"]\ncache-from = [{ type = \"gha\", scope = \"a b\" }]\n\
        cache-to = [\"type=gha,scope=a b,mode=max\"]\n";
    put(&context, "build.toml", file);
    let built = service.store().bake(&context, &["--no-lock"]);
    assert_eq!(built.executed, 6);
    assert!(service.finished().iter().any(|key| key.starts_with("imgbuild-index-1-a%20b-")));
    assert_nothing_ran(&service.store().bake(&context, &["--no-lock"]), &built.digest);
    let docker = "target \"default\" {\n  tags = [\"app\"]\n  cache-from = [{ type = \"gha\", scope = \"a b\" }]\n}\n";
    put(&context, "docker-bake.hcl", docker);
    let again = service.store().bake(&context, &["--no-lock", "-f", "docker-bake.hcl"]);
    assert_nothing_ran(&again, &built.digest);
}

#[test]
fn the_token_goes_to_nobody_else() {
    let (service, folder) = (Service::start(), scratch());
    let context = context(folder.path());
    let thief = Web::serve(|_, _| Reply::status(500));
    let token = service.token(&[("refs/heads/main", 3)]);
    let store = service.store_of(&token);
    let there = format!("{FROM},url_v2={}", thief.url("/"));
    let (code, said) = told(&store, &context, &["--cache-from", &there]);
    assert!(code == 0 && said.contains("ACTIONS_RUNTIME_TOKEN is not for 127.0.0.1"), "{said}");
    let (code, said) = told(&store, &context, &["--cache-to", &there]);
    assert!(code == 3 && said.contains("ACTIONS_RUNTIME_TOKEN is not for 127.0.0.1"), "{said}");
    assert_eq!(thief.count(), 0);
    // Nor in plain text to a machine that is not this one.
    let plain = Store::with_busybox()
        .set("ACTIONS_RESULTS_URL", "http://results.example/")
        .set("ACTIONS_RUNTIME_TOKEN", &token);
    let (code, said) = told(&plain, &context, &["--cache-from", FROM]);
    assert!(code == 0 && said.contains("the token would be sent in plain text"), "{said}");
    // One that is given goes where it is given for, and is not shown.
    let words = format!("{FROM},url_v2={},token={token}", service.url());
    let given = Store::with_busybox();
    given.build(&context, &["-t", "app", "--cache-to", &format!("{words},mode=max")]);
    let (code, said) = told(&Store::with_busybox(), &context, &["--cache-from", &words]);
    assert!(code == 0 && said.contains("nothing to do") && !said.contains(&token), "{said}");
    let kept = Command::new("grep").args(["-rlF", &token]).arg(given.path()).output().unwrap();
    assert_eq!((kept.status.code(), text(&kept.stdout)), (Some(1), String::new()), "it is nowhere in the store");
}
