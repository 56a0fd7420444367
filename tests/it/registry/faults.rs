//! A registry that would do what it should, but something is wrong with it: its disk, its clock, the crowd before its door.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::json;

use super::cuts::noise;
use super::server::{Registry, free_port, gate};
use super::{HURRIED, assert_sound, context, digest_of, is_root};
use crate::support::{Store, outcome, put, run, scratch};
use crate::web::Reply;

/// A store with an image of one layer of this many bytes.
fn store_with(bytes: usize) -> Store {
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), "FROM scratch\nCOPY noise /\n");
    put(&context, "noise", noise(bytes));
    store.build(&context, &["-t", "large"]);
    store
}

/// Runs the program in a hurry: exit code and what was said.
fn hurried(store: &Store, words: &[&str]) -> (i32, String) {
    let folder = scratch();
    let config = put(folder.path(), "imgbuild.toml", HURRIED);
    let (code, _, said) = outcome(store.command().env("IMGBUILD_CONFIG", config).args(words));
    (code, said)
}

/// A folder in memory; goes when it is dropped.
struct Memory(PathBuf);

impl Memory {
    fn mount(folder: &Path, options: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder));
        Self(folder.to_owned())
    }

    fn remount(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_registry_without_room_says_so_and_gets_the_rest_later() {
    if !is_root() {
        eprintln!("skipped: mounting a small disk is for root");
        return;
    }
    let folder = scratch();
    let disk = Memory::mount(&folder.path().join("data"), "size=3m");
    let registry = Registry::at(free_port(), folder, "", "");
    let store = store_with(8 << 20);
    let name = format!("{}/large:1", registry.host());
    store.run(&["tag", "large", &name]);
    let (code, said) = hurried(&store, &["push", &name]);
    assert_eq!(code, 1);
    assert!(said.contains("500") && said.contains(&registry.host()), "{said}");
    // What is there by halves is no image.
    assert_eq!(hurried(&Store::new(), &["pull", &name]).0, 1);
    disk.remount("size=64m");
    let (code, said) = hurried(&store, &["push", &name]);
    assert_eq!(code, 0, "{said}");
    let other = Store::new();
    other.run(&["pull", &name]);
    assert_eq!(digest_of(&other, &name), digest_of(&store, "large"));

    // A disk that can only be read gives what it has and takes nothing.
    disk.remount("ro,size=64m");
    let another = format!("{}/another:1", registry.host());
    let fresh = store_with(1 << 20);
    fresh.run(&["tag", "large", &another]);
    let (code, said) = hurried(&fresh, &["push", &another]);
    assert_eq!(code, 1);
    assert!(said.contains("500"), "{said}");
    let other = Store::new();
    other.run(&["pull", &name]);
    assert_sound(&other);
    drop(registry);
}

#[test]
fn a_registry_that_lost_or_mixed_up_bytes_is_found_out() {
    let store = store_with(1 << 20);
    for (damage, expected) in [
        ("other", "digest"),
        ("short", "it has no more than"),
        ("empty", "ended after 0 of"),
        ("gone", "is not to be had"),
    ] {
        let folder = scratch();
        let data = folder.path().join("data/docker/registry/v2/blobs/sha256");
        let registry = Registry::at(free_port(), folder, "", "");
        let name = format!("{}/large:1", registry.host());
        store.run(&["copy", "store:large", &name]);
        let all = fs::read_dir(&data).unwrap().flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
        let all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path().join("data")).collect();
        let layer = all.iter().find(|file| file.metadata().unwrap().len() > 1 << 20).unwrap();
        let bytes = fs::read(layer).unwrap();
        match damage {
            "other" => fs::write(layer, vec![0; bytes.len()]).unwrap(),
            "short" => fs::write(layer, &bytes[..bytes.len() / 2]).unwrap(),
            "empty" => fs::write(layer, "").unwrap(),
            _ => fs::remove_file(layer).unwrap(),
        }
        let other = Store::new();
        let (code, said) = hurried(&other, &["pull", &name]);
        assert_eq!(code, 1, "{damage}");
        assert!(said.contains("error: ") && said.contains(expected), "{damage}: {said}");
        assert_eq!(other.run(&["images"]).lines().count(), 1);
        assert_sound(&other);
    }
}

