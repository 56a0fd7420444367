//! Which stages there are, what each builds on and reads from, and which of them the target needs.
//!
//! `FROM` finds a stage only above itself and by its exact name; `COPY --from` and mounts find the last stage of a name,
//! in any case. A named context takes the place of the stage or image of its name. What the triggers of `ONBUILD` need
//! counts, too, and comes with the base image's configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::cycle::{cycle_error, find_cycle};
use super::sources::Source;
use super::{ContextSource, Lowering, reference};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Instruction, Join, Kind, Span, Stage, Word};
use crate::frontend::dockerfile::expand::Lookup;
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::frontend::dockerfile::parse::parse_trigger;
use crate::frontend::dockerfile::suggest::nearest;
use crate::oci::Platform;

/// What a stage starts from.
#[derive(Debug, Clone)]
pub(super) enum Base<'a> {
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image, as written once variables are expanded.
    Image(String),
    /// A named context that stands for the image.
    Context(String, &'a ContextSource),
    /// Several of them, put together.
    Joined(&'a Join),
    /// A named context that stands for the stage itself: its instructions are not run.
    Replaced(String, &'a ContextSource),
}

/// A stage.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub stage: &'a Stage,
    /// What it is called in messages.
    pub name: String,
    pub base: Base<'a>,
    /// `--platform`
    pub platform: Option<Platform>,
    /// The triggers of its base, in order.
    pub triggers: Vec<Instruction>,
}

/// All stages.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub nodes: Vec<Node<'a>>,
    /// The last stage of each name, in lower case.
    pub names: BTreeMap<String, usize>,
    /// The one that is wanted.
    pub target: usize,
    /// Those that are lowered.
    needed: BTreeSet<usize>,
}

impl<'a> Plan<'a> {
    /// The stages to lower, each after those it needs.
    pub(super) fn order(&self) -> Vec<usize> {
        self.needed.iter().copied().collect()
    }

    /// The last stage of a name, in any case.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(&name.to_lowercase()).copied()
    }
}

