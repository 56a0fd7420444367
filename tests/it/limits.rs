//! What steps and containers may use: real limits, met by real processes. Needs root for what only root can limit.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Store, outcome, put, scratch};

/// Builds a Dockerfile; its exit code and what was said.
fn build(store: &Store, dockerfile: &str, flags: &[&str]) -> (i32, String) {
    let folder = scratch();
    put(folder.path(), "Dockerfile", dockerfile);
    let mut command = store.command();
    command.arg("build").args(flags).args(["--progress=plain", "--no-lock", "-o"]).arg(folder.path().join("out"));
    let (code, _, said) = outcome(command.arg(folder.path()));
    (code, said)
}

#[test]
fn ulimits_and_shared_memory_are_what_was_asked_for() {
    let store = Store::with_busybox();
    let dockerfile =
        "FROM busybox\nRUN echo \"open $(ulimit -n) $(ulimit -H -n), core $(ulimit -c)\"; df -k /dev/shm\n";
    let flags = ["--ulimit", "nofile=77:99", "--ulimit=core=0", "--shm-size=3m"];
    let (code, said) = build(&store, dockerfile, &flags);
    assert!(code == 0 && said.contains("open 77 99, core 0"), "{said}");
    assert!(said.contains(" 3072 "), "{said}");
    // A result does not depend on what a step was allowed.
    let (code, said) = build(&store, dockerfile, &["--ulimit", "nofile=78"]);
    assert!(code == 0 && said.contains("1 step cached"), "{said}");
}

#[test]
fn a_build_file_limits_its_targets_and_flags_count_more() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let file = r#"
        [target.one]
        ulimits = ["nofile=100", "nofile=60:61"]
        shm-size = "2m"
        dockerfile-inline = """
        FROM busybox
        RUN echo "open $(ulimit -n) $(ulimit -H -n)"; df -k /dev/shm
        """
    "#;
    put(folder.path(), "build.toml", file);
    let bake = |flags: &[&str]| {
        let mut command = store.command();
        command.current_dir(folder.path()).args(["bake", "--progress=plain", "--no-cache"]).args(flags);
        let (code, _, said) = outcome(command.arg("one"));
        assert_eq!(code, 0, "{said}");
        said
    };
    let said = bake(&[]);
    assert!(said.contains("open 60 61") && said.contains(" 2048 ") && !said.contains("no effect"), "{said}");
    let said = bake(&["--ulimit", "nofile=50"]);
    assert!(said.contains("open 50 50") && said.contains(" 2048 "), "{said}");
    let said = bake(&["--set", "one.shm-size=5m"]);
    assert!(said.contains("open 60 61") && said.contains(" 5120 "), "{said}");
}

#[test]
fn a_step_of_a_build_file_has_a_time_of_its_own() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let file = "[target.one]\nstep-timeout = '1h'\nfrom = 'busybox'\nsteps = [\n  { run = 'true' },\n  \
                { run = 'sleep 7263546', timeout = '100ms' },\n]\n";
    let path = put(folder.path(), "build.toml", file);
    let bake = || outcome(store.command().current_dir(folder.path()).args(["bake", "--progress=plain", "one"]));
    let (code, _, said) = bake();
    assert!(code == 1 && said.contains("RUN sleep 7263546 was stopped by the time limit of 100ms"), "{said}");
    assert!(said.contains("build.toml:6"), "{said}");
    fs::write(path, file.replace("100ms", "soon")).unwrap();
    let (code, _, said) = bake();
    assert!(code == 1 && said.contains("`soon` is no time") && said.contains("build.toml:6:38"), "{said}");
}

#[test]
fn a_container_has_limits_too() {
    let store = Store::with_busybox();
    let script = "ulimit -n; ulimit -f; df -k /dev/shm | tail -n 1";
    let flags = ["run", "--rm", "--ulimit=nofile=64", "--ulimit", "fsize=1024", "--shm-size", "1m", "busybox"];
    let said = store.run(&[&flags[..], &["sh", "-c", script]].concat());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[..2], ["64", "2"], "{said}");
    assert!(lines[2].contains(" 1024 "), "{said}");
}

