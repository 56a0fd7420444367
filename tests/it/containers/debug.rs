//! `debug`, `build --on-error` and `build --until`: looking around in builds that failed, or that stop early.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::terminal::{open, start};
use super::{fails, is_root};
use crate::support::{Store, edit, outcome, put, run, scratch, text};

/// Fails on line 7 as long as it says so.
const DOCKERFILE: &str = "\
FROM busybox AS build
ARG VERSION=3
ENV MODE=fast
WORKDIR /src
COPY data /src/data
USER 7:8
RUN --mount=type=cache,target=/cache,uid=7 --mount=type=bind,source=data,target=/in --mount=type=secret,id=token \\
    echo cached >/cache/f && mkdir /tmp/half && echo $VERSION >/tmp/half/done && exit 3
RUN echo later >/tmp/later
FROM scratch
COPY --from=build /src/data /data
CMD [\"/nothing\"]
";

fn context(folder: &Path) -> String {
    put(folder, "Dockerfile", DOCKERFILE);
    put(folder, "data", "from the context\n");
    folder.display().to_string()
}

/// What a command prints in a debug shell.
#[track_caller]
fn sees(store: &Store, words: &[&str], script: &str) -> String {
    let (code, out, err) =
        outcome(store.command().arg("debug").args(words).args(["--", "sh", "-c", script]).stdin(Stdio::null()));
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

/// How many states are kept.
fn kept(store: &Store) -> usize {
    fs::read_dir(store.path().join("scenes")).map_or(0, Iterator::count)
}

#[test]
fn a_shell_opens_in_what_a_failed_step_left() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    fails(&store, &["debug"], 1, &["there is no failed step to look at"]);
    fails(&store, &["build", &context], 1, &["exit code 3", "help: `imgbuild debug` opens a shell"]);
    let (mut terminal, inner) = open();
    let before = rustix::termios::tcgetattr(&terminal.outer).unwrap();
    let mut child = start(&store, &["debug"], inner);
    terminal.shows("RUN echo cached");
    terminal.shows("Dockerfile:7) left it, which failed with exit code 3.\r\n");
    terminal.shows("--secret id=token,src=FILE");
    terminal.shows("$ ");
    // What is typed is echoed, so that what is waited for must not stand in it.
    terminal.types(
        "echo ha''lf $(cat /tmp/half/done) $MODE $VERSION $(id -u):$(id -g) $(pwd) $(cat /cache/f) $(cat /in)\n",
    );
    terminal.shows("half 3 fast 3 7:8 /src cached from the context\r\n");
    terminal.types("rm -r /tmp/half; echo changed >/cache/f; echo >/tmp/new; echo do''ne\n");
    terminal.shows("done");
    terminal.types("exit 9\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let after = rustix::termios::tcgetattr(&terminal.outer).unwrap();
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
    // All of that was thrown away.
    assert_eq!(sees(&store, &[], "cat /cache/f; ls /tmp /tmp/half"), "cached\n/tmp:\nhalf\n\n/tmp/half:\ndone\n");
    assert_eq!(sees(&store, &["--before"], "ls /tmp /cache"), "/cache:\nf\n\n/tmp:\n");
    assert_eq!(
        sees(&store, &["-u", "root", "-w", "/tmp", "-e", "MODE=slow"], "echo $(id -u) $(pwd) $MODE"),
        "0 /tmp slow\n"
    );
    // The exit codes are those of `run`.
    fails(&store, &["debug", "--", "sh", "-c", "exit 5"], 5, &[]);
    fails(&store, &["debug", "--", "no-such-program"], 127, &["no such program"]);
    fails(&store, &["debug", "-u", "nobody-knows"], 1, &["unable to find user"]);
    assert_eq!(kept(&store), 1);
}

#[test]
fn only_the_latest_failure_is_kept_and_prune_takes_it() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    fails(&store, &["build", &context], 1, &["imgbuild debug"]);
    edit(&folder.path().join("Dockerfile"), "ARG VERSION=3", "ARG VERSION=4");
    fails(&store, &["build", &context], 1, &["imgbuild debug"]);
    assert_eq!(sees(&store, &[], "cat /tmp/half/done"), "4\n");
    assert_eq!(kept(&store), 1);
    assert!(store.run(&["df", "-v"]).contains("failed step"));
    // Somebody who is in it keeps it, and what it stands on, from going.
    let mut shell = store.command();
    let mut shell = shell.arg("debug").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"echo ready\n").unwrap();
    let mut stdout = shell.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 6]).unwrap();
    store.run(&["prune", "--all", "--force"]);
    std::io::Write::write_all(&mut stdin, b"cat /tmp/half/done; cat /src/data; ls -d /bin\n").unwrap();
    drop(stdin);
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), shell.wait().unwrap().code()), ("4\nfrom the context\n/bin\n", Some(0)));
    // A shell that is killed leaves nothing that matters.
    let mut shell = store.command();
    let mut shell = shell.arg("debug").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"echo ready\n").unwrap();
    shell.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    let (code, out, err) = outcome(store.command().args(["prune", "-f", "--wait"]).stdin(Stdio::null()));
    assert!(code == 0 && out.contains("Deleted state of a failed step: RUN echo cached"), "{out}{err}");
    assert_eq!(kept(&store), 0);
    fails(&store, &["debug"], 1, &["there is no failed step to look at"]);
}

