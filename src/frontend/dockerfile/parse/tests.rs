//! Texts in, instructions and messages out.

mod print;

use super::*;
use crate::frontend::dockerfile::ast::CommandLine;

/// The messages of a text's errors with the bytes that each points at.
fn errors(text: &str) -> Vec<(String, &str)> {
    let parsed = parse(text);
    assert_eq!(parsed.dockerfile.is_none(), !parsed.diagnostics.is_empty());
    let show = |error: &Diagnostic| (error.message.clone(), &text[error.annotations[0].span.clone()]);
    parsed.diagnostics.iter().map(show).collect()
}

fn instructions(text: &str) -> Vec<Instruction> {
    let file = parse(text).dockerfile.unwrap_or_else(|| panic!("{:?}", errors(text)));
    file.stages.into_iter().flat_map(|stage| stage.instructions).collect()
}

#[test]
fn reports_all_errors_at_once() {
    let text = "FROM a b\nRUNN x\nCOPY --chwon=1 a /\nENV A\nCMD [\"x\", 1]\nFROM c AS 1x\nSHELL sh\nEXPOSE\n";
    let expected = [
        ("`FROM` takes an image, and `AS name` if the stage has a name", "b"),
        ("unknown instruction `RUNN`", "RUNN"),
        ("unknown flag `--chwon`", "--chwon=1"),
        ("`ENV` needs a value for `A`", "A"),
        ("a JSON array here can only hold strings", "[\"x\", 1]"),
        ("`1x` cannot be the name of a stage", "1x"),
        ("`SHELL` takes a JSON array", "sh"),
        ("`EXPOSE` needs an argument", "EXPOSE"),
    ];
    assert_eq!(errors(text), expected.map(|(message, place)| (message.to_owned(), place)));
}

#[test]
fn helps() {
    let check = |text: &str, expected: &str| {
        let parsed = parse(text);
        let help: Vec<&String> = parsed.diagnostics.iter().flat_map(|error| &error.help).collect();
        assert!(help.iter().any(|help| help.as_str() == expected), "{text}: {help:?}");
    };
    check("FROM a\nRUNN x", "did you mean `RUN`?");
    check("FROM a\nCMD[\"x\"]", "write a blank after `CMD`");
    check("FROM a\nCOPY --chwon=1 a /", "did you mean `--chown`?");
    check("FROM a # the base", "a comment needs a line of its own");
    check("FROM a\nENV A=1 # x", "a comment needs a line of its own");
    check("FROM a\nENV PORT", "write `ENV PORT=value`");
    check("# check=skpi=all\nFROM a", "write `check=skip=RULE,RULE;error=true`, or `skip=all`, or `experimental=RULE`");
    check("RUN x", "start with `FROM image`; only `ARG` can stand before it");
}

#[test]
fn spans_survive_continuations() {
    let text = "FROM a\nCOPY --chown=x \\\n  # comment\n  one \\\n\n  two/th\\\nree /d\n";
    let Some(Kind::Copy(copy)) = instructions(text).pop().map(|one| one.kind) else { panic!() };
    let at = |word: &crate::frontend::dockerfile::ast::Word| &text[word.span.clone()];
    assert_eq!(copy.sources.iter().map(at).collect::<Vec<_>>(), ["one", "two/th\\\nree"]);
    assert_eq!(copy.sources[1].value, "two/three");
    assert_eq!((at(copy.chown.as_ref().unwrap()), at(&copy.dest)), ("--chown=x", "/d"));
    let file = parse(text).dockerfile.unwrap();
    assert_eq!(file.line(copy.dest.span.start), 7);
    assert_eq!(file.empty_continuations.len(), 1);
}

#[test]
fn heredocs_are_part_of_their_instruction() {
    let text = "FROM a\nRUN <<-A cat <<'B'\n\tone\n\tA\ntwo\nB\nCMD x\n";
    let found = instructions(text);
    let Kind::Run(run) = &found[0].kind else { panic!() };
    let heredocs: Vec<_> = run.heredocs.iter().map(|h| (h.name.as_str(), h.content(), h.expand)).collect();
    assert_eq!(heredocs, [("A", "one\n".to_owned(), true), ("B", "two\n".to_owned(), false)]);
    assert_eq!(&text[run.heredocs[1].body.span.clone()], "two\n");
    assert_eq!(
        &text[found[0].head.span.clone()],
        text.split_once("FROM a\n").unwrap().1.split("\nCMD").next().unwrap()
    );
    assert_eq!(errors("FROM a\nCOPY <<X /\nx\n")[0].0, "the heredoc `X` is not closed");
}

