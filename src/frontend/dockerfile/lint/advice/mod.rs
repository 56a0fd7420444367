//! Advice: the practices that courses on Docker teach, as far as a Dockerfile shows whether they are followed.
//!
//! All of it is heuristic, so it leans to silence: a variable that is not known, a shell that is not a Bourne shell or
//! text that is not understood gives no finding. What a stage that is not shipped leaves behind is nobody's business.

mod files;
mod image;
mod leftovers;
mod order;
mod packages;
mod steps;

use std::collections::BTreeSet;

use super::Linter;
use super::shell::{self, Command};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{CommandLine, Dockerfile, Instruction, Kind, Run, Span, Stage};

/// What the stages of a file start from, variables expanded.
#[derive(Debug, Clone)]
pub(in crate::frontend::dockerfile) struct Shape {
    /// For each stage.
    pub bases: Vec<ShapeBase>,
    /// The stage that is built.
    pub target: usize,
    /// Who the target runs as, as far as that is known; empty for root.
    pub user: String,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::frontend::dockerfile) enum ShapeBase {
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
    /// A named context.
    Elsewhere,
}

impl Shape {
    /// The stages whose layers are in the image.
    fn shipped(&self) -> BTreeSet<usize> {
        let below = |&stage: &usize| match self.bases.get(stage) {
            Some(ShapeBase::Stage(below)) => Some(*below),
            _ => None,
        };
        std::iter::successors(Some(self.target), below).collect()
    }
}

/// A stage with what its steps start.
struct Seen<'a> {
    stage: &'a Stage,
    /// Whether its layers are in the image.
    shipped: bool,
    /// Its steps with their commands.
    steps: Vec<Step<'a>>,
}

/// An instruction, and if it is a `RUN`, the commands in it.
struct Step<'a> {
    instruction: &'a Instruction,
    run: Option<&'a Run>,
    commands: Vec<Command>,
    /// Where the text of the commands starts.
    origin: TextOrigin,
    /// Whether a failure inside a pipe fails the step.
    pipefail: bool,
}

/// Where the text that commands were read from stands.
enum TextOrigin {
    /// In the instruction's line, from this byte on.
    Line(usize),
    /// In the file, from this byte on.
    File(usize),
    /// Nowhere as it is.
    Nowhere,
}

impl Step<'_> {
    /// Where some bytes of the commands' text stand in the file.
    fn at(&self, span: &std::ops::Range<usize>) -> Span {
        let head = &self.instruction.head;
        match self.origin {
            TextOrigin::Line(start) => head.at(start + span.start..start + span.end),
            TextOrigin::File(start) => start + span.start..start + span.end,
            TextOrigin::Nowhere => head.span.clone(),
        }
    }

    /// Whether a cache is mounted over some of these folders.
    fn has_cache(&self, folders: &[&str]) -> bool {
        let mounts = self.run.map(|run| run.mounts.as_slice()).unwrap_or_default();
        mounts.iter().any(|mount| {
            mount.value.contains("type=cache")
                && (folders.is_empty() || folders.iter().any(|at| mount.value.contains(at)))
        })
    }
}

/// Looks for everything that could be done better. Without a shape, only for what needs none.
pub(in crate::frontend::dockerfile) fn advise(
    file: &Dockerfile,
    shape: Option<&Shape>,
    is_pinned: &dyn Fn(&str) -> bool,
    linter: &mut Linter,
) {
    let shipped = shape.map(Shape::shipped).unwrap_or_else(|| BTreeSet::from([file.stages.len().saturating_sub(1)]));
    let seen: Vec<Seen<'_>> = file
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| Seen { stage, shipped: shipped.contains(&index), steps: steps_of(stage) })
        .collect();
    if let Some(shape) = shape {
        image::bases(file, shape, is_pinned, linter);
        image::user(file, shape, linter);
    }
    for stage in &seen {
        order::check(stage, linter);
        leftovers::check(stage, linter);
        for step in &stage.steps {
            packages::check(stage, step, linter);
            steps::check(step, linter);
            files::check(step.instruction, linter);
        }
        steps::services(stage, linter);
    }
}

fn steps_of(stage: &Stage) -> Vec<Step<'_>> {
    let mut shell_is_known = true;
    let mut pipefail = false;
    let mut steps = Vec::new();
    for instruction in &stage.instructions {
        let mut step = Step { instruction, run: None, commands: Vec::new(), origin: TextOrigin::Nowhere, pipefail };
        match &instruction.kind {
            Kind::Shell(shell) => {
                let program = shell.first().map_or("", |program| program.rsplit('/').next().unwrap_or_default());
                shell_is_known = matches!(program, "sh" | "ash" | "bash" | "dash" | "ksh" | "zsh");
                pipefail = shell.iter().any(|word| word.contains("pipefail"));
            }
            Kind::Run(run) => {
                step.run = Some(run);
                read(&mut step, run, shell_is_known);
            }
            _ => {}
        }
        steps.push(step);
    }
    steps
}

/// Reads the commands of a `RUN`.
fn read(step: &mut Step<'_>, run: &Run, shell_is_known: bool) {
    match &run.command {
        CommandLine::Exec(words) => step.commands = of_words(words),
        CommandLine::Shell(_) if !shell_is_known => {}
        CommandLine::Shell(text) => {
            let script = match &run.heredocs[..] {
                [only] if text.value.trim_start().starts_with("<<") => Some(only),
                _ => None,
            };
            let code = match script {
                Some(script) => {
                    let first = script.body.value.lines().next().unwrap_or_default();
                    if first.starts_with("#!") && !first.trim_end().ends_with("sh") {
                        return;
                    }
                    step.origin = TextOrigin::File(script.body.span.start);
                    script.body.value.as_str()
                }
                None => {
                    let line = &step.instruction.head.text;
                    let start = line.trim_end().len().checked_sub(text.value.len());
                    step.origin = start.map_or(TextOrigin::Nowhere, TextOrigin::Line);
                    text.value.as_str()
                }
            };
            step.commands = shell::commands(code);
            step.pipefail |= step
                .commands
                .iter()
                .any(|command| command.name() == "set" && command.texts().any(|word| word == "pipefail"));
        }
    }
}

/// The commands that a list of words runs: itself, or those of the text for a shell.
fn of_words(words: &[String]) -> Vec<Command> {
    match words {
        [program, flag, text, ..] if is_shell(program) && flag.starts_with('-') && flag.ends_with('c') => {
            // Their places are those of another text.
            let mut commands = shell::commands(text);
            for command in &mut commands {
                command.words.iter_mut().for_each(|word| word.span = 0..0);
                if let Some(sudo) = &mut command.sudo {
                    sudo.span = 0..0;
                }
            }
            commands
        }
        words => shell::exec(words).into_iter().collect(),
    }
}

fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("sh" | "ash" | "bash" | "dash"))
}

/// Notes a finding at an instruction.
fn report(linter: &mut Linter, instruction: &Instruction, finding: Diagnostic) {
    linter.report(&instruction.head.comments, finding);
}

/// The sources of a `COPY` or `ADD` that come from a context, cleaned of what means nothing.
fn context_sources(instruction: &Instruction) -> Vec<(&str, Span)> {
    match &instruction.kind {
        Kind::Copy(transfer) | Kind::Add(transfer) if transfer.from.is_none() => {
            let sources = transfer.sources.iter();
            sources.map(|word| (word.value.trim_start_matches("./").trim_matches('"'), word.span.clone())).collect()
        }
        _ => Vec::new(),
    }
}