#[test]
fn a_debug_shell_has_the_limits_of_its_step() {
    let store = Store::with_busybox();
    let fails = |flags: &[&str]| {
        let (code, said) = build(&store, "FROM busybox\nRUN exit 3\n", flags);
        assert!(code == 1 && said.contains("exit code 3"), "{said}");
    };
    let sees = |script: &str| {
        let mut command = store.command();
        let (code, out, said) = outcome(command.args(["debug", "--", "sh", "-c", script]).stdin(Stdio::null()));
        assert_eq!(code, 0, "{said}");
        out
    };
    let script = "echo $(ulimit -n) $(ulimit -H -n) $(df -k /dev/shm | tail -n 1)";
    fails(&["--ulimit", "nofile=77:99", "--shm-size=3m", "--step-timeout=1h"]);
    let said = sees(script);
    assert!(said.starts_with("77 99 ") && said.contains(" 3072 "), "{said}");
    fails(&[]);
    let said = sees(script);
    assert!(!said.starts_with("77 ") && said.contains(" 65536 "), "{said}");
    if controls("pids") {
        fails(&["--pids-limit=7"]);
        let said = sees("cat /proc/self/cgroup");
        assert!(said.contains("/imgbuild-limits-"), "{said}");
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let store = Store::new();
    let check = |flag: &str, expected: &str| {
        let (code, said) = build(&store, "FROM scratch\n", &[flag]);
        assert!(code == 2 && said.contains(expected), "{flag}: {said}");
    };
    check("--ulimit=files=3", "`files` cannot be limited: there are as, core");
    check("--ulimit=nofile=5:4", "the soft limit is above the hard one");
    check("--shm-size=big", "write a size such as 64m");
    check("--memory-swap=1g", "needs one of memory: add --memory");
    check("--cpus=0", "no number of processors");
    check("--cpuset-cpus=2-1", "no list of processors");
    check("--pids-limit=some", "write a number, or -1");
    check("--step-timeout=5", "no time: write one such as 90s");
    let folder = scratch();
    put(folder.path(), "build.toml", "[target.one]\nulimits = ['nofile=1:2:3']\n");
    let (code, _, said) = outcome(store.command().current_dir(folder.path()).args(["bake", "one"]));
    assert!(code == 1 && said.contains("build.toml:2:12") && said.contains("`nofile=1:2:3` is no limit"), "{said}");
    assert!(fs::read_dir(folder.path()).unwrap().count() == 1);
}

/// Whether this test may limit what a controller counts, as root where there is one; says so if not.
fn controls(name: &str) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let legacy =
        own.lines().any(|line| line.split(':').nth(1).is_some_and(|list| list.split(',').any(|it| it == name)));
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let there = legacy || unified.split_whitespace().any(|it| it == name);
    let root = rustix::process::geteuid().is_root();
    if !(root && there) {
        println!("skipped: needs root and the kernel's {name} controller");
    }
    root && there
}

/// The groups that a process of this number made for limits and that are still there.
fn groups_of(process: u32) -> Vec<PathBuf> {
    let prefix = format!("imgbuild-limits-{process}-");
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
            open.push(entry.path());
        }
    }
    found
}