#[test]
fn a_shell_opens_before_and_after_any_step() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    let at = |words: &[&str], script: &str| sees(&store, &[words, &[&context]].concat(), script);
    // What there is to build is built; what fails is opened as it was left.
    assert_eq!(at(&["7"], "cat /tmp/half/done"), "3\n");
    assert_eq!(at(&["--before", "7"], "ls /tmp; echo $VERSION $(id -u) $(cat /in)"), "3 7 from the context\n");
    // A step after it cannot be had, and so it is where one is.
    fails(&store, &["debug", "9", &context], 1, &["exit code 3", "imgbuild debug"]);
    assert_eq!(kept(&store), 1);
    edit(&folder.path().join("Dockerfile"), "&& exit 3", "");
    let check = |words: &[&str], script: &str, expected: &str| assert_eq!(at(words, script), expected, "{words:?}");
    check(&["7"], "cat /tmp/half/done; cat /in", "3\nfrom the context\n");
    check(&["3"], "echo $MODE $VERSION; pwd", "fast\n/\n");
    check(&["--before", "3"], "echo $MODE", "\n");
    check(&["--before", "5"], "pwd; ls", "/src\n");
    check(&["5"], "ls; id -u", "data\n0\n");
    check(&["6"], "id -u", "7\n");
    check(&["COPY data", "--target", "build"], "ls", "data\n");
    check(&["build:2", "--target", "build"], "pwd; ls", "/src\n");
    check(&["[build 3/5]", "--target", "build"], "ls", "data\n");
    check(&["--before", "RUN echo later", "--target", "build"], "ls /tmp", "half\n");
    check(&["build", "--target", "build"], "cat /tmp/later", "later\n");
    fails(&store, &["debug", "RUN", &context, "--target", "build"], 2, &["several steps", "RUN echo later"]);
    fails(&store, &["debug", "nope", &context], 2, &["no step, stage, line or target is called \"nope\""]);
    fails(&store, &["debug", "99", &context], 2, &["there is no line 99: the last instruction is on line 12"]);
    fails(&store, &["debug", "--before", "1", &context], 2, &["there is nothing before line 1"]);
    fails(&store, &["debug", &context], 2, &["name a step or a line"]);
}