#[test]
fn a_cache_of_another_registry_takes_nothing() {
    let registry = Registry::open();
    let cache = Registry::with(&format!("proxy: {{remoteurl: \"http://{}\"}}", registry.host()));
    let store = Store::with_busybox();
    store.run(&["copy", "store:busybox", &format!("{}/base:1", registry.host())]);
    let through = format!("{}/base:1", cache.host());
    let other = Store::new();
    other.run(&["pull", &through]);
    assert_eq!(digest_of(&other, &through), digest_of(&store, "busybox"));
    let name = format!("{}/new:1", cache.host());
    store.run(&["tag", "busybox", &name]);
    let (code, said) = hurried(&store, &["push", &name]);
    assert_eq!(code, 1);
    // It fails at looking for what the other registry lacks, before it could say that it takes nothing.
    assert!(said.contains(&cache.host()) && (said.contains("500") || said.contains("405")), "{said}");
    // What it has not seen yet, it cannot give once the other is gone.
    drop(registry);
    let (code, said) = hurried(&Store::new(), &["pull", &format!("{}/unseen:1", cache.host())]);
    assert_eq!(code, 1);
    assert!(said.contains("unseen"), "{said}");
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_push_is_renewed() {
    // Each token is good for one request, whatever is said of it: so it also ends before each piece and each manifest.
    let registry = Registry::open();
    let realm: Arc<OnceLock<String>> = Arc::default();
    let own = realm.clone();
    let refused: Arc<AtomicUsize> = Arc::default();
    let counted = refused.clone();
    let state = Mutex::new((0, 0));
    let web = gate(registry.port(), move |request| {
        let (token, uses) = &mut *state.lock().unwrap();
        if request.path.starts_with("/token") {
            (*token, *uses) = (*token + 1, 0);
            return Some(Reply::file(json!({ "token": format!("t{token}"), "expires_in": 300 }).to_string()));
        }
        *uses += 1;
        if request.header("authorization") == format!("Bearer t{token}") && *uses == 1 {
            return None;
        }
        if request.method == "PUT" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Some(Reply::status(401).with("WWW-Authenticate", &format!("Bearer realm=\"{}\"", realm.get().unwrap())))
    });
    own.set(web.url("/token")).unwrap();
    let (store, folder) = (store_with(1 << 20), scratch());
    let config = put(folder.path(), "imgbuild.toml", "[network]\ntransfers = 1\n");
    let name = format!("127.0.0.1:{}/a:1", web.port());
    store.run(&["tag", "large", &name]);
    run(store.command().env("IMGBUILD_CONFIG", config).args(["push", &name]));
    assert!(refused.load(Ordering::SeqCst) >= 3, "layer, configuration and manifest");
    let (other, there) = (Store::new(), format!("{}/a:1", registry.host()));
    other.run(&["pull", &there]);
    assert_eq!(digest_of(&other, &there), digest_of(&store, "large"));
}

#[test]
fn a_busy_registry_is_sent_things_again_but_not_for_ever() {
    for status in [429, 500, 503] {
        let registry = Registry::open();
        // What is done for the first time, or for the second, is too much.
        let counts: Mutex<HashMap<String, usize>> = Mutex::default();
        let web = gate(registry.port(), move |request| {
            let path = request.path.split_inclusive("uploads/").next().unwrap_or_default();
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(format!("{} {path}", request.method)).or_default();
            *count += 1;
            (*count <= 2).then(|| Reply::status(status).with("Retry-After", "0"))
        });
        let (store, folder) = (store_with(1 << 20), scratch());
        let config = put(folder.path(), "imgbuild.toml", HURRIED.replace("tries = 3", "tries = 8"));
        let name = format!("127.0.0.1:{}/a:1", web.port());
        store.run(&["tag", "large", &name]);
        run(store.command().env("IMGBUILD_CONFIG", config).args(["push", &name]));
        let (other, there) = (Store::new(), format!("{}/a:1", registry.host()));
        other.run(&["pull", &there]);
        assert_eq!(digest_of(&other, &there), digest_of(&store, "large"));

        // One that takes layers but never the manifest: no image is there, and it is said what could not be done.
        let registry = Registry::open();
        let web = gate(registry.port(), move |request| {
            let is_manifest = request.method == "PUT" && request.path.contains("/manifests/");
            is_manifest.then(|| Reply::status(status).with("Retry-After", "0"))
        });
        let name = format!("127.0.0.1:{}/a:1", web.port());
        store.run(&["tag", "large", &name]);
        let (code, said) = hurried(&store, &["push", &name]);
        assert_eq!(code, 1);
        assert!(said.contains(&status.to_string()) && said.contains("a:1"), "{said}");
        let puts = web.requests().iter().filter(|request| request.path.contains("/manifests/1")).count();
        assert!(puts <= 4, "{puts}");
        assert_eq!(hurried(&Store::new(), &["pull", &format!("{}/a:1", registry.host())]).0, 1);
    }
}
