//! From a [`Dockerfile`] to steps and an image configuration.
//!
//! [`plan`] finds out which stages there are and which the target needs; then [`stage`] goes through each of these, an
//! instruction at a time: [`base`] says what it starts with, [`copy`] and [`run`] make layers, [`metadata`] changes the
//! configuration. Nothing is looked up here: where a reference must be resolved first, what depends on it is left out, the
//! rest is checked all the same, and the caller is told what is missing ([`need`]).
//!
//! Steps are added to the graph only once all their inputs are known, so a second attempt finds its own steps again.

mod arguments;
mod base;
mod change;
mod copy;
mod cycle;
mod environment;
mod globals;
mod inputs;
mod metadata;
mod mount;
mod need;
mod options;
mod plan;
mod ports;
mod reference;
mod remote;
mod run;
mod scrub;
mod signal;
mod sources;
mod stage;
mod variable;
mod workdir;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::frontend::diagnostic::{Diagnostic, Part};
use crate::frontend::dockerfile::ast::{CheckOptions, Dockerfile, Span};
use crate::frontend::dockerfile::expand::{Expander, Lookup};
use crate::frontend::dockerfile::lint::{Linter, advise, check_syntax};
use crate::frontend::dockerfile::parse::{CHECK_HELP, check_front_end, parse_check};
use crate::fstree::Scrub;
use crate::graph::{Graph, Label, Origin, StepId};
use crate::oci::{ImageConfig, Platform};

pub use need::{Need, Resolved, ResolvedGit, ResolvedHttp, ResolvedImage};
pub use options::{ContextSource, NoCache, Options};
pub use remote::remote_context;
pub use run::is_proxy;

use environment::Environment;
use plan::Plan;
use stage::Finished;

/// How far lowering came.
#[derive(Debug, Clone)]
pub enum Lowered {
    /// These have to be looked up first; there may be more afterwards.
    Needs(Vec<Need>),
    /// All is done.
    Done(Box<ImageBuild>),
}

/// A build, lowered.
#[derive(Debug, Clone)]
pub struct ImageBuild {
    /// The step whose output is the image's file system.
    pub step: StepId,
    /// The configuration. Its layers are those of the base image; its history is complete, but new entries, and the
    /// image itself, have no time yet.
    pub config: ImageConfig,
    /// How many entries of the history come from the base image.
    pub base_history: usize,
    /// What the image is for.
    pub platform: Platform,
    /// The stages that were lowered, by the name that messages use, in the order of the file.
    pub stages: Vec<String>,
    /// `SOURCE_DATE_EPOCH`, if the build sets it: seconds since 1970.
    pub source_date_epoch: Option<i64>,
    /// `BUILDKIT_INLINE_CACHE`
    pub inline_cache: bool,
    /// `BUILDKIT_MULTI_PLATFORM`: whether the result is an index even for one platform.
    pub multi_platform: bool,
    /// What the checks found.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers a file into a graph.
///
/// The errors come with the warnings of the checks, in the order of the text.
pub fn lower(
    file: &Dockerfile,
    options: &Options,
    resolved: &Resolved,
    graph: &mut Graph,
) -> Result<Lowered, Vec<Diagnostic>> {
    let mut lowering = Lowering::new(file, options, resolved, graph, false);
    check_syntax(file, &mut lowering.linter);
    let outcome = lowering.plan().and_then(|plan| lowering.build(&plan));
    lowering.check_arguments();
    let Lowering { mut errors, linter, needs, remarks, .. } = lowering;
    let failure = linter.failure();
    let mut warnings = linter.warnings;
    warnings.extend(remarks);
    let place = |d: &Diagnostic| d.annotations.first().map_or(0, |place| place.span.start);
    warnings.sort_by_key(place);
    if errors.is_empty() && needs.is_empty() {
        errors.extend(failure);
    }
    if !errors.is_empty() {
        errors.sort_by_key(place);
        warnings.extend(errors);
        return Err(warnings);
    }
    if !needs.is_empty() {
        return Ok(Lowered::Needs(needs));
    }
    match outcome {
        Some(build) => Ok(Lowered::Done(Box::new(ImageBuild { warnings, ..build }))),
        // A result is missing only where something is needed or wrong, which was handled above.
        None => Err(vec![Diagnostic::error(0..0, "the build has no result")]),
    }
}

/// What the checks say of a file.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Errors, warnings and advice, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// What was not looked up. More can be said once it is.
    pub needs: Vec<Need>,
    /// What the file defines, as far as that is known; none if there are errors.
    pub build: Option<Box<ImageBuild>>,
}

