//! `plan`, `why` and `graph`: the cause of every kind of change is named, nothing runs, and nothing is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, edit, outcome, put, run, scratch, text};

const DOCKERFILE: &str = "\
FROM busybox AS build
ARG VERSION=1
ENV MODE=fast
WORKDIR /src
COPY src /src
RUN --mount=type=secret,id=token --mount=type=cache,target=/cache echo $VERSION > /out
COPY <<END /etc/conf
content
END
FROM busybox
RUN mkdir /app
COPY --from=build /out /app/out
RUN cat /app/out
";

/// A folder with that Dockerfile and something to copy.
fn project() -> tempfile::TempDir {
    let folder = scratch();
    put(folder.path(), "Dockerfile", DOCKERFILE);
    put(folder.path(), "src/main.c", "int main;\n");
    put(folder.path(), "src/doc.txt", "read me\n");
    folder
}

fn command(store: &Store, folder: &Path, words: &[&str]) -> Command {
    let mut command = store.command();
    command.current_dir(folder).args(words);
    command
}

fn json(store: &Store, folder: &Path, words: &[&str]) -> Value {
    serde_json::from_slice(&run(&mut command(store, folder, words)).stdout).unwrap()
}

/// What `why` gives as the cause of what runs first: the step, and its reasons as `kind: text`.
fn cause(document: &Value) -> (String, Vec<String>) {
    let steps = document["steps"].as_array().unwrap();
    let first = steps.iter().find(|step| step["state"] != "cached" && step["state"] != "unneeded");
    let first = first.unwrap_or_else(|| panic!("nothing runs: {document}"));
    let at = steps.iter().find(|step| step["step"] == first["cause"]).unwrap_or(first);
    let reason = |reason: &Value| format!("{}: {}", reason["kind"].as_str().unwrap(), reason["text"].as_str().unwrap());
    let reasons = at["reasons"].as_array().unwrap().iter().map(reason).collect();
    (at["name"].as_str().unwrap().to_owned(), reasons)
}

/// A kind of change: what it is called, what is done, further words for `why`, the step that is the cause, and its reasons.
type Case = (&'static str, fn(&Path), &'static [&'static str], &'static str, &'static [&'static str]);

fn dockerfile(folder: &Path, old: &str, new: &str) {
    edit(&folder.join("Dockerfile"), old, new);
}

const NOTHING: fn(&Path) = |_| {};

