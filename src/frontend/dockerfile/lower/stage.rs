//! One stage, instruction by instruction: what each does to the configuration, the history and the variables.

use std::collections::HashMap;

use super::environment::{Arguments, Environment, SCAN_ARGUMENTS};
use super::metadata::show_healthcheck;
use super::plan::{Base, Plan, in_trigger};
use super::variable::{cannot_expand, place_of_variable};
use super::{Lowering, NoCache, signal};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Head, Instruction, Kind, Span, Stage, Word};
use crate::frontend::dockerfile::expand::{Expanded, Expander};
use crate::frontend::dockerfile::go;
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::frontend::dockerfile::suggest::nearest;
use crate::fstree::TreePath;
use crate::graph::{Label, Owner, StepId};
use crate::oci::{History, ImageConfig, Platform};

/// The search path of images that have none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage after its last instruction.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    /// Its file system; none while something is missing for it.
    pub step: Option<StepId>,
    pub config: ImageConfig,
    /// How many history entries its base image had.
    pub base_history: usize,
    pub platform: Platform,
    pub variables: Environment,
    pub arguments: Arguments,
    pub workdir_set: bool,
    /// Whether its image was not looked up.
    pub guessed: bool,
}

/// A stage under way.
pub(super) struct Current<'p> {
    pub index: usize,
    pub stage: &'p Stage,
    pub step: Option<StepId>,
    pub config: ImageConfig,
    pub platform: Platform,
    /// What `ENV` and `ARG` have set, the later one counting.
    pub variables: Environment,
    /// What `ARG` has declared.
    pub arguments: Arguments,
    /// Where in the configuration each variable stands.
    pub places: HashMap<String, usize>,
    pub no_cache: bool,
    /// How many history entries the base image had.
    pub base_history: usize,
    /// Whether the working folder is known to be absolute.
    pub workdir_set: bool,
    cmd: Option<Span>,
    entrypoint: Option<Span>,
    healthcheck: Option<Span>,
    /// The place of the next step among those of the stage, and how many there are.
    pub number: usize,
    total: usize,
    /// Set while triggers of the base are run: their text is not in this file.
    trigger: Option<String>,
    /// Whether the stage's image was not looked up, so that its variables are not known.
    pub guessed: bool,
}

/// Where a stage remembers the last instruction of a kind.
pub(super) type Slot = for<'c, 'p> fn(&'c mut Current<'p>) -> &'c mut Option<Span>;

impl Current<'_> {
    /// Where something of an instruction is shown: a trigger's text stands elsewhere.
    pub(super) fn at(&self, span: &Span) -> Span {
        if self.trigger.is_some() { self.stage.head.span.clone() } else { span.clone() }
    }

    /// Whether the instruction stands in this file, and not in a trigger of the base.
    pub(super) fn is_written_here(&self) -> bool {
        self.trigger.is_none()
    }

    /// The working folder: absolute, without dots and double slashes.
    pub(super) fn workdir(&self) -> String {
        TreePath::clean(&self.config.config.working_dir).to_string()
    }

    pub(super) fn history(&mut self, created_by: String, empty_layer: bool) {
        self.config.history.push(History { created_by, empty_layer, ..History::default() });
    }

    /// The shell of the shell form with some text for it.
    pub(super) fn with_shell(&self, text: &str) -> Vec<String> {
        let mut args = self.config.config.shell.clone();
        if args.is_empty() {
            args = vec!["/bin/sh".into(), "-c".into()];
        }
        args.push(text.to_owned());
        args
    }
}

