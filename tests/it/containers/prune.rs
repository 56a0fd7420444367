//! `prune` and `df`, with builds in other processes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use super::{fails, is_root};
use crate::support::{Store, outcome, put, scratch, text};

/// A build that is in the middle of a step, and stays there until something is written to the connection.
fn waiting_build(store: &Store, folder: &std::path::Path, tag: &str) -> (Child, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    put(
        folder,
        "Dockerfile",
        format!(
            "FROM busybox AS one\nRUN echo first >/first\nFROM one\nRUN nc 127.0.0.1 {port} >/second\nCOPY --from=one /first /third\n"
        ),
    );
    let mut command = store.command();
    command.args(["build", "--progress", "plain", "-t", tag]).arg(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Answered by the step itself: by now the layer below is there and the lock is held.
    let (connection, _) = listener.accept().unwrap();
    (child, connection)
}

#[test]
fn nothing_goes_that_a_running_build_needs() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let (mut build, mut connection) = waiting_build(&store, folder.path(), "done");
    // Everything that can go would go: the base image has a name, but nothing uses it.
    fails(&store, &["prune", "--all", "-f"], 3, &["another imgbuild is using the store", "--wait"]);
    assert!(store.run(&["images"]).contains("busybox"));
    assert!(store.run(&["prune", "--all", "--dry-run"]).contains("Would untag: busybox:latest"));
    // One that waits does so until the build is done, and not longer.
    let mut pruning = store.command();
    pruning.args(["prune", "--wait", "-f"]).stdout(Stdio::piped());
    let pruning = pruning.spawn().unwrap();
    // Only now may the step go on: whatever happened before, happened during the build.
    connection.write_all(b"second\n").unwrap();
    drop(connection);
    let mut said = String::new();
    let mut err = BufReader::new(build.stderr.take().unwrap());
    while err.read_line(&mut said).unwrap() > 0 {}
    assert!(build.wait().unwrap().success(), "{said}");
    let pruned = pruning.wait_with_output().unwrap();
    assert!(pruned.status.success());
    assert!(text(&pruned.stdout).contains("Total reclaimed space"));
    let files = store.run(&["run", "--rm", "done", "cat", "/first", "/second", "/third"]);
    assert_eq!(files, "first\nsecond\nfirst\n");
    // And what was built is still known.
    let again =
        store.command().args(["build", "--progress", "plain", "-t", "again"]).arg(folder.path()).output().unwrap();
    assert!(text(&again.stderr).contains("nothing to do"), "{}", text(&again.stderr));
}

/// Waits until a process waits for its turn, or until it has ended; whether it waits.
fn waits(child: &mut Child, store: &Store) -> bool {
    let turn = store.path().join("turn.lock");
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let opened = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
        if opened.flat_map(|opened| fs::read_link(opened.path())).any(|opened| opened == turn) {
            return true;
        }
        std::thread::yield_now();
    }
}

/// Starts a `prune` that waits for others, up to where nobody overtakes it.
fn waiting_prune(store: &Store) -> Child {
    let mut pruning = store.command();
    let mut pruning = pruning.args(["prune", "--wait", "-f", "--all", "cache"]).stdout(Stdio::piped()).spawn().unwrap();
    assert!(waits(&mut pruning, store));
    let turn = fs::File::open(store.path().join("turn.lock")).unwrap();
    while turn.try_lock_shared().is_ok() {
        turn.unlock().unwrap();
        std::thread::yield_now();
    }
    pruning
}

#[test]
fn builds_do_not_overtake_a_prune_that_waits() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let [folder, other] = [scratch(), scratch()];
    put(other.path(), "Dockerfile", "FROM busybox\nRUN echo other >/other\n");
    let build = || {
        let mut command = store.command();
        command.args(["build", "--progress", "plain", "--no-lock", "-t", "other"]).arg(other.path());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let is_cached = |build: Child| {
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr).contains("nothing to do")
    };
    assert!(!is_cached(build()));

    let (mut busy, mut connection) = waiting_build(&store, folder.path(), "busy");
    // One that was killed while it waited is in nobody's way.
    let mut killed = waiting_prune(&store);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_cached(build()));
    // Whoever only looks does not wait, and neither do two that prune wait for each other.
    let pruning = [waiting_prune(&store), waiting_prune(&store)];
    assert!(store.run(&["images"]).contains("busybox"));
    let mut late = build();
    assert!(waits(&mut late, &store), "it overtakes");
    connection.write_all(b"done\n").unwrap();
    drop(connection);
    assert!(busy.wait().unwrap().success());
    for pruning in pruning {
        assert!(pruning.wait_with_output().unwrap().status.success());
    }
    assert!(!is_cached(late), "it has seen what was to go");
    assert!(is_cached(build()));
}

