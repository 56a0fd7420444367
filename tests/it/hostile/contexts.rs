//! Folders of others: pipes, devices and folders where files are expected, and depths that no stack holds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

use super::doors::World;
use crate::support::put;

/// Makes something at a path.
type Make = fn(&Path);

/// Makes other bytes of some.
type Change = fn(&[u8]) -> Vec<u8>;

/// What can stand where a file is expected.
const STRANGE: [(&str, Make); 7] = [
    ("a pipe", |path| mkfifo(path, Mode::S_IRWXU).unwrap()),
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("zeros", |path| symlink("/dev/zero", path).unwrap()),
    ("a terminal", |path| symlink("/dev/tty", path).unwrap()),
    ("a circle", |path| symlink(path.file_name().unwrap(), path).unwrap()),
    ("nothing", |path| symlink("nowhere", path).unwrap()),
    ("a socket", |path| mknod(path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).unwrap()),
];

/// Every file that is read because it is there.
#[test]
fn where_files_are_expected() {
    for world in World::each() {
        let context = world.path("context");
        let shown = "../context";
        let mut passes = 0;
        for (name, command) in [
            ("Dockerfile", &["build", "--no-lock", shown][..]),
            (".dockerignore", &["build", "--no-lock", shown]),
            ("Dockerfile.dockerignore", &["build", "--no-lock", shown]),
            ("Dockerfile.lock", &["build", shown]),
            ("build.toml", &["bake", "-f", "../context/build.toml"]),
            ("docker-bake.hcl", &["bake", "-f", "../context/docker-bake.hcl"]),
            ("compose.yaml", &["bake", "-f", "../context/compose.yaml"]),
            ("file", &["build", "--no-lock", shown]),
            ("archive", &["build", "--no-lock", shown]),
        ] {
            for (what, make) in STRANGE {
                let _ = fs::remove_dir_all(&context);
                put(&context, "Dockerfile", "FROM scratch\nCOPY . /all/\nCOPY fil[e] /\nADD archiv[e] /\n");
                let path = context.join(name);
                let _ = fs::remove_file(&path);
                make(&path);
                world.give(&path);
                let ended = world.run(command, b"");
                // A link to nothing is nothing, and some of these can be copied.
                if ["Dockerfile", "build.toml", "docker-bake.hcl", "compose.yaml"].contains(&name) {
                    assert!([1, 2].contains(&ended.code), "{name} is {what}: {}", ended.err);
                    assert!(ended.err.contains(name), "{name} is {what}: {}", ended.err);
                }
                world.is_untouched(what);
                passes += 1;
            }
        }
        println!("{passes} contexts, as many passes {}", world.name());
        world.is_sound();
    }
}

/// Standard input that never ends.
#[test]
fn what_never_ends() {
    let world = World::new();
    put(&world.path("context"), "f", "x");
    for (arguments, code) in [("build -", 1), ("build -f - ../context", 1), ("load", 1), ("import - evil", 1)] {
        let program = env!("CARGO_BIN_EXE_imgbuild");
        let script = format!("yes | {program} --root {} {arguments}; echo $?", world.store().display());
        let mut command = std::process::Command::new("bash");
        let (_, out, err) = crate::support::outcome(command.args(["-c", &script]).current_dir(world.path("here")));
        assert_eq!(out.trim(), code.to_string(), "{arguments}: {err}");
    }
    println!("4 streams, as many passes");
    world.is_sound();
}

/// The same places in folders that are image layouts, as bases and as caches.
#[test]
fn in_layouts() {
    for world in World::each() {
        let layout = world.path("layout");
        put(&world.path("context"), "f", "x");
        let cache = format!("type=local,dest={}", layout.display());
        let dockerfile = "FROM scratch\nCOPY f /\n";
        let build = |arguments: &[&str]| {
            let all = [&["build", "-q", "--no-lock", "-f", "-"], arguments, &["../context"]].concat();
            world.run(&all, dockerfile.as_bytes())
        };
        assert_eq!(build(&["--cache-to", &cache]).code, 0);
        let mut files = vec![layout.join("index.json"), layout.join("oci-layout")];
        files.extend(fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()));
        let mut passes = 0;
        for file in &files {
            let good = fs::read(file).unwrap();
            for (what, make) in STRANGE {
                fs::remove_file(file).unwrap();
                make(file);
                world.give(file);
                let told = format!("{} is {what}", file.display());
                let from = format!("type=local,src={}", layout.display());
                // A cache that cannot be used is passed over, or refused; what is built is right.
                let built = build(&["--no-cache", "--cache-from", &from, "-o", "type=tar,dest=-"]);
                assert!(built.code <= 1, "{told}: {}", built.err);
                let base = format!("base=oci-layout://{}", layout.display());
                let _ = world.run(&["build", "-q", "--build-context", &base, "-"], b"FROM base\n");
                let _ = world.run(&["load", "-q", "-i", layout.to_str().unwrap()], b"");
                let _ = world.run(&["copy", &format!("oci:{}", layout.display()), "store:x"], b"");
                let _ = fs::remove_dir(file).or_else(|_| fs::remove_file(file));
                fs::write(file, &good).unwrap();
                world.is_untouched(&told);
                passes += 4;
            }
        }
        println!("{} layouts, {passes} passes {}", files.len() * STRANGE.len(), world.name());
        world.is_sound();
    }
}

