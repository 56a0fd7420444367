//! The lockfile by its commands: `lock`, `update`, `fetch`, and what they keep out of builds.

use std::fs;
use std::path::Path;

use imgbuild::digest::Digest;

use crate::repositories::{Repositories, git};
use crate::support::{Store, edit, outcome, put, scratch, text};
use crate::web::{Reply, Web};

/// Runs the program in a folder: exit code, and what it says.
fn run_in(store: &Store, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = outcome(store.command().current_dir(folder).args(arguments));
    (code, out + &err)
}

/// The same, which must succeed.
#[track_caller]
fn ok(store: &Store, folder: &Path, arguments: &[&str]) -> String {
    let (code, said) = run_in(store, folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

/// The same, which must fail.
#[track_caller]
fn fails(store: &Store, folder: &Path, arguments: &[&str]) -> String {
    let (code, said) = run_in(store, folder, arguments);
    assert_eq!(code, 1, "{arguments:?}: {said}");
    said
}

/// An image with one file, under a name; its manifest's digest.
fn image(store: &Store, name: &str, content: &str, more: &[&str]) -> String {
    let folder = scratch();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "file", content.as_bytes()).unwrap();
    let path = put(folder.path(), "rootfs.tar", tar.into_inner().unwrap());
    store.run(&[&["import", "-q", path.to_str().unwrap(), name], more].concat());
    let index: serde_json::Value = serde_json::from_slice(&fs::read(store.path().join("index.json")).unwrap()).unwrap();
    index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|entry| {
            let annotations = entry["annotations"].to_string();
            annotations.contains(&format!("/{name}\"")).then(|| entry["digest"].as_str().unwrap().to_owned())
        })
        .unwrap_or_else(|| panic!("{name} in {index}"))
}

fn lockfile(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn locking_builds_nothing_and_keeps_the_file_current() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox AS test\nRUN false\nFROM busybox\nRUN false\n");
    let said = fails(&store, folder, &["lock", "--check"]);
    assert!(said.contains("image busybox (linux/amd64): is not pinned yet"), "{said}");
    assert!(!folder.join("Dockerfile.lock").exists());
    let said = ok(&store, folder, &["lock"]);
    assert_eq!(said, "    Adding busybox (linux/amd64)\n    Adding definition of target (linux/amd64)\n");
    assert_eq!(ok(&store, folder, &["lock", "--check"]), "");
    assert_eq!(ok(&store, folder, &["lock"]), "");

    // What is not used any more goes, and what a comment changes is nothing.
    store.run(&["tag", "busybox", "other:1"]);
    edit(&folder.join("Dockerfile"), "FROM busybox\nRUN", "# why\nFROM other:1\nRUN");
    edit(&folder.join("Dockerfile"), "FROM busybox AS", "FROM other:1 AS");
    let said = fails(&store, folder, &["lock", "--check"]);
    assert!(said.contains("image busybox (linux/amd64): is not used any more"), "{said}");
    assert!(said.contains("image other:1 (linux/amd64): is not pinned yet"), "{said}");
    assert!(!said.contains("definition"), "{said}");
    let said = ok(&store, folder, &["lock", "--target", "test"]);
    assert!(!said.contains("Removing"), "a stage is not the whole: {said}");
    let said = ok(&store, folder, &["lock"]);
    assert_eq!(said, "  Removing busybox (linux/amd64)\n");
    let (code, said) = run_in(&store, folder, &["lock", "--no-lock"]);
    assert_eq!(code, 2, "{said}");
}

#[test]
fn each_stage_that_somebody_builds_is_locked_by_its_name() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox AS Test\nRUN true\nFROM scratch\nCOPY Dockerfile /\n");
    ok(&store, folder, &["build", "--target", "test", "."]);
    ok(&store, folder, &["build", "."]);
    let lock = lockfile(folder, "Dockerfile.lock");
    assert!(lock.contains("[[target]]\nplatform = ") && lock.contains("[[target]]\nname = \"test\"\n"), "{lock}");
    ok(&store, folder, &["build", "--locked", "--target", "test", "."]);
    ok(&store, folder, &["build", "--locked", "."]);
    // The last stage does not need the image, but the other one does.
    assert_eq!(ok(&store, folder, &["lock", "--check"]), "");
    edit(&folder.join("Dockerfile"), "Test", "Check");
    let said = ok(&store, folder, &["lock"]);
    assert_eq!(said, "  Removing busybox (linux/amd64)\n  Removing definition of target test (linux/amd64)\n");
}

