//! `imgbuild check` as people and programs call it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Store, copy_folder, repository, scratch, text};

/// The exit code and the document of a check with `--format json`.
fn check(arguments: &[&str], folder: &Path) -> (i32, Value) {
    let store = Store::new();
    let output =
        store.command().current_dir(folder).args(["check", "--format", "json"]).args(arguments).output().unwrap();
    let stdout = text(&output.stdout);
    let document = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{}", text(&output.stderr)));
    (output.status.code().unwrap(), document)
}

fn rules(document: &Value) -> BTreeSet<String> {
    let files = document["files"].as_array().unwrap().iter();
    let all = files.flat_map(|file| file["diagnostics"].as_array().unwrap());
    all.filter_map(|one| one["rule"].as_str().map(str::to_owned)).collect()
}

fn all_rules() -> BTreeSet<String> {
    let list: Value = serde_json::from_str(&Store::new().run(&["check", "--list", "--format", "json"])).unwrap();
    list.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_bad_example_shows_all_checks() {
    let folder = repository("examples/bad");
    let (code, first) = check(&["."], &folder);
    assert_eq!(code, 0, "warnings and advice are no errors: {first:#}");
    let (code, second) = check(&["variables.Dockerfile"], &folder);
    assert_eq!(code, 1, "nothing is built from nothing");
    let mut found = rules(&first);
    found.extend(rules(&second));
    found.insert("InvalidBaseImagePlatform".into());
    let missing: Vec<String> = all_rules().difference(&found).cloned().collect();
    assert!(missing.is_empty(), "no longer shown: {missing:?}");
    assert!(!folder.join("Dockerfile.lock").exists(), "checking writes no lockfile");
}

#[test]
fn good_examples_have_no_warnings() {
    let (code, document) =
        check(&["examples/quickstart/Dockerfile", "examples/debian/Dockerfile", "--deny", "warnings"], &repository(""));
    assert_eq!(code, 0, "{document:#}");
}

#[test]
fn fixing_twice_is_fixing_once() {
    let folder = scratch();
    copy_folder(&repository("examples/bad"), folder.path());
    let file = folder.path().join("Dockerfile");
    let before = fs::read_to_string(&file).unwrap();
    let store = Store::new();
    let fix = |arguments: &[&str]| {
        let output =
            store.command().current_dir(folder.path()).args(["check", "--fix"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let patch = fix(&["--diff"]);
    assert!(patch.starts_with("--- a/Dockerfile\n+++ b/Dockerfile\n@@ "), "{patch}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "--diff writes nothing");
    fix(&[]);
    let once = fs::read_to_string(&file).unwrap();
    assert!(once.contains("FROM node AS builder\n") && once.contains("EXPOSE 80/tcp\n"), "{once}");
    assert!(once.contains("ENV MODE=production\n") && once.contains("MAINTAINER"), "{once}");
    fix(&[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), once);
    fs::write(&file, &before).unwrap();
    fs::write(folder.path().join("patch"), &patch).unwrap();
    let applied = std::process::Command::new("patch").args(["-p1", "-i", "patch"]).current_dir(folder.path()).output();
    if let Ok(applied) = applied {
        assert!(applied.status.success(), "{}", text(&applied.stdout));
        assert_eq!(fs::read_to_string(&file).unwrap(), once, "the patch says the same");
    }
}

#[test]
fn sarif_and_pages_are_printed() {
    let store = Store::new();
    let log: Value =
        serde_json::from_str(&store.run(&["check", "--format", "sarif", repository("examples/bad").to_str().unwrap()]))
            .unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["runs"][0]["results"].as_array().unwrap().len() > 30);
    for rule in all_rules() {
        let page = store.run(&["check", "--explain", &rule]);
        assert!(page.contains("Bad:") && page.contains("Good:") && page.contains("# check="), "{page}");
    }
}

#[test]
fn check_of_a_build_needs_no_images() {
    let folder = scratch();
    fs::write(folder.path().join("Dockerfile"), "FROM nowhere.example/none:1 AS a\nRUN x\nFROM none:2\nCMD x\n")
        .unwrap();
    let store = Store::new();
    let output = store.command().current_dir(folder.path()).args(["build", "--check", "."]).output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("warning[JSONArgsRecommended]") && shown.contains("0 errors, 1 warning"), "{shown}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_typing_error_in_copy_from_names_the_stage() {
    let folder = scratch();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch AS build\nFROM scratch\nCOPY --from=biuld / /\n")
        .unwrap();
    let output = Store::new().command().current_dir(folder.path()).args(["build", "."]).output().unwrap();
    let shown = text(&output.stderr);
    assert!(shown.contains("did you mean the stage `build`?"), "{shown}");
}
