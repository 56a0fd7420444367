//! The one place that turns an error into what a person reads: a message, the source it is about, what to do, and the
//! exit code.
//!
//! Sources are drawn in rustc's manner (`source`); programs get the same as data (`json`). Texts may come from anywhere, a
//! Dockerfile of a stranger or a process in a step, so nothing reaches the terminal that [`clean`] has not seen.

mod json;
mod source;
mod step;

use std::error::Error as _;
use std::fmt::Write as _;

use annotate_snippets::{Group, Level, Renderer};

pub use json::{messages, to_json};
pub use source::render_diagnostics;

use super::progress::clean;
use crate::ops::Error;
use step::render_step;

/// All went well.
pub const OK: u8 = 0;
/// The build failed.
pub const BUILD_FAILED: u8 = 1;
/// What was asked makes no sense.
pub const USAGE: u8 = 2;
/// This machine lacks something.
pub const ENVIRONMENT: u8 = 3;
/// The user stopped it.
pub const INTERRUPTED: u8 = 130;
/// Nobody read standard output to its end: what a shell says of programs that SIGPIPE ended.
pub const READER_GONE: u8 = 141;

/// What to do about a step that failed and whose state was kept.
const LOOK_AROUND: &str = "`imgbuild debug` opens a shell in the state that it left behind";

/// The exit code that tells a script what kind of error it was.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Diagnostics(_) | Error::StepFailed(_) | Error::Build { .. } => BUILD_FAILED,
        Error::Usage(_) => USAGE,
        Error::Environment { .. } => ENVIRONMENT,
        Error::Interrupted => INTERRUPTED,
        Error::ReaderGone => READER_GONE,
    }
}

/// How errors are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether they are coloured.
    pub colours: bool,
    /// How many columns there are.
    pub width: usize,
    /// How many lines of a failed step's output are shown.
    pub log_lines: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colours: false, width: 120, log_lines: 50 }
    }
}

impl Style {
    fn renderer(self) -> Renderer {
        let renderer = if self.colours { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(self.width)
    }

    fn group(self, group: Group<'_>) -> String {
        let mut text = self.renderer().render(&[group]);
        text.push('\n');
        text
    }

    /// Text that stands back.
    fn dim(self, text: &str) -> String {
        if self.colours && !text.is_empty() { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole error as lines, each ended by a newline.
pub fn render(error: &Error, style: Style) -> String {
    match error {
        Error::Diagnostics(diagnostics) => render_diagnostics(diagnostics, style),
        Error::StepFailed(failure) => render_step(failure, style),
        Error::Usage(message) => plain(message, &[], &[], style),
        Error::Environment { message, hint, .. } => plain(message, &causes(error), hint.as_slice(), style),
        Error::Build { message, help, .. } => plain(message, &causes(error), help, style),
        Error::Interrupted => plain("interrupted", &[], &[], style),
        Error::ReaderGone => String::new(),
    }
}

/// What was underneath, outermost first, without what a message above says already.
fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut above = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !text.is_empty() && !above.contains(&text) {
            causes.push(text.clone());
        }
        above = text;
        next = cause.source();
    }
    causes
}

/// Text of any origin on as many lines as it has.
fn safe(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| clean(line.as_bytes(), false)).collect();
    lines.join("\n")
}

fn plain(message: &str, causes: &[String], help: &[String], style: Style) -> String {
    let mut text = style.group(Group::with_title(Level::ERROR.primary_title(safe(message))));
    let causes = causes.iter().map(|cause| ("caused by", cause));
    for (name, line) in causes.chain(help.iter().map(|help| ("help", help))) {
        help_line(&mut text, name, line, style);
    }
    text
}

fn help_line(text: &mut String, name: &str, line: &str, style: Style) {
    let name = if style.colours { format!("\x1b[1m{name}\x1b[0m") } else { name.to_owned() };
    let _ = writeln!(text, "  {name}: {}", safe(line).replace('\n', "\n    "));
}

#[cfg(test)]
mod tests;
