//! Every check is tried with the examples of its page: the bad one must be found, the good one must not.

use std::collections::BTreeSet;

use super::*;
use crate::frontend::diagnostic::Severity;
use crate::frontend::dockerfile::{ContextSource, Options, Resolved, ResolvedImage, apply_fixes, check, parse};
use crate::fstree::pattern::IgnoreList;
use crate::graph::Graph;
use crate::oci::ImageConfig;

fn options() -> Options {
    let mut options = Options::new("Dockerfile", "linux/amd64".parse().unwrap());
    options.context =
        ContextSource::Local { name: "context".into(), ignore: IgnoreList::new(vec!["*.log".into()]).unwrap().into() };
    options
}

/// One image is known: it is for another platform.
fn resolved() -> Resolved {
    let mut resolved = Resolved::default();
    let config = ImageConfig { os: "linux".into(), architecture: "arm64".into(), ..ImageConfig::default() };
    let key = ("arm-only:1.0".to_owned(), "linux/amd64".parse().unwrap());
    resolved.images.insert(key, ResolvedImage { reference: "arm-only:1.0@sha256:0".into(), config });
    resolved
}

fn findings(text: &str) -> Vec<Diagnostic> {
    let parsed = parse(text);
    let Some(file) = parsed.dockerfile else { panic!("{text}\n{:?}", parsed.diagnostics) };
    check(&file, &options(), &resolved(), &mut Graph::new(), &|_| false).diagnostics
}

fn rules(text: &str) -> Vec<&'static str> {
    findings(text).iter().filter_map(|finding| finding.rule).collect()
}

