//! What is found, as SARIF and as JSON.

use serde_json::Value;

use super::*;
use crate::frontend::diagnostic::Diagnostic;

fn found() -> Vec<Diagnostics> {
    let text = "FROM a AS Büild\nRUN x\n".to_owned();
    let list = vec![
        Diagnostic::warning("StageNameCasing", 10..16, "not lower").help("write `büild`").fix(10..16, "büild"),
        Diagnostic::advice("FloatingTag", 5..6, "no tag").note(17..20, "used here"),
        Diagnostic::error(17..22, "wrong"),
        Diagnostic { annotations: Vec::new(), rule: None, ..Diagnostic::warning("", 0..0, "a remark") },
    ];
    vec![Diagnostics::new("./a b/Dockerfile", text, list)]
}

/// Checks that an object has what the specification requires of its kind, and everything in it.
fn require(kind: &str, value: &Value) {
    let object = value.as_object().unwrap_or_else(|| panic!("{kind} is no object: {value}"));
    let (required, children): (&[&str], &[(&str, &str)]) = match kind {
        "sarifLog" => (&["version", "runs"], &[("runs", "run")]),
        "run" => (&["tool"], &[("tool", "tool"), ("results", "result")]),
        "tool" => (&["driver"], &[("driver", "toolComponent")]),
        "toolComponent" => (&["name"], &[("rules", "reportingDescriptor")]),
        "reportingDescriptor" => {
            (&["id"], &[("shortDescription", "message"), ("fullDescription", "message"), ("help", "message")])
        }
        "result" => (
            &["message", "ruleId", "level"],
            &[("message", "message"), ("locations", "location"), ("relatedLocations", "location"), ("fixes", "fix")],
        ),
        "location" => (&["physicalLocation"], &[("physicalLocation", "physicalLocation"), ("message", "message")]),
        "physicalLocation" => {
            (&["artifactLocation"], &[("artifactLocation", "artifactLocation"), ("region", "region")])
        }
        "artifactLocation" => (&["uri"], &[]),
        "region" => (&["startLine"], &[]),
        "fix" => (&["artifactChanges"], &[("artifactChanges", "artifactChange"), ("description", "message")]),
        "artifactChange" => (
            &["artifactLocation", "replacements"],
            &[("artifactLocation", "artifactLocation"), ("replacements", "replacement")],
        ),
        "replacement" => (&["deletedRegion"], &[("deletedRegion", "region")]),
        "message" => (&["text"], &[]),
        other => panic!("{other}"),
    };
    for name in required {
        assert!(object.contains_key(*name), "{kind} needs {name}: {value}");
    }
    for (name, kind) in children {
        match object.get(*name) {
            None => {}
            Some(Value::Array(list)) => list.iter().for_each(|one| require(kind, one)),
            Some(one) => require(kind, one),
        }
    }
}

#[test]
fn sarif_has_what_the_specification_requires() {
    let log = sarif::log(&found());
    require("sarifLog", &log);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), RULES.len() + 2);
    let results = run["results"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["locations"].as_array().unwrap().is_empty());
    }
    let levels: Vec<&str> = results.iter().filter_map(|result| result["level"].as_str()).collect();
    assert_eq!(levels, ["warning", "note", "error", "warning"]);
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/Dockerfile");
    let region = serde_json::json!({ "startLine": 1, "startColumn": 11, "endLine": 1, "endColumn": 16 });
    assert_eq!(place["region"], region);
    assert_eq!(results[0]["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"], "büild");
}

#[test]
fn json_says_all() {
    let found = found();
    let document = serde_json::to_value(document::document(&found)).unwrap();
    let file = &document["files"][0];
    assert_eq!(
        (&document["version"], &file["errors"], &file["warnings"], &file["advice"]),
        (&1.into(), &1.into(), &2.into(), &1.into())
    );
    let first = &file["diagnostics"][0];
    assert_eq!(first["severity"], "warning");
    assert_eq!(first["spans"][0]["column"], 11);
    assert_eq!(
        first["fix"],
        serde_json::json!({"changes_image": false, "edits": [{"start": 10, "end": 16, "text": "büild"}]})
    );
    assert_eq!(file["diagnostics"][1]["fix"], Value::Null);
}

#[test]
fn exit_codes() {
    let only = |severity| {
        let mut found = found();
        found[0].list.retain(|one| one.severity == severity);
        found
    };
    let check = |severity, deny, code| assert_eq!(exit_code(&only(severity), deny), code, "{severity:?} {deny:?}");
    check(Severity::Error, None, 1);
    check(Severity::Warning, None, 0);
    check(Severity::Warning, Some(Deny::Warnings), 1);
    check(Severity::Advice, Some(Deny::Warnings), 0);
    check(Severity::Advice, Some(Deny::Advice), 1);
}

/// `docs/checks.md`, made from the table.
fn documentation() -> String {
    let mut text = include_str!("introduction.md").to_owned();
    for (level, title) in [(Level::Warning, "Warnings"), (Level::Advice, "Advice")] {
        let rules = || RULES.iter().filter(|rule| rule.level == level);
        text += &format!("\n## {title}\n\n| check | mended by | why |\n|-------|-----------|-----|\n");
        for rule in rules() {
            let anchor = rule.name.to_lowercase();
            let by = match fix_name(rule) {
                "" => String::new(),
                name => format!("`{name}`"),
            };
            text += &format!("| [{}](#{anchor}) | {by} | {} |\n", rule.name, rule.summary);
        }
        for rule in rules() {
            let page = page(rule);
            let (head, rest) = page.split_once("\n\n").unwrap();
            let (_, head) = head.split_once("): ").unwrap();
            text += &format!("\n### {}\n\n{head}\n\n{rest}", rule.name);
        }
    }
    text
}

/// With `UPDATE_DOCS=1` in the environment, this test writes the page instead.
#[test]
fn the_documentation_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    let expected = documentation();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let actual = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "docs/checks.md is out of date: run this test with UPDATE_DOCS=1");
}