#[test]
fn steps_of_a_build_file_are_found_too() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let text = "\
[target.lib]
from = \"busybox\"
steps = [
    { run = \"echo lib >/lib.txt\" },
    { run = \"echo two >/two.txt\" },
]
[target.app]
from = \"lib\"
contexts = { lib = \"target:lib\" }
steps = [{ run = \"cat /lib.txt >/app.txt\" }]
[group]
default = [\"app\"]
";
    put(folder.path(), "build.toml", text);
    let at = |words: &[&str]| {
        let mut command = store.command();
        command.current_dir(folder.path()).arg("debug").args(words).args(["--", "sh", "-c", "cd /; ls *.txt"]);
        self::text(&run(command.stdin(Stdio::null())).stdout)
    };
    assert_eq!(at(&["4"]), "lib.txt\n");
    assert_eq!(at(&["--before", "build.toml:5"]), "lib.txt\n");
    assert_eq!(at(&["RUN cat"]), "app.txt\nlib.txt\ntwo.txt\n");
    assert_eq!(at(&["lib"]), "lib.txt\ntwo.txt\n");
}

#[test]
fn secrets_are_there_only_if_they_are_given_again() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    put(folder.path(), "token", "hidden-value-7\n");
    let secret = format!("id=token,src={}", folder.path().join("token").display());
    edit(&folder.path().join("Dockerfile"), "id=token", "id=token,env=TOKEN");
    fails(&store, &["build", "--secret", &secret, &context], 1, &["imgbuild debug"]);
    assert_eq!(sees(&store, &[], "echo \"<$TOKEN>\""), "<>\n");
    assert_eq!(sees(&store, &["--secret", &secret], "echo \"<$TOKEN>\""), "<hidden-value-7\n>\n");
    let found = Command::new("grep").args(["-r", "hidden-value-7"]).arg(store.path()).output().unwrap();
    assert_eq!(text(&found.stdout), "", "the store has it nowhere");
}

#[test]
fn an_image_without_a_shell_is_lent_one() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    edit(&folder.path().join("Dockerfile"), "&& exit 3", "");
    let (mut terminal, inner) = open();
    let mut child = start(&store, &["debug", "11", &context], inner);
    terminal.shows("this one is lent by this machine");
    terminal.shows("# ");
    terminal.types("cat /data; touch /new; ls -d /new; echo x >/dev/imgbuild/x || echo read''-only\n");
    terminal.shows("from the context\r\n/new\r\n");
    terminal.shows("read-only");
    terminal.types("exit\n");
    child.wait().unwrap();
    // It never comes near a layer.
    let built = store.build(folder.path(), &["-t", "small"]);
    assert!(!built.digest.is_empty());
    let listed = text(&run(store.command().args(["export", "small"]).stdout(Stdio::piped())).stdout);
    assert!(listed.contains("data") && !listed.contains("imgbuild"), "{listed}");
}

#[test]
fn on_error_a_shell_opens_at_once() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    fails(&store, &["build", "--on-error=shell", &context], 2, &["--on-error=shell needs a terminal"]);
    assert_eq!(kept(&store), 0, "nothing was built");
    let (mut terminal, inner) = open();
    let mut child = start(&store, &["build", "--on-error=shell", "-t", "app", &context], inner);
    terminal.shows("failed with exit code 3");
    terminal.shows("`exit` leaves.");
    terminal.shows("$ ");
    terminal.types("echo ha''lf $(cat /tmp/half/done)\n");
    terminal.shows("half 3\r\n");
    terminal.types("exit 0\n");
    assert_eq!(child.wait().unwrap().code(), Some(1), "the build failed");
    assert!(!store.run(&["images"]).contains("app"));
    // What does not fail opens nothing.
    edit(&folder.path().join("Dockerfile"), "&& exit 3", "");
    let (mut terminal, inner) = open();
    let mut child = start(&store, &["build", "--on-error=shell", "-t", "app", &context], inner);
    terminal.shows("app:latest");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_build_stops_at_a_line() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = context(folder.path());
    store.run(&["build", "--until", "6", "-t", "half", &context]);
    let out = |image: &str, script: &str| store.run(&["run", "--rm", image, "sh", "-c", script]);
    assert_eq!(out("half", "pwd; ls; id -u; echo $MODE"), "/src\ndata\n7\nfast\n");
    store.run(&["build", "--until", "build:2", "-t", "early", &context]);
    assert_eq!(out("early", "pwd; ls; id -u"), "/src\n0\n");
    // The lockfile says nothing of half builds but what they used.
    let lock = fs::read_to_string(folder.path().join("Dockerfile.lock")).unwrap();
    assert!(lock.contains("busybox") && !lock.contains("[[target]]"), "{lock}");
    assert_eq!(kept(&store), 0, "a build that goes well keeps nothing");
    fails(&store, &["build", "--until", "7", "-t", "x", &context], 1, &["exit code 3"]);
    fails(&store, &["build", "--until", "0", &context], 2, &["line 0 stands before the first stage"]);
    fails(&store, &["build", "--until", "6", "--target", "build", &context], 2, &["cannot be used with"]);
}