const CASES: &[Case] = &[
    (
        "content",
        |folder| drop(put(folder, "src/main.c", "int other;\n")),
        &[],
        "COPY src /src",
        &["files: src/main.c changed"],
    ),
    ("new file", |folder| drop(put(folder, "src/new.c", "")), &[], "COPY src /src", &["files: src/new.c is new"]),
    (
        "removed file",
        |folder| fs::remove_file(folder.join("src/doc.txt")).unwrap(),
        &[],
        "COPY src /src",
        &["files: src/doc.txt is gone"],
    ),
    (
        "mode",
        |folder| fs::set_permissions(folder.join("src/main.c"), fs::Permissions::from_mode(0o755)).unwrap(),
        &[],
        "COPY src /src",
        &["files: src/main.c has the mode 0755, not 0644"],
    ),
    (
        "ignore file",
        |folder| drop(put(folder, ".dockerignore", "src/doc.txt\n")),
        &[],
        "COPY src /src",
        &["ignore-file: the ignore file of context changed: +src/doc.txt", "files: src/doc.txt is gone"],
    ),
    (
        "command",
        |folder| dockerfile(folder, "mkdir /app", "mkdir -p /app"),
        &[],
        "RUN mkdir -p /app",
        &["command: the command changed: mkdir /app → mkdir -p /app"],
    ),
    (
        "build argument",
        NOTHING,
        &["--build-arg", "VERSION=2"],
        "RUN echo $VERSION > /out",
        &["variable: VERSION changed: 1 → 2"],
    ),
    (
        "variable",
        |folder| dockerfile(folder, "MODE=fast", "MODE=slow"),
        &[],
        "RUN echo $VERSION > /out",
        &["variable: MODE changed: fast → slow"],
    ),
    (
        "new variable",
        |folder| dockerfile(folder, "MODE=fast", "MODE=fast CC=clang"),
        &[],
        "RUN echo $VERSION > /out",
        &["variable: CC is new: clang"],
    ),
    (
        "removed variable",
        |folder| dockerfile(folder, "ENV MODE=fast\n", ""),
        &[],
        "RUN echo $VERSION > /out",
        &["variable: MODE is gone, it was fast"],
    ),
    (
        "working folder",
        |folder| dockerfile(folder, "WORKDIR /src", "WORKDIR /work"),
        &[],
        "WORKDIR /work",
        &["option: the path changed: /src → /work"],
    ),
    (
        "user",
        |folder| dockerfile(folder, "RUN mkdir", "USER 1000\nRUN mkdir"),
        &[],
        "RUN mkdir /app",
        &["option: the user changed: \"\" → 1000"],
    ),
    (
        "network",
        |folder| dockerfile(folder, "RUN mkdir", "RUN --network=none mkdir"),
        &[],
        "RUN mkdir /app",
        &["option: the network changed: default → none"],
    ),
    (
        "secret mount",
        |folder| dockerfile(folder, "id=token", "id=token,uid=5"),
        &["--secret", "id=token,src=src/main.c"],
        "RUN echo $VERSION > /out",
        &["mount: uid of the secret mount token changed: 0 → 5"],
    ),
    (
        "cache mount",
        |folder| dockerfile(folder, "target=/cache", "target=/cache,sharing=locked"),
        &[],
        "RUN echo $VERSION > /out",
        &["mount: sharing of the cache mount /cache changed: shared → locked"],
    ),
    (
        "no mount",
        |folder| dockerfile(folder, " --mount=type=cache,target=/cache", ""),
        &[],
        "RUN echo $VERSION > /out",
        &["mount: the cache mount /cache is gone"],
    ),
    (
        "destination",
        |folder| dockerfile(folder, "COPY src /src", "COPY src /src/"),
        &[],
        "COPY src /src/",
        &["option: where it copies to changed: /src → /src/"],
    ),
    (
        "owner",
        |folder| dockerfile(folder, "COPY src", "COPY --chown=7 src"),
        &[],
        "COPY --chown=7 src /src",
        &["option: --chown is new: 7"],
    ),
    (
        "heredoc",
        |folder| dockerfile(folder, "\ncontent\n", "\nother content\n"),
        &["--target", "build"],
        "COPY <<END /etc/conf",
        &["heredoc: the heredoc END has other content"],
    ),
    (
        "another image",
        |folder| dockerfile(folder, "FROM busybox\n", "FROM other\n"),
        &[],
        "FROM other",
        &["replaced: it was FROM busybox"],
    ),
    (
        "image of the same name",
        NOTHING,
        &["--pull"],
        "FROM busybox",
        &["base-image: the image busybox changed: sha256:"],
    ),
    (
        "inserted",
        |folder| dockerfile(folder, "RUN mkdir /app", "RUN true\nRUN mkdir /app"),
        &[],
        "RUN true",
        &["inserted: the instruction is new"],
    ),
    (
        "removed",
        |folder| dockerfile(folder, "RUN cat /app/out\n", "RUN true\n"),
        &[],
        "RUN true",
        &["command: the command changed: cat /app/out → true"],
    ),
    (
        "removed in the middle",
        |folder| dockerfile(folder, "WORKDIR /src\n", ""),
        &[],
        "COPY src /src",
        &["removed: WORKDIR /src before it is gone"],
    ),
    ("no cache", NOTHING, &["--no-cache"], "WORKDIR /src", &["no-cache: its cache is not to be used"]),
    (
        "epoch",
        NOTHING,
        &["--build-arg", "SOURCE_DATE_EPOCH=1700000000"],
        "WORKDIR /src",
        &["epoch: SOURCE_DATE_EPOCH changed: 315532800 → 1700000000"],
    ),
];

