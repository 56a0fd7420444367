//! The SARIF of `check --format sarif`: Static Analysis Results Interchange Format, version 2.1.0, as OASIS has it.
//!
//! Columns count characters from 1, as `columnKind` says. A finding without a place is one of the whole file.

use serde_json::{Value, json};

use crate::frontend::diagnostic::{Annotation, Diagnostic, Edit, Severity};
use crate::frontend::dockerfile::{Level, RULES, Rule};
use crate::ops::error::Diagnostics;

/// What errors of the language are called: a result needs a rule.
const ERROR: &str = "DockerfileError";
/// What remarks without a check are called.
const REMARK: &str = "DockerfileRemark";

/// The log of one run over all files.
pub(super) fn log(found: &[Diagnostics]) -> Value {
    let mut rules: Vec<Value> = RULES.iter().map(rule).collect();
    rules.push(plain_rule(ERROR, "The build cannot go on.", "error"));
    rules.push(plain_rule(REMARK, "The build may not do what was meant.", "warning"));
    let results: Vec<Value> =
        found.iter().flat_map(|file| file.list.iter().map(|finding| result(file, finding))).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "imgbuild",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                }
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: &Rule) -> Value {
    let page = super::page(rule);
    let (why, _) = rule.page.split_once("\n\nBad:").unwrap_or((rule.page, ""));
    json!({
        "id": rule.name,
        "name": rule.name,
        "shortDescription": { "text": format!("{}.", super::sentence(rule.summary)) },
        "fullDescription": { "text": why },
        "help": { "text": page, "markdown": page },
        "defaultConfiguration": {
            "enabled": !rule.experimental,
            "level": if rule.level == Level::Warning { "warning" } else { "note" },
        },
        "properties": { "tags": ["dockerfile"] },
    })
}

fn plain_rule(id: &str, text: &str, level: &str) -> Value {
    json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": text },
        "fullDescription": { "text": text },
        "help": { "text": text },
        "defaultConfiguration": { "enabled": true, "level": level },
        "properties": { "tags": ["dockerfile"] },
    })
}

fn result(file: &Diagnostics, finding: &Diagnostic) -> Value {
    let (id, level) = match finding.severity {
        Severity::Error => (finding.rule.unwrap_or(ERROR), "error"),
        Severity::Warning => (finding.rule.unwrap_or(REMARK), "warning"),
        Severity::Advice => (finding.rule.unwrap_or(REMARK), "note"),
    };
    let others = if id == ERROR { RULES.len() } else { RULES.len() + 1 };
    let index = RULES.iter().position(|rule| rule.name == id).unwrap_or(others);
    let help = if finding.help.is_empty() { String::new() } else { format!(": {}", finding.help.join("; ")) };
    let (primary, related): (Vec<&Annotation>, Vec<&Annotation>) =
        finding.annotations.iter().partition(|annotation| annotation.primary);
    let mut locations: Vec<Value> = primary.into_iter().map(|annotation| location(file, annotation)).collect();
    if locations.is_empty() {
        locations.push(json!({ "physicalLocation": { "artifactLocation": artifact(file) } }));
    }
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": index,
        "level": level,
        "message": { "text": format!("{}{help}", finding.message) },
        "locations": locations,
    });
    if !related.is_empty() {
        result["relatedLocations"] = related.into_iter().map(|annotation| location(file, annotation)).collect();
    }
    if let Some(fix) = &finding.fix {
        let replacement = |edit: &Edit| {
            json!({
                "deletedRegion": region(&file.text, edit.span.start, edit.span.end),
                "insertedContent": { "text": edit.text },
            })
        };
        let replacements: Vec<Value> = fix.edits.iter().map(replacement).collect();
        result["fixes"] = json!([{
            "description": { "text": finding.help.first().unwrap_or(&finding.message) },
            "artifactChanges": [{ "artifactLocation": artifact(file), "replacements": replacements }],
        }]);
    }
    result
}

fn location(file: &Diagnostics, annotation: &Annotation) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": artifact(file),
            "region": region(&file.text, annotation.span.start, annotation.span.end),
        }
    });
    if !annotation.text.is_empty() {
        location["message"] = json!({ "text": annotation.text });
    }
    location
}

/// Lines and columns of some bytes, both from 1; the end is the character after the last.
fn region(text: &str, start: usize, end: usize) -> Value {
    let place = |byte: usize| {
        let before = String::from_utf8_lossy(&text.as_bytes()[..byte.min(text.len())]);
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
    };
    let ((start_line, start_column), (end_line, end_column)) = (place(start), place(end.max(start)));
    json!({ "startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column })
}

/// The file as a URI: relative to where the program was started, unless its path is absolute.
fn artifact(file: &Diagnostics) -> Value {
    let path = file.name.trim_start_matches("./");
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    json!({ "uri": uri })
}
