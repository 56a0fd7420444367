//! Errors and messages for programs: what `--progress json` says of them.

use super::{LOOK_AROUND, causes, exit_code};
use crate::cli::progress::json::{Failure, Message, Span};
use crate::frontend::diagnostic::{Annotation, Diagnostic, Severity};
use crate::ops::Error;
use crate::ops::error::{Diagnostics, Origin, StepExit};

/// The error for programs.
pub fn to_json(error: &Error) -> Failure {
    let mut failure = Failure {
        message: error.to_string(),
        causes: causes(error),
        exit_code: exit_code(error),
        ..Failure::default()
    };
    match error {
        Error::Diagnostics(diagnostics) => {
            failure.kind = "diagnostics";
            failure.diagnostics = messages(diagnostics);
        }
        Error::StepFailed(step) => {
            failure.kind = "step_failed";
            failure.step_exit_code = match step.exit {
                StepExit::Code(code) => Some(code),
                StepExit::Signal(_) | StepExit::Limit(..) | StepExit::Message(_) => None,
            };
            failure.log = Some(String::from_utf8_lossy(&step.log).into_owned());
            failure.help = step.kept.iter().map(|_| LOOK_AROUND.to_owned()).collect();
            failure.diagnostics = step.origin.iter().map(|origin| at(origin, &failure.message)).collect();
        }
        Error::Usage(_) => failure.kind = "usage",
        Error::Environment { hint, .. } => {
            failure.kind = "environment";
            failure.help = hint.iter().cloned().collect();
        }
        Error::Build { help, .. } => {
            failure.kind = "build";
            failure.help = help.clone();
        }
        Error::Interrupted => failure.kind = "interrupted",
        Error::ReaderGone => failure.kind = "output",
    }
    failure
}

/// The messages about a definition for programs.
pub fn messages(diagnostics: &Diagnostics) -> Vec<Message> {
    let place = |annotation: &Annotation| {
        let (name, bytes) = diagnostics.file_at(annotation.span.start);
        let within = |at: usize| at.clamp(bytes.start, bytes.end) - bytes.start;
        let span = within(annotation.span.start)..within(annotation.span.end);
        let annotation = Annotation { span, ..annotation.clone() };
        self::span(name, diagnostics.text.get(bytes.clone()).unwrap_or_default(), &annotation)
    };
    let message = |diagnostic: &Diagnostic| Message {
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Advice => "advice",
        },
        rule: diagnostic.rule,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        spans: diagnostic.annotations.iter().map(place).collect(),
    };
    diagnostics.list.iter().map(message).collect()
}

fn at(origin: &Origin, message: &str) -> Message {
    let annotation = Annotation { span: origin.span.clone(), text: String::new(), primary: true };
    Message {
        severity: "error",
        rule: None,
        message: message.to_owned(),
        help: Vec::new(),
        spans: vec![span(&origin.file, &origin.text, &annotation)],
    }
}

fn span(file: &str, text: &str, annotation: &Annotation) -> Span {
    let before = String::from_utf8_lossy(&text.as_bytes()[..annotation.span.start.min(text.len())]);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Span {
        file: file.to_owned(),
        start: annotation.span.start,
        end: annotation.span.end,
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        text: annotation.text.clone(),
        primary: annotation.primary,
    }
}
