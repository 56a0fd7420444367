//! A machine that lacks something: space, rights, namespaces, a store of the right kind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use super::{World, busybox, ended, is_root};
use crate::support::{run, scratch, text};

const DOCKERFILE: &str = "FROM busybox\nRUN echo a > /a\nCOPY Dockerfile /\n";

#[test]
fn stores_that_cannot_be_used() {
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY Dockerfile /\n");
    let version = world.store().join("version");
    fs::write(&version, "99\n").unwrap();
    let told = world.store().display().to_string();
    world.build(&[]).failed(3, &[&told, "format 99", "newer imgbuild"]);
    ended(&mut world.command(&["images"])).failed(3, &["format 99"]);
    fs::write(&version, "1\n").unwrap();
    world.succeeds(&[]);
    let elsewhere = |place: &str| {
        let mut command = Command::new(world.program());
        ended(command.env_clear().current_dir(world.path("")).args(["--root", place, "build", "context"]))
    };
    elsewhere("context/Dockerfile").failed(3, &["context/Dockerfile", "a store is a folder", "--root"]);
    elsewhere("context/Dockerfile/below").failed(3, &["context/Dockerfile/below", "--root"]);
    elsewhere("context").failed(3, &["context is not an imgbuild store", "Dockerfile"]);
    elsewhere("/proc/nowhere").failed(3, &["/proc/nowhere"]);
    world.is_clean();
}

/// Runs a shell script in a mount namespace of its own; what it prints.
pub(super) fn in_mount_namespace(world: &World, script: &str) -> String {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", script]).current_dir(world.path("")).stdin(Stdio::null());
    let output = run(&mut command);
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn read_only_places() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile(DOCKERFILE);
    let read_only = |folder: &str, then: &str| {
        let bind = format!("mount --bind {folder} {folder}; mount -o remount,ro,bind {folder}");
        in_mount_namespace(&world, &format!("{bind}; {then}"))
    };
    let build = "set +e; ./imgbuild --root store build context 2>&1; echo \"code $?\"";
    let told = read_only("store", &format!("{build}; ./imgbuild --root store images"));
    for word in ["store/tmp", ": Read-only file system", "--root or IMGBUILD_ROOT", "code 3", "busybox"] {
        assert!(told.contains(word), "{word:?} is not in {told}");
    }
    fs::remove_file(world.context().join("Dockerfile.lock")).unwrap();
    let told = read_only("context", build);
    assert!(told.contains("code 0"), "{told}");
    let warnings: Vec<&str> = told.lines().filter(|line| line.to_lowercase().contains("warning")).collect();
    assert!(matches!(warnings[..], [one] if one.contains("context/Dockerfile.lock")), "{told}");
    world.is_clean();
    world.succeeds(&[]);
}