#[test]
fn a_build_file_is_locked_as_a_whole() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    image(&store, "base:2", "two", &[]);
    put(folder, "one/Dockerfile", "FROM busybox\n");
    put(folder, "two/Dockerfile", "FROM base:2\nARG X\nRUN echo $X\n");
    let build_file = "[group]\ndefault = [\"one\"]\n[target.common]\nargs = { X = \"1\" }\n[target.one]\ninherits = [\"common\"]\ncontext = \"one\"\n";
    put(folder, "build.toml", format!("{build_file}[target.two]\ninherits = [\"common\"]\ncontext = \"two\"\n"));
    ok(&store, folder, &["lock", "one"]);
    assert!(!lockfile(folder, "build.lock").contains("base:2"));
    let said = ok(&store, folder, &["lock"]);
    assert_eq!(said, "    Adding base:2 (linux/amd64)\n    Adding definition of target two (linux/amd64)\n");
    put(folder, "build.toml", build_file);
    assert_eq!(ok(&store, folder, &["lock", "one"]), "", "only what is named is looked at");
    let said = ok(&store, folder, &["lock"]);
    assert_eq!(said, "  Removing base:2 (linux/amd64)\n  Removing definition of target two (linux/amd64)\n");
}

#[test]
fn one_lockfile_is_for_several_platforms() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    image(&store, "host:1", "amd", &["--platform", "linux/amd64"]);
    image(&store, "arm:1", "arm", &["--platform", "linux/arm64"]);
    image(&store, "tools:1", "tools", &["--platform", "linux/amd64"]);
    put(
        folder,
        "Dockerfile",
        "FROM --platform=$BUILDPLATFORM tools:1 AS tools\nFROM host:1 AS amd64\nFROM arm:1 AS arm64\n\
         ARG TARGETARCH\nFROM $TARGETARCH\nCOPY --from=tools /file /tool\n",
    );
    edit(&folder.join("Dockerfile"), "ARG TARGETARCH\nFROM", "FROM");
    put(folder, "Dockerfile", format!("ARG TARGETARCH\n{}", lockfile(folder, "Dockerfile")));
    ok(&store, folder, &["lock", "--platform", "linux/amd64,linux/arm64", "."]);
    let lock = lockfile(folder, "Dockerfile.lock");
    for pin in ["\"arm:1\"\nplatform = \"linux/arm64\"", "\"host:1\"\nplatform = \"linux/amd64\"", "\"tools:1\""] {
        assert!(lock.contains(pin), "{pin} in {lock}");
    }
    // Whoever builds for one platform only leaves the other one alone.
    assert_eq!(ok(&store, folder, &["lock"]), "");
    assert_eq!(ok(&store, folder, &["lock", "--platform", "linux/arm64", "."]), "");
    ok(&store, folder, &["build", "--locked", "--platform", "linux/arm64", "."]);
    ok(&store, folder, &["build", "--locked", "."]);
    // On a machine without the other one's image, its entries stay, and are said to.
    let poor = Store::new();
    for name in ["host:1", "tools:1"] {
        let archive = folder.join("image.tar");
        store.run(&["save", "-q", "-o", archive.to_str().unwrap(), name]);
        poor.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
        fs::remove_file(archive).unwrap();
    }
    let said = ok(&poor, folder, &["lock", "--offline"]);
    assert!(said.contains("what is locked for linux/arm64: arm:1 is locked to"), "{said}");
    assert_eq!(lockfile(folder, "Dockerfile.lock"), lock);
}

#[test]
fn a_target_that_was_locked_for_another_platform_does_not_draw_in_the_others() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM scratch\nARG X\nLABEL x=$X\n");
    put(folder, "build.toml", "[target.a]\nargs = { X = \"a\" }\n[target.b]\nargs = { X = \"b\" }\n");
    ok(&store, folder, &["lock", "a", "--platform", "linux/riscv64"]);
    let said = ok(&store, folder, &["lock"]);
    let lines = ["a (linux/amd64)", "b (linux/amd64)"].map(|name| format!("    Adding definition of target {name}\n"));
    assert_eq!(said, lines.concat());
    put(folder, "build.toml", "[target.a]\nargs = { X = \"a\" }\nplatforms = [\"linux/amd64\"]\n");
    let said = ok(&store, folder, &["lock"]);
    assert!(
        said.contains("Removing definition of target a (linux/riscv64)"),
        "a target can say for what it is: {said}"
    );
}