impl<'a> Lowering<'a> {
    /// Makes the plan; none if there are errors that leave none.
    pub(super) fn plan(&mut self) -> Option<Plan<'a>> {
        self.globals();
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for (index, stage) in self.file.stages.iter().enumerate() {
            let name = stage.known_name();
            let (base, platform) = match self.base(stage, name.as_deref(), &names) {
                Ok(found) => found,
                Err(error) => {
                    self.errors.push(error);
                    (Base::Scratch, None)
                }
            };
            names.extend(name.clone().map(|name| (name, index)));
            let name = name.unwrap_or_else(|| format!("stage-{index}"));
            nodes.push(Node { stage, name, base, platform, triggers: Vec::new() });
        }
        let mut plan = Plan { target: nodes.len().checked_sub(1)?, nodes, names, needed: BTreeSet::new() };
        if let Some(target) = &self.options.target {
            match plan.find(target) {
                Some(index) => plan.target = index,
                None => {
                    self.no_target(target, &plan);
                    return None;
                }
            }
        }
        if !self.errors.is_empty() {
            return None;
        }
        self.sources_and_cycles(&plan);
        if !self.errors.is_empty() {
            return None;
        }
        let wanted: Vec<usize> =
            if self.options.all_stages { (0..plan.nodes.len()).collect() } else { vec![plan.target] };
        self.reach(&mut plan, wanted);
        self.errors.is_empty().then_some(plan)
    }

    fn no_target(&mut self, target: &str, plan: &Plan<'_>) {
        let names: Vec<&str> = plan.names.keys().map(String::as_str).collect();
        let span = self.file.stages.last().map_or(0..0, |stage| stage.head.span.clone());
        let error = Diagnostic::error(span, format!("there is no stage called `{target}`"));
        self.errors.push(match nearest(target, names.iter().copied()) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None if names.is_empty() => error.help("give the stage a name: `FROM image AS name`"),
            None => error.help(format!("the stages are {}", names.join(", "))),
        });
    }

    fn base(
        &mut self,
        stage: &'a Stage,
        name: Option<&str>,
        names: &BTreeMap<String, usize>,
    ) -> Result<(Base<'a>, Option<Platform>), Diagnostic> {
        let word = &stage.base;
        let base = self.expand_global(word, stage)?.text;
        if base.is_empty() {
            return Err(Diagnostic::error(word.span.clone(), format!("`{}` comes to nothing", word.value))
                .label("an image, a stage or `scratch` is needed")
                .help("declare the variable before the first `FROM`, with a default: `ARG NAME=image`"));
        }
        let platform = match &stage.platform {
            Some(word) => Some(self.platform(word, stage)?),
            None => None,
        };
        if let Some(name) = name
            && let Some(context) = self.named_context(name)
        {
            return Ok((Base::Replaced(name.to_owned(), context), platform));
        }
        if let Some(join) = &stage.join {
            return Ok((Base::Joined(join), platform));
        }
        if let Some(&index) = names.get(&base) {
            return Ok((Base::Stage(index), platform));
        }
        if base == "scratch" {
            return Ok((Base::Scratch, platform));
        }
        Ok((Base::Image(base), platform))
    }

    fn platform(&mut self, word: &Word, stage: &Stage) -> Result<Platform, Diagnostic> {
        let expanded = self.expand_global(word, stage)?;
        let comments = &stage.head.comments;
        if expanded.text.is_empty() {
            return Err(Diagnostic::error(
                word.span.clone(),
                format!("the platform `{}` comes to nothing", word.value),
            )
            .help("write $BUILDPLATFORM, $TARGETPLATFORM or a platform such as linux/arm64"));
        }
        let parsed: Result<Platform, _> = expanded.text.parse();
        let constant = expanded.matched.is_empty() && expanded.unmatched.is_empty();
        if expanded.matched.len() == 1
            && expanded.unmatched.is_empty()
            && expanded.matched.contains("TARGETPLATFORM")
            && self.globals.get("TARGETPLATFORM") == Some(&expanded.text)
        {
            let message = format!("`--platform={}` says what is so anyway", word.value);
            let finding = Linter::finding(rule::RedundantTargetPlatform, word.span.clone(), message);
            let mut finding = finding.help("remove the flag");
            // Between the flag and the image are only blanks, and perhaps a break.
            if self.file.line(word.span.start) == self.file.line(stage.base.span.start) {
                finding = finding.fix(word.span.start..stage.base.span.start, "");
            }
            self.linter.report(comments, finding);
        }
        let platform = parsed.map_err(|error| Diagnostic::error(word.span.clone(), error.to_string()))?;
        let name = stage.known_name().unwrap_or_default();
        if constant && !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let message = format!("the platform is always {}", expanded.text);
            let finding = Linter::finding(rule::FromPlatformFlagConstDisallowed, word.span.clone(), message)
                .help("use $BUILDPLATFORM or $TARGETPLATFORM, or name the stage after the platform");
            self.linter.report(comments, finding);
        }
        Ok(platform)
    }

    /// Checks the sources of all instructions, whether they are needed or not, and that no stages wait for each other.
    fn sources_and_cycles(&mut self, plan: &Plan<'a>) {
        let mut edges: Vec<Vec<(usize, Span)>> = Vec::new();
        for node in &plan.nodes {
            let mut to = Vec::new();
            let joined = self.joined_sources(plan, node.stage);
            let read = node.stage.instructions.iter().map(|instruction| self.instruction_sources(plan, instruction));
            for sources in std::iter::once(joined).chain(read).collect::<Vec<_>>() {
                match sources {
                    Ok(sources) => to.extend(sources.into_iter().filter_map(|(source, span)| match source {
                        Source::Stage(index) => Some((index, span)),
                        _ => None,
                    })),
                    Err(error) => self.errors.push(error),
                }
            }
            edges.push(to);
        }
        if let Some(cycle) = find_cycle(&edges) {
            self.errors.push(cycle_error(plan, &cycle));
        }
    }

    /// Finds all stages that the wanted ones need, and their triggers.
    fn reach(&mut self, plan: &mut Plan<'a>, mut open: Vec<usize>) {
        while let Some(index) = open.pop() {
            if !plan.needed.insert(index) {
                continue;
            }
            if let Err(error) = self.check_image_base(plan, index) {
                self.errors.push(error);
                continue;
            }
            let stage = plan.nodes[index].stage;
            let triggers = match plan.nodes[index].base.clone() {
                Base::Replaced(..) => continue,
                Base::Stage(base) => {
                    open.push(base);
                    let replaced = matches!(plan.nodes[base].base, Base::Replaced(..));
                    let of = if replaced { &[][..] } else { &plan.nodes[base].stage.instructions };
                    let texts = of.iter().filter_map(|instruction| match &instruction.kind {
                        Kind::Onbuild(text) => Some(text.clone()),
                        _ => None,
                    });
                    texts.collect()
                }
                Base::Image(image) => {
                    let platform = plan.nodes[index].platform.clone().unwrap_or_else(|| self.target.clone());
                    let found = self.image(&image, &platform, &stage.base.span);
                    found.map(|image| image.config.config.on_build.clone()).unwrap_or_default()
                }
                Base::Context(_, ContextSource::State { config, .. }) => config.config.on_build.clone(),
                Base::Context(_, ContextSource::Image(image)) if image != "scratch" => {
                    let platform = plan.nodes[index].platform.clone().unwrap_or_else(|| self.target.clone());
                    let found = self.image(image, &platform, &stage.base.span);
                    found.map(|image| image.config.config.on_build.clone()).unwrap_or_default()
                }
                Base::Context(..) | Base::Scratch | Base::Joined(_) => Vec::new(),
            };
            for text in triggers {
                match parse_trigger(&text) {
                    Ok(instruction) => plan.nodes[index].triggers.push(instruction),
                    Err(errors) => self.errors.extend(errors.into_iter().map(|error| in_trigger(error, &text, stage))),
                }
            }
            let node = &plan.nodes[index];
            let mut found = Vec::new();
            for instruction in &node.triggers {
                match self.instruction_sources(plan, instruction) {
                    Ok(sources) => found.extend(sources),
                    Err(error) => {
                        let error = in_trigger(error, &instruction.head.text, stage);
                        self.errors.push(error);
                    }
                }
            }
            found.extend(self.joined_sources(plan, stage).unwrap_or_default());
            for instruction in &stage.instructions {
                found.extend(self.instruction_sources(plan, instruction).unwrap_or_default());
            }
            for (source, span) in found {
                match source {
                    Source::Stage(index) => open.push(index),
                    // All images are asked for at once, however deep they are needed.
                    Source::Image(image) => {
                        let platform = self.target.clone();
                        self.image(&image, &platform, &span);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Checks the image that a needed stage starts from; a named context may stand for it.
    fn check_image_base(&mut self, plan: &mut Plan<'a>, index: usize) -> Result<(), Diagnostic> {
        let node = &mut plan.nodes[index];
        let Base::Image(image) = &node.base else { return Ok(()) };
        let image = image.clone();
        let span = node.stage.base.span.clone();
        if let Err(reason) = reference::check(&image) {
            let error = Diagnostic::error(span, format!("`{image}` is neither a stage nor an image: {reason}"));
            let lower = image.to_lowercase();
            return Err(match plan.names.get(&lower) {
                Some(_) => error.help(format!("stages are known in lower case: write `FROM {lower}`")),
                None => error,
            });
        }
        if let Some(context) = self.named_context(&image) {
            node.base = Base::Context(image, context);
        }
        Ok(())
    }
}

/// The same error at the `FROM` at which a trigger fired.
pub(super) fn in_trigger(error: Diagnostic, trigger: &str, stage: &Stage) -> Diagnostic {
    let first = trigger.lines().next().unwrap_or_default();
    let place = Diagnostic::error(stage.head.span.clone(), error.message.clone())
        .label(format!("its base has the trigger `ONBUILD {first}`"));
    Diagnostic { annotations: place.annotations, ..error }
}
