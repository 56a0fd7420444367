//! The examples that need nothing but busybox and have no file of their own here: built as their pages say.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, copy_folder, outcome, repository, run, scratch};

#[test]
fn steps() {
    let folder = scratch();
    copy_folder(&repository("examples/steps"), folder.path());
    let store = Store::with_busybox();
    let command = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = store.command();
        command.current_dir(folder.path()).arg("bake").args(arguments).envs(environment.iter().copied());
        command
    };
    run(&mut command(&[], &[]));
    let image: Value = serde_json::from_str(&store.run(&["inspect", "steps/greet:0.1.0-de"])).unwrap();
    assert_eq!(image[0]["Config"]["Entrypoint"], serde_json::json!(["greet"]));
    assert_eq!(image[0]["Config"]["Labels"].as_object().unwrap().len(), 1, "no commit, no label: {image}");

    let environment = [("CHANNEL", "stable"), ("BRANCH", "feature/x"), ("LANGS", "fr"), ("COMMIT", "c0ffee")];
    let printed: Value = serde_json::from_slice(&run(&mut command(&["--print"], &environment)).stdout).unwrap();
    let target = &printed["target"]["default"];
    let tags = ["steps/greet:0.1.0-feature-x", "steps/greet:latest", "steps/greet:0.1.0-fr"];
    assert_eq!(target["tags"], serde_json::json!(tags));
    assert_eq!(target["labels"]["org.opencontainers.image.revision"], "c0ffee");

    for (name, value, expected) in
        [("CHANNEL", "beta", "is none of `edge`, `stable`"), ("VERSION", "1", "three numbers, as in 1.2.3")]
    {
        let (code, _, error) = outcome(&mut command(&[], &[(name, value)]));
        assert!(code == 1 && error.contains(expected) && error.contains("build.toml:"), "{error}");
    }
}

#[test]
fn program() {
    let cargo = ["build", "--quiet", "--example", "program"];
    run(Command::new(env!("CARGO")).current_dir(repository("")).args(cargo));
    let test = std::env::current_exe().unwrap();
    let folder = scratch();
    copy_folder(&repository("examples/program"), folder.path());
    let store = Store::with_busybox();
    let program = || {
        let mut command = Command::new(test.parent().unwrap().with_file_name("examples").join("program"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.arg("--root").arg(store.path());
        command
    };
    run(program().args(["build", "--no-lock", "tool"]));
    let image: Value = serde_json::from_str(&store.run(&["inspect", "program/tool:1"])).unwrap();
    assert_eq!(image[0]["Config"]["Entrypoint"], serde_json::json!(["tool"]));
    // The same as a build file, whose results are beside it.
    let written = run(program().arg("toml")).stdout;
    fs::write(folder.path().join("build.toml"), written).unwrap();
    let built = store.bake(folder.path(), &["--no-lock"]);
    assert!(!built.ran.iter().any(|name| name.contains("compile.sh")), "it is the same build: {built:?}");
    assert_eq!(fs::read_to_string(folder.path().join("out/three")).unwrap(), "three\n");
}