/// Whether a process runs that has this word among its arguments.
fn runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut arguments = processes.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    arguments.any(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

#[test]
fn a_hog_is_killed_by_its_limit_of_memory_and_the_error_says_so() {
    if !controls("memory") {
        return;
    }
    let store = Store::with_busybox();
    let hog = "head -c 200m /dev/zero | tail -c 150m";
    let flags = ["--memory=48m", "--memory-swap=48m"];
    let (code, said) = build(&store, &format!("FROM busybox\nRUN set -o pipefail; {hog} > /dev/null\n"), &flags);
    assert!(code == 1 && said.contains("was killed by the memory limit of 48 MiB"), "{said}");
    assert!(said.contains("Dockerfile:2"), "{said}");
    // What was made without all of its processes is not what the step makes, whatever it says of itself.
    let (code, said) = build(&store, &format!("FROM busybox\nRUN {hog} > /file; true\n"), &flags);
    assert!(code == 1 && said.contains("lost a process to the memory limit of 48 MiB"), "{said}");
    // Files in memory count, as those of a tmpfs.
    let fill = "FROM busybox\nRUN --mount=type=tmpfs,target=/t head -c 100m /dev/zero > /t/file\n";
    let (code, said) = build(&store, fill, &flags);
    assert!(code == 1 && said.contains("was killed by the memory limit of 48 MiB"), "{said}");
    let (code, said) = build(&store, fill, &["--memory=300m"]);
    assert!(code == 0, "{said}");
    let mut command = store.command();
    command.args(["run", "--rm", "-m", "48m", "--memory-swap", "48m", "busybox", "tail", "-c", "150m", "/dev/zero"]);
    let (code, _, said) = outcome(&mut command);
    assert!(code == 137 && said.contains("met the memory limit of 48 MiB"), "{code} {said}");
}

#[test]
fn a_fork_bomb_stays_within_its_limit_of_processes() {
    if !controls("pids") {
        return;
    }
    let store = Store::with_busybox();
    let (code, said) = build(&store, "FROM busybox\nRUN f() { f | f; }; f\n", &["--pids-limit", "30"]);
    assert!(code == 1 && said.contains("at the limit of 30 processes"), "{said}");
    let (code, said) = build(&store, "FROM busybox\nRUN true | true | true\n", &["--pids-limit=4"]);
    assert!(code == 0, "{said}");
    let (code, said) = build(&store, "FROM busybox\nRUN true & true & wait\n", &["--pids-limit=-1"]);
    assert!(code == 0, "{said}");
}

#[test]
fn processors_are_those_that_were_allowed() {
    if !controls("cpu") || !controls("cpuset") {
        return;
    }
    let store = Store::with_busybox();
    let dockerfile = "FROM busybox\nRUN echo processors $(nproc); grep Cpus_allowed_list /proc/self/status\n";
    let flags = ["--cpuset-cpus=0", "--cpus=0.5", "--cpu-shares=512"];
    let (code, said) = build(&store, dockerfile, &flags);
    assert!(code == 0 && said.contains("processors 1\n") && said.contains("Cpus_allowed_list:      0\n"), "{said}");
    let (code, said) = build(&store, "FROM busybox\nRUN true\n", &["--cpuset-cpus=900"]);
    assert!(code == 3 && said.contains("cannot enforce --cpuset-cpus here: the kernel's cpuset controller"), "{said}");
}

#[test]
fn what_cannot_be_enforced_is_an_error() {
    if !controls("memory") {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN true\n");
    let build = store.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "umount -R /sys/fs/cgroup; exec \"$@\"", "sh"]);
    command.arg(build.get_program()).args(build.get_args()).args(["build", "--no-lock", "--memory=64m"]);
    let (code, _, said) = outcome(command.arg(folder.path()));
    assert!(code == 3 && said.contains("cannot enforce --memory here: this machine has no group"), "{said}");
    assert!(said.contains("systemd-run --user --scope -p Delegate=yes"), "{said}");
}

#[test]
fn groups_are_gone_with_their_step_and_those_of_a_killed_builder_with_the_next() {
    if !controls("pids") || !controls("memory") {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN echo ready; sleep 7263544\n");
    let mut command = store.command();
    command.args(["build", "--progress=plain", "--no-lock", "--memory=64m", "--pids-limit=20"]).arg(folder.path());
    let mut builder = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(builder.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" ready")));
    assert!(!groups_of(builder.id()).is_empty());
    builder.kill().unwrap();
    builder.wait().unwrap();
    // The kernel ends the step before the pipe that it wrote to is closed for good.
    lines.for_each(drop);
    let (code, said) = build(&store, "FROM busybox\nRUN exit 1\n", &["--memory=64m"]);
    assert!(code == 1 && said.contains("failed with exit code 1"), "{said}");
    assert_eq!(groups_of(builder.id()), [] as [PathBuf; 0]);

    let mut command = store.command();
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN true\nRUN exit 3\n");
    command.args(["build", "--progress=quiet", "--no-lock", "--memory=64m", "--pids-limit=20"]).arg(folder.path());
    let mut builder = command.stderr(Stdio::null()).spawn().unwrap();
    assert!(!builder.wait().unwrap().success());
    assert_eq!(groups_of(builder.id()), [] as [PathBuf; 0]);
}