#[test]
fn directives() {
    let escape = |text: &str| parse(text).dockerfile.unwrap().escape;
    assert_eq!(escape("\u{feff} # Escape = `  \n# syntax=docker/dockerfile:1\nFROM a"), '`');
    assert_eq!(escape("# x\n# escape=`\nFROM a"), '\\');
    assert_eq!(escape("#!/usr/bin/env x\n# escape=`\nFROM a"), '\\');
    assert_eq!(errors("# escape=x\nFROM a")[0].0, "`x` cannot be the escape character");
    assert_eq!(errors("# check=error=true\n# check=skip=all\nFROM a")[0].1, "# check=skip=all");
    assert_eq!(errors("# syntax=example.com/x:1\nFROM a")[0].0, "the front end `example.com/x:1` cannot be used");
    let check = parse("# check=skip=A, B;error=true\nFROM a").dockerfile.unwrap().check;
    assert_eq!((check.skip, check.error), (vec!["A".to_owned(), String::new()], false), "a blank ends the value");
    assert!(parse("#!x\n# check=error=true\nFROM a").dockerfile.unwrap().check.error);
}

#[test]
fn lines_have_a_limit() {
    let line = |length: usize| format!("FROM a\nRUN {}\nRUN x\n", "x".repeat(length - 4));
    assert_eq!(errors(&line(65_535)), []);
    assert_eq!(errors(&line(65_536))[0].0, "a line of 65536 bytes is too long");
}

#[test]
fn texts_that_are_kept_whole() {
    let found = instructions("FROM a\nRUN  --network=none   echo  \"a  b\"   # c  \nONBUILD  run   x  y\n");
    let Kind::Run(run) = &found[0].kind else { panic!() };
    assert!(matches!(&run.command, CommandLine::Shell(text) if text.value == "echo  \"a  b\"   # c"));
    assert_eq!(found[1].kind, Kind::Onbuild("run   x  y".into()));
}

#[test]
fn triggers_are_read_when_they_fire() {
    assert!(parse_trigger("RUN <<A\nx\nA").is_ok());
    assert_eq!(parse_trigger("frob x").unwrap_err()[0].message, "unknown instruction `frob`");
    assert!(parse_trigger("RUN x\nRUN y").is_err());
    assert!(parse_trigger("FROM x").is_err());
    assert!(parse_trigger("").is_err());
}

mod properties {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use crate::frontend::diagnostic::Diagnostic;
    use crate::frontend::dockerfile::{Lowered, Options, Resolved, lower, parse};
    use crate::graph::Graph;

    /// Pieces from which something like a Dockerfile can be put together.
    fn piece() -> impl Strategy<Value = String> {
        let words = [
            "FROM ",
            "scratch",
            " AS a",
            "\n",
            "\\\n",
            "\r\n",
            "ARG ",
            "ENV ",
            "A=1",
            "$A",
            "${A",
            "}",
            ":-",
            "#",
            "//",
            "%",
            "RUN ",
            "COPY ",
            "ADD ",
            "--from=",
            "--mount=",
            "type=cache,",
            "target=/x",
            "a b /c/",
            "<<EOF",
            "<<-'E'",
            "EOF",
            "E\n",
            "[\"x\"]",
            "[",
            "\"",
            "'",
            "`",
            "\t",
            "# escape=`\n",
            "# check=error=true\n",
            "ONBUILD ",
            "EXPOSE ",
            "1-65535",
            "HEALTHCHECK ",
            "CMD ",
            "NONE",
            "--interval=1s",
            "WORKDIR ",
            "LABEL ",
            "USER ",
            "VOLUME ",
            "ü",
            "\0",
            "https://h/x.git?tag=a#b:c",
            "http://h/%zz",
            "--chmod=",
            "u+x",
            "0777",
            "--parents ",
            "*[",
            "\\",
        ];
        prop_oneof![8 => proptest::sample::select(words.map(String::from).to_vec()), 1 => any::<String>()]
    }

    fn survives(text: &str) -> Result<(), TestCaseError> {
        let inside = |error: &Diagnostic| error.annotations.iter().all(|place| text.get(place.span.clone()).is_some());
        let parsed = parse(text);
        for error in &parsed.diagnostics {
            prop_assert!(inside(error), "{error:?}");
        }
        let Some(file) = parsed.dockerfile else { return Ok(()) };
        let options = Options::new("Dockerfile", "linux/amd64".parse().unwrap());
        match lower(&file, &options, &Resolved::default(), &mut Graph::new()) {
            Ok(Lowered::Needs(needs)) => prop_assert!(!needs.is_empty()),
            Ok(Lowered::Done(build)) => prop_assert!(build.warnings.iter().all(inside)),
            Err(found) => prop_assert!(found.iter().all(inside), "{found:?}"),
        }
        Ok(())
    }

    #[test]
    fn no_text_makes_it_panic() {
        let pieces = proptest::collection::vec(piece(), 0..40);
        let outcome = TestRunner::deterministic().run(&pieces, |pieces| {
            survives(&pieces.concat())?;
            survives(&format!("FROM scratch\n{}", pieces.concat()))
        });
        outcome.unwrap();
    }
}
