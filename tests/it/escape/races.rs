//! Names that mean something else from one moment to the next: folders that are swapped with links while they are used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Canary, jails};
use crate::support::{outcome, put};

/// How often each is tried.
const TURNS: usize = 25;

/// Swaps two names for as long as something is done.
fn while_swapped<T>(one: &Path, other: &Path, act: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
            }
        });
        let result = act();
        done.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn contexts_lead_nowhere_else() {
    let canary = Canary::new();
    for jail in jails() {
        let context = jail.path().join("context");
        put(&context, "dir/file", "inside");
        symlink(canary.path(), context.join("link")).unwrap();
        put(&context, "single", "inside");
        symlink(format!("{}/file", canary.path()), context.join("single-link")).unwrap();
        jail.put("context/Dockerfile", "FROM scratch\nCOPY dir /dir\nADD single /single\nCOPY . /all\n");
        let said = while_swapped(&context.join("dir"), &context.join("link"), || {
            while_swapped(&context.join("single"), &context.join("single-link"), || {
                let build = |_| {
                    let _ = fs::remove_dir_all(jail.path().join("out"));
                    let mut command = jail.command();
                    command.args(["build", "--no-lock", "--no-cache", "--progress", "plain", "-o", "out", "context"]);
                    let (code, _, said) = outcome(&mut command);
                    (code, said, find(&jail.path().join("out"), b"untouched"))
                };
                (0..TURNS).map(build).collect::<Vec<_>>()
            })
        });
        for (code, said, leaked) in said {
            assert!((0..=1).contains(&code) && !leaked, "{} {said}", jail.name());
        }
        canary.check();
    }
}

/// Whether a regular file below a folder holds something.
fn find(folder: &Path, wanted: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.map(|entry| entry.unwrap()).any(|entry| {
        let kind = entry.file_type().unwrap();
        let holds = || fs::read(entry.path()).unwrap().windows(wanted.len()).any(|part| part == wanted);
        kind.is_dir() && find(&entry.path(), wanted) || kind.is_file() && holds()
    })
}

#[test]
fn mount_points_in_shared_folders_stay_inside() {
    let canary = Canary::new();
    let path = canary.path();
    for jail in jails() {
        fs::copy(jail.path().join("context/attack"), jail.put("swap/attack", "")).unwrap();
        let cache = "RUN --mount=type=cache,id=shared,target=/c";
        // They meet at a pipe: neither goes on without the other.
        let swap = format!(
            "FROM busybox\nCOPY --chmod=755 attack /attack\n{cache} mkdir -p /c/a/b; ln -s {path} /c/l; mkfifo /c/pipe; echo > /c/pipe; /attack swap /c/a /c/l /c/stop\n"
        );
        jail.put("swap/Dockerfile", swap);
        jail.put("meet/Dockerfile", format!("FROM busybox\n{cache} mkfifo /c/pipe 2> /dev/null; cat /c/pipe\n"));
        jail.put("stop/Dockerfile", format!("FROM busybox\n{cache} touch /c/stop\n"));
        let build = |context: &str| outcome(jail.command().args(["build", "-q", "--no-lock", "--no-cache", context]));
        let outcomes = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| build("swap"));
            let mut outcomes = vec![build("meet")];
            jail.put("word", "secret");
            for turn in 0..TURNS {
                let dockerfile = format!(
                    "FROM busybox\n{cache} --mount=type=tmpfs,target=/c/a/new{turn} --mount=type=secret,id=word,target=/c/a/b/file{turn} \
                     touch /c/a/new{turn}/escaped 2> /dev/null; true\nWORKDIR /c/a/work{turn}\n{cache} pwd -P\n"
                );
                jail.put("turn/Dockerfile", dockerfile);
                let mut command = jail.command();
                command.args(["build", "-q", "--no-lock", "--no-cache", "--secret", "id=word,src=word", "turn"]);
                outcomes.push(outcome(&mut command));
            }
            outcomes.push(build("stop"));
            outcomes.push(swapping.join().unwrap());
            outcomes
        });
        for (code, _, said) in outcomes {
            // A mount point that is a link just now leads nowhere in there: that is said, and nothing else happens.
            assert!((0..=3).contains(&code) && !said.contains("panicked"), "{} {said}", jail.name());
        }
        canary.check();
    }
}

#[test]
fn containers_that_run_are_copied_from_and_to_inside() {
    let canary = Canary::new();
    for jail in jails() {
        jail.build("FROM busybox\nCOPY --chmod=755 attack /attack\n", &["-t", "jail"]);
        let shared = jail.path().join("shared");
        fs::create_dir(&shared).unwrap();
        jail.give(&shared);
        let pipe = shared.join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
        jail.give(&pipe);
        jail.put("new", "new");
        let volume = format!("{}:/shared", shared.display());
        let script = format!(
            "mkdir /x; echo inside > /x/file; ln -s {} /y; echo > /shared/pipe; /attack swap /x /y /shared/stop",
            canary.path()
        );
        let results = std::thread::scope(|scope| {
            let container = scope.spawn(|| {
                outcome(jail.command().args(["run", "--name", "c", "-v", &volume, "jail", "sh", "-c", &script]))
            });
            fs::read(&pipe).unwrap();
            let copy = |words: &[&str]| outcome(jail.command().arg("cp").args(words));
            let turns = (0..TURNS).flat_map(|_| {
                [
                    copy(&["c:/x/file", "-"]),
                    copy(&["-L", "c:/x", "-"]),
                    copy(&["new", "c:/x/new"]),
                    copy(&["new", "c:/x/"]),
                ]
            });
            let results: Vec<_> = turns.collect();
            fs::write(shared.join("stop"), "").unwrap();
            assert_eq!(container.join().unwrap().0, 0);
            results
        });
        for (_, shown, said) in results {
            assert!(!shown.contains("untouched") && !said.contains("panicked"), "{} {said}", jail.name());
        }
        canary.check();
    }
}