/// A control group of version 2 for a test alone; none, and why, where there can be none.
struct Corner(PathBuf);

impl Corner {
    fn new(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let path = PathBuf::from(root.unwrap_or("/none")).join(format!("imgbuild-test-{name}-{}", std::process::id()));
        let made = fs::create_dir(&path);
        if let Err(error) = &made {
            println!("skipped: needs a control group of version 2: {error}");
        }
        made.ok().map(|()| Self(path))
    }

    /// The command, started in there.
    fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        let script = format!("echo 0 > {}/cgroup.procs; exec \"$@\"", self.0.display());
        command.args(["-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// The names of the groups in it.
    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().flatten().filter(|entry| entry.path().is_dir());
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        self.groups().iter().for_each(|name| drop(fs::remove_dir(self.0.join(name))));
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn limits_hold_in_a_group_that_has_processes() {
    if !controls("pids") {
        return;
    }
    let Some(corner) = Corner::new("limits") else { return };
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN f() { f | f; }; f\n");
    let mut build = store.command();
    build.args(["build", "--progress=plain", "--no-lock", "--pids-limit=30"]).arg(folder.path());
    let (code, _, said) = outcome(&mut corner.command(&build));
    assert!(code == 1 && said.contains("at the limit of 30 processes"), "{said}");
    // It hands nothing on because of that, which would be in the way of who comes next.
    assert_eq!(fs::read_to_string(corner.0.join("cgroup.subtree_control")).unwrap(), "");
}

#[test]
fn the_group_of_a_killed_builder_goes_with_prune_and_fsck() {
    let Some(corner) = Corner::new("killed") else { return };
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN echo ready; sleep 7263547\n");
    let start = || {
        let mut build = store.command();
        build.args(["build", "--progress=plain", "--no-lock"]).arg(folder.path());
        let mut builder = corner.command(&build).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(builder.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with(" ready")));
        (builder, lines)
    };
    for tidy in [&["prune", "-f"][..], &["fsck", "--repair"]] {
        let (mut builder, lines) = start();
        builder.kill().unwrap();
        builder.wait().unwrap();
        lines.for_each(drop);
        assert_eq!(corner.groups(), ["imgbuild-steps-2"]);
        // The kernel may still be busy with the processes that were in it.
        while fs::read_to_string(corner.0.join("imgbuild-steps-2/cgroup.events")).unwrap().contains("populated 1") {
            std::thread::yield_now();
        }
        let mut command = store.command();
        command.args(tidy);
        let (code, _, said) = outcome(&mut corner.command(&command));
        assert_eq!((code, corner.groups()), (0, Vec::new()), "{said}");
    }
}

#[test]
fn a_step_that_takes_too_long_is_stopped_with_all_that_it_started() {
    let store = Store::with_busybox();
    let step = "(trap '' TERM INT HUP; sleep 7263541) & setsid sleep 7263542 & sleep 7263543";
    let (code, said) = build(&store, &format!("FROM busybox\nRUN {step}\n"), &["--step-timeout=200ms"]);
    assert!(code == 1 && said.contains("was stopped by the time limit of 200ms"), "{said}");
    assert!(said.contains("RUN (trap") && said.contains("Dockerfile:2"), "{said}");
    assert!(["7263541", "7263542", "7263543"].iter().all(|word| !runs(word)));
    let dockerfile = "FROM busybox\nRUN echo done\n";
    assert_eq!(build(&store, dockerfile, &["--step-timeout=1h"]).0, 0);
    let (code, said) = build(&store, dockerfile, &[]);
    assert!(code == 0 && said.contains("1 step cached"), "{said}");
}
