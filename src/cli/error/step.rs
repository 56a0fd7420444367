//! A step that failed: where it stands in its definition, and the end of what it said.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{Group, Level};

use super::source::Source;
use super::{LOOK_AROUND, Style, help_line, safe};
use crate::cli::progress::{Lines, clean};
use crate::cli::table;
use crate::frontend::diagnostic::Annotation;
use crate::ops::error::{Origin, StepFailure};

pub(super) fn render_step(failure: &StepFailure, style: Style) -> String {
    let StepFailure { origin, log, .. } = failure;
    let mut group = Group::with_title(Level::ERROR.primary_title(step_message(failure)));
    let source = origin.as_ref().map(|Origin { text, .. }| Source::new(text));
    if let (Some(Origin { file, text, span }), Some(source)) = (origin, &source) {
        let span = first_lines(text, span);
        let annotation = Annotation { span, text: String::new(), primary: true };
        group = group.element(source.snippet(file, 0..text.len(), &[&annotation]));
    }
    let mut text = style.group(group);
    let lines = log_lines(log);
    let shown = &lines[lines.len().saturating_sub(style.log_lines)..];
    if !shown.is_empty() {
        let head = match lines.len() - shown.len() {
            0 => "last output:".to_owned(),
            _ => format!("last {} lines of output:", shown.len()),
        };
        let _ = writeln!(text, "  {head}");
        for line in shown {
            let line = style.dim(&clean(line, style.colours));
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
    }
    if failure.kept.is_some() {
        help_line(&mut text, "help", LOOK_AROUND, style);
    }
    text
}

/// The failure in one line, with a long script cut.
fn step_message(failure: &StepFailure) -> String {
    let name: Vec<&str> = failure.name.split_whitespace().filter(|word| *word != "\\").collect();
    let name = table::cut(&clean(name.join(" ").as_bytes(), false), 100);
    safe(&format!("{name} {}", failure.exit))
}

/// As much of a span as is worth showing: a long script is cut after its first line.
fn first_lines(text: &str, span: &Range<usize>) -> Range<usize> {
    const MOST: usize = 8;
    let end = span.end.min(text.len());
    let meant = text.get(span.start..end).unwrap_or_default().trim_end();
    match meant.lines().count() <= MOST {
        true => span.clone(),
        false => span.start..span.start + meant.lines().next().map_or(0, str::len),
    }
}

fn log_lines(log: &[u8]) -> Vec<Vec<u8>> {
    let mut cutter = Lines::default();
    let mut lines = cutter.push(log);
    lines.extend(cutter.finish());
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}
