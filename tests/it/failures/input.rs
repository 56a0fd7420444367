//! Input that is wrong: Dockerfiles, contexts, archives, lockfiles, arguments.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{Ended, World, busybox, ended, is_root, names};
use crate::support::{edit, text};

#[test]
fn dockerfiles() {
    let world = World::new();
    world.fails(&[], 1, &["there is no Dockerfile at context/Dockerfile", "-f FILE"]);
    world.fails(&["-f", "nope"], 1, &["there is no Dockerfile at nope"]);
    world.file("Dockerfile", b"FROM busybox\nRUN echo \xff\n").fails(&[], 1, &["context/Dockerfile:2 is not UTF-8"]);
    world.dockerfile("FROM busybox\nRNU echo\n").fails(
        &[],
        1,
        &["unknown instruction `RNU`", "context/Dockerfile:2:1", "2 | RNU echo", "^^^", "did you mean `RUN`?"],
    );
    world.dockerfile("FROM busybox\nCOPPY a b\nEXPOSE\nENV\n").fails(
        &[],
        1,
        &["did you mean `COPY`?", "context/Dockerfile:3:1", "`EXPOSE` needs an argument", "context/Dockerfile:4:1"],
    );
    world.dockerfile("").fails(&[], 1, &["context/Dockerfile"]);
    world.dockerfile("FROM nosuch\n").fails(
        &["--offline"],
        1,
        &["no image nosuch:latest", "context/Dockerfile:1:6", "pull"],
    );
    let context = ended(&mut world.command(&["build", "nowhere"]));
    context.failed(1, &["the build context nowhere is not a folder"]);
    world.dockerfile("FROM busybox\nCOPY Dockerfile /\n").succeeds(&[]);
    world.is_clean();
}

#[test]
fn files_that_are_not_in_the_context() {
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY nothing.txt /\n");
    world.fails(&[], 1, &["\"/nothing.txt\" is not in the build context context", "context/Dockerfile:2:1"]);
    world.dockerfile("FROM busybox\nRUN --mount=type=bind,source=nothing,target=/x true\n");
    world.fails(&[], 1, &["\"/nothing\" is not in the build context context", "context/Dockerfile:2:1"]);
    world.file("secret.txt", "x").file("docs/a/b.md", "x");
    world.file(".dockerignore", "# hidden\n\nsecret.*\ndocs/**\n!docs/c\n");
    world.dockerfile("FROM busybox\nCOPY secret.txt /\n");
    let place = "\"/secret.txt\" is excluded from the build context by context/.dockerignore:3: secret.*";
    world.fails(&[], 1, &[place, "context/Dockerfile:2:1"]);
    world.dockerfile("FROM busybox\nCOPY docs/a/b.md /\n");
    world.fails(&[], 1, &["context/.dockerignore:4: docs/**"]);
    world.dockerfile("FROM busybox\nRUN --mount=type=bind,source=secret.txt,target=/x true\n");
    world.fails(&[], 1, &["context/.dockerignore:3: secret.*"]);
    world.file("Dockerfile.dockerignore", "secret.txt\n").dockerfile("FROM busybox\nCOPY secret.txt /\n");
    world.fails(&[], 1, &["context/Dockerfile.dockerignore:1: secret.txt"]);
    world.dockerfile("FROM busybox\nCOPY Dockerfile.lock /\n");
    world.fails(&[], 1, &["\"/Dockerfile.lock\" is a lockfile of imgbuild"]);
    world.file("Dockerfile.dockerignore", "\n[\n");
    world.fails(&[], 1, &["context/Dockerfile.dockerignore:2: \"[\" is not a pattern"]);
    // A context with a name, and one with its own ignore file.
    fs::create_dir(world.path("other")).unwrap();
    for (name, content) in [("f", "x"), (".dockerignore", "*\n")] {
        fs::write(world.path("other").join(name), content).unwrap();
    }
    fs::remove_file(world.context().join("Dockerfile.dockerignore")).unwrap();
    world.dockerfile("FROM busybox\nCOPY --from=more f /\n");
    world.fails(&["--build-context", "more=other"], 1, &["excluded", "other/.dockerignore:1: *"]);
    fs::remove_file(world.path("other/.dockerignore")).unwrap();
    world.succeeds(&["--build-context", "more=other"]);
    world.is_clean();
}

