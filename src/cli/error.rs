//! The one place that turns an error into what a person reads: a message, the source it is about, what to do, and the
//! exit code.
//!
//! Sources are drawn in rustc's manner. Texts may come from anywhere, a Dockerfile of a stranger or a process in a
//! step, so nothing reaches the terminal that [`clean`] has not seen.

use std::error::Error as _;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::progress::json::{Failure, Message, Span};
use super::progress::{Lines, clean};
use crate::frontend::diagnostic::{Annotation, Diagnostic, Severity};
use crate::ops::Error;
use crate::ops::error::{Diagnostics, Origin, StepExit, StepFailure};

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

/// Messages about a definition, with an empty line between them.
pub fn render_diagnostics(diagnostics: &Diagnostics, style: Style) -> String {
    let source = Source::new(&diagnostics.text);
    let drawn = diagnostics.list.iter().map(|diagnostic| draw(diagnostics, &source, diagnostic, style));
    drawn.collect::<Vec<String>>().join("\n")
}

fn draw(diagnostics: &Diagnostics, source: &Source, diagnostic: &Diagnostic, style: Style) -> String {
    let Diagnostic { severity, rule, message, annotations, help, fix: _ } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Advice => Level::NOTE.with_name("advice"),
    };
    let mut title = level.primary_title(safe(message));
    if let Some(rule) = rule {
        title = title.id(*rule);
    }
    let mut group = Group::with_title(title);
    let mut files: Vec<(&str, Range<usize>, Vec<&Annotation>)> = Vec::new();
    for annotation in annotations {
        let (name, bytes) = diagnostics.file_at(annotation.span.start);
        match files.iter_mut().find(|(_, known, _)| *known == bytes) {
            Some((.., here)) => here.push(annotation),
            None => files.push((name, bytes, vec![annotation])),
        }
    }
    for (name, bytes, here) in files {
        group = group.element(source.snippet(name, bytes, &here));
    }
    for help in help {
        group = group.element(Level::HELP.message(safe(help)));
    }
    style.group(group)
}

/// A text as it is drawn. Characters that could harm a terminal are replaced by as many bytes of harmless ones, so that
/// spans stay right.
struct Source {
    text: String,
}

impl Source {
    fn new(text: &str) -> Self {
        let harmless = |character: char| match character {
            '\n' | '\t' => character.to_string(),
            // The byte order mark at the start, and the carriage return before an end of line, are not seen.
            character if character.is_control() => "?".repeat(character.len_utf8()),
            character if clean(character.encode_utf8(&mut [0; 4]).as_bytes(), false).is_empty() => {
                "?".repeat(character.len_utf8())
            }
            character => character.to_string(),
        };
        Self { text: text.replace("\r\n", " \n").chars().map(harmless).collect() }
    }

    /// `bytes` are those of the file that is shown.
    fn snippet<'a>(
        &'a self,
        name: &str,
        bytes: Range<usize>,
        annotations: &[&Annotation],
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let bytes = self.boundary(bytes.start)..self.boundary(bytes.end);
        let mut snippet = Snippet::source(&self.text[bytes.clone()]).path(safe(name));
        for Annotation { span, text, primary } in annotations {
            let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let span = self.span(span);
            let within = |at: usize| at.clamp(bytes.start, bytes.end) - bytes.start;
            let annotation = kind.span(within(span.start)..within(span.end));
            let label = safe(text);
            snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(label) });
        }
        snippet
    }

    /// The span, within the text, on whole characters, and without blanks at its end.
    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end).max(start);
        start..start + self.text[start..end].trim_end().len()
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn render_step(failure: &StepFailure, style: Style) -> String {
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
    let name = super::table::cut(&clean(name.join(" ").as_bytes(), false), 100);
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let failure =
            StepFailure { name, origin: Some(origin), exit: StepExit::Signal(9), log: Vec::new(), kept: None };
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
}
