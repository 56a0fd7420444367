//! The JSON of `check --format json`, version 1. `docs/checks.md` describes it; fields may be added without notice.

use serde::Serialize;

use crate::cli::error;
use crate::cli::progress::json::Message;
use crate::frontend::diagnostic::Severity;
use crate::frontend::dockerfile::{FixKind, Level, RULES};
use crate::ops::error::Diagnostics;

/// The whole document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    version: u32,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
    advice: usize,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    #[serde(flatten)]
    message: Message,
    fix: Option<Fix<'a>>,
}

#[derive(Serialize)]
struct Fix<'a> {
    changes_image: bool,
    edits: Vec<Edit<'a>>,
}

#[derive(Serialize)]
struct Edit<'a> {
    start: usize,
    end: usize,
    text: &'a str,
}

/// What was found in each file.
pub(super) fn document(found: &[Diagnostics]) -> Document<'_> {
    let file = |found| {
        let Diagnostics { name, list, .. }: &Diagnostics = found;
        let count = |severity| list.iter().filter(|one| one.severity == severity).count();
        let messages = error::messages(found).into_iter().zip(list);
        let diagnostics = messages.map(|(message, one)| {
            let fix = one.fix.as_ref().map(|fix| {
                let edits = fix.edits.iter();
                let edits = edits.map(|edit| Edit { start: edit.span.start, end: edit.span.end, text: &edit.text });
                Fix { changes_image: fix.changes_result, edits: edits.collect() }
            });
            Finding { message, fix }
        });
        File {
            file: name,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            advice: count(Severity::Advice),
            diagnostics: diagnostics.collect(),
        }
    };
    Document { version: 1, files: found.iter().map(file).collect() }
}

/// A check in the list of checks.
#[derive(Serialize)]
pub(super) struct ListedRule {
    name: &'static str,
    level: &'static str,
    summary: &'static str,
    experimental: bool,
    fix: Option<&'static str>,
}

/// All checks.
pub(super) fn rules() -> Vec<ListedRule> {
    let listed = |rule: &crate::frontend::dockerfile::Rule| ListedRule {
        name: rule.name,
        level: if rule.level == Level::Warning { "warning" } else { "advice" },
        summary: rule.summary,
        experimental: rule.experimental,
        fix: match rule.fix {
            FixKind::None => None,
            FixKind::Safe => Some("safe"),
            FixKind::ChangesResult => Some("all"),
        },
    };
    RULES.iter().map(listed).collect()
}
