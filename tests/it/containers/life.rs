//! The life of an image, as a course about Docker tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{diff, fails, is_root};
use crate::support::{Store, put, run, scratch, sh};

/// A root file system of busybox alone, as a `tar.xz` in a build context.
fn rootfs(folder: &Path) -> PathBuf {
    let root = folder.join("rootfs");
    for name in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "echo", "cat", "ls", "touch", "rm", "mkdir", "wc"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let archive = folder.join("rootfs.tar.xz");
    run(Command::new("tar").args(["-cJf"]).arg(&archive).arg("-C").arg(&root).arg("."));
    fs::remove_dir_all(root).unwrap();
    archive
}

fn dockerfile(folder: &Path, text: &str) {
    put(folder, "Dockerfile", text);
}

fn inspect(store: &Store, name: &str) -> Value {
    serde_json::from_str::<Value>(&store.run(&["inspect", name])).unwrap()[0].clone()
}

fn id(store: &Store, name: &str) -> String {
    inspect(store, name)["Id"].as_str().unwrap().to_owned()
}

fn layers(store: &Store, name: &str) -> Vec<String> {
    let layers = inspect(store, name)["RootFS"]["Layers"].clone();
    layers.as_array().unwrap().iter().map(|layer| layer.as_str().unwrap().to_owned()).collect()
}

