//! From text to [`Dockerfile`]: lines ([`lines`]), then words ([`words`]), then instructions ([`instruction`]).
//!
//! Errors do not stop the parser: each instruction stands for itself, so all of them are reported at once. What only a
//! build can know (variables, stages, images) is left to lowering.

mod directive;
mod flags;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod node;
mod words;

pub(super) use directive::{CHECK_HELP, check_front_end, check_of_comments, parse_check};
pub(super) use heredoc::opening;
pub(super) use mount::fields;
#[cfg(test)]
pub(super) use words::without_lone_surrogates;

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Dockerfile, Instruction, Kind, Stage};
use directive::Directives;
use instruction::Parsed as Read;
use lines::LineReader;

/// What the parser made of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The file, if there were no errors.
    pub dockerfile: Option<Dockerfile>,
    /// All errors, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a Dockerfile.
pub fn parse(text: &str) -> Parsed {
    let mut errors = Vec::new();
    let mut reader = LineReader::new(text);
    let mut directives = Directives::new(text, &mut errors);
    let mut globals: Vec<Instruction> = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    let mut early = false;
    let mut lost_stage = false;
    let mut anything = false;
    while let Some(line) = reader.next_line(&mut directives, &mut errors) {
        anything = true;
        let outcome = node::read(line, directives.escape, &mut reader).and_then(instruction::read);
        match outcome {
            Err(found) => {
                lost_stage |= found.was_from;
                errors.extend(found.errors);
            }
            Ok(Read::Stage(stage)) => {
                reader.past_first_stage = true;
                stages.push(stage);
            }
            Ok(Read::Instruction(instruction)) => match stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None if matches!(instruction.kind, Kind::Arg(_)) => globals.push(instruction),
                None if early || lost_stage => {}
                None => {
                    early = true;
                    let span = instruction.head.keyword_span();
                    let keyword = instruction.head.keyword().to_uppercase();
                    let message = format!("`{keyword}` stands before the first `FROM`");
                    errors.push(
                        Diagnostic::error(span, message)
                            .label("there is no stage yet")
                            .help("start with `FROM image`; only `ARG` can stand before it"),
                    );
                }
            },
        }
    }
    if !anything && errors.is_empty() {
        errors.push(Diagnostic::error(0..0, "the Dockerfile has no instructions").help("start with `FROM image`"));
    } else if stages.is_empty() && errors.is_empty() {
        let end = text.trim_end().len();
        errors.push(Diagnostic::error(end..end, "the Dockerfile has no stage").help("add `FROM image`"));
    }
    let failed = !errors.is_empty();
    errors.sort_by_key(|error| error.annotations.first().map_or(0, |place| place.span.start));
    let dockerfile = (!failed).then_some(Dockerfile {
        escape: directives.escape,
        check: directives.check,
        globals,
        stages,
        notes: reader.notes,
        empty_continuations: reader.empty_continuations,
        line_starts: reader.line_starts,
    });
    Parsed { dockerfile, diagnostics: errors }
}

/// Reads one instruction that is no `FROM`, such as a trigger of `ONBUILD`. The spans are those of this text.
pub(super) fn parse_trigger(text: &str) -> Result<Instruction, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut reader = LineReader::new(text);
    // A trigger is read with the default escape character, whatever the file that it comes from has.
    let mut directives = Directives::none();
    let mut found = Vec::new();
    while let Some(line) = reader.next_line(&mut directives, &mut errors) {
        match node::read(line, directives.escape, &mut reader).and_then(instruction::read) {
            Ok(Read::Instruction(instruction)) => found.push(instruction),
            Ok(Read::Stage(stage)) => {
                errors.push(Diagnostic::error(stage.head.keyword_span(), "`FROM` cannot be a trigger of `ONBUILD`"));
            }
            Err(failed) => errors.extend(failed.errors),
        }
    }
    match (errors.is_empty(), found.pop()) {
        (true, Some(instruction)) if found.is_empty() => Ok(instruction),
        (true, _) => Err(vec![Diagnostic::error(0..text.len(), "a trigger of `ONBUILD` must be one instruction")]),
        (false, _) => Err(errors),
    }
}

/// Why a line is no instruction.
#[derive(Debug, Default)]
struct Failed {
    errors: Vec<Diagnostic>,
    /// Whether it was meant as a `FROM`, so that what follows is not told that there is none.
    was_from: bool,
}

impl From<Diagnostic> for Failed {
    fn from(error: Diagnostic) -> Self {
        Self { errors: vec![error], was_from: false }
    }
}

#[cfg(test)]
mod tests;