/// The two examples of a page.
fn examples(rule: &Rule) -> (String, String) {
    let block = |after: &str| {
        let (_, rest) = rule.page.split_once(after).unwrap_or_else(|| panic!("{}: no `{after}`", rule.name));
        let (_, rest) = rest.split_once("```dockerfile\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    (block("\nBad:\n"), block("\nGood:\n"))
}

#[test]
fn the_bad_example_is_found_and_the_good_one_is_not() {
    for rule in RULES {
        let (bad, good) = examples(rule);
        assert!(rules(&bad).contains(&rule.name), "{}: not found in\n{bad}{:?}", rule.name, findings(&bad));
        assert!(!rules(&good).contains(&rule.name), "{}: found in\n{good}", rule.name);
    }
}

#[test]
fn every_finding_says_where_and_what_to_do() {
    for rule in RULES {
        let (bad, _) = examples(rule);
        for finding in findings(&bad).iter().filter(|finding| finding.rule == Some(rule.name)) {
            let place = finding.annotations[0].span.clone();
            // A blank line has no bytes.
            let blank = rule.name == "NoEmptyContinuation";
            assert!(blank || !bad[place].is_empty(), "{}: {finding:?}", rule.name);
            assert!(!finding.help.is_empty(), "{}: no advice", rule.name);
            let level = if rule.level == Level::Warning { Severity::Warning } else { Severity::Advice };
            assert_eq!(finding.severity, level, "{}", rule.name);
        }
    }
}

#[test]
fn good_examples_have_no_warnings_at_all() {
    for rule in RULES {
        let (_, good) = examples(rule);
        let warnings: Vec<_> = findings(&good).into_iter().filter(|one| one.severity != Severity::Advice).collect();
        assert!(warnings.is_empty(), "{}: {warnings:?}", rule.name);
    }
}

#[test]
fn every_check_can_be_skipped() {
    for rule in RULES.iter().filter(|rule| !rule.experimental) {
        let (bad, _) = examples(rule);
        for skip in [format!("# check=skip={}\n{bad}", rule.name), format!("# check=skip=all\n{bad}")] {
            assert!(!rules(&skip).contains(&rule.name), "{}", rule.name);
        }
    }
    for (rule, text) in [
        ("ReservedStageName", "# check=skip=ReservedStageName\nFROM a:1 AS scratch\n"),
        ("DuplicateStageName", "FROM a:1 AS b\n# check=skip=DuplicateStageName\nFROM a:1 AS b\n"),
        ("ConsistentInstructionCasing", "FROM a:1\nWORKDIR /a\n# check=skip=ConsistentInstructionCasing\nrun x\n"),
        ("RunsAsRoot", "FROM a:1\n# check=skip=RunsAsRoot\nUSER root\nCMD [\"x\"]\n"),
    ] {
        // The empty comment keeps the first line from being a directive of the file.
        assert!(!rules(&format!("#\n{text}")).contains(&rule), "{rule}");
    }
    let line = "FROM a:1 AS b\n# check=skip=AptUpgrade\nRUN apt-get -y upgrade\nRUN apt-get -y dist-upgrade\n";
    assert_eq!(rules(line).iter().filter(|rule| **rule == "AptUpgrade").count(), 1);
}

#[test]
fn names_and_pages_are_in_order() {
    let mut names = BTreeSet::new();
    for rule in RULES {
        assert!(names.insert(rule.name), "{} is there twice", rule.name);
        assert!(rule.summary.len() < 110 && !rule.summary.ends_with('.'), "{}", rule.name);
        assert!(
            rule.page.ends_with("```\n") && rule.page.lines().all(|line| line.chars().count() <= 125),
            "{}",
            rule.name
        );
    }
    assert_eq!(RULES.iter().filter(|rule| rule.level == Level::Warning).count(), 22);
    assert_eq!(Rule::find("fromascasing").map(|rule| rule.name), Some("FromAsCasing"));
    assert_eq!(Rule::nearest("FromAsCase"), None);
    assert_eq!(Rule::nearest("FromAsCasin"), Some("FromAsCasing"));
}

#[test]
fn fixes_are_as_promised() {
    for rule in RULES {
        let (bad, _) = examples(rule);
        let fixed = apply_fixes(&bad, &findings(&bad), true);
        assert_eq!(fixed.rules.contains(&rule.name), rule.fix != FixKind::None, "{}: {fixed:?}", rule.name);
        let safe = apply_fixes(&bad, &findings(&bad), false);
        assert_eq!(safe.rules.contains(&rule.name), rule.fix == FixKind::Safe, "{}: {safe:?}", rule.name);
        if rule.fix != FixKind::None {
            assert!(!rules(&fixed.text).contains(&rule.name), "{}: still there in\n{}", rule.name, fixed.text);
        }
    }
}

#[test]
fn fixes() {
    let check = |text: &str, expected: &str| {
        let fixed = apply_fixes(text, &findings(text), true).text;
        assert_eq!(fixed, expected, "{text}");
        let again = apply_fixes(&fixed, &findings(&fixed), true);
        assert_eq!((again.text.as_str(), again.rules.len()), (fixed.as_str(), 0), "a second time changes nothing");
    };
    check("FROM a:1 AS One\n", "FROM a:1 AS one\n");
    check("from a:1 AS b\n", "from a:1 as b\n");
    check("FROM a:1\nRUN a \\\r\n\r\n  b\r\n", "FROM a:1\nRUN a \\\r\n  b\r\n");
    check("FROM a:1\nENV A b c\nLABEL d \"e f\"\nENV g $h\n", "FROM a:1\nENV A=\"b c\"\nLABEL d=\"e f\"\nENV g=$h\n");
    check("FROM a:1\nENV A it's b\\ c\n", "FROM a:1\nENV A it's b\\ c\n");
    check("FROM --platform=$TARGETPLATFORM   a:1 AS b\n", "FROM a:1 AS b\n");
    check("FROM scratch\nWORKDIR a/../b\n", "FROM scratch\nWORKDIR /b\n");
    check("FROM a:1\nWORKDIR b\n", "FROM a:1\nWORKDIR b\n");
    check("FROM a:1\nEXPOSE 53/UDP 8080:80 $P\n", "FROM a:1\nEXPOSE 53/udp 80 $P\n");
    check("FROM a:1\nCMD a && b\n", "FROM a:1\nCMD a && b\n");
    check("FROM a:1\nCMD ./run.sh -v --x=1\n", "FROM a:1\nCMD [\"./run.sh\", \"-v\", \"--x=1\"]\n");
    check("FROM a:1\nMAINTAINER A B <a@b>\n", "FROM a:1\nLABEL org.opencontainers.image.authors=\"A B <a@b>\"\n");
}

/// Texts that look like something to complain about, and are fine.
#[test]
fn advice_is_silent_where_nothing_is_wrong() {
    let silent = |rule: &str, text: &str| assert!(!rules(text).contains(&rule), "{rule} in\n{text}");
    silent("CacheOrder", "FROM a:1\nCOPY . .\nRUN pip install -e .\n");
    silent("CacheOrder", "FROM a:1\nCOPY package.json .\nRUN npm ci\nCOPY . .\nRUN npm run build\n");
    silent("CacheOrder", "FROM a:1\nCOPY . .\nRUN --mount=type=cache,target=/root/.npm npm ci\n");
    silent("CacheOrder", "FROM a:1 AS b\nFROM a:1\nCOPY --from=b . .\nRUN npm ci\n");
    silent("DeletedLater", "FROM a:1\nRUN mkdir /tmp/x && make && rm -r /tmp/x\n");
    silent("DeletedLater", "FROM a:1 AS b\nRUN mkdir /x\nRUN rm -r /x\nFROM scratch\nCOPY --from=b /y /y\n");
    silent("DeletedLater", "FROM a:1\nRUN rm -rf /usr/share/doc\n");
    silent("DeletedLater", &format!("FROM a:1\n{}", "RUN apt-get update; rm -rf /var/lib/apt/lists/*\n".repeat(2)));
    silent("DeletedLater", &format!("FROM a:1\n{}", "RUN apt-get update; apt-get dist-clean\n".repeat(2)));
    silent("AptListsKept", "FROM a:1\nRUN apt-get update; apt-get install -y x; apt-get dist-clean\n");
    silent("AptRecommends", "FROM a:1\nRUN if apt-get install -s x; then y; fi\n");
    silent("AptWithoutYes", "FROM a:1\nRUN apt-get install --simulate x\n");
    silent("SecretFileCopied", "FROM a:1\nCOPY example.key /etc/apt/keyrings/\nCOPY a.key /war/a-key.pub\n");
    silent("CacheOrder", "FROM a:1\nCOPY . .\nRUN npm install -g ./tool\n");
    silent(
        "AptListsKept",
        "FROM a:1 AS b\nRUN apt-get update && apt-get install -y x\nFROM scratch\nCOPY --from=b /y /y\n",
    );
    silent(
        "AptListsKept",
        "FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y x\n",
    );
    silent(
        "AptWithoutYes",
        "FROM a:1\nRUN apt-get -qq install x && yes | apt-get install y && apt-get -qy install z\n",
    );
    silent("AptWithoutYes", "FROM a:1\nRUN echo apt-get install x; echo 'a; apt-get install y'\n");
    silent("SudoUsed", "FROM a:1\nRUN apt-get install -y sudo && echo \"a sudo b\"\n");
    silent("PipeWithoutPipefail", "FROM a:1\nRUN set -o pipefail; curl x | tar x\n");
    silent("PipeWithoutPipefail", "FROM a:1\nRUN curl x || true\nRUN cat a | sort\n");
    silent("SecretInCommand", "FROM a:1\nRUN x --password=$P && curl -u \"$(cat /run/secrets/u)\" y\n");
    silent("SecretInCommand", "FROM a:1\nRUN adduser --disabled-password u && docker login --password-stdin\n");
    silent("SecretInCommand", "FROM a:1\nRUN git clone https://git@example.com/a/b && install --user me\n");
    silent("RunsAsRoot", "FROM gcr.io/distroless/static:nonroot\nCMD [\"/x\"]\n");
    silent("RunsAsRoot", "FROM scratch\nCMD [\"/x\"]\n");
    silent("RunsAsRoot", "FROM a:1 AS b\nUSER 1000\nFROM b\nCMD [\"/x\"]\n");
    silent("RunsAsRoot", "FROM a:1\nENTRYPOINT [\"gosu\", \"x\"]\n");
    silent("AddInsteadOfCopy", "FROM a:1\nADD x.tar.gz /\nADD https://h/x /\nADD git@h:a/b.git /b\nADD $X /\n");
    silent("CdInsteadOfWorkdir", "FROM a:1\nRUN make && (cd /x && y)\nRUN (cd /x && y)\nRUN cd $X && y\n");
    silent("CdInsteadOfWorkdir", "FROM a:1\nRUN cd /tmp && y\nRUN --mount=target=/src cd /src/a && y\n");
    silent("RunsAsRoot", "FROM a:1\nCMD []\n");
    silent("SeveralServices", "FROM a:1\nCMD nginx -t && exec nginx\n");
    silent("FloatingTag", "ARG V=1\nFROM a:$V AS b\nFROM localhost:5000/x:2\nFROM b\n");
    silent("UndefinedVar", "FROM a:1\nCOPY x $SET_BY_THE_BASE\n");
    // The base may have a working folder.
    assert!(
        !findings("FROM a:1 AS b\nFROM b\nRUN --mount=target=. x\n").iter().any(|one| one.severity == Severity::Error)
    );
    assert!(findings("FROM a:1\nRUN --mount=target=/ x\n").iter().any(|one| one.severity == Severity::Error));
}

#[test]
fn help_is_for_what_stands_there() {
    let check = |text: &str, rule: &str, expected: &str| {
        let found = findings(text).into_iter().find(|one| one.rule == Some(rule)).unwrap();
        assert!(found.help.iter().any(|help| help.contains(expected)), "{found:?}");
    };
    check("FROM a:1\nCOPY . .\nRUN npm install -g npm@12\n", "CacheOrder", "move the installation above");
    check("FROM a:1\nCOPY . .\nRUN npm install\n", "CacheOrder", "package.json");
    check("FROM a:1\nRUN sudo -u app make\n", "SudoUsed", "`USER app`");
    check("FROM a:1\nRUN sudo -E make\n", "SudoUsed", "`USER root`");
}

/// Where the rules are finer than their summaries.
#[test]
fn warnings_come_when_buildkit_gives_them() {
    let count = |rule: &str, text: &str, expected: usize| {
        assert_eq!(rules(text).iter().filter(|found| **found == rule).count(), expected, "{rule} in\n{text}");
    };
    count("UndefinedVar", "FROM scratch\nEXPOSE $P 80\n", 0);
    count("UndefinedVar", "FROM scratch\nCOPY a $X\nLABEL $X=1\nVOLUME /$X\n", 3);
    count("UndefinedVar", "FROM scratch\nENV A=$BUILDKIT_SBOM_SCAN_STAGE\n", 0);
    count("NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n\n\n c=d \\\n\n e=f\nLABEL \\\n\n g=h\n", 2);
    count("MultipleInstructionsDisallowed", "FROM scratch AS a\nCMD [\"x\"]\nFROM a\nCMD [\"y\"]\n", 0);
    count("WorkdirRelativePath", "FROM scratch AS a\nWORKDIR /x\nFROM a\nWORKDIR y\n", 0);
    count("ConsistentInstructionCasing", "arg A=1\nFROM scratch\nLABEL a=b\n", 0);
    // An indented comment holds its own sign: it is no directive.
    count("JSONArgsRecommended", "FROM scratch\n  # check=skip=JSONArgsRecommended\nCMD x\n", 1);
    count("JSONArgsRecommended", "FROM scratch\n# check=skip=JSONArgsRecommended\nCMD x\n", 0);
}

#[test]
fn only_the_stages_of_a_target_are_checked() {
    let text = "FROM scratch AS a\nWORKDIR b\nFROM scratch\nWORKDIR c\n";
    let file = parse(text).dockerfile.unwrap();
    let options = Options { target: Some("a".into()), ..options() };
    let found = check(&file, &options, &resolved(), &mut Graph::new(), &|_| false).diagnostics;
    assert_eq!(found.iter().filter(|one| one.rule == Some("WorkdirRelativePath")).count(), 1);
}

#[test]
fn commands_are_found_where_they_stand() {
    let place = |text: &str, rule: &str| {
        let found = findings(text).into_iter().find(|one| one.rule == Some(rule)).unwrap();
        text[found.annotations[0].span.clone()].to_owned()
    };
    assert_eq!(
        place("FROM a:1\nRUN make \\\n  # why\n && apt-get -y   upgrade\n", "AptUpgrade"),
        "apt-get -y   upgrade"
    );
    assert_eq!(place("FROM a:1\nRUN <<E\nset -e\nsudo make\nE\n", "SudoUsed"), "sudo");
    assert_eq!(place("FROM a:1\nRUN [\"sudo\", \"make\"]\n", "SudoUsed"), "RUN [\"sudo\", \"make\"]");
    assert_eq!(place("FROM a:1\n  run --network=none  cd /x && y\n", "CdInsteadOfWorkdir"), "cd /x");
}

#[test]
fn a_lockfile_pins() {
    let file = parse("FROM a:1\n").dockerfile.unwrap();
    let found = check(&file, &options(), &Resolved::default(), &mut Graph::new(), &|name| name == "a:1");
    assert!(found.diagnostics.is_empty(), "{found:?}");
}

#[test]
fn all_stages_are_checked_without_any_image() {
    let text = "FROM nowhere:1 AS unused\nWORKDIR relative\nEXPOSE 99999\nVOLUME $BY_BASE\nFROM scratch\nCOPY a /\n";
    let found = findings(text);
    let errors: Vec<&str> =
        found.iter().filter(|one| one.severity == Severity::Error).map(|one| one.message.as_str()).collect();
    assert!(errors.len() == 1 && errors[0].contains("99999"), "{errors:?}");
    assert!(rules(text).contains(&"WorkdirRelativePath"));
}