#[test]
fn from_scratch_to_the_bin() {
    if !is_root() {
        return;
    }
    let store = Store::new();
    let folder = scratch();
    let context = folder.path();
    let build = |tag: &str| store.build(context, &["-t", tag]);

    // An image of one program, from nothing.
    put(context, "hello.c", "#include <stdio.h>\nint main(void) { puts(\"Hello from scratch\"); return 0; }\n");
    sh(&[
        "cc",
        "-static",
        "-o",
        &context.join("hello").display().to_string(),
        &context.join("hello.c").display().to_string(),
    ]);
    dockerfile(context, "FROM scratch\nCOPY hello /\nCMD [\"/hello\"]\n");
    build("hello");
    assert_eq!(store.run(&["run", "--rm", "hello"]), "Hello from scratch\n");
    assert_eq!(layers(&store, "hello").len(), 1);

    // A base image of a root file system.
    rootfs(context);
    dockerfile(context, "FROM scratch\nADD rootfs.tar.xz /\nCMD [\"sh\"]\n");
    build("base:1");
    assert_eq!(store.run(&["run", "--rm", "base:1", "cat", "/etc/passwd"]), "root:x:0:0:root:/root:/bin/sh\n");

    // Two images on it have its layer in common, and the store has it once.
    dockerfile(context, "FROM base:1\nRUN echo one >/one\nCMD [\"cat\", \"/one\"]\n");
    build("one");
    let blobs = fs::read_dir(store.path().join("blobs/sha256")).unwrap().count();
    dockerfile(context, "FROM base:1\nRUN echo two >/two\nCMD [\"cat\", \"/two\"]\n");
    build("two");
    let [base, one, two] = ["base:1", "one", "two"].map(|name| layers(&store, name));
    assert_eq!((&one[..1], &two[..1]), (&base[..], &base[..]));
    assert_ne!(one[1], two[1]);
    let now = fs::read_dir(store.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(now, blobs + 3, "only a layer, a configuration and a manifest came");
    assert_eq!(store.run(&["run", "--rm", "two"]), "two\n");

    // How it came to be.
    let history = store.run(&["history", "--no-trunc", "two"]);
    for words in ["CMD [\"cat\" \"/two\"]", "RUN /bin/sh -c echo two >/two", "ADD rootfs.tar.xz /"] {
        assert!(history.contains(words), "{words:?} is not in {history}");
    }

    // A change in a container, kept as an image.
    store.run(&["run", "--name", "work", "one", "sh", "-c", "echo more >>/one; touch /new"]);
    assert_eq!(diff(&store, "work"), ["A /new", "C /one"]);
    let committed =
        store.run(&["commit", "-m", "by hand", "-a", "me", "-c", "CMD [\"cat\", \"/one\"]", "work", "three"]);
    assert_eq!(committed.trim(), id(&store, "three"));
    assert_eq!(store.run(&["run", "--rm", "three"]), "one\nmore\n");
    assert_eq!(layers(&store, "three")[..2], one[..]);
    let row: Value =
        serde_json::from_str(store.run(&["history", "--format", "json", "three"]).lines().next().unwrap()).unwrap();
    assert_eq!((&row["Comment"], &row["CreatedBy"]), (&"by hand".into(), &"sh -c echo more >>/one; touch /new".into()));
    // The same change is the same layer, however it came about.
    store.run(&["run", "--name", "again", "one", "sh", "-c", "touch /new /x; echo more >>/one; rm /x"]);
    store.run(&["commit", "again", "four"]);
    assert_eq!(layers(&store, "four"), layers(&store, "three"));
    store.run(&["rm", "work", "again"]);
    store.run(&["rmi", "four"]);

    // Out, away, and in again: the same image.
    let archive = context.join("three.tar").display().to_string();
    let (before, all) = (id(&store, "three"), layers(&store, "three"));
    store.run(&["save", "-o", &archive, "three", "hello"]);
    store.run(&["rmi", "three", "hello"]);
    fails(&store, &["inspect", "three"], 1, &["there is no"]);
    let loaded = store.run(&["load", "-q", "-i", &archive]);
    assert_eq!(loaded, "Loaded image: hello:latest\nLoaded image: three:latest\n");
    assert_eq!((id(&store, "three"), layers(&store, "three")), (before, all));
    assert_eq!(store.run(&["run", "--rm", "three"]), "one\nmore\n");

    // The files of a container as one layer.
    store.run(&["run", "--name", "flat", "three", "rm", "/new"]);
    let tar = context.join("flat.tar").display().to_string();
    store.run(&["export", "-o", &tar, "flat"]);
    let listed = sh(&["tar", "-tf", &tar]);
    assert!(
        listed.lines().any(|name| name.ends_with("one")) && !listed.lines().any(|name| name.ends_with("new")),
        "{listed}"
    );
    // Of two things with one name, `inspect` shows the container, as docker does.
    store.run(&["rm", "flat"]);
    store.run(&["import", "-c", "CMD [\"cat\", \"/one\"]", &tar, "flat"]);
    assert_eq!((store.run(&["run", "--rm", "flat"]).as_str(), layers(&store, "flat").len()), ("one\nmore\n", 1));

    // Names come and go; what has none is listed as such, and removed.
    store.run(&["tag", "one", "registry.example/team/one:1.0"]);
    assert_eq!(id(&store, "registry.example/team/one:1.0"), id(&store, "one"));
    let old = id(&store, "two");
    dockerfile(context, "FROM base:1\nRUN echo second >/two\nCMD [\"cat\", \"/two\"]\n");
    build("two");
    assert_eq!(store.run(&["images", "-q", "--no-trunc", "-f", "dangling=true"]), format!("{old}\n"));
    let pruned = store.run(&["prune", "-f", "images"]);
    assert!(pruned.contains("Deleted image: ") && !pruned.contains("Untagged"), "{pruned}");
    assert_eq!(store.run(&["images", "-q", "-f", "dangling=true"]), "");
    assert_eq!(store.run(&["run", "--rm", "two"]), "second\n");

    // By one of two names only the name goes; the last one takes the image along.
    assert_eq!(store.run(&["rmi", "one"]), "Untagged: one:latest\n");
    let last = store.run(&["rmi", "registry.example/team/one:1.0"]);
    assert!(last.starts_with("Untagged: registry.example/team/one:1.0\nDeleted: sha256:"), "{last}");
}

#[test]
fn cmd_and_entrypoint_in_all_forms() {
    if !is_root() {
        return;
    }
    let store = Store::new();
    let folder = scratch();
    let archive = rootfs(folder.path());
    store.run(&["import", archive.to_str().unwrap(), "base"]);
    let entrypoints = [("", ""), ("exec", "ENTRYPOINT [\"echo\", \"E\"]\n"), ("shell", "ENTRYPOINT echo E\n")];
    let commands = [("", ""), ("exec", "CMD [\"echo\", \"C\"]\n"), ("shell", "CMD echo C\n")];
    // What is printed without arguments and with `echo A`, as docker has it.
    let expected = |entrypoint: &str, command: &str| match (entrypoint, command) {
        ("", "") => (None, "A\n"),
        ("", _) => (Some("C\n"), "A\n"),
        ("exec", "") => (Some("E\n"), "E echo A\n"),
        ("exec", "exec") => (Some("E echo C\n"), "E echo A\n"),
        ("exec", _) => (Some("E /bin/sh -c echo C\n"), "E echo A\n"),
        // A shell takes what comes behind its script for the script's own arguments.
        _ => (Some("E\n"), "E\n"),
    };
    for (entrypoint, first) in entrypoints {
        for (command, second) in commands {
            dockerfile(folder.path(), &format!("FROM base\n{first}{second}"));
            store.build(folder.path(), &["-t", "t"]);
            let (alone, with) = expected(entrypoint, command);
            match alone {
                Some(alone) => assert_eq!(store.run(&["run", "--rm", "t"]), alone, "{first}{second}"),
                None => fails(&store, &["run", "--rm", "t"], 125, &["no CMD and no ENTRYPOINT"]),
            }
            assert_eq!(store.run(&["run", "--rm", "t", "echo", "A"]), with, "{first}{second}");
            // An entry point of one's own makes the image's command meaningless.
            assert_eq!(store.run(&["run", "--rm", "--entrypoint", "echo", "t"]), "\n", "{first}{second}");
            assert_eq!(store.run(&["run", "--rm", "--entrypoint", "", "t", "echo", "A"]), "A\n", "{first}{second}");
        }
    }
}

#[test]
fn an_image_and_a_container_can_be_mounted() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let image = store.run(&["mount", "busybox"]);
    let place = Path::new(image.trim());
    assert!(place.join("bin/busybox").exists());
    assert!(fs::write(place.join("f"), "x").is_err(), "an image is read-only");
    fails(&store, &["rmi", "busybox"], 1, &["mounted"]);
    store.run(&["prune", "--all", "-f"]);
    assert!(place.join("bin/busybox").exists(), "what is mounted stays");
    store.run(&["run", "--name", "work", "busybox", "touch", "/made"]);
    let folder = scratch();
    let target = folder.path().display().to_string();
    assert_eq!(store.run(&["mount", "work", &target]), format!("{target}\n"));
    fs::write(folder.path().join("by-hand"), "x").unwrap();
    assert!(folder.path().join("made").exists());
    fails(&store, &["rm", "work"], 1, &["is mounted"]);
    assert_eq!(store.run(&["umount", &target, "busybox"]), format!("{target}\n{}\n", place.display()));
    assert_eq!(diff(&store, "work"), ["A /by-hand", "A /made"]);
    fails(&store, &["umount", "work"], 1, &["nothing called"]);
    store.run(&["rm", "work"]);
    store.run(&["rmi", "busybox"]);
    assert_eq!(fs::read_dir(store.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn files_go_in_and_out_as_with_cp() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let here = |name: &str| folder.path().join(name).display().to_string();
    put(folder.path(), "d/f", "f\n");
    put(folder.path(), "d/sub/g", "g\n");
    store.run(&["run", "--name", "box", "busybox", "mkdir", "/there"]);
    let cat = |path: &str| {
        store.run(&["cp", &format!("box:{path}"), &here("read")]);
        fs::read_to_string(folder.path().join("read")).unwrap()
    };
    store.run(&["cp", &here("d"), "box:/there"]);
    assert_eq!(cat("/there/d/sub/g"), "g\n");
    store.run(&["cp", &here("d"), "box:/new"]);
    assert_eq!(cat("/new/f"), "f\n");
    store.run(&["cp", &format!("{}/.", here("d")), "box:/there"]);
    assert_eq!(cat("/there/f"), "f\n");
    store.run(&["cp", &here("d/f"), "box:/there/renamed"]);
    assert_eq!(cat("/there/renamed"), "f\n");
    fails(&store, &["cp", &here("d/f"), "box:/none/f"], 1, &["cannot copy"]);
    fails(&store, &["cp", &here("d/f"), "box:/there/none/"], 1, &["cannot copy"]);
    fails(&store, &["cp", "box:/none", &here("x")], 1, &["cannot read /none"]);
    fails(&store, &["cp", "a:/b", "c:/d"], 2, &["between containers"]);
    store.run(&["cp", "box:/there", &here("out")]);
    assert_eq!(fs::read_to_string(folder.path().join("out/d/sub/g")).unwrap(), "g\n");
    // As a tar, and back.
    let tar = run(store.command().args(["cp", "box:/there/d", "-"])).stdout;
    put(folder.path(), "d.tar", &tar);
    assert_eq!(sh(&["tar", "-tf", &here("d.tar")]), "d/\nd/f\nd/sub/\nd/sub/g\n");
    store.run(&["run", "--name", "other", "busybox", "true"]);
    run(store.command().args(["cp", "-", "other:/tmp"]).stdin(fs::File::open(folder.path().join("d.tar")).unwrap()));
    assert_eq!(diff(&store, "other"), ["C /tmp", "A /tmp/d", "A /tmp/d/f", "A /tmp/d/sub", "A /tmp/d/sub/g"]);
}

#[test]
fn a_link_can_stand_for_what_it_leads_to() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let here = |name: &str| folder.path().join(name).display().to_string();
    let script = "mkdir -p /d/sub && echo f >/d/f && ln -s f /d/one && ln -s /d/one /two && ln -s d /e && ln -s / /up && \
                  ln -s loop /loop && ln -s ../../../../etc/passwd /out && ln -s nothing /dangling";
    store.run(&["run", "--name", "box", "busybox", "sh", "-c", script]);
    fs::create_dir(folder.path().join("to")).unwrap();
    store.run(&["cp", "box:/two", &here("to")]);
    assert!(folder.path().join("to/two").is_symlink(), "without the flag a link is a link");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    // Over links that lead to links, under the name of the first.
    store.run(&["cp", "-L", "box:/two", &here("to")]);
    assert!(!folder.path().join("to/two").is_symlink() && read("to/two") == "f\n");
    store.run(&["cp", "--follow-link", "box:/e", &here("to")]);
    assert!(read("to/e/f") == "f\n" && folder.path().join("to/e/one").is_symlink(), "only the source is followed");
    store.run(&["cp", "-L", "box:/out", &here("to")]);
    assert!(read("to/out").starts_with("root:"), "out of the container leads no link");
    assert_eq!(
        sh(&["sh", "-c", &format!("cmp {} /etc/passwd >/dev/null && echo same || echo other", here("to/out"))]),
        "other\n"
    );
    store.run(&["cp", "-L", "box:/d/f", &here("plain")]);
    assert_eq!(read("plain"), "f\n");
    fails(&store, &["cp", "-L", "box:/loop", &here("to")], 1, &["cannot read /loop"]);
    fails(&store, &["cp", "-L", "box:/dangling", &here("to")], 1, &["cannot read"]);
    // As a tar, and of links of this machine.
    let tar = run(store.command().args(["cp", "-L", "box:/e", "-"])).stdout;
    put(folder.path(), "e.tar", &tar);
    assert_eq!(sh(&["tar", "-tf", &here("e.tar")]), "e/\ne/f\ne/one\ne/sub/\n");
    std::os::unix::fs::symlink("plain", folder.path().join("link")).unwrap();
    store.run(&["cp", "-L", &here("link"), "box:/d"]);
    store.run(&["cp", "box:/d/link", &here("back")]);
    assert_eq!(read("back"), "f\n");
}
