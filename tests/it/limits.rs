//! What steps and containers may use: real limits, met by real processes. Needs root for what only root can limit.

use std::fs;

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
fn limits_that_make_no_sense_are_refused() {
    let store = Store::new();
    let check = |flag: &str, expected: &str| {
        let (code, said) = build(&store, "FROM scratch\n", &[flag]);
        assert!(code == 2 && said.contains(expected), "{flag}: {said}");
    };
    check("--ulimit=files=3", "`files` cannot be limited: there are as, core");
    check("--ulimit=nofile=5:4", "the soft limit is above the hard one");
    check("--shm-size=big", "write a size such as 64m");
    let folder = scratch();
    put(folder.path(), "build.toml", "[target.one]\nulimits = ['nofile=1:2:3']\n");
    let (code, _, said) = outcome(store.command().current_dir(folder.path()).args(["bake", "one"]));
    assert!(code == 1 && said.contains("build.toml:2:12") && said.contains("`nofile=1:2:3` is no limit"), "{said}");
    assert!(fs::read_dir(folder.path()).unwrap().count() == 1);
}