#[test]
fn branches_that_lock_different_things_merge() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    for name in ["alpha:1", "omega:1"] {
        store.run(&["tag", "busybox", name]);
    }
    for name in ["a", "b", "c"] {
        put(folder, &format!("{name}/Dockerfile"), "FROM busybox\n");
    }
    let target = |name: &str| format!("[target.{name}]\ncontext = \"{name}\"\n");
    let groups = "[group]\ndefault = []\n";
    put(folder, "build.toml", format!("{groups}{}{}{}", target("a"), target("b"), target("c")));
    ok(&store, folder, &["lock"]);
    git(folder, &["init", "-q", "-b", "main"]);
    let commit = |message: &str| {
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "-m", message]);
    };
    commit("all");
    git(folder, &["checkout", "-q", "-b", "first"]);
    put(folder, "a/Dockerfile", "FROM alpha:1\n");
    ok(&store, folder, &["lock"]);
    commit("alpha");
    git(folder, &["checkout", "-q", "main"]);
    put(folder, "c/Dockerfile", "FROM omega:1\n");
    ok(&store, folder, &["lock"]);
    commit("omega");
    git(folder, &["merge", "-q", "-m", "both", "first"]);
    assert_eq!(ok(&store, folder, &["lock", "--check"]), "", "nothing is missing, nothing is double");
    let lock = lockfile(folder, "build.lock");
    assert!(lock.contains("alpha:1") && lock.contains("busybox") && lock.contains("omega:1"), "{lock}");
}

#[test]
fn a_lockfile_that_cannot_be_used_says_what_to_do() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\n");
    ok(&store, folder, &["lock"]);
    let good = lockfile(folder, "Dockerfile.lock");
    let check = |text: String, words: &[&str]| {
        put(folder, "Dockerfile.lock", text);
        for command in [&["lock"][..], &["update"], &["fetch"], &["verify"], &["build", "."]] {
            let said = fails(&store, folder, command);
            for word in words {
                assert!(said.contains(word), "{command:?}: {said}");
            }
        }
    };
    check(good.replace("version = 1", "version = 9"), &["Dockerfile.lock", "line 4", "version 9", "newer imgbuild"]);
    let conflict = good.replace("[[target]]", "<<<<<<< HEAD\n[[target]]");
    check(conflict, &["line 12", "conflict markers", "`imgbuild lock`"]);
    check(good.replace("config = \"sha256:", "config = \"sha512:"), &["line 10", "sha512"]);
}

