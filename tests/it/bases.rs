//! What a base image brings is in the image that is built on it, as it was, whether the cache is cold or warm.

use std::fs;

use imgbuild::digest::Digest;
use serde_json::Value;

use crate::support::{Store, scratch};

/// A tar as no image builder would write it: unsorted, with `./`, with names and times of owners.
fn odd_tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("./z/file", "z"), ("./a", "a")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        header.set_username("somebody").unwrap();
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_base_layer_stays_as_it_is() {
    let work = scratch();
    let rootfs = work.path().join("rootfs.tar");
    fs::write(&rootfs, odd_tar()).unwrap();
    let context = work.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM base\nCOPY Dockerfile /\n").unwrap();
    let store = Store::new();
    store.run(&["import", rootfs.to_str().unwrap(), "base"]);

    let cold = store.build(&context, &["-t", "app"]);
    let warm = store.build(&context, &["-t", "app"]);
    assert_eq!((cold.executed, warm.executed), (1, 0));
    assert_eq!(warm.digest, cold.digest, "a warm cache makes the same image");
    let archive = format!("type=oci,dest={}", work.path().join("app.tar").display());
    let written = store.build(&context, &["-t", "app", "-o", "type=image", "-o", &archive]);
    assert_eq!(written.digest, cold.digest, "an output that says nothing of compression has the same layers");
    let inspected: Value = serde_json::from_str(&store.run(&["inspect", "app"])).unwrap();
    let lowest = &inspected[0]["RootFS"]["Layers"][0];
    assert_eq!(*lowest, Digest::of(&odd_tar()).to_string(), "the base's layer is the tar that was imported");
}
