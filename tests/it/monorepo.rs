//! `examples/monorepo`: the build file and the Rust program beside it, which make the same images.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, copy_folder, edit, repository, run, scratch, text};

/// The program, which is built if it is not there yet.
fn program() -> Command {
    run(Command::new(env!("CARGO")).current_dir(repository("")).args(["build", "--quiet", "--example", "monorepo"]));
    // Tests are in `deps/` beside the folder of examples.
    let test = std::env::current_exe().unwrap();
    let mut command = Command::new(test.parent().unwrap().with_file_name("examples").join("monorepo"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

#[test]
fn toml_and_rust_make_the_same_images() {
    let folder = scratch();
    copy_folder(&repository("examples/monorepo"), folder.path());
    let store = Store::with_busybox();
    let built = store.bake(folder.path(), &["--no-lock"]);
    assert_eq!(built.images.len(), 15);
    assert_eq!(built.images.values().filter(|digest| digest.starts_with("sha256:")).count(), 12);
    assert_eq!(fs::read_to_string(folder.path().join("out/greetings/web")).unwrap(), "Welcome to web\n");

    let written = text(&run(program().arg("toml")).stdout);
    fs::write(folder.path().join("program.toml"), written).unwrap();
    let from_program = store.bake(folder.path(), &["--no-lock", "-f", "program.toml", "default"]);
    assert_eq!(from_program.executed, 0, "{from_program:?}");
    for (target, digest) in &from_program.images {
        assert_eq!(digest, &built.images[target], "{target}");
    }

    edit(&folder.path().join("services/web/index.html"), "This is web", "This is the web");
    let changed = store.bake(folder.path(), &["--no-lock", "service"]);
    let ran: BTreeMap<&str, usize> = changed.ran.iter().fold(BTreeMap::new(), |mut ran, name| {
        *ran.entry(name.split(' ').next().unwrap()).or_default() += 1;
        ran
    });
    assert_eq!(
        ran,
        [("COPY", 1), ("RUN", 3), ("WORKDIR", 3)].into(),
        "only the web in its three languages: {changed:?}"
    );
}

#[test]
fn a_program_is_a_build_command() {
    let store = Store::with_busybox();
    let run_program = |arguments: &[&str]| {
        let mut command = program();
        command.arg("--root").arg(store.path()).args(arguments);
        run(&mut command)
    };
    let listed: Value = serde_json::from_slice(&run_program(&["build", "--list"]).stdout).unwrap();
    assert!(listed.as_array().unwrap().iter().any(|one| one["name"] == "web-fr"), "{listed}");
    let built = run_program(&["build", "web-fr", "--no-lock", "--set", "web-fr.tags=mine", "--progress", "plain"]);
    assert!(text(&built.stderr).contains("RUN greeter web"), "{}", text(&built.stderr));
    let image: Value = serde_json::from_str(&store.run(&["inspect", "mine"])).unwrap();
    assert_eq!(image[0]["Config"]["Entrypoint"], serde_json::json!(["cat", "/greeting"]));
    let mut refused = program();
    let refused = refused.args(["build", "-f", "other.toml"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn only_what_changed_is_listed_and_built() {
    let folder = scratch();
    copy_folder(&repository("examples/monorepo"), folder.path());
    let store = Store::with_busybox();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(folder.path()).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
        run(command.args(arguments));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "all"]);
    let bake = |arguments: &[&str]| -> Value {
        let mut command = store.command();
        command.current_dir(folder.path()).arg("bake").args(arguments);
        serde_json::from_slice(&run(&mut command).stdout).unwrap()
    };
    let listed = |arguments: &[&str]| -> Vec<String> {
        let list = bake(&[&["--list"], arguments].concat());
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&["--changed-since", "HEAD"]), [""; 0]);
    assert_eq!(listed(&["--affected-by", "services/mail/index.html"]), ["greetings", "mail-de", "mail-en", "mail-fr"]);
    assert_eq!(listed(&["--affected-by", "tools/greeter/compile.sh"]).len(), 14, "all but the base");
    assert_eq!(listed(&["--affected-by", "services"]).len(), 13, "all services, and the greetings");
    assert_eq!(listed(&["--affected-by", "README.md"]), [""; 0], "nobody reads it");
    assert_eq!(listed(&["--affected-by", "build.toml"]).len(), 15);
    assert_eq!(listed(&["--affected-by", "tools/greeter/build.toml"]).len(), 14, "all but the base");
    assert_eq!(listed(&["--affected-by", "services/build.toml"]).len(), 13, "all services, and the greetings");

    fs::write(folder.path().join("services/web/new.html"), "new").unwrap();
    assert_eq!(listed(&["--changed-since", "HEAD"]), ["greetings", "web-de", "web-en", "web-fr"]);
    let printed = bake(&["--print", "--changed-since", "HEAD", "service"]);
    let names: Vec<&String> = printed["target"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["base", "greeter", "web-de", "web-en", "web-fr"]);
    let mut wrong = store.command();
    let wrong = wrong.current_dir(folder.path()).args(["bake", "--changed-since", "nope"]).output().unwrap();
    assert!(text(&wrong.stderr).contains("git says"), "{wrong:?}");
}
