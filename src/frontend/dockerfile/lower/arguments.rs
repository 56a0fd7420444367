//! Build arguments that nothing in the file takes, and what the advice needs to know of the stages.

use super::Lowering;
use super::plan::{Base, Plan};
use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::frontend::dockerfile::ast::Kind;
use crate::frontend::dockerfile::lint::{Shape, ShapeBase};
use crate::frontend::dockerfile::suggest::nearest;

/// Arguments that mean something without being declared.
const PREDEFINED: [&str; 20] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SOURCE_DATE_EPOCH",
    "BUILDARCH",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDPLATFORM",
    "BUILDVARIANT",
    "TARGETARCH",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETPLATFORM",
    "TARGETSTAGE",
    "TARGETVARIANT",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_SYNTAX",
    "BUILDKIT_MULTI_PLATFORM",
];

impl<'a> Lowering<'a> {
    /// Warns of build arguments that no `ARG` of the file declares: most are typing errors.
    pub(super) fn check_arguments(&mut self) {
        let all = self.file.globals.iter().chain(self.file.stages.iter().flat_map(|stage| &stage.instructions));
        let mut declared: Vec<&str> = Vec::new();
        for instruction in all {
            match &instruction.kind {
                Kind::Arg(names) => declared.extend(names.iter().map(|one| one.key.value.as_str())),
                // A trigger may declare one for the builds that start from this image, and so may that of a base.
                Kind::Onbuild(text) if text.to_ascii_uppercase().starts_with("ARG") => return,
                _ => {}
            }
        }
        for name in self.options.build_args.keys() {
            let upper = name.to_ascii_uppercase();
            let known = upper.starts_with("BUILDKIT_") || PREDEFINED.contains(&upper.as_str());
            if known || declared.contains(&name.as_str()) || self.may_be_declared_by_triggers() {
                continue;
            }
            let message = format!("the build argument `{name}` is declared by no `ARG`, so it does nothing");
            let mut remark = Diagnostic { severity: Severity::Warning, ..Diagnostic::error(0..0, message) };
            remark.annotations.clear();
            self.remarks.push(match nearest(name, declared.iter().copied()) {
                Some(meant) => remark.help(format!("did you mean `{meant}`?")),
                None => remark.help(format!("declare it with `ARG {name}`, or remove it")),
            });
        }
    }

    /// Whether an image that the file starts from has triggers, or has not been looked up.
    fn may_be_declared_by_triggers(&self) -> bool {
        let triggers = |text: &String| text.to_ascii_uppercase().starts_with("ARG");
        !self.needs.is_empty()
            || self.resolved.images.values().any(|image| image.config.config.on_build.iter().any(triggers))
    }

    /// What the stages start from, and who the last one runs as.
    pub(super) fn shape(&self, plan: &Plan<'a>) -> Shape {
        let bases = plan.nodes.iter().map(|node| match &node.base {
            Base::Scratch => ShapeBase::Scratch,
            Base::Stage(index) => ShapeBase::Stage(*index),
            Base::Image(reference) => ShapeBase::Image(reference.clone()),
            Base::Context(..) | Base::Joined(_) | Base::Replaced(..) => ShapeBase::Elsewhere,
        });
        let user = self.finished.get(&plan.target).map(|finished| finished.config.config.user.clone());
        Shape { bases: bases.collect(), target: plan.target, user: user.unwrap_or_default() }
    }
}