#[test]
fn a_running_container_keeps_what_it_needs_and_nobody_waiting() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let mut command = store.command();
    command.args(["run", "-i", "--rm", "busybox", "sh", "-c", "echo ready; read x; ls /bin | wc -l"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    store.run(&["prune", "--all", "-f"]);
    assert!(store.run(&["images"]).contains("busybox"));
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    line.clear();
    out.read_line(&mut line).unwrap();
    assert!(line.trim().parse::<u32>().unwrap() > 100, "{line}");
    assert!(child.wait().unwrap().success());
    store.run(&["prune", "--all", "-f"]);
    assert_eq!(store.run(&["images", "-q"]), "");
    let df = store.run(&["df", "--format", "json"]);
    for row in df.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert_eq!((&row["TotalCount"], &row["Size"]), (&0.into(), &0.into()), "{row}");
    }
}

#[test]
fn the_cache_shrinks_to_a_limit_and_builds_go_on() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let dockerfile = "FROM busybox\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/f bs=1M count=3\nRUN dd if=/dev/zero of=/f bs=1M count=5\n";
    put(folder.path(), "Dockerfile", dockerfile);
    let digest = store.build(folder.path(), &["-t", "a"]).digest;
    let sizes = || -> Vec<(String, u64, u64)> {
        let rows = store.run(&["df", "--format", "json"]);
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let number = |key: &str| row[key].as_u64().unwrap();
            (row["Type"].as_str().unwrap().to_owned(), number("TotalCount"), number("Size"))
        };
        rows.lines().map(row).collect()
    };
    let before = sizes();
    assert_eq!((before[0].1, before[3].1), (2, 1));
    assert!(before[2].2 > 5 << 20 && before[3].2 > 3 << 20, "{before:?}");
    store.run(&["prune", "-f", "--keep-storage", "6m", "cache", "mounts"]);
    let after = sizes();
    assert!(after[2].2 + after[3].2 <= 6 << 20, "{after:?}");
    assert_eq!(after[0], before[0], "images are left alone");
    assert_eq!(store.build(folder.path(), &["-t", "a"]).digest, digest);
    store.run(&["prune", "-f", "--all", "builder"]);
    assert_eq!(sizes()[2].1, 0);
    let built = store.build(folder.path(), &["-t", "a"]);
    assert_eq!((built.digest, built.ran.len()), (digest, 2), "what is gone is made again, the same");
    fails(&store, &["prune", "--filter", "color=red"], 2, &["allowed are until"]);
}

#[test]
fn a_limit_in_the_file_holds_by_itself() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let config = put(folder.path(), "imgbuild.toml", "[prune]\nkeep-storage = '8m'\n");
    let build = |number: u32| {
        let script = format!("RUN dd if=/dev/zero of=/f bs=1M count=5; echo {number} >/n");
        put(folder.path(), "context/Dockerfile", format!("FROM busybox\n{script}\n"));
        let mut command = store.command();
        command.env("IMGBUILD_CONFIG", &config).args(["build", "--progress", "plain", "--no-lock", "-t", "a"]);
        let (code, _, err) = outcome(command.arg(folder.path().join("context")));
        assert_eq!(code, 0, "{err}");
        err
    };
    let forget = || fs::remove_file(store.path().join("pruned")).unwrap();
    let cached = || {
        let df = store.run(&["df", "--format", "json"]);
        let rows = df.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.filter(|row| row["Type"] == "Build cache").map(|row| row["Size"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(!build(1).contains("Pruned"), "there is room");
    // A build that has nothing to do does not even look, nor one that comes soon after a look.
    forget();
    build(1);
    assert!(!store.path().join("pruned").exists());
    build(2);
    assert!(store.path().join("pruned").exists() && cached() <= 8 << 20, "{}", cached());
    assert!(!build(3).contains("Pruned") && cached() > 8 << 20, "{}", cached());
    // Nor while somebody else uses the store; that look did not count.
    forget();
    let other = scratch();
    let (mut busy, mut connection) = waiting_build(&store, other.path(), "other");
    build(4);
    assert!(!store.path().join("pruned").exists());
    connection.write_all(b"done\n").unwrap();
    drop(connection);
    assert!(busy.wait().unwrap().success());
    let said = build(5);
    assert!(said.contains("Pruned the cache") && cached() <= 8 << 20, "{}: {said}", cached());
    assert_eq!(store.run(&["run", "--rm", "a", "cat", "/n"]), "5\n", "the image is whole");
    // What was used lately is not too much, whatever it takes.
    put(folder.path(), "imgbuild.toml", "[prune]\nkeep-storage = '1m'\nuntil = '1h'\n");
    forget();
    assert!(!build(6).contains("Pruned") && cached() > 4 << 20, "{}", cached());
}