#[test]
fn the_right_cause_is_named() {
    let store = Store::with_busybox();
    let other = scratch();
    put(other.path(), "root/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    run(Command::new("tar").current_dir(other.path()).args(["-C", "root", "-cf", "root.tar", "etc"]));
    store.run(&["import", other.path().join("root.tar").to_str().unwrap(), "other"]);

    let folder = project();
    store.build(folder.path(), &["--target", "build"]);
    store.build(folder.path(), &[] as &[&str]);
    let mut failures = Vec::new();
    for (name, change, words, step, reasons) in CASES {
        let changed = project();
        // The same place, so the same definition.
        let kept = scratch();
        let backup = kept.path().join("project");
        fs::rename(folder.path(), &backup).unwrap();
        fs::rename(changed.path(), folder.path()).unwrap();
        fs::copy(backup.join("Dockerfile.lock"), folder.path().join("Dockerfile.lock")).unwrap();
        if *name == "image of the same name" {
            // The tag leads elsewhere for a while; the lockfile has what it was.
            store.run(&["tag", "busybox", "kept"]);
            store.run(&["tag", "other", "busybox"]);
        }
        change(folder.path());
        let document = json(&store, folder.path(), &[&["why", "--format", "json"], *words, &["."]].concat());
        let (found_step, found) = cause(&document);
        if *name == "image of the same name" {
            store.run(&["tag", "kept", "busybox"]);
        }
        let fits = found_step.starts_with(step)
            && found.len() == reasons.len()
            && found
                .iter()
                .zip(*reasons)
                .all(|(found, expected)| found.starts_with(&expected.replace("image base", "image busybox")));
        if !fits {
            failures.push(format!("{name}: {step}: {reasons:?}, but told was {found_step}: {found:?}"));
        }
        fs::remove_dir_all(folder.path()).unwrap();
        fs::rename(&backup, folder.path()).unwrap();
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn a_build_says_why_and_remembers() {
    let (store, folder) = (Store::with_busybox(), project());
    store.build(folder.path(), &[] as &[&str]);
    put(folder.path(), "src/main.c", "int changed;\n");
    let mut build = command(&store, folder.path(), &["build", "--progress", "plain", "."]);
    let log = text(&run(&mut build).stderr);
    assert!(log.contains("[build 3/5] COPY src /src\n") && log.contains("BECAUSE src/main.c changed\n"), "{log}");
    assert!(log.contains("BECAUSE src/main.c changed, for COPY src /src\n"), "{log}");

    // Nothing would run now, so it is told what ran.
    for words in [&["why", "RUN echo", "."][..], &["why", "Dockerfile:6", "."], &["why", "--last", "6", "."]] {
        let told = text(&run(&mut command(&store, folder.path(), words)).stdout);
        for expected in ["In the build of ", "RUN echo $VERSION > /out  (./Dockerfile:6) ran\n", "src/main.c changed\n"]
        {
            assert!(told.contains(expected), "{expected:?} in {told}");
        }
    }
    let (code, _, complaint) = outcome(&mut command(&store, folder.path(), &["why", "nope", "."]));
    assert!(code == 2 && complaint.contains("RUN cat /app/out"), "{complaint}");
}

#[test]
fn what_failed_and_what_is_gone() {
    let (store, folder) = (Store::with_busybox(), project());
    let told = |words: &[&str]| cause(&json(&store, folder.path(), &[&["why", "--format", "json"], words].concat())).1;
    assert_eq!(told(&["."]), ["first-time: it was never built here"]);
    dockerfile(folder.path(), "RUN cat /app/out", "RUN test -e /app/no");
    let (code, ..) = outcome(&mut command(&store, folder.path(), &["build", "."]));
    assert_eq!(code, 1);
    assert_eq!(told(&["."]), ["unfinished: it did not come to its end last time"]);
    dockerfile(folder.path(), "RUN test -e /app/no", "RUN true");
    store.build(folder.path(), &[] as &[&str]);
    fs::remove_dir_all(store.path().join("actions/v1")).unwrap();
    assert_eq!(told(&["."]), ["pruned: its result is not in the store any more"]);
    for record in fs::read_dir(store.path().join("builds")).unwrap() {
        let path = record.unwrap().path();
        if path.is_file() {
            fs::write(&path, "{\"version\":").unwrap();
        }
    }
    assert_eq!(told(&["."]), ["first-time: it was never built here"], "damaged records are none");
}

#[test]
fn looking_changes_nothing() {
    let (store, folder) = (Store::with_busybox(), project());
    for words in [&["plan", "."][..], &["why", "."], &["graph", "."]] {
        run(&mut command(&store, folder.path(), words));
    }
    assert!(!folder.path().join("Dockerfile.lock").exists());
    assert!(!store.path().join("builds").exists());
    assert_eq!(fs::read_dir(store.path().join("actions/v1")).unwrap().count(), 0);
}

#[test]
fn a_build_without_work_writes_one_small_file() {
    let (store, folder) = (Store::with_busybox(), project());
    store.build(folder.path(), &[] as &[&str]);
    let files = || -> Vec<(String, u64)> {
        let folder = store.path().join("builds");
        let all = [folder.clone(), folder.join("objects")].map(|folder| fs::read_dir(folder).unwrap());
        let all = all.into_iter().flatten().map(Result::unwrap).filter(|entry| entry.path().is_file());
        all.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect()
    };
    let before = files();
    assert_eq!(store.build(folder.path(), &[] as &[&str]).executed, 0);
    let new: Vec<(String, u64)> = files().into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert!(new[0].1 < 1000, "{new:?}");
}

#[test]
fn a_plan_is_by_targets() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let context = |name: &str| {
        put(folder.path(), &format!("{name}/Dockerfile"), "FROM busybox\nCOPY file /\nRUN cat /file\n");
        put(folder.path(), &format!("{name}/file"), name);
    };
    ["web", "mail", "spare"].into_iter().for_each(context);
    let file = "[group]\ndefault = [\"web\", \"mail\"]\n[target.web]\ncontext = \"web\"\n[target.mail]\ncontext = \"mail\"\n\
                [target.spare]\ncontext = \"spare\"\n";
    put(folder.path(), "build.toml", file);
    store.bake(folder.path(), &[] as &[&str]);
    let plan = |words: &[&str]| text(&run(&mut command(&store, folder.path(), words)).stdout);
    assert_eq!(plan(&["plan"]), "Plan: nothing to run, 4 steps cached\n");
    put(folder.path(), "web/file", "changed");
    let expected = "\
web: 1 step to run, 1 depends on it
  run      [2/3] COPY file /
           file changed
  depends  [3/3] RUN cat /file
           on [2/3] COPY file /
1 more target is cached

Plan: 1 step to run, 1 depends on it, 2 cached
";
    assert_eq!(plan(&["plan"]), expected);
    assert!(plan(&["plan", "mail", "--all"]).contains("  cached   [2/3] COPY file /\n"));
    let document = json(&store, folder.path(), &["plan", "--format", "json"]);
    let states: Vec<&str> =
        document["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states.iter().filter(|state| **state == "run").count(), 1, "{document}");
    assert_eq!(states.len(), 4);

    assert!(plan(&["why", "web"]).contains("file changed"));
    assert!(plan(&["why", "spare"]).contains("never built"), "a target that is not built by default");
    assert!(plan(&["why", "web/Dockerfile:3"]).contains("because of [2/3] COPY file /"));
    // A result that stays the same ends the demand there, which nobody can know before.
    store.bake(folder.path(), &[] as &[&str]);
    assert_eq!(plan(&["plan"]), "Plan: nothing to run, 4 steps cached\n");
}

#[test]
fn graphs_have_states_and_a_critical_path() {
    let (store, folder) = (Store::with_busybox(), project());
    store.build(folder.path(), &[] as &[&str]);
    put(folder.path(), "src/main.c", "int changed;\n");
    let graph =
        |format: &str| text(&run(&mut command(&store, folder.path(), &["graph", "--format", format, "."])).stdout);
    let document: Value = serde_json::from_str(&graph("json")).unwrap();
    let nodes = document["nodes"].as_array().unwrap();
    let named = |name: &str| nodes.iter().find(|node| node["name"].as_str().unwrap().starts_with(name)).unwrap();
    assert_eq!(named("COPY src")["state"], "run");
    assert_eq!(named("RUN echo")["state"], "depends");
    assert_eq!(named("RUN mkdir")["state"], "cached");
    assert_eq!(named("RUN echo")["stage"], "build");
    assert!(named("RUN echo")["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(named("RUN cat")["critical"], true, "everything ends there");
    assert!(graph("dot").contains("subgraph cluster_0"));
    assert!(graph("mermaid").contains(":::run"));
    let svg = graph("svg");
    assert!(svg.contains("class=\"node run") && svg.contains("critical path"), "{svg}");
}