/// The disk is full at every moment of a build: each time a little later.
#[test]
fn full_disks() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let noise: Vec<u8> = (0..500_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    world.file("noise", &noise).dockerfile("FROM busybox\nRUN echo a > /a\nCOPY noise /\nRUN cp noise more\n");
    fs::create_dir(world.path("disk")).unwrap();
    // Whatever was refused succeeds once there is room. The processes' own output is the only sign of a full disk in `cp`.
    let script = format!(
        r#"
        mount -t tmpfs -o size=900k disk disk
        build() {{ ./imgbuild --root disk/store build --no-cache context 2>disk.err; }}
        codes=
        set +e
        for size in 900 1300 1700 2200 2600 3200 4200 5000 6000 7000 8000 9000 10000 11000 12000 14000 20000; do
            mount -o remount,size=${{size}}k disk
            ./imgbuild --root disk/store load -q -i {busybox} >/dev/null 2>disk.err && build
            code=$?
            codes="$codes $code"
            ls disk/store/tmp | grep -v locks && echo "LEFT at $size"
            [ $code = 0 ] || grep -q 'No space left' disk.err || {{ echo "SILENT at $size"; cat disk.err; }}
            [ $code != 1 ] || grep -q 'failed with exit code 1' disk.err || {{ echo "WRONG at $size"; cat disk.err; }}
            ./imgbuild --root disk/store images >disk.out 2>&1 || {{ echo "BROKEN at $size"; cat disk.out; }}
        done
        echo "codes:$codes"
        "#,
        busybox = busybox().display()
    );
    let told = in_mount_namespace(&world, &script);
    let codes = told.lines().find_map(|line| line.strip_prefix("codes:")).unwrap_or_default();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(codes.starts_with(" 3 ") && codes.ends_with(" 0") && codes.matches('3').count() > 3, "{told}");
    // The same for what is written elsewhere.
    let script = r#"
        mount -t tmpfs -o size=1m disk disk
        set +e
        for output in type=oci,dest=disk/a type=docker,dest=disk/b type=tar,dest=disk/c type=local,dest=disk/d \
                type=oci,tar=false,dest=disk/e; do
            ./imgbuild --root store build -o $output context 2>disk.err
            code=$?
            [ $code = 3 ] && grep -q 'No space left' disk.err || { echo "$output: $code"; cat disk.err; }
            [ -d disk/d ] || [ -d disk/e ] || [ -z "$(ls disk)" ] || ls disk
            rm -rf disk/*
        done
        "#;
    assert_eq!(in_mount_namespace(&world, script), "");
    world.is_clean();
    world.succeeds(&[]);
}

#[test]
fn too_few_descriptors() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile(DOCKERFILE);
    let digest = world.succeeds(&[]);
    let mut codes = Vec::new();
    // Fewer than ten are not enough to start a program; with more, some of what is open at once does not fit.
    for most in (10..40).step_by(2) {
        let script = format!("ulimit -n {most}; exec ./imgbuild --root store build --no-cache context");
        let mut command = Command::new("sh");
        let limited = ended(command.args(["-c", &script]).current_dir(world.path("")).stdin(Stdio::null()));
        codes.push(limited.code);
        if limited.code != 0 {
            limited.failed(3, &["Too many open files"]);
        }
        world.is_clean();
    }
    assert!(codes.first() == Some(&3) && codes.last() == Some(&0), "{codes:?}");
    assert_eq!(world.succeeds(&[]), digest);
}

/// A file system that keeps no extended attributes: what needs none comes out the same, and nothing else does harm.
#[test]
fn plain_file_systems() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile("FROM busybox\nRUN rm /bin/tar && mkdir /new && echo a > /new/a\nCOPY Dockerfile /\n");
    let digest = world.succeeds(&[]);
    // The kernel cannot hide what was in the old folder.
    world.file("Opaque", "FROM busybox\nRUN rm -r /home && mkdir /home\n");
    fs::create_dir(world.path("disk")).unwrap();
    let script = format!(
        "mount -t ramfs disk disk; ./imgbuild --root disk/store load -q -i {} >/dev/null; set +e
        ./imgbuild --root disk/store build -f context/Opaque context >disk.out 2>&1; echo code $?
        ./imgbuild --root disk/store build context >disk.out 2>&1; echo code $?; cat disk.out
        ./imgbuild --root disk/store fsck --deep; ls disk/store/tmp",
        busybox().display()
    );
    let told = in_mount_namespace(&world, &script);
    assert!(told.contains("nothing is wrong") && told.ends_with("locks\n"), "{told}");
    assert!(told.starts_with("code 1\ncode 0\n") && told.contains(&digest), "{told}");
    world.is_clean();
}

#[test]
fn no_namespaces() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY Dockerfile /\n").succeeds(&[]);
    world.dockerfile(DOCKERFILE);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).arg(world.program());
    command.arg("--root").arg(world.store()).args(["build", "context"]).current_dir(world.path(""));
    ended(&mut command)
        .failed(3, &["cannot create namespaces: Operation not permitted", "run as root", "CAP_SYS_ADMIN"]);
    world.is_clean();
    let limited = "echo 0 > /proc/sys/user/max_pid_namespaces; ./imgbuild --root store build context";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", limited]).current_dir(world.path(""));
    let refused = ended(&mut command);
    // Where user namespaces are not allowed at all, it is unshare that says so.
    if !refused.err.starts_with("unshare") {
        refused.failed(3, &[]);
    }
    world.is_clean();
    world.succeeds(&[]);
}

/// As a user who owns nothing but a store.
#[test]
fn files_that_may_not_be_read() {
    if !is_root() {
        return;
    }
    // Whoever it is must be able to come here.
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mode = |name: &str, mode| fs::set_permissions(place(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_imgbuild"), place("imgbuild")).unwrap();
    fs::create_dir_all(place("context/d")).unwrap();
    fs::write(place("context/d/f"), "x").unwrap();
    fs::write(place("context/Dockerfile"), "FROM scratch\nCOPY d /d\n").unwrap();
    mode("", 0o777);
    let build = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(place("imgbuild"));
        ended(command.args(["--root", "store", "build", "context"]).current_dir(folder.path()))
    };
    let built = build();
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(built.err.contains("context/Dockerfile.lock cannot be written: Permission denied"), "{}", built.err);
    for (name, words) in [
        ("context/d/f", &["context/d/f: Permission denied", "context/Dockerfile:2:1"][..]),
        ("context/d", &["context/d", "Permission denied", "context/Dockerfile:2:1"]),
        ("context/Dockerfile", &["cannot read context/Dockerfile", "Permission denied"]),
    ] {
        mode(name, 0);
        build().failed(1, words);
        mode(name, 0o755);
    }
    fs::write(place("context/d/f"), "y").unwrap();
    // What belongs to the user could be written anyhow: in a user namespace it is root's.
    let give = |id| chown(place("store/blobs/sha256"), Some(id), Some(id)).unwrap();
    give(0);
    mode("store/blobs/sha256", 0o755);
    build().failed(3, &["store/blobs/sha256", "Permission denied", "--root"]);
    give(65534);
    assert_eq!(build().code, 0);
}

#[test]
fn closed_and_full_outputs() {
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY Dockerfile /\n");
    let check = |script: &str, code: i32, word: &str| {
        let mut command = Command::new("sh");
        ended(command.args(["-c", script]).current_dir(world.path("")).stdin(Stdio::null())).failed(code, &[word]);
        world.is_clean();
    };
    check("./imgbuild --root store build --no-cache context <&- >&- 2>&-", 0, "");
    check("./imgbuild --root store build --no-cache context >/dev/full 2>/dev/full", 0, "");
    check("./imgbuild --root store build --no-cache -o - context >/dev/full", 3, "No space left");
    check("./imgbuild --root store images >/dev/full", 3, "cannot write to standard output");
    check(
        "exec 3>&2; (./imgbuild --root store build -o - context; echo ended with $? >&3) | true",
        0,
        "ended with 141",
    );
}

/// Two processes that build the same thing in one store.
#[test]
fn at_the_same_time() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.file("f", vec![b'x'; 3 << 20]);
    world.dockerfile("FROM busybox\nRUN mkdir /d && touch /d/f\nCOPY f /f\nRUN cp f g\n");
    let alone = {
        let other = scratch();
        let mut command = world.command(&["load", "-q", "-i"]);
        command.arg(busybox()).arg("--root").arg(other.path());
        run(&mut command);
        let mut command = world.command(&["build", "context", "--iidfile", "id", "--root"]);
        run(command.arg(other.path()));
        fs::read_to_string(world.path("id")).unwrap()
    };
    for round in 0..4 {
        let builds: Vec<_> = (0..3)
            .map(|number| {
                let id = format!("id-{round}-{number}");
                let mut command = world.build_command(&["--no-cache", "--iidfile", &id]);
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                (id, command.spawn().unwrap())
            })
            .collect();
        for (id, build) in builds {
            let output = build.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert_eq!(fs::read_to_string(world.path(&id)).unwrap(), alone);
        }
    }
    world.is_clean();
}