#[test]
fn lockfiles_are_in_no_context() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    for name in ["Dockerfile", "app.Dockerfile", "Dockerfile.test", "deep/Dockerfile"] {
        put(folder, name, "FROM scratch\nCOPY . /\n");
    }
    put(folder, "Cargo.lock", "");
    let build = |name: &str, more: &[&str]| {
        let out = folder.with_extension("out");
        let arguments = [&["build", "-f", name, "-o", out.to_str().unwrap()], more, &["."]].concat();
        ok(&store, folder, &arguments);
        let mut names: Vec<String> = Vec::new();
        for (below, folder) in [("", out.clone()), ("deep/", out.join("deep"))] {
            for entry in fs::read_dir(folder).unwrap() {
                names.push(format!("{below}{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        fs::remove_dir_all(out).unwrap();
        names.sort();
        names
    };
    let expected = ["Cargo.lock", "Dockerfile", "Dockerfile.test", "app.Dockerfile", "deep", "deep/Dockerfile"];
    for name in ["Dockerfile", "app.Dockerfile", "Dockerfile.test", "deep/Dockerfile"] {
        assert_eq!(build(name, &[]), expected, "{name}");
        assert!(folder.join(format!("{name}.lock")).exists(), "{name}");
    }
    // All lockfiles are there now.
    for name in ["Dockerfile", "app.Dockerfile", "Dockerfile.test", "deep/Dockerfile"] {
        assert_eq!(build(name, &["--locked"]), expected, "{name}");
    }
}

#[test]
fn images_are_looked_up_anew() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    let first = image(&store, "base:1", "one", &[]);
    image(&store, "other:1", "other", &[]);
    put(folder, "Dockerfile", "FROM base:1 AS base\nFROM other:1\nCOPY --from=base /file /\n");
    ok(&store, folder, &["lock"]);
    let before = lockfile(folder, "Dockerfile.lock");
    let second = image(&store, "base:1", "two", &[]);
    assert_eq!(ok(&store, folder, &["lock"]), "", "what is pinned stays");
    let short = |digest: &str| format!("{}…", &digest[..19]);
    let line = format!("  Updating base:1 (linux/amd64): {} -> {}\n", short(&first), short(&second));

    let said = ok(&store, folder, &["update", "--offline", "--dry-run"]);
    assert!(said.starts_with(&line) && said.ends_with("1 unchanged; nothing was written\n"), "{said}");
    assert_eq!(lockfile(folder, "Dockerfile.lock"), before);
    assert_eq!(ok(&store, folder, &["update", "--offline", "other", "other:1"]), "2 unchanged\n");
    let said = fails(&store, folder, &["update", "bas"]);
    assert!(said.contains("has nothing called bas") && said.contains("it pins base:1, other:1"), "{said}");
    let said = ok(&store, folder, &["update", "--offline", "docker.io/library/base"]);
    assert!(said.starts_with(&line), "{said}");
    assert!(lockfile(folder, "Dockerfile.lock").contains(&second));

    // Back to what it was, which the store still has without a name.
    let said = ok(&store, folder, &["update", "base:1", "--precise", &first]);
    assert!(said.contains(&format!("{} -> {}", short(&second), short(&first))), "{said}");
    assert_eq!(lockfile(folder, "Dockerfile.lock"), before);
    ok(&store, folder, &["build", "--locked", "."]);
    let nowhere = Digest::of(b"nowhere").to_string();
    let said = fails(&store, folder, &["update", "--offline", "base:1", "--precise", &nowhere]);
    assert!(said.contains("the store has no such image") && said.contains("Dockerfile:1:6"), "{said}");
    let said = fails(&store, folder, &["update", "base:1", "--precise", &"a".repeat(40)]);
    assert!(said.contains("has no commit"), "{said}");
    for arguments in [&["update", "--precise", &first][..], &["update", "base", "other", "--precise", &first]] {
        let (code, said) = run_in(&store, folder, arguments);
        assert_eq!(code, 2, "{said}");
    }
    let (code, said) = run_in(&store, folder, &["update", "base", "--precise", "sha256:12"]);
    assert!(code == 2 && said.contains("sha256: and 64 digits"), "{said}");
    assert_eq!(lockfile(folder, "Dockerfile.lock"), before);
}

#[test]
fn files_and_repositories_are_looked_up_anew() {
    let repositories = Repositories::new();
    let daemon = repositories.over_git();
    let web = Web::serve(|_, before| Reply::file(format!("version {}", before / 2)));
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    let (url, code) = (web.url("/f"), daemon.url("app.git"));
    put(folder, "Dockerfile", format!("FROM scratch\nADD {url} /f\nADD {code}#main /code/\n"));
    ok(&store, folder, &["lock"]);
    assert!(lockfile(folder, "Dockerfile.lock").contains(&Digest::of(b"version 0").hex()));
    let old = repositories.commit_of("main");
    repositories.change("third\n");
    let new = repositories.commit_of("main");
    let said = ok(&store, folder, &["update", &code]);
    assert!(said.contains(&format!("  Updating {code}#main: {}… -> {}…\n", &old[..12], &new[..12])), "{said}");
    let said = ok(&store, folder, &["update", &format!("{code}#main"), "--precise", &old]);
    assert!(lockfile(folder, "Dockerfile.lock").contains(&old), "{said}");
    let said = fails(&store, folder, &["update", &code, "--precise", &"e".repeat(40)]);
    assert!(said.contains("has no branch, tag or commit"), "{said}");
    let wrong = Digest::of(b"wrong").to_string();
    let said = fails(&store, folder, &["update", &url, "--precise", &wrong]);
    assert!(said.contains("cannot be pinned to") && said.contains("the server has"), "{said}");
    let right = Digest::of(b"version 1").to_string();
    ok(&store, folder, &["update", &url, "--precise", &right]);
    assert!(lockfile(folder, "Dockerfile.lock").contains(&Digest::of(b"version 1").hex()));
    ok(&store, folder, &["fetch", "--locked"]);
    drop((web, daemon));
    ok(&store, folder, &["build", "--frozen", "-o", "type=cacheonly", "."]);
}

#[test]
fn what_was_fetched_needs_no_network() {
    let repositories = Repositories::new();
    let (daemon, http) = (repositories.over_git(), repositories.over_http());
    let web = Web::serve(|_, _| Reply::file("file"));
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    let dockerfile = format!(
        "FROM busybox\nADD {} /f\nADD {}#main /app/\nADD {}#v1:docs /docs/\nRUN cat /f /app/lib/lib.c /docs/deep/page > /all\n",
        web.url("/f"),
        daemon.url("app.git"),
        http.url("/app.git"),
    );
    put(folder, "Dockerfile", dockerfile);
    let said = fails(&Store::new(), folder, &["fetch", "--offline"]);
    assert!(said.contains("there is no image busybox:latest") && said.contains("imgbuild pull busybox"), "{said}");
    let said = fails(&store, folder, &["fetch", "--offline"]);
    assert!(said.contains("is not in the lockfile, and --offline forbids"), "{said}");
    let said = ok(&store, folder, &["fetch"]);
    assert!(said.ends_with("In the store: 1 image, 1 file, 2 checkouts\n"), "{said}");
    let asked = (web.count(), daemon.count(), http.count());
    ok(&store, folder, &["fetch", "--locked"]);
    assert_eq!((web.count(), daemon.count(), http.count()), asked, "what is there is not fetched again");
    drop((web, daemon, http));
    let out = folder.join("out");
    ok(&store, folder, &["build", "--frozen", "-o", out.to_str().unwrap(), "."]);
    assert_eq!(lockfile(&out, "all"), "fileint lib;\npage\n");
    let said = ok(&store, folder, &["verify", "--frozen"]);
    assert!(said.contains("the same twice"), "checkouts are taken from the store: {said}");

    // A lockfile alone is not enough.
    let said = fails(&Store::with_busybox(), folder, &["fetch", "--frozen"]);
    assert!(said.contains("--offline forbids to fetch it"), "{said}");
}

#[test]
fn a_policy_goes_out_and_comes_back() {
    let repositories = Repositories::new();
    let daemon = repositories.over_git();
    let web = Web::serve(|_, _| Reply::file("file"));
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    let first = image(&store, "base:1", "one", &[]);
    let dockerfile = format!("FROM base:1\nADD {} /f\nADD {}#main /app/\n", web.url("/f"), daemon.url("app.git"));
    put(folder, "Dockerfile", dockerfile);
    ok(&store, folder, &["lock", "--export-policy", "policy.json"]);
    let before = lockfile(folder, "Dockerfile.lock");
    let policy: serde_json::Value = serde_json::from_str(&lockfile(folder, "policy.json")).unwrap();
    assert_eq!(policy["rules"].as_array().unwrap().len(), 3, "{policy}");
    assert_eq!(policy["rules"][0]["updates"]["identifier"], format!("docker-image://docker.io/library/base:1@{first}"));
    fs::remove_file(folder.join("Dockerfile.lock")).unwrap();
    image(&store, "base:1", "two", &[]);
    repositories.change("third\n");
    ok(&store, folder, &["lock", "--import-policy", "policy.json"]);
    assert_eq!(lockfile(folder, "Dockerfile.lock"), before);

    put(
        folder,
        "deny.json",
        r#"{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://docker.io/library/base:1"}}]}"#,
    );
    let said = fails(&store, folder, &["lock", "--import-policy", "deny.json"]);
    assert!(said.contains("base:1 is denied by the source policy") && said.contains("Dockerfile:1:6"), "{said}");
    put(folder, "deny.json", r#"{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://*"}}]}"#);
    let said = fails(&store, folder, &["lock", "--import-policy", "deny.json"]);
    assert!(said.contains("deny.json: rule 1") && said.contains("pattern"), "{said}");
}

#[test]
fn there_must_be_a_place_for_it() {
    let store = Store::with_busybox();
    let mut command = store.command();
    let child = command.args(["lock", "-f", "-", "."]).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(child.status.code(), Some(2), "{}", text(&child.stderr));
    assert!(text(&child.stderr).contains("no place for a lockfile"), "{}", text(&child.stderr));
}

/// Runs the program in a folder with a variable set; it must succeed.
#[track_caller]
fn ok_with(store: &Store, folder: &Path, (name, value): (&str, &str), arguments: &[&str]) -> String {
    let (code, out, err) = outcome(store.command().current_dir(folder).env(name, value).args(arguments));
    assert_eq!(code, 0, "{name}={value} {arguments:?}: {out}{err}");
    out + &err
}

const NOTHING: [&str; 4] = ["--progress", "quiet", "-o", "type=cacheonly"];

#[test]
fn flags_do_not_change_the_lockfile_of_a_dockerfile() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(
        folder,
        "Dockerfile",
        "FROM busybox AS files\nFROM busybox\nARG VERSION=1\nLABEL version=$VERSION\nRUN echo $VERSION > /version\nCOPY --from=files /etc/passwd /\n",
    );
    ok(&store, folder, &["lock"]);
    let lock = lockfile(folder, "Dockerfile.lock");
    put(folder, "etc/passwd", "");
    let all: &[&[&str]] = &[
        &[],
        &["--build-arg", "VERSION=2"],
        &["--build-arg", "UNUSED=2", "--label", "revision=4711", "--annotation", "a=b", "-t", "app:2"],
        &["--network", "none", "--security-opt", "no-new-privileges", "--scrub", "apt", "--add-host", "x=10.0.0.1"],
        &["--shm-size", "10m", "--memory", "1g", "--ulimit", "nofile=1000", "--no-cache", "--step-timeout", "10m"],
        &["--build-context", "files=.", "--build-arg", "VERSION=3"],
        &["--build-context", "files=docker-image://busybox"],
    ];
    for flags in all {
        ok(&store, folder, &[&["build", "--locked"], &NOTHING[..], flags, &["."]].concat());
        ok(&store, folder, &[&["build"], &NOTHING[..], flags, &["."]].concat());
        assert_eq!(lockfile(folder, "Dockerfile.lock"), lock, "{flags:?}");
        assert_eq!(ok(&store, folder, &[&["lock", "--check"], *flags].concat()), "", "{flags:?}");
        fs::remove_file(folder.join("Dockerfile.lock")).unwrap();
        ok(&store, folder, &[&["build"], &NOTHING[..], flags, &["."]].concat());
        assert_eq!(lockfile(folder, "Dockerfile.lock"), lock, "{flags:?}, as the first build");
    }
    let locked = [&["build", "--locked"], &NOTHING[..], &["."]].concat();
    ok_with(&store, folder, ("SOURCE_DATE_EPOCH", "1700000000"), &locked);

    // What the file says counts, whatever is said besides.
    edit(&folder.join("Dockerfile"), "VERSION=1", "VERSION=5");
    for flags in all {
        let said = fails(&store, folder, &[&["build", "--locked"], &NOTHING[..], flags, &["."]].concat());
        assert!(said.contains("definition of target (linux/amd64): definition key:"), "{flags:?}: {said}");
    }
    let said = ok(&store, folder, &["lock", "--build-arg", "VERSION=2"]);
    assert!(said.starts_with("  Updating definition of target (linux/amd64)"), "{said}");
    assert_eq!(ok(&store, folder, &["lock", "--check"]), "");
}

#[test]
fn a_stage_has_its_definition_whatever_the_arguments() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox AS test\nARG X\nLABEL x=$X\nFROM test\nLABEL y=1\n");
    ok(&store, folder, &[&["build"], &NOTHING[..], &["--target", "test", "--build-arg", "X=1", "."]].concat());
    ok(&store, folder, &["lock"]);
    for flags in [&["--target", "test"][..], &["--target", "Test", "--build-arg", "X=2"], &["--label", "x=y"]] {
        ok(&store, folder, &[&["build", "--locked"], &NOTHING[..], flags, &["."]].concat());
    }
    assert_eq!(ok(&store, folder, &["lock", "--label", "a=b", "--check"]), "");
    let said = ok(&store, folder, &["lock", "--platform", "linux/arm64", "--build-arg", "X=3"]);
    assert!(said.contains("Adding definition of target (linux/arm64)"), "{said}");
    assert_eq!(ok(&store, folder, &["lock", "--platform", "linux/arm64"]), "");
    // Those of other platforms and stages that the lockfile knows are looked at along with it.
    edit(&folder.join("Dockerfile"), "LABEL x=$X", "LABEL z=1 x=$X");
    let said = ok(&store, folder, &["lock", "--build-arg", "X=4"]);
    assert_eq!(said.matches("Updating definition of target").count(), 3, "{said}");
    assert_eq!(ok(&store, folder, &["lock", "--check"]), "");
}

#[test]
fn what_flags_lead_to_is_pinned_beside_what_the_file_leads_to() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    image(&store, "other:1", "other", &[]);
    put(folder, "Dockerfile", "ARG BASE=busybox\nFROM $BASE\nLABEL x=1\n");
    let with_other = |command: &[&'static str]| [command, &["--build-arg", "BASE=other:1"]].concat();
    ok(&store, folder, &["lock"]);
    let said = fails(&store, folder, &with_other(&["build", "--locked", "."]));
    assert!(said.contains("image other:1 (linux/amd64): is not pinned yet") && !said.contains("definition"), "{said}");
    let said = ok(&store, folder, &with_other(&["lock"]));
    assert_eq!(said, "    Adding other:1 (linux/amd64)\n", "and what the file says is not dropped");
    for command in
        [&["build", "--locked", "."][..], &["lock", "--check"], &["fetch", "--locked"], &["build", "--frozen", "."]]
    {
        ok(&store, folder, &with_other(command));
    }
    ok(&store, folder, &["build", "--locked", "."]);
    assert_eq!(ok(&store, folder, &["lock"]), "  Removing other:1 (linux/amd64)\n");

    // Nobody looks for an image that is only a default.
    put(folder, "Dockerfile", "ARG BASE=nowhere.invalid/base:1\nFROM $BASE\nLABEL x=1\n");
    fs::remove_file(folder.join("Dockerfile.lock")).unwrap();
    ok(&store, folder, &with_other(&["build", "."]));
    let lock = lockfile(folder, "Dockerfile.lock");
    assert!(lock.contains("[[target]]") && !lock.contains("nowhere"), "{lock}");
    ok(&store, folder, &with_other(&["build", "--locked", "--label", "a=b", "."]));
    edit(&folder.join("Dockerfile"), "x=1", "x=2");
    let said = fails(&store, folder, &with_other(&["build", "--locked", "."]));
    assert!(said.contains("definition of target"), "{said}");
    ok(&store, folder, &with_other(&["build", "."]));

    // Without a default, the file alone defines nothing.
    edit(&folder.join("Dockerfile"), "BASE=nowhere.invalid/base:1", "BASE");
    let said = fails(&store, folder, &with_other(&["build", "--locked", "."]));
    assert!(said.contains("definition of target (linux/amd64): is not used any more"), "{said}");
    ok(&store, folder, &with_other(&["build", "."]));
    assert!(!lockfile(folder, "Dockerfile.lock").contains("[[target]]"));
    ok(&store, folder, &with_other(&["build", "--locked", "."]));
}

#[test]
fn flags_and_variables_do_not_change_the_lockfile_of_a_build_file() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    image(&store, "other:1", "other", &[]);
    put(
        folder,
        "Dockerfile",
        "ARG BASE=busybox\nFROM $BASE AS first\nARG X\nLABEL x=$X\nFROM first\nARG Y\nLABEL y=$Y\n",
    );
    put(folder, "other/Dockerfile", "FROM base\nLABEL other=1\n");
    put(
        folder,
        "build.toml",
        r#"
[variable]
X = "1"
RELEASE = { required = true }
TAGS = ["a", "b"]
[group]
default = ["app", "linked", "each"]
[target.app]
args = { X = "${X}", RELEASE = "${RELEASE}" }
tags = ["app:${RELEASE}"]
labels = { release = "${RELEASE}" }
[target.linked]
context = "other"
contexts = { base = "target:app" }
[target.each]
matrix = { Y = ["1", "2"] }
args = { Y = "${Y}", T = "${join(',', TAGS)}" }
"#,
    );
    let with = |release: &'static str| ("RELEASE", release);
    let said = ok_with(&store, folder, with("1"), &["lock"]);
    let names = ["app", "each-1", "each-2", "linked"];
    let adding: String =
        names.iter().map(|name| format!("    Adding definition of target {name} (linux/amd64)\n")).collect();
    assert_eq!(said, format!("    Adding busybox (linux/amd64)\n{adding}"));
    let lock = lockfile(folder, "build.lock");
    let locked = [&["bake", "--locked"], &NOTHING[..2], &["--set", "*.output=type=cacheonly"]].concat();
    for flags in [
        &["--set", "*.args.X=7"][..],
        &["--set", "app.target=first", "--set", "app.labels.a=b", "--set", "each*.tags=x:1", "--build-arg", "Y=4"],
        &["--set", "app.dockerfile=other/Dockerfile", "--set", "app.contexts.base=docker-image://busybox"],
        &["--set", "each-1.context=other", "--set", "each-1.contexts.base=docker-image://busybox"],
        &["--set", "app.network=none", "--set", "app.no-cache=true", "--label", "revision=1", "app"],
    ] {
        ok_with(&store, folder, with("2"), &[&locked[..], flags].concat());
        ok_with(&store, folder, with("2"), &[&["lock"], flags].concat());
        assert_eq!(lockfile(folder, "build.lock"), lock, "{flags:?}");
    }
    for variable in [("X", "9"), ("TAGS", "a,c"), ("SOURCE_DATE_EPOCH", "1700000000")] {
        let mut program = store.command();
        program.current_dir(folder).env("RELEASE", "3").env(variable.0, variable.1).args(&locked);
        let (code, _, said) = outcome(&mut program);
        assert_eq!(code, 0, "{variable:?}: {said}");
    }
    assert_eq!(ok_with(&store, folder, with("4"), &["lock", "--check"]), "");

    // A link that is not there because of a flag leaves what is known alone, and says so.
    let unlinked = ["--set", "linked.contexts.base=docker-image://busybox", "linked"];
    let said = ok_with(&store, folder, with("2"), &[&locked[..1], &["--locked"], &locked[4..], &unlinked].concat());
    assert!(said.contains("could not be compared: it is linked to app, which is not part of this build"), "{said}");
    assert_eq!(lockfile(folder, "build.lock"), lock);

    // What the file says counts: the default of a variable, and what a target is linked to.
    let stale = |names: &[&str]| {
        let (code, out, err) =
            outcome(store.command().current_dir(folder).env("RELEASE", "5").env("X", "8").args(&locked));
        assert_eq!(code, 1, "{out}{err}");
        for name in ["app", "each-1", "each-2", "linked"] {
            let expected = names.contains(&name);
            assert_eq!(err.contains(&format!("definition of target {name} (linux/amd64)")), expected, "{name}: {err}");
        }
    };
    edit(&folder.join("build.toml"), "X = \"1\"", "X = \"2\"");
    stale(&["app", "linked"]);
    edit(&folder.join("build.toml"), "X = \"2\"", "X = \"1\"");
    edit(&folder.join("build.toml"), "[\"a\", \"b\"]", "[\"a\", \"d\"]");
    put(
        folder,
        "Dockerfile",
        "ARG BASE=busybox\nFROM $BASE AS first\nARG X\nLABEL x=$X\nFROM first\nARG Y T\nLABEL y=$Y t=$T\n",
    );
    stale(&["app", "each-1", "each-2", "linked"]);
}