/// A cache whose layers are others than it says.
#[test]
fn caches_that_lie() {
    let world = World::new();
    let layout = world.path("layout");
    put(&world.path("context"), "f", "x");
    let run = |arguments: &[&str]| {
        let all =
            [&["build", "-q", "--no-lock", "-f", "-", "-o", "type=tar,dest=-"], arguments, &["../context"]].concat();
        world.run(&all, b"FROM scratch\nCOPY f /\nCOPY f /g\n")
    };
    let to = format!("type=local,dest={}", layout.display());
    let good = run(&["--cache-to", &to]);
    assert_eq!(good.code, 0, "{}", good.err);
    let blobs = layout.join("blobs/sha256");
    let mut passes = 0;
    for name in crate::failures::names(&blobs) {
        let path = blobs.join(&name);
        let bytes = fs::read(&path).unwrap();
        let changes: [Change; 5] = [
            |bytes| bytes[..bytes.len() / 2].to_vec(),
            |bytes| [bytes, b"garbage"].concat(),
            |bytes| bytes.iter().map(|byte| byte ^ 1).collect(),
            |_| super::tar::Tar::new().file("../../escaped", "x").end(),
            |_| Vec::new(),
        ];
        for change in changes {
            fs::write(&path, change(&bytes)).unwrap();
            let other = World::new();
            let from = format!("type=local,src={}", layout.display());
            let all = ["build", "-q", "--no-lock", "-f", "-", "--cache-from", &from, "-o", "type=tar,dest=-"];
            let context = world.path("context");
            let built =
                other.run(&[&all[..], &[context.to_str().unwrap()]].concat(), b"FROM scratch\nCOPY f /\nCOPY f /g\n");
            // Whatever it says, what is built is right, or nothing is.
            assert!(built.code == 1 || built.out == good.out, "{name}: {}", built.err);
            other.is_untouched(&name);
            other.is_sound();
            passes += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    println!("{passes} caches, as many passes");
}

/// Folders that are deeper than any path that Linux takes, and deeper than the stack of a thread.
#[test]
fn deep_folders() {
    let world = World::new();
    let context = world.path("context");
    put(&context, "d/f", "x");
    let make = |depth: usize| {
        // No path to it can be given to the system at once.
        let script = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(int(sys.argv[2])): os.mkdir('d'); os.chdir('d')\nopen('keep', 'w')";
        crate::support::sh(&["python3", "-c", script, context.to_str().unwrap(), &depth.to_string()]);
    };
    fs::remove_dir_all(&context).unwrap();
    fs::create_dir_all(&context).unwrap();
    make(1000);
    for (ignore, dockerfile, code) in [
        ("", "FROM scratch\nCOPY . /\n", 0),
        ("*\n!**/keep\n", "FROM scratch\nCOPY . /\n", 0),
        ("*\n!**/none\n", "FROM scratch\nCOPY . /\n", 0),
        ("", "FROM scratch\nCOPY --exclude=** --exclude=!**/keep . /\n", 0),
        ("", "FROM scratch\nCOPY --parents **/keep /\n", 0),
    ] {
        put(&context, ".dockerignore", ignore);
        let ended = world.run(&["build", "-q", "--no-lock", "-f", "-", "../context"], dockerfile.as_bytes());
        assert_eq!(ended.code, code, "{ignore}{dockerfile}: {}", ended.err);
    }
    crate::support::sh(&["rm", "-rf", context.to_str().unwrap()]);
    fs::create_dir(&context).unwrap();
    make(10_000);
    for ignore in ["", "*\n!**/none\n"] {
        put(&context, ".dockerignore", ignore);
        let ended = world.run(&["build", "-q", "--no-lock", "-f", "-", "../context"], b"FROM scratch\nCOPY . /\n");
        // What is excluded is only looked at; what is copied has a path that is too long.
        assert!(ended.code == 1 || !ignore.is_empty(), "{}", ended.err);
        assert!(ended.code == 0 || ended.err.contains("longer than"), "{}", ended.err);
    }
    println!("7 contexts, as many passes");
    crate::support::sh(&["rm", "-rf", context.to_str().unwrap()]);
    world.is_untouched("deep folders");
    world.is_sound();
}