#[test]
fn odd_files_in_the_context() {
    let world = World::new();
    let special = world.context().join("d");
    fs::create_dir(&special).unwrap();
    let _socket = UnixListener::bind(special.join("socket")).unwrap();
    nix::unistd::mkfifo(&special.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("nowhere", special.join("dangling")).unwrap();
    // Nothing waits for anybody to write to the pipe.
    world.dockerfile("FROM busybox\nCOPY d /d\n").succeeds(&[]);
    world.dockerfile("FROM busybox\nCOPY d/dangling /\n");
    assert_ne!(world.build(&[]).code, 101);
    world.is_clean();
}

#[test]
fn failing_commands() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile("FROM busybox\n\nRUN echo one; echo two >&2; exit 7\n").fails(
        &[],
        1,
        &["failed with exit code 7", "context/Dockerfile:3:1", "3 | RUN echo one", "last output", "    one", "    two"],
    );
    world.dockerfile("FROM busybox\nRUN [\"/nope\", \"x\"]\n");
    world.fails(&[], 1, &["cannot run \"/nope\": no such program in the image", "context/Dockerfile:2:1"]);
    world.dockerfile("FROM scratch\nRUN true\n").fails(&[], 1, &["cannot run \"/bin/sh\"", "context/Dockerfile:2:1"]);
    world.dockerfile("FROM busybox\nUSER nobodyatall\nRUN true\n").fails(&[], 1, &["nobodyatall", "Dockerfile:3:1"]);
    world.dockerfile("FROM busybox\nRUN sh -c 'kill -9 $$'; sh -c 'kill -SEGV $$'; exec sh -c 'exit 3'\n");
    world.fails(&[], 1, &["failed with exit code 3"]);
    world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
}

#[test]
fn archives() {
    let world = World::new();
    let whole = fs::read(busybox()).unwrap();
    let load = |name: &str, bytes: &[u8]| -> Ended {
        fs::write(world.path(name), bytes).unwrap();
        // What a store has already is not read once more.
        ended(&mut world.command(&["load", "-i", name, "--root", "other"]))
    };
    load("half.tar", &whole[..whole.len() / 2])
        .failed(1, &["half.tar: the image archive is damaged: blobs/sha256/", "ends in the middle"]);
    let noise: Vec<u8> = (0..4096u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let refused = load("noise.tar", &noise);
    refused.failed(1, &["noise.tar: this is not an image archive: it is no tar"]);
    assert!(refused.err.is_ascii(), "{}", refused.err);
    load("empty.tar", b"").failed(1, &["empty.tar: "]);
    let mut damaged = whole.clone();
    let place = damaged.windows(4).position(|bytes| bytes == b"\x1f\x8b\x08\0").unwrap() + 5000;
    damaged[place] ^= 1;
    load("damaged.tar", &damaged).failed(1, &["damaged.tar: the image archive is damaged: blobs/sha256/"]);
    ended(&mut world.command(&["load", "-i", "nowhere.tar"])).failed(1, &["cannot read nowhere.tar"]);
    world.dockerfile("FROM busybox\nADD half.tar /\n").file("half.tar", &whole[..whole.len() / 2]);
    world.fails(&[], 1, &["half.tar", "context/Dockerfile:2:1"]);
    world.is_clean();
    assert_eq!(load("whole.tar", &whole).code, 0);
}

#[test]
fn a_base_layer_that_was_damaged() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let blobs = world.store().join("blobs/sha256");
    let size = |name: &String| fs::metadata(blobs.join(name)).unwrap().len();
    let layer = names(&blobs).into_iter().max_by_key(size).unwrap();
    let good = fs::read(blobs.join(&layer)).unwrap();
    world.dockerfile("FROM busybox\nRUN true\n");
    // Nothing, the middle, and what a tar reader need not read.
    for (place, cut) in [(None, 0), (Some(5000), good.len()), (None, good.len() - 4)] {
        let mut bad = good[..cut].to_vec();
        if let Some(place) = place {
            bad[place] ^= 1;
        }
        fs::write(blobs.join(&layer), &bad).unwrap();
        world.fails(&[], 1, &["cannot be unpacked", "layer"]);
    }
    fs::write(blobs.join(&layer), &good).unwrap();
    world.succeeds(&[]);
    // What is already unpacked is not read again, but it is not given away either.
    let mut bad = good.clone();
    bad[5000] ^= 1;
    fs::write(blobs.join(&layer), &bad).unwrap();
    world.fails(&["-o", "type=oci,dest=out.tar"], 1, &[&layer, "damaged or tampered with"]);
    assert!(!world.path("out.tar").exists());
    fs::write(blobs.join(&layer), &good).unwrap();
    world.succeeds(&["-o", "type=oci,dest=out.tar"]);
    world.is_clean();
}

