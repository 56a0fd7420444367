//! The arguments before the first `FROM`, and what a `FROM` comes to with them.

use super::environment::Environment;
use super::variable::{cannot_expand, place_of_variable};
use super::{Lowering, reference};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Kind, Stage, Word};
use crate::frontend::dockerfile::expand::Expanded;
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::frontend::dockerfile::suggest::nearest;

impl Lowering<'_> {
    /// Evaluates the `ARG`s before the first `FROM` on top of the predefined ones.
    pub(super) fn globals(&mut self) {
        let build = self.options.build_platform.clone();
        let target = self.target.clone();
        let last = self.file.stages.last().and_then(Stage::known_name).unwrap_or_default();
        let stage = self.options.target.clone().unwrap_or(last);
        let stage = if stage.is_empty() { "default".into() } else { stage };
        let mut predefined = Environment::default();
        for (name, value) in [
            ("BUILDPLATFORM", build.to_string()),
            ("BUILDOS", build.os),
            ("BUILDOSVERSION", String::new()),
            ("BUILDARCH", build.architecture),
            ("BUILDVARIANT", build.variant.unwrap_or_default()),
            ("TARGETPLATFORM", target.to_string()),
            ("TARGETOS", target.os),
            ("TARGETOSVERSION", String::new()),
            ("TARGETARCH", target.architecture),
            ("TARGETVARIANT", target.variant.unwrap_or_default()),
            ("TARGETSTAGE", stage),
        ] {
            predefined.set(name, self.options.build_args.get(name).unwrap_or(&value));
        }
        if self.file.globals.is_empty() {
            self.check_defaults(&predefined);
            self.globals = predefined;
            return;
        }
        let (defaults, failed) = self.evaluate(predefined.clone(), false);
        if failed.is_none() {
            self.check_defaults(&defaults);
        }
        let (globals, failed) = self.evaluate(predefined, true);
        self.globals = globals;
        let declarations = self.file.globals.iter().filter_map(|instruction| match &instruction.kind {
            Kind::Arg(declarations) => Some(declarations),
            _ => None,
        });
        self.declared = declarations.flatten().map(|one| one.key.value.as_str()).collect();
        self.errors.extend(failed);
    }

    fn evaluate(&self, mut known: Environment, with_arguments: bool) -> (Environment, Option<Diagnostic>) {
        for instruction in &self.file.globals {
            let Kind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let name = declaration.key.value.as_str();
                let given = with_arguments.then(|| self.options.build_args.get(name)).flatten();
                match (given, &declaration.default) {
                    (Some(value), _) => known.set(name, value),
                    (None, Some(default)) => match self.expander().expand(&default.value, &known) {
                        Ok(expanded) => known.set(name, &expanded.text),
                        Err(error) => return (known, Some(cannot_expand(default, &error))),
                    },
                    (None, None) => {}
                }
            }
        }
        (known, None)
    }

    /// Checks that every `FROM` names something even without build arguments.
    fn check_defaults(&mut self, defaults: &Environment) {
        for stage in &self.file.stages {
            let Ok(base) = self.expander().expand(&stage.base.value, defaults) else { return };
            if reference::check(&base.text).is_err() {
                let message = format!("without build arguments, `{}` is no image", stage.base.value);
                let finding = Linter::finding(rule::InvalidDefaultArgInFrom, stage.base.span.clone(), message)
                    .help("give the `ARG` before the first `FROM` a default");
                self.linter.report(&stage.head.comments, finding);
            }
        }
    }

    pub(super) fn expand_global(&mut self, word: &Word, stage: &Stage) -> Result<Expanded, Diagnostic> {
        let expanded =
            self.expander().expand(&word.value, &self.globals).map_err(|error| cannot_expand(word, &error))?;
        let undeclared: Vec<&String> =
            expanded.unmatched.iter().filter(|name| !self.declared.contains(name.as_str())).collect();
        for name in undeclared {
            let message = format!("`{name}` is not declared before the first `FROM`");
            let mut finding = Linter::finding(rule::UndefinedArgInFrom, place_of_variable(word, name), message);
            if let Some(meant) = nearest(name, self.globals.names()) {
                finding = finding.help(format!("did you mean `{meant}`?"));
            } else {
                finding = finding.help(format!("declare it before the first `FROM`: `ARG {name}=value`"));
            }
            self.linter.report(&stage.head.comments, finding);
        }
        Ok(expanded)
    }
}