#[test]
fn the_environment_does_not_change_the_lockfile_of_dockers_build_files() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\nARG V\nARG TIME\nLABEL v=$V time=$TIME\n");
    let check = |name: &str, text: &str, (old, new): (&str, &str), dotenv: bool| {
        put(folder, name, text);
        let arguments = |command: &[&'static str]| -> Vec<String> {
            let command = command.iter().map(|word| word.to_string());
            command.chain(["-f".to_owned(), name.to_owned()]).collect()
        };
        let run = |variable: Option<&str>, command: &[&'static str]| {
            let mut program = store.command();
            program.current_dir(folder).args(arguments(command)).envs(variable.map(|value| ("V", value)));
            let (code, out, err) = outcome(&mut program);
            (code, out + &err)
        };
        assert_eq!(run(None, &["lock"]).0, 0, "{name}");
        for variable in [None, Some("2"), Some("")] {
            for command in [
                &["bake", "--locked", "--print"][..],
                &["bake", "--locked", "--progress", "quiet"],
                &["lock", "--check"],
            ] {
                let (code, said) = run(variable, command);
                assert_eq!(code, 0, "{name}: {variable:?} {command:?}: {said}");
            }
        }
        if dotenv {
            put(folder, ".env", "V=3\n");
            assert_eq!(run(None, &["lock", "--check"]), (0, String::new()), "{name}");
            fs::remove_file(folder.join(".env")).unwrap();
        }
        edit(&folder.join(name), old, new);
        let (code, said) = run(Some("2"), &["lock", "--check"]);
        assert!(code == 1 && said.contains("definition of target app"), "{name}: {said}");
        fs::remove_file(folder.join(name)).unwrap();
        fs::remove_file(folder.join("build.lock")).unwrap();
    };
    check(
        "docker-bake.hcl",
        "variable \"V\" { default = \"1\" }\ntarget \"app\" { args = { V = V == \"1\" ? \"one\" : upper(\"x${V}\") } }\ngroup \"default\" { targets = [\"app\"] }\n",
        ("default = \"1\"", "default = \"4\""),
        false,
    );
    check(
        "compose.yaml",
        "services:\n  app:\n    build:\n      context: .\n      args:\n        V: ${V:-1}\n",
        ("${V:-1}", "${V:-4}"),
        true,
    );
}

