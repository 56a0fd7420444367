//! Whole commands, from their words to what they print, with a library that only pretends.

use std::sync::Arc;
use std::time::Duration;

use super::args::{BakeArgs, BuildArgs};
use super::library::CheckRequest;
use super::progress::testing::{Paper, step};
use super::*;
use crate::event::{Event, ImageSummary, Outcome, Reporter, Stream, Summary};
use crate::frontend::diagnostic::Diagnostic;
use crate::ops::FixedFile;
use crate::ops::error::{Diagnostics, Origin, StepExit, StepFailure};

const DOCKERFILE: &str = "FROM busybox AS Build\nRUN make\n";

struct Pretender;

fn warnings() -> Diagnostics {
    let list = vec![Diagnostic::warning("StageNameCasing", 16..21, "stage name \"Build\" should be in lower case")];
    Diagnostics::new("Dockerfile", DOCKERFILE, list)
}

impl Library for Pretender {
    fn build(&self, args: &BuildArgs, _: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        reporter.report(Event::Planned(vec![step(0, "build 1/1", "RUN make")]));
        reporter.report(Event::Started(0));
        reporter.report(Event::Output(0, Stream::Stdout, b"cc a.c\n".to_vec()));
        if args.target.as_deref() == Some("broken") {
            reporter.report(Event::Finished(0, Outcome::Failed("exit code 2".into()), Duration::ZERO));
            let origin = Some(Origin { file: "Dockerfile".into(), text: DOCKERFILE.into(), span: 22..30 });
            let log = b"cc a.c\n".to_vec();
            return Err(
                StepFailure { name: "RUN make".into(), origin, exit: StepExit::Code(2), log, kept: None }.into()
            );
        }
        reporter.report(Event::Finished(0, Outcome::Done, Duration::ZERO));
        let images = vec![ImageSummary { digest: "sha256:12".into(), ..ImageSummary::default() }];
        reporter.report(Event::Summary(Summary { executed: 1, images, ..Summary::default() }));
        Ok(vec![warnings()])
    }

    fn check(&self, request: &CheckRequest<'_>, _: &Session) -> Result<Diagnostics, Error> {
        let list = if request.target.is_some() { Vec::new() } else { warnings().list };
        Ok(Diagnostics { list, ..warnings() })
    }

    fn fix(&self, _: &CheckRequest<'_>, _: &Session, _: bool) -> Result<FixedFile, Error> {
        let after = DOCKERFILE.replace("Build", "build");
        let remaining = Diagnostics { text: after.as_str().into(), list: Vec::new(), ..warnings() };
        Ok(FixedFile { before: DOCKERFILE.into(), after, rules: vec!["StageNameCasing"], remaining })
    }

    fn bake(&self, _: &BakeArgs, _: &Session, _: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        Ok(Vec::new())
    }

    fn describe(&self, _: &BakeArgs, _: &Session) -> Result<serde_json::Value, Error> {
        Ok(serde_json::json!({"target": {}}))
    }

    fn convert(&self, _: &BakeArgs, _: &Session) -> Result<String, Error> {
        Ok("[target.app]\n".into())
    }
}

/// Runs a command line; its exit code, standard output and standard error.
fn run(words: &str) -> (u8, String, String) {
    let (stdout, stderr) = (Paper::default(), Paper::default());
    let cli = Cli::try_parse_from(["imgbuild"].into_iter().chain(words.split_whitespace())).unwrap();
    let env = Env::fake([("HOME", "/h")]).writing_to(stdout.open(), stderr.open());
    let code = execute(cli.command, &Session { env, root: cli.root }, &Pretender);
    (code, stdout.text(), stderr.text())
}

fn check(words: &str, code: u8, stdout: &str, stderr: &str) {
    let actual = run(words);
    assert_eq!((actual.0, actual.1.as_str(), actual.2.as_str()), (code, stdout, stderr), "{words}\n{}", actual.2);
}

#[test]
fn builds_with_a_log() {
    let (code, stdout, stderr) = run("build --progress plain .");
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert!(stderr.starts_with("#1 [build 1/1] RUN make\n"), "{stderr}");
    assert!(
        stderr.contains("Finished in 0.0s: 1 step run\n  image   sha256:12\n\nwarning[StageNameCasing]"),
        "{stderr}"
    );
}

#[test]
fn builds_quietly() {
    check("build -q .", 0, "sha256:12\n", "");
    // An archive on standard output must not end in a digest.
    check("build -q -o type=oci .", 0, "", "");
}

#[test]
fn shows_a_failed_step_last() {
    let (code, stdout, stderr) = run("build --progress plain --target broken .");
    assert_eq!((code, stdout.as_str()), (1, ""));
    let expected = "\
#1 ERROR: exit code 2
error: RUN make failed with exit code 2
 --> Dockerfile:2:1
  |
2 | RUN make
  | ^^^^^^^^
  last output:
    cc a.c
";
    assert!(stderr.ends_with(expected), "{stderr}");
}

#[test]
fn speaks_only_json_to_programs() {
    for words in ["build --progress json .", "build --progress json --target broken ."] {
        let (_, _, stderr) = run(words);
        let events: Vec<serde_json::Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[0]["event"], "stream");
        let last = &events[events.len() - 1];
        assert!(last["event"] == "error" || last["messages"][0]["spans"][0]["line"] == 1, "{last}");
    }
}

#[test]
fn checks_without_building() {
    check("build --check --target clean .", 0, "Dockerfile: no problems found\n", "");
    let (code, stdout, stderr) = run("build --check .");
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(stdout.ends_with("\nDockerfile: 0 errors, 1 warning\n"), "{stdout}");
}

#[test]
fn check_fails_only_for_what_is_denied() {
    assert_eq!(run("check").0, 0);
    assert_eq!(run("check --deny warnings").0, 1);
    assert_eq!(run("check --deny advice --target clean").0, 0);
    let (code, stdout, _) = run("check . . --format json");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["files"][1]["diagnostics"][0]["rule"]), (0, &"StageNameCasing".into()));
}

#[test]
fn check_explains() {
    let (code, stdout, _) = run("check --explain cacheorder");
    assert!(code == 0 && stdout.starts_with("CacheOrder (advice): Files that change often"), "{stdout}");
    assert!(stdout.ends_with("`# check=skip=CacheOrder`.\n"), "{stdout}");
    check(
        "check --explain CacheOrdr",
        2,
        "",
        "error: there is no check called \"CacheOrdr\"; did you mean CacheOrder?\n",
    );
    assert!(run("check --list").1.lines().count() > 39);
}

#[test]
fn check_shows_what_it_would_mend() {
    let diff = "--- a/Dockerfile\n+++ b/Dockerfile\n@@ -1,2 +1,2 @@\n-FROM busybox AS Build\n+FROM busybox AS build\n RUN make\n";
    check("check --fix --diff", 0, diff, "Dockerfile: 1 finding would be mended: StageNameCasing\n");
    let error = "error: --fix: what comes from standard input cannot be written back\n";
    check("check --fix -", 2, "", error);
}

#[test]
fn refuses_what_cannot_be() {
    let error = "error: stdin cannot be both the context and the Dockerfile: give one of them a path\n";
    check("build -f - -", 2, "", error);
    let error = "error: --output: 2 archives cannot share stdout: add dest=FILE to all but one\n";
    check("build -o - -o type=oci .", 2, "", error);
}

#[test]
fn prints_data_to_standard_output_only() {
    check("bake --print", 0, "{\n    \"target\": {}\n}\n", "");
}
