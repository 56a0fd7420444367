//! What `COPY --from`, mounts and joined bases read from: a stage, an image or a named context, found by its name, and then
//! the step that makes its files.

use super::base::empty_image;
use super::options::ContextSource;
use super::plan::Plan;
use super::stage::Current;
use super::variable::cannot_expand;
use super::{Lowering, reference};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Instruction, Join, Kind, Span, Stage, Word};
use crate::frontend::dockerfile::expand::Nothing;
use crate::frontend::dockerfile::parse::fields;
use crate::frontend::dockerfile::suggest::nearest;
use crate::graph::StepId;
use crate::oci::ImageConfig;

/// Where the files of a `COPY --from` or a mount come from.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    Scratch,
    Stage(usize),
    Image(String),
    Context(String, &'a ContextSource),
}

impl<'a> Lowering<'a> {
    /// What a base is put together from.
    pub(super) fn joined_sources(&self, plan: &Plan<'a>, stage: &Stage) -> Result<Vec<(Source<'a>, Span)>, Diagnostic> {
        let words = match &stage.join {
            None => &[][..],
            Some(Join::Merge(words)) => words,
            Some(Join::Diff(words)) => &words[..],
        };
        words.iter().map(|word| Ok((self.find_source(plan, &word.value, &word.span)?, word.span.clone()))).collect()
    }

    /// What an instruction reads from: the source of a `COPY`, or those of all mounts of a `RUN`, in their order.
    pub(super) fn instruction_sources(
        &self,
        plan: &Plan<'a>,
        instruction: &Instruction,
    ) -> Result<Vec<(Source<'a>, Span)>, Diagnostic> {
        match &instruction.kind {
            Kind::Copy(copy) => match &copy.from {
                Some(from) => Ok(vec![(self.copy_source(plan, from)?, from.span.clone())]),
                None => Ok(Vec::new()),
            },
            Kind::Run(run) => {
                let mut sources = Vec::new();
                for mount in &run.mounts {
                    // Mounts were checked when they were read; a later `from` replaces an earlier one.
                    let fields = fields(&mount.value).unwrap_or_default();
                    let mut pairs = fields.iter().filter_map(|field| field.split_once('='));
                    let from = pairs.rfind(|(key, _)| key.eq_ignore_ascii_case("from"));
                    let from = from.map_or("scratch", |(_, value)| value);
                    sources.push((self.find_source(plan, from, &mount.span)?, mount.span.clone()));
                }
                Ok(sources)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn copy_source(&self, plan: &Plan<'a>, from: &Word) -> Result<Source<'a>, Diagnostic> {
        let span = &from.span;
        let expanded = self.expander().expand(&from.value, &Nothing).map_err(|error| cannot_expand(from, &error))?;
        if expanded.text != from.value {
            return Err(Diagnostic::error(span.clone(), "`--from` cannot hold variables or quotes")
                .help("name a stage for it: `FROM $VARIABLE AS name`, with an `ARG` before the first `FROM`"));
        }
        match from.value.parse::<i64>() {
            Ok(number) => match usize::try_from(number).ok().filter(|&index| index < plan.nodes.len()) {
                Some(index) => Ok(Source::Stage(index)),
                None => Err(Diagnostic::error(span.clone(), format!("there is no stage {number}"))
                    .help(format!("the stages are numbered from 0 to {}", plan.nodes.len().saturating_sub(1)))),
            },
            Err(_) => self.find_source(plan, &from.value, span),
        }
    }

    fn find_source(&self, plan: &Plan<'a>, name: &str, span: &Span) -> Result<Source<'a>, Diagnostic> {
        if let Some(index) = plan.find(name) {
            return Ok(Source::Stage(index));
        }
        if name == "scratch" || name.is_empty() {
            return Ok(Source::Scratch);
        }
        if let Some(context) = self.named_context(name) {
            return Ok(Source::Context(name.to_owned(), context));
        }
        reference::check(name).map_err(|reason| {
            let error = Diagnostic::error(span.clone(), format!("`{name}` is neither a stage nor an image: {reason}"));
            match nearest(name, plan.names.keys().map(String::as_str)) {
                Some(meant) => error.help(format!("did you mean the stage `{meant}`?")),
                None => error,
            }
        })?;
        Ok(Source::Image(name.to_owned()))
    }

    /// The step whose files a `COPY --from` or a mount reads; none if it is not known yet.
    pub(super) fn source(
        &mut self,
        plan: &Plan<'a>,
        source: &Source<'a>,
        user: usize,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        let platform = self.target.clone();
        match source {
            Source::Scratch => Ok(Some(self.scratch(&platform))),
            Source::Context(name, context) => Ok(self.context(name, context, &platform, span)?.0),
            Source::Image(reference) => {
                let label = self.label("", Some(span));
                let image = self.image(reference, &platform, span);
                Ok(image.map(|image| self.image_step(image, &platform, label)))
            }
            Source::Stage(index) if *index >= user => {
                let (later, name) = (&plan.nodes[*index], &plan.nodes[user].name);
                Err(Diagnostic::error(span.clone(), format!("stage `{}` comes after stage `{name}`", later.name))
                    .note(later.stage.head.span.clone(), "it starts here")
                    .help("a stage can only use files of stages above it: move it up"))
            }
            Source::Stage(index) => Ok(self.finished.get(index).and_then(|finished| finished.step)),
        }
    }

    /// The step of the source of a mount.
    pub(super) fn mount_source(
        &mut self,
        plan: &Plan<'a>,
        current: &Current<'_>,
        source: &Source<'a>,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        self.source(plan, source, current.index, &current.at(span))
    }

    /// The configuration of what is named; none if it is not known yet.
    pub(super) fn source_config(
        &mut self,
        source: &Source<'a>,
        span: &Span,
    ) -> Result<Option<ImageConfig>, Diagnostic> {
        let platform = self.target.clone();
        Ok(match source {
            Source::Scratch => Some(empty_image(&platform)),
            Source::Stage(index) => self.finished.get(index).map(|finished| finished.config.clone()),
            Source::Image(reference) => self.image(reference, &platform, span).map(|image| image.config.clone()),
            Source::Context(name, context) => {
                let (step, config) = self.context(name, context, &platform, span)?;
                step.map(|_| config.unwrap_or_else(|| empty_image(&platform)))
            }
        })
    }
}