/// Checks all stages of a file, or those that the target needs if there is one. Images that were not looked up are taken to say nothing of themselves.
///
/// `is_pinned` says of an image's reference whether a lockfile pins it.
pub fn check(
    file: &Dockerfile,
    options: &Options,
    resolved: &Resolved,
    graph: &mut Graph,
    is_pinned: &dyn Fn(&str) -> bool,
) -> Checked {
    let options = &Options { all_stages: options.target.is_none(), ..options.clone() };
    let mut lowering = Lowering::new(file, options, resolved, graph, true);
    check_syntax(file, &mut lowering.linter);
    let plan = lowering.plan();
    let build = plan.as_ref().and_then(|plan| lowering.build(plan));
    lowering.check_arguments();
    let shape = plan.as_ref().map(|plan| lowering.shape(plan));
    advise(file, shape.as_ref(), is_pinned, &mut lowering.linter);
    let Lowering { mut errors, linter, needs, remarks, .. } = lowering;
    if errors.is_empty() {
        errors.extend(linter.failure());
    }
    let build = build.filter(|_| errors.is_empty()).map(Box::new);
    let mut diagnostics = linter.warnings;
    diagnostics.extend(remarks);
    diagnostics.extend(errors);
    diagnostics.sort_by_key(|one| one.annotations.first().map_or(0, |place| place.span.start));
    Checked { diagnostics, needs, build }
}

/// Which checks are made, and what is wrong with the build arguments that say how a file is to be read.
fn checks(file: &Dockerfile, options: &Options) -> (CheckOptions, Vec<Diagnostic>) {
    let mut errors = Vec::new();
    let argument = |name: &str| options.build_args.get(name).filter(|value| !value.is_empty());
    if let Some(image) = argument("BUILDKIT_SYNTAX") {
        check_front_end(image, 0..0, &mut errors);
    }
    let given = argument("BUILDKIT_DOCKERFILE_CHECK").map(|text| parse_check(text));
    let check = match (&options.check, given) {
        (Some(check), _) => check.clone(),
        (None, Some(Ok(check))) => check,
        (None, Some(Err(message))) => {
            errors.push(Diagnostic::error(0..0, format!("BUILDKIT_DOCKERFILE_CHECK: {message}")).help(CHECK_HELP));
            CheckOptions::default()
        }
        (None, None) => file.check.clone(),
    };
    (check, errors)
}

/// Lowering under way.
struct Lowering<'a> {
    file: &'a Dockerfile,
    options: &'a Options,
    resolved: &'a Resolved,
    graph: &'a mut Graph,
    /// Whether nothing has to be looked up, and what depends on what was not is left out.
    only_check: bool,
    /// The platform of the image.
    target: Platform,
    /// What is taken away from the layers of steps.
    scrubs: BTreeSet<Scrub>,
    /// What the `ARG`s before the first `FROM` come to, and the predefined arguments.
    globals: Environment,
    /// The names that are declared there.
    declared: HashSet<&'a str>,
    needs: Vec<Need>,
    errors: Vec<Diagnostic>,
    linter: Linter,
    /// What else there is to say, which is neither an error nor a check.
    remarks: Vec<Diagnostic>,
    /// Whether the instruction under way has a variable that an image which was not looked up may set.
    guessed: bool,
    /// Stages by index; those that something is missing for are not here.
    finished: BTreeMap<usize, Finished>,
}

