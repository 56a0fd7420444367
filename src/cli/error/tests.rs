//! How errors are drawn for people.

use super::*;
use crate::frontend::diagnostic::Diagnostic;
use crate::ops::error::{Diagnostics, Origin, StepExit, StepFailure};

const DOCKERFILE: &str = "FROM busybox AS Build\nRUN make test\nCOPY --form=Build a b\n";

fn check(error: impl Into<Error>, expected: &str) {
    let text = render(&error.into(), Style::default());
    assert_eq!(text, expected, "\n{text}");
}

fn step(log: &[u8]) -> StepFailure {
    let origin = Origin { file: "Dockerfile".into(), text: DOCKERFILE.into(), span: 22..35 };
    StepFailure {
        name: "RUN make test".into(),
        origin: Some(origin),
        exit: StepExit::Code(2),
        log: log.to_vec(),
        kept: None,
    }
}

#[test]
fn draws_several_diagnostics() {
    let list = vec![
        Diagnostic::error(41..45, "COPY has no flag --form")
            .label("unknown flag")
            .note(16..21, "the stage")
            .help("did you mean --from?"),
        Diagnostic::warning("StageNameCasing", 16..21, "stage name \"Build\" should be in lower case"),
    ];
    let diagnostics = Diagnostics::new("Dockerfile", DOCKERFILE, list);
    check(
        diagnostics,
        "\
error: COPY has no flag --form
 --> Dockerfile:3:6
  |
1 | FROM busybox AS Build
  |                 ----- the stage
2 | RUN make test
3 | COPY --form=Build a b
  |      ^^^^ unknown flag
  |
  = help: did you mean --from?

warning[StageNameCasing]: stage name \"Build\" should be in lower case
 --> Dockerfile:1:17
  |
1 | FROM busybox AS Build
  |                 ^^^^^
",
    );
}

#[test]
fn draws_a_failed_step() {
    check(
        step(b"one\ntwo\x1b[2J\n\n"),
        "\
error: RUN make test failed with exit code 2
 --> Dockerfile:2:1
  |
2 | RUN make test
  | ^^^^^^^^^^^^^
  last output:
    one
    two
",
    );
}

#[test]
fn shows_the_end_of_a_long_log() {
    let log: String = (0..100).map(|number| format!("line {number}\n")).collect();
    let text = render(&step(log.as_bytes()).into(), Style { log_lines: 2, ..Style::default() });
    assert!(text.ends_with("  last 2 lines of output:\n    line 98\n    line 99\n"), "{text}");
}

#[test]
fn cuts_a_long_script() {
    let script = format!("RUN <<EOF\n{}EOF\n", "echo\n".repeat(20));
    let origin = Origin { file: "Dockerfile".into(), span: 0..script.len(), text: script };
    let name = format!("RUN <<EOF {}", "x".repeat(200));
    let failure = StepFailure { name, origin: Some(origin), exit: StepExit::Signal(9), log: Vec::new(), kept: None };
    let text = render(&failure.into(), Style::default());
    assert!(text.starts_with("error: RUN <<EOF xxx"), "{text}");
    assert!(text.contains("… was killed by signal 9 (SIGKILL)\n"), "{text}");
    assert!(text.ends_with("1 | RUN <<EOF\n  | ^^^^^^^^^\n"), "{text}");
}

#[test]
fn draws_messages_with_causes_and_advice() {
    let cause = std::io::Error::other("no space left on device");
    check(
        Error::environment("cannot write to the store").caused_by(cause).help("free some space: imgbuild prune"),
        "\
error: cannot write to the store
  caused by: no space left on device
  help: free some space: imgbuild prune
",
    );
    check(Error::build("no"), "error: no\n");
    check(Error::Interrupted, "error: interrupted\n");
    check(Error::ReaderGone, "");
}

#[test]
fn survives_spans_that_are_wrong() {
    let spans = [(0, 1000), (5000, 6000), (3, 1), (0, 0), (1, 2), (6, 6), (4, 5)];
    for text in ["", "é日本\n", "\u{feff}FROM a\r\nRUN b\r\n", "a\x1b[2Jb\u{202e}c", "\n\n"] {
        for (start, end) in spans {
            let span = start..end;
            let list = vec![Diagnostic::error(span.clone(), "m").note(span, "n\x1b[2J")];
            let error = Diagnostics::new("a\x1bb", text, list).into();
            let drawn = render(&error, Style::default());
            assert!(!drawn.contains('\x1b') && !drawn.contains('\u{202e}'), "{drawn:?}");
            to_json(&error);
        }
    }
}

#[test]
fn has_an_exit_code_for_each_kind() {
    let check = |error: Error, code, kind| {
        assert_eq!((exit_code(&error), to_json(&error).exit_code, to_json(&error).kind), (code, code, kind));
    };
    check(step(b"").into(), 1, "step_failed");
    check(Diagnostics::new("a", "b", Vec::new()).into(), 1, "diagnostics");
    check(Error::build("a"), 1, "build");
    check(Error::Usage("a".into()), 2, "usage");
    check(Error::environment("a"), 3, "environment");
    check(Error::Interrupted, 130, "interrupted");
    check(Error::ReaderGone, 141, "output");
}

#[test]
fn tells_programs_where() {
    let failure = to_json(&step(b"out\xff").into());
    assert_eq!((failure.step_exit_code, failure.log.as_deref()), (Some(2), Some("out\u{fffd}")));
    let span = &failure.diagnostics[0].spans[0];
    assert_eq!((span.line, span.column, span.start, span.end), (2, 1, 22, 35));
}