#[test]
fn lockfiles() {
    let world = World::new();
    let lock = world.context().join("Dockerfile.lock");
    world.file("a", "x").dockerfile("FROM busybox\nCOPY a /a\n");
    world.fails(&["--locked"], 1, &["there is no lockfile context/Dockerfile.lock", "without --locked"]);
    assert!(!lock.exists());
    let digest = world.succeeds(&[]);
    assert_eq!(world.succeeds(&["--locked"]), digest);
    let good = fs::read_to_string(&lock).unwrap();
    world.dockerfile("FROM busybox\nCOPY a /b\n");
    world.fails(&["--locked"], 1, &["context/Dockerfile.lock would change", "definition", "without --locked"]);
    assert_eq!(fs::read_to_string(&lock).unwrap(), good);
    fs::write(&lock, format!("{good}nonsense\n")).unwrap();
    world.fails(&[], 1, &["the lockfile context/Dockerfile.lock cannot be used: line ", "remove it"]);
    fs::write(&lock, &good).unwrap();
    edit(&lock, "version = 1", "version = 9");
    world.fails(&[], 1, &["context/Dockerfile.lock", "9"]);
    fs::write(&lock, &good).unwrap();
    let pinned = good.lines().find_map(|line| line.strip_prefix("manifest = \"sha256:")).unwrap();
    edit(&lock, pinned, &format!("{}\"", "0".repeat(64)));
    world.fails(&["--offline"], 1, &["locked to sha256:0000", "context/Dockerfile:1:6", "--offline forbids"]);
    fs::remove_file(&lock).unwrap();
    world.succeeds(&[]);
    world.is_clean();
}

#[test]
fn arguments() {
    let world = World::new();
    world.dockerfile("FROM busybox\nCOPY Dockerfile /\n");
    for (arguments, words) in [
        (&["-o", "type=nope"][..], &["type=nope", "oci"][..]),
        (&["-o", "type=local"], &["dest=FOLDER"]),
        (&["--platform", "x"], &["\"x\" is not a platform", "linux/arm64"]),
        (&["--secret", "src=x"], &["id= is missing"]),
        (&["--secret", "id=x,src=a,env=b"], &["--secret"]),
        (&["-t", "Upper"], &["\"Upper\"", "lower case"]),
        (&["--jobs", "0"], &["--jobs"]),
        (&["--add-host", "x"], &["--add-host"]),
        (&["--progress", "loud"], &["loud"]),
        (&["--nonsense"], &["--nonsense"]),
    ] {
        world.fails(arguments, 2, words);
    }
    world.fails(&["--secret", "id=x,src=nowhere"], 1, &["cannot read the secret x from nowhere"]);
    world.fails(&["--target", "nope"], 1, &["nope"]);
    ended(&mut world.command(&["nonsense"])).failed(2, &["nonsense"]);
    assert_eq!(names(&world.context()), ["Dockerfile"], "a usage error writes nothing");
}

#[test]
fn contexts_are_only_read() {
    let world = World::new();
    world.file("d/f", "x").dockerfile("FROM busybox\nCOPY d /d\n");
    let digest = world.succeeds(&[]);
    assert_eq!(names(&world.context()), ["Dockerfile", "Dockerfile.lock", "d"]);
    symlink("context", world.path("link")).unwrap();
    let absolute = world.context().display().to_string();
    for (folder, context) in [
        (world.path(""), "link"),
        (world.path(""), "link/"),
        (world.path(""), "context/"),
        (world.path("context/d"), ".."),
        (world.context(), "."),
        ("/".into(), absolute.as_str()),
    ] {
        let mut command = world.command(&["build", "--iidfile"]);
        let built = ended(command.arg(world.path("id")).arg("--progress=json").arg(context).current_dir(&folder));
        assert_eq!(built.code, 0, "{context}: {}", built.err);
        assert!(built.err.contains(&digest), "{context} in {}: {}", folder.display(), built.err);
    }
    assert_eq!(names(&world.context()), ["Dockerfile", "Dockerfile.lock", "d"]);
    assert_eq!(names(&world.context().join("d")), ["f"]);
}

/// A layer that only exists as a blob, and that a later step makes once more out of itself.
#[test]
fn a_layer_made_of_itself() {
    let world = World::new();
    world.file("a", "x").dockerfile("FROM scratch AS one\nCOPY a /a\n");
    world.succeeds(&[]);
    world.dockerfile("FROM scratch AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one /a /a\n");
    world.succeeds(&["-o", "type=local,dest=out"]);
    assert_eq!(text(&fs::read(Path::new(&world.path("out/a"))).unwrap()), "x");
    world.succeeds(&["-o", "type=oci,dest=out.tar,compression=zstd"]);
    world.is_clean();
}

#[test]
fn a_cached_build_has_the_base_layers_as_they_are() {
    let world = World::new();
    world.file("a", "x").dockerfile("FROM busybox\nCOPY a /a\n");
    let digest = world.succeeds(&[]);
    assert_eq!(world.succeeds(&[]), digest);
}