impl<'a> Lowering<'a> {
    /// Lowers a stage; none if its base is not known yet.
    pub(super) fn stage(&mut self, plan: &Plan<'a>, index: usize) -> Option<Finished> {
        let node = &plan.nodes[index];
        let stage: &'a Stage = node.stage;
        let layers = |instruction: &&Instruction| {
            matches!(instruction.kind, Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_) | Kind::Change(_))
        };
        let own = stage.instructions.iter().chain(&node.triggers).filter(layers).count();
        let has_image = usize::from(matches!(node.base, Base::Image(_) | Base::Context(..)));
        let mut current = Current {
            index,
            stage,
            step: None,
            config: ImageConfig::default(),
            platform: node.platform.clone().unwrap_or_else(|| self.target.clone()),
            variables: Environment::default(),
            arguments: Arguments::default(),
            places: HashMap::new(),
            no_cache: match &self.options.no_cache {
                NoCache::None => false,
                NoCache::All => true,
                NoCache::Stages(names) => names.iter().any(|name| name.eq_ignore_ascii_case(&node.name)),
            },
            base_history: 0,
            workdir_set: false,
            cmd: None,
            entrypoint: None,
            healthcheck: None,
            number: 0,
            total: own + has_image,
            trigger: None,
            guessed: false,
        };
        match self.start(plan, &mut current) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.errors.push(error);
                return None;
            }
        }
        // What takes the place of a whole stage stays as it is.
        let replaced = matches!(node.base, Base::Replaced(..));
        let has_path = current.config.config.env.iter().any(|pair| pair.split('=').next() == Some("PATH"));
        if !replaced && !has_path && current.platform.os != "windows" {
            current.config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for (place, pair) in current.config.config.env.iter().enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            current.variables.set(name, value);
            current.places.entry(name.to_owned()).or_insert(place);
        }
        let workdir = &mut current.config.config.working_dir;
        if !workdir.is_empty() && !workdir.starts_with('/') {
            *workdir = format!("/{workdir}");
        }
        if !replaced {
            let triggers = node.triggers.iter().map(|instruction| (instruction, true));
            let all = triggers.chain(stage.instructions.iter().map(|instruction| (instruction, false)));
            for (instruction, fired) in all {
                current.trigger = fired.then(|| instruction.head.text.clone());
                self.guessed = false;
                if let Err(error) = self.instruction(plan, &mut current, instruction) {
                    if self.guessed {
                        continue;
                    }
                    let error = match &current.trigger {
                        Some(text) => in_trigger(error, text, stage),
                        None => error,
                    };
                    self.errors.push(error);
                }
            }
        }
        Some(Finished {
            step: current.step,
            config: current.config,
            base_history: current.base_history,
            platform: current.platform,
            variables: current.variables,
            arguments: current.arguments,
            workdir_set: current.workdir_set,
            guessed: current.guessed,
        })
    }

    /// The label of the stage's next step.
    pub(super) fn step_label(&self, current: &mut Current<'_>, text: &str, span: &Span) -> Label {
        current.number += 1;
        let only = self.file.stages.len() == 1 && current.stage.name.is_none();
        let name = match current.stage.known_name() {
            _ if only => String::new(),
            Some(name) => format!("{name} "),
            None => format!("stage-{} ", current.index),
        };
        let platform = match self.options.name_platforms {
            false => String::new(),
            true if current.platform == self.target => format!("{} ", current.platform),
            true => format!("{}->{} ", current.platform, self.target.architecture),
        };
        let fired = if current.trigger.is_some() { "ONBUILD " } else { "" };
        Label {
            text: format!("{fired}{text}"),
            stage: format!("{platform}{name}{}/{}", current.number, current.total),
            origin: Some(self.origin(&current.at(span))),
        }
    }

    /// Expands a word with the variables of the stage.
    pub(super) fn expand(
        &mut self,
        current: &Current<'_>,
        head: &Head,
        word: &Word,
        rules: Expander,
        variables: &Environment,
    ) -> Result<Expanded, Diagnostic> {
        let expanded = rules.expand(&word.value, variables).map_err(|error| {
            self.guessed |= current.guessed;
            cannot_expand(word, &error)
        })?;
        self.guessed |= current.guessed && !expanded.unmatched.is_empty();
        for name in &expanded.unmatched {
            if current.guessed || current.arguments.has(name) || SCAN_ARGUMENTS.contains(&name.as_str()) {
                continue;
            }
            let message = format!("the variable `{name}` is not set");
            let place = current.at(&place_of_variable(word, name));
            let mut finding = Linter::finding(rule::UndefinedVar, place, message);
            finding = match nearest(name, variables.names()) {
                Some(meant) => finding.help(format!("did you mean `{meant}`?")),
                None => finding.help(format!("set it before with `ENV {name}=value` or `ARG {name}`")),
            };
            self.linter.report(&head.comments, finding);
        }
        Ok(expanded)
    }

    /// The same for an argument of an instruction, as one word.
    pub(super) fn word(&mut self, current: &Current<'_>, head: &Head, word: &Word) -> Result<String, Diagnostic> {
        let rules = self.expander();
        Ok(self.expand(current, head, word, rules, &current.variables)?.text)
    }

    fn instruction(
        &mut self,
        plan: &Plan<'a>,
        current: &mut Current<'_>,
        instruction: &Instruction,
    ) -> Result<(), Diagnostic> {
        let head = &instruction.head;
        match &instruction.kind {
            Kind::Env(pairs) => self.env(current, head, pairs),
            Kind::Label(pairs) => self.labels(current, head, pairs),
            Kind::Arg(declarations) => self.arg(current, head, declarations),
            Kind::Run(run) => self.run(plan, current, instruction, run),
            Kind::Copy(copy) => {
                let source = self.instruction_sources(plan, instruction)?.pop();
                let input = match source {
                    Some((source, span)) => Some(self.source(plan, &source, current.index, &span)?),
                    None => None,
                };
                self.copy(current, head, copy, input, false)
            }
            Kind::Add(add) => self.copy(current, head, add, None, true),
            Kind::Workdir(word) => self.workdir(current, head, word),
            Kind::Change(change) => self.change(current, head, change),
            Kind::Cmd(command) => {
                self.once(current, head, |current| &mut current.cmd);
                let args = self.command(current, head, command);
                current.history(format!("CMD {}", go::quoted_list(&args)), true);
                current.config.config.cmd = (!args.is_empty()).then_some(args);
                Ok(())
            }
            Kind::Entrypoint(command) => {
                self.once(current, head, |current| &mut current.entrypoint);
                let args = self.command(current, head, command);
                current.history(format!("ENTRYPOINT {}", go::quoted_list(&args)), true);
                current.config.config.entrypoint = (!args.is_empty()).then_some(args);
                if current.cmd.is_none() {
                    current.config.config.cmd = None;
                }
                Ok(())
            }
            Kind::Healthcheck(check) => {
                self.once(current, head, |current| &mut current.healthcheck);
                current.history(format!("HEALTHCHECK {}", show_healthcheck(check)), true);
                current.config.config.healthcheck = Some(check.clone());
                Ok(())
            }
            Kind::Expose(words) => self.expose(current, head, words),
            Kind::User(word) => {
                let user = self.word(current, head, word)?;
                current.history(format!("USER {user}"), true);
                current.config.config.user = user;
                Ok(())
            }
            Kind::Volume(words) => self.volumes(current, head, words),
            Kind::Stopsignal(word) => {
                let signal = self.word(current, head, word)?;
                if !signal::is_signal(&signal) {
                    return Err(Diagnostic::error(word.span.clone(), format!("`{signal}` is no signal"))
                        .help("write a name such as SIGTERM, or a number"));
                }
                current.history(format!("STOPSIGNAL {signal}"), true);
                current.config.config.stop_signal = Some(signal);
                Ok(())
            }
            Kind::Shell(shell) => {
                current.history(format!("SHELL {}", go::list(shell)), true);
                current.config.config.shell = shell.clone();
                Ok(())
            }
            Kind::Maintainer(word) => {
                current.history(format!("MAINTAINER {}", word.value), true);
                current.config.author = word.value.clone();
                Ok(())
            }
            Kind::Onbuild(text) => {
                current.config.config.on_build.push(text.clone());
                Ok(())
            }
        }
    }
}

/// `user[:group]`; none if it is empty.
pub(super) fn owner(text: &str) -> Option<Owner> {
    if text.is_empty() {
        return None;
    }
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let user = if user.is_empty() { "0" } else { user };
    Some(Owner { user: user.to_owned(), group: (!group.is_empty()).then(|| group.to_owned()) })
}

/// An instruction's text as a step's name: blanks folded.
pub(super) fn one_line(text: &str) -> String {
    let mut words = text.split_whitespace();
    let keyword = words.next().unwrap_or_default().to_uppercase();
    words.fold(keyword, |line, word| line + " " + word)
}
