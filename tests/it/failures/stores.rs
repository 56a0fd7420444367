//! Stores in odd places: other file systems, odd ones, read-only ones, and what killed processes left in them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::machine::in_mount_namespace;
use super::{World, busybox, ended, is_root, names};
use crate::support::{repository, text};

const WITH_RUN: &str = "FROM busybox\nRUN --mount=type=cache,target=/c rm -r /home && mkdir /home && ln /bin/busybox /b\n\
    COPY f /f\n";
const WITHOUT_RUN: &str = "FROM busybox\nWORKDIR /w\nCOPY f /f\n";

/// A world in whose context are both.
fn world() -> World {
    let world = World::new();
    world.file("f", "x").dockerfile(WITH_RUN).file("Plain", WITHOUT_RUN);
    fs::create_dir(world.path("disk")).unwrap();
    world
}

/// Sandboxes open what they mount from another working folder.
#[test]
fn by_a_relative_path() {
    if !is_root() {
        return;
    }
    let world = world();
    let digest = world.succeeds(&[]);
    let mut command = Command::new(world.program());
    command.args(["--root", "store", "build", "-q", "--no-cache", "context"]).current_dir(world.path(""));
    let built = ended(&mut command);
    assert_eq!((built.code, built.out.trim()), (0, digest.as_str()), "{}", built.err);
    world.is_clean();
}

/// The same digests wherever the store is: a few of the conformance cases on whichever of the file systems this machine
/// can make and mount. `tests/conformance/filesystems.py` by hand does all of them.
#[test]
fn on_other_file_systems() {
    if !is_root() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg("-B").arg(repository("tests/conformance/filesystems.py")).args(["--every", "90", "--imgbuild"]);
    let done = ended(command.arg(env!("CARGO_BIN_EXE_imgbuild")).stdin(Stdio::null()));
    for skipped in done.out.lines().filter(|line| line.starts_with("skipped")) {
        eprintln!("{skipped}");
    }
    if done.out.contains("\non tmpfs:") {
        eprintln!("skipped: this machine mounts no file systems from files");
        return;
    }
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains(" passed, 0 failed"), "{}", done.out);
}

/// What does not need an overlay of the layers works, with the same digest; the rest says why it does not, and harms nothing.
#[test]
fn where_no_overlay_can_be() {
    if !is_root() {
        return;
    }
    let world = world();
    let digest = world.succeeds(&["-f", "context/Plain"]);
    // Another overlay, as the root file system of a container is.
    let script = format!(
        "mkdir lower upper work; mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work disk
        ./imgbuild --root disk/store load -q -i {} >/dev/null; set +e
        ./imgbuild --root disk/store build -q -f context/Plain context; echo code $?
        ./imgbuild --root disk/store build context; echo code $?
        ./imgbuild --root disk/store images -q; ./imgbuild --root disk/store fsck --deep; ls disk/store/tmp",
        busybox().display()
    );
    let told = in_mount_namespace(&world, &script);
    assert!(told.starts_with(&format!("{digest}\ncode 0\ncode 3\n")), "{told}");
    for words in ["cannot mount an overlay of the layers", "--root or IMGBUILD_ROOT", "nothing is wrong\nlocks\n"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    world.is_clean();
}

/// All of it is there already: the image is listed, or leaves.
#[test]
fn read_only_with_everything_cached() {
    if !is_root() {
        return;
    }
    let world = world();
    let digest = world.succeeds(&["-t", "a"]);
    let script = "mount --bind store store; mount -o remount,ro,bind store; set +e
        ./imgbuild --root store build -q -t a context; echo code $?
        ./imgbuild --root store build -q -o type=oci,dest=a.tar context; echo code $?
        ./imgbuild --root store build -q -t b context; echo code $?
        ./imgbuild --root store fsck --deep";
    let told = in_mount_namespace(&world, script);
    assert!(told.starts_with(&format!("{digest}\ncode 0\n{digest}\ncode 0\ncode 3\n")), "{told}");
    assert!(told.contains("index.lock: Read-only file system") && told.contains("nothing is wrong"), "{told}");
    assert!(world.path("a.tar").exists());
    world.is_clean();
}

/// A build was killed while it wrote its lockfile and its archive.
#[test]
fn what_was_being_written() {
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY . /\n");
    let digest = world.succeeds(&["-o", "type=oci,dest=a.tar"]);
    let half = |place: &Path, name: &str| fs::write(place.join(name), "half").unwrap();
    half(&world.context(), "Dockerfile.lock.7-0.new");
    half(&world.path(""), "a.tar.7-0.part");
    half(&world.path(""), "b.tar.7-0.part");
    half(&world.store().join("builds"), "1.7-0.new");
    // It is no part of the context.
    assert_eq!(world.succeeds(&["-o", "type=oci,dest=a.tar"]), digest);
    fs::remove_file(world.context().join("Dockerfile.lock")).unwrap();
    world.succeeds(&[]);
    let left: Vec<String> =
        [world.context(), world.path(""), world.store().join("builds")].iter().flat_map(|place| names(place)).collect();
    let left: Vec<&String> = left.iter().filter(|name| name.ends_with("part") || name.ends_with("new")).collect();
    assert_eq!(left, ["b.tar.7-0.part"], "that of another file is somebody else's");
    fs::remove_file(world.path("b.tar.7-0.part")).unwrap();
    half(&world.store().join("builds"), "1.7-0.new");
    let checked = ended(&mut world.command(&["fsck"]));
    assert!(
        checked.code == 1 && checked.out.contains("builds/1.7-0.new: a process that is gone has left it"),
        "{}",
        checked.out
    );
    assert_eq!(ended(&mut world.command(&["fsck", "--repair"])).code, 0);
    assert_eq!(ended(&mut world.command(&["fsck"])).code, 0);
    world.is_clean();
}

/// A record that cannot be read stops nearly everything; `fsck --repair` gets it out of the way, and nothing is lost.
#[test]
fn a_damaged_container() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let run = |arguments: &[&str]| ended(&mut world.command(arguments));
    assert_eq!(run(&["run", "--name", "box", "busybox", "sh", "-c", "echo x > /thesis"]).code, 0);
    let id = names(&world.store().join("containers")).into_iter().find(|name| name.len() == 64).unwrap();
    fs::write(world.store().join("containers").join(&id).join("container.json"), "{").unwrap();
    assert_ne!(run(&["ps", "-a"]).code, 0);
    let checked = run(&["fsck"]);
    assert!(
        checked.code == 1 && checked.out.contains(&format!("container {id}: it cannot be read")),
        "{}",
        checked.out
    );
    let repaired = run(&["fsck", "--repair"]);
    assert!(repaired.code == 0 && repaired.out.contains("lost+found"), "{}", repaired.out);
    assert_eq!(run(&["ps", "-a"]).code, 0);
    let thesis = world.store().join("lost+found").join(&id).join("upper/thesis");
    assert_eq!(text(&fs::read(thesis).unwrap()), "x\n");
    assert_eq!(run(&["fsck"]).code, 0);
    world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
    world.is_clean();
}