impl<'a> Lowering<'a> {
    fn new(
        file: &'a Dockerfile,
        options: &'a Options,
        resolved: &'a Resolved,
        graph: &'a mut Graph,
        only_check: bool,
    ) -> Self {
        let (check, mut errors) = checks(file, options);
        let (scrubs, wrong) = scrub::scrubs(file, options);
        errors.extend(wrong);
        Self {
            file,
            options,
            resolved,
            graph,
            only_check,
            target: options.platform.clone().unwrap_or_else(|| options.build_platform.clone()),
            scrubs,
            globals: Environment::default(),
            declared: HashSet::new(),
            needs: Vec::new(),
            errors,
            linter: Linter::new(check),
            remarks: Vec::new(),
            guessed: false,
            finished: BTreeMap::new(),
        }
    }

    fn build(&mut self, plan: &Plan<'a>) -> Option<ImageBuild> {
        let source_date_epoch = self.source_date_epoch();
        let mut stages = Vec::new();
        for index in plan.order() {
            if let Some(finished) = self.stage(plan, index) {
                stages.push(plan.nodes[index].name.clone());
                self.finished.insert(index, finished);
            }
        }
        let finished = self.finished.get(&plan.target)?;
        let mut config = finished.config.clone();
        config.created = None;
        config.config.labels.extend(self.options.labels.clone());
        if let Some(platform) = &self.options.platform {
            let same = config.os == platform.os && config.architecture == platform.architecture;
            config.os.clone_from(&platform.os);
            config.architecture.clone_from(&platform.architecture);
            if platform.variant.is_some() || !same {
                config.variant.clone_from(&platform.variant);
            }
        }
        // Normalised: base images for arm64 say that they are for its variant v8, which is the only one that there is.
        let platform = Platform::new(&config.os, &config.architecture, config.variant.as_deref());
        let is =
            |name: &str| self.options.build_args.get(name).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        Some(ImageBuild {
            step: finished.step?,
            config,
            base_history: finished.base_history,
            platform,
            stages,
            source_date_epoch,
            inline_cache: is("BUILDKIT_INLINE_CACHE"),
            multi_platform: is("BUILDKIT_MULTI_PLATFORM"),
            warnings: Vec::new(),
        })
    }

    /// `SOURCE_DATE_EPOCH` as a build argument, or as an `ARG` before the first `FROM`.
    fn source_date_epoch(&mut self) -> Option<i64> {
        let name = "SOURCE_DATE_EPOCH";
        let value =
            self.options.build_args.get(name).map(String::as_str).or_else(|| self.globals.get(name))?.to_owned();
        if value.is_empty() {
            return None;
        }
        let parsed = value.parse().ok();
        if parsed.is_none() {
            let message = format!("{name}={value} is no time");
            self.errors
                .push(Diagnostic::error(0..0, message).help("give it as seconds since 1970, such as 1700000000"));
        }
        parsed
    }

    fn expander(&self) -> Expander {
        Expander::new(self.file.escape)
    }

    fn origin(&self, span: &Span) -> Origin {
        let line = self.file.line(span.start);
        match Part::find(&self.options.parts, span.start) {
            Some(part) => Origin {
                file: part.name.clone(),
                span: span.start - part.start..span.end.saturating_sub(part.start),
                line: line - self.file.line(part.start) + 1,
            },
            None => Origin { file: self.options.file.clone(), span: span.clone(), line },
        }
    }

    fn label(&self, text: impl Into<String>, span: Option<&Span>) -> Label {
        Label { text: text.into(), stage: String::new(), origin: span.map(|span| self.origin(span)) }
    }
}

#[cfg(test)]
mod tests;
