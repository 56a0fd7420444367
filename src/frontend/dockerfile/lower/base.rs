//! What a stage takes over from what it starts from.

use super::Lowering;
use super::options::ContextSource;
use super::plan::{Base, Plan};
use super::stage::Current;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Join, Span};
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::graph::{Op, Unpack};
use crate::oci::{ImageConfig, Platform};

impl<'a> Lowering<'a> {
    /// Takes over what the base has; false if that is not known yet.
    pub(super) fn start(&mut self, plan: &Plan<'a>, current: &mut Current<'_>) -> Result<bool, Diagnostic> {
        let node = &plan.nodes[current.index];
        let span = node.stage.base.span.clone();
        match &node.base {
            Base::Scratch => {
                // An empty image is for the target, whatever `--platform` says.
                current.platform = self.target.clone();
                current.step = Some(self.scratch(&current.platform));
                current.config = empty_image(&current.platform);
            }
            Base::Stage(base) => {
                let Some(base) = self.finished.get(base) else { return Ok(false) };
                current.step = base.step;
                current.config = base.config.clone();
                current.config.config.on_build.clear();
                current.platform = base.platform.clone();
                current.variables = base.variables.clone();
                current.arguments = base.arguments.clone();
                current.workdir_set = base.workdir_set;
                current.guessed = base.guessed;
                current.base_history = base.base_history;
            }
            Base::Joined(join) => {
                current.platform = self.target.clone();
                let sources = self.joined_sources(plan, node.stage)?;
                current.config = match (join, sources.first()) {
                    (Join::Merge(_), Some((source, span))) => match self.source_config(source, span)? {
                        Some(config) => ImageConfig { created: None, ..config },
                        None => return Ok(false),
                    },
                    _ => empty_image(&current.platform),
                };
                current.config.config.on_build.clear();
                let mut inputs = Vec::new();
                for (source, span) in &sources {
                    match self.source(plan, source, current.index, span)? {
                        Some(step) => inputs.push(step),
                        None => return Ok(false),
                    }
                }
                let op = if matches!(join, Join::Merge(_)) { Op::Merge } else { Op::Diff };
                let label = self.label("FROM several", Some(&node.stage.head.span));
                current.step = Some(self.graph.add(op, &inputs, current.platform.clone(), label, false));
            }
            Base::Image(reference) => {
                let platform = current.platform.clone();
                let Some(image) = self.image(reference, &platform, &span) else {
                    return Ok(self.only_check && self.guess(current));
                };
                let label = self.step_label(current, "", &node.stage.head.span);
                current.step = Some(self.image_step(image, &platform, label));
                current.config = image.config.clone();
                inherit(current);
                self.check_platform(current, reference, &span);
            }
            Base::Context(name, source) | Base::Replaced(name, source) => {
                let platform = current.platform.clone();
                let (step, config) = self.context(name, source, &platform, &span)?;
                current.step = match source {
                    // A folder is no layer yet.
                    ContextSource::Local { .. } => step.map(|step| {
                        let label = self.label(format!("FROM {name}"), None);
                        self.all_of(step, "", Unpack::Never, &platform, label)
                    }),
                    _ => step,
                };
                let missing = step.is_none() && matches!(source, ContextSource::Image(_));
                if missing {
                    return Ok(self.only_check && self.guess(current));
                }
                if matches!(node.base, Base::Context(..)) {
                    current.number += 1;
                }
                current.config = config.unwrap_or_else(|| empty_image(&platform));
                inherit(current);
            }
        }
        Ok(true)
    }

    /// Goes on with nothing instead of an image that was not looked up.
    fn guess(&mut self, current: &mut Current<'_>) -> bool {
        current.step = Some(self.scratch(&current.platform));
        current.config = empty_image(&current.platform);
        current.guessed = true;
        true
    }

    fn check_platform(&mut self, current: &Current<'_>, name: &str, span: &Span) {
        let (config, wanted) = (&current.config, &current.platform);
        if config.os != wanted.os || config.architecture != wanted.architecture {
            let message = format!("the image `{name}` is for {}/{}, not for {wanted}", config.os, config.architecture);
            let finding = Linter::finding(rule::InvalidBaseImagePlatform, span.clone(), message)
                .help("use an image that has this platform");
            self.linter.report(&current.stage.head.comments, finding);
        }
    }
}

/// What happens to the configuration of a base.
fn inherit(current: &mut Current<'_>) {
    let config = &mut current.config;
    config.created = None;
    config.config.on_build.clear();
    current.base_history = config.history.len();
    let wanted = &current.platform;
    if config.os.is_empty() && config.architecture.is_empty() {
        config.os.clone_from(&wanted.os);
        config.architecture.clone_from(&wanted.architecture);
        config.variant.clone_from(&wanted.variant);
    }
}

/// The configuration of `scratch`.
pub(super) fn empty_image(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    };
    config.config.working_dir = "/".into();
    config
}
