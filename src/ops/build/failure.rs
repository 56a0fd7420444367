//! A failed step as people need to hear of it: with the place in its definition, and what this machine lacks where that is
//! why.

use crate::graph::Graph;
use crate::ops::Error;
use crate::ops::build::lowering::Lowered;
use crate::ops::error::{Origin, StepExit, StepFailure, is_machine};
use crate::sandbox::{Exit, SandboxError};
use crate::solve::{SolveError, StepError};

/// A failed step as people need to hear of it.
pub(super) fn step_failure(graph: &Graph, lowered: &[Lowered], error: SolveError) -> Error {
    let SolveError { step, error } = error;
    let foreign = match &error {
        StepError::Emulation(missing) => Some((missing.to_string(), missing.advice())),
        _ => None,
    };
    let (exit, log, kept) = match error {
        StepError::Canceled => return Error::Interrupted,
        StepError::Failed { exit: Exit::Code(code), tail, kept } => (StepExit::Code(code), tail, kept),
        StepError::Failed { exit: Exit::Signal(signal), tail, kept } => (StepExit::Signal(signal), tail, kept),
        StepError::Failed { exit: Exit::Limit(limit, code), tail, kept } => (StepExit::Limit(limit, code), tail, kept),
        StepError::Store(error) => return error.into(),
        StepError::Layer(error) => return error.into(),
        StepError::Snapshot(error) => return error.into(),
        StepError::Sandbox(SandboxError::Canceled) => return Error::Interrupted,
        StepError::Sandbox(ref setup @ SandboxError::Setup { ref source, .. })
            if is_machine(source) || setup.is_overlay() =>
        {
            return Error::environment("this machine cannot run the step").caused_by(error);
        }
        StepError::Sandbox(error @ SandboxError::Limit { .. }) => {
            return Error::environment(error.to_string()).help(SandboxError::LIMIT_HELP);
        }
        StepError::Sandbox(error @ SandboxError::Network(_)) => {
            return Error::environment(error.to_string()).help(SandboxError::NETWORK_HELP);
        }
        StepError::NotInContext { path, context, pattern } => {
            (StepExit::Message(not_in_context(lowered, &path, &context, pattern)), Vec::new(), None)
        }
        error => (StepExit::Message(error.to_string()), Vec::new(), None),
    };
    let Some(step) = step else {
        return Error::build(exit.to_string());
    };
    let label = &graph[step].label;
    if let Some((message, advice)) = foreign {
        return Error::environment(format!("{}: {message}", label.text)).help(advice);
    }
    let origin = label.origin.as_ref().and_then(|origin| {
        let text = lowered.iter().find_map(|target| target.warnings.file(&origin.file))?;
        Some(Origin { file: origin.file.clone(), text: text.to_owned(), span: origin.span.clone() })
    });
    let name = if label.text.is_empty() { "the build context".to_owned() } else { label.text.clone() };
    StepFailure { name, origin, exit, log, kept }.into()
}

/// Says that a path is not in a build context, and why if it is in its folder.
fn not_in_context(lowered: &[Lowered], path: &str, context: &str, pattern: Option<usize>) -> String {
    let Some(target) = lowered.iter().find(|target| target.folders.contains_key(context)) else {
        return format!("{path:?} is not in the build context");
    };
    let folder = target.folders.get(context).map(|folder| folder.display().to_string()).unwrap_or_default();
    match pattern {
        None => format!("{path:?} is not in the build context {folder}"),
        Some(index) => match target.ignores.get(context).and_then(|file| file.place(index)) {
            Some(place) => format!("{path:?} is excluded from the build context by {place}"),
            None => format!("{path:?} is a lockfile of imgbuild, which is never part of a build context"),
        },
    }
}
