//! Registries: Debian's own in several configurations, other people's programs at the same one, and servers that do what
//! they should not.

mod access;
mod actions;
mod bucket;
mod build;
mod cache;
mod cuts;
mod faults;
mod hostile;
mod lazy;
mod lock;
mod machines;
mod server;
mod service;
mod tokens;
mod transfer;
mod tricks;

use std::fs;
use std::path::{Path, PathBuf};

use imgbuild::digest::Digest;

pub use server::Registry;

use crate::failures::is_root;
use crate::support::{Store, put};

/// Pauses that nobody notices.
const HURRIED: &str = "[network]\ntries = 3\npause = 0.001\n";

/// The digest that the store knows an image by.
fn digest_of(store: &Store, image: &str) -> String {
    let shown: serde_json::Value = serde_json::from_str(&store.run(&["inspect", image])).unwrap();
    shown[0]["Descriptor"]["digest"].as_str().unwrap().to_owned()
}

/// A folder to build from.
fn context(folder: &Path, dockerfile: &str) -> PathBuf {
    put(folder, "Dockerfile", dockerfile);
    put(folder, "hello", "hello\n");
    folder.to_owned()
}

/// Whether a store has a blob.
fn has_blob(store: &Store, digest: &str) -> bool {
    store.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:")).exists()
}

/// Checks that every blob of a store is what its name says, and that nothing is left of what was on its way there.
fn assert_sound(store: &Store) {
    for entry in fs::read_dir(store.path().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let actual = Digest::of(&fs::read(&path).unwrap()).hex();
        assert_eq!(path.file_name().unwrap().to_string_lossy(), actual);
    }
    let left = fs::read_dir(store.path().join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name != "locks").collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new());
    store.run(&["df"]);
}

/// Writes where passwords are kept that a host has this one.
fn keep_password(home: &Path, host: &str, password: &str) {
    let auth = tokens::base64(format!("me:{password}").as_bytes());
    put(home, ".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
}