#[test]
fn outputs_say_which_arguments_they_are_of() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\nARG V=1\nLABEL v=$V\n");
    let verify = |flags: &[&str]| {
        let (code, said) = run_in(&store, folder, &[&["verify", "--format", "json", "-q"], flags].concat());
        let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(report["expected"], "recorded", "{report}");
        (code, report["images"][0]["definition-changed"].as_bool().unwrap())
    };
    ok(&store, folder, &["lock", "--outputs"]);
    let plain = lockfile(folder, "Dockerfile.lock");
    assert_eq!(plain.matches("definition = ").count(), 1, "{plain}");
    assert_eq!(verify(&[]), (0, false));
    assert_eq!(verify(&["--build-arg", "V=1"]), (0, false), "it is said twice");
    assert_eq!(verify(&["--build-arg", "V=2"]), (1, true));
    ok(&store, folder, &["lock", "--outputs", "--build-arg", "V=2"]);
    let other = lockfile(folder, "Dockerfile.lock");
    assert_eq!(other.matches("definition = ").count(), 2, "{other}");
    assert_eq!(verify(&["--build-arg", "V=2"]), (0, false));
    assert_eq!(verify(&[]), (1, true));
    ok(&store, folder, &["build", "--locked", "."]);
    edit(&folder.join("Dockerfile"), "LABEL v", "LABEL w=1 v");
    assert_eq!(verify(&["--build-arg", "V=2"]), (1, true));
}
