//! One stage, instruction by instruction: what each does to the configuration, the history and the variables.

use std::collections::HashMap;

use super::environment::{Arguments, Environment, SCAN_ARGUMENTS};
use super::metadata::show_healthcheck;
use super::plan::{Base, Plan, Source, in_trigger};
use super::variable::{cannot_expand, place_of_variable};
use super::{ContextSource, Lowering, NoCache, signal};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Head, Instruction, Join, Kind, Span, Stage, Word};
use crate::frontend::dockerfile::expand::{Expanded, Expander};
use crate::frontend::dockerfile::go;
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::frontend::dockerfile::suggest::nearest;
use crate::fstree::TreePath;
use crate::graph::{CopyAction, CopySource, FileAction, FileOp, Label, Op, Owner, StepId, Unpack};
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
    platform: Platform,
    variables: Environment,
    arguments: Arguments,
    workdir_set: bool,
    /// Whether its image was not looked up.
    guessed: bool,
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
    base_history: usize,
    workdir_set: bool,
    cmd: Option<Span>,
    entrypoint: Option<Span>,
    healthcheck: Option<Span>,
    /// The place of the next step among those of the stage, and how many there are.
    number: usize,
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

    /// Takes over what the base has; false if that is not known yet.
    fn start(&mut self, plan: &Plan<'a>, current: &mut Current<'_>) -> Result<bool, Diagnostic> {
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
                    ContextSource::Local { .. } => step.map(|step| self.whole_folder(step, &platform, name)),
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

    /// The configuration of what is named; none if it is not known yet.
    fn source_config(&mut self, source: &Source<'a>, span: &Span) -> Result<Option<ImageConfig>, Diagnostic> {
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

    /// All of a folder as a layer.
    fn whole_folder(&mut self, folder: StepId, platform: &Platform, name: &str) -> StepId {
        let copy = CopyAction {
            sources: vec![CopySource::Path { input: 1, path: String::new(), wildcard: false }],
            dest: "/".into(),
            owner: None,
            mode: None,
            parents: false,
            exclude: Vec::new(),
            unpack: Unpack::Never,
        };
        let op = Op::File(FileOp { actions: vec![FileAction::Copy(Box::new(copy))] });
        let scratch = self.scratch(platform);
        let label = self.label(format!("FROM {name}"), None);
        self.graph.add(op, &[scratch, folder], platform.clone(), label, false)
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

    fn workdir(&mut self, current: &mut Current<'_>, head: &Head, word: &Word) -> Result<(), Diagnostic> {
        let path = self.word(current, head, word)?;
        if !current.workdir_set && !path.starts_with('/') {
            let message = if path.is_empty() {
                format!("`{}` comes to nothing", word.value)
            } else {
                format!("where `{path}` lies depends on the base image")
            };
            let finding = Linter::finding(rule::WorkdirRelativePath, current.at(&word.span), message)
                .help("start with an absolute path");
            let old = current.config.config.working_dir.as_str();
            // Where the folder lies can be told once the base is known.
            let finding = if current.is_written_here() && !current.guessed && path == word.value && is_plain(&path) {
                let absolute = TreePath::clean(format!("{old}/{path}")).to_string();
                finding.fix(word.span.clone(), absolute)
            } else {
                finding
            };
            self.linter.report(&head.comments, finding);
        }
        current.workdir_set = true;
        // A path is kept as it is written if it is absolute, and joined and cleaned if it is not.
        let old = &current.config.config.working_dir;
        let path = match path.as_str() {
            "" if old.is_empty() => "/".to_owned(),
            "" => old.clone(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => TreePath::clean(format!("{old}/{relative}")).to_string(),
        };
        current.config.config.working_dir.clone_from(&path);
        if path != "/" {
            let label = self.step_label(current, &one_line(&head.text), &head.span);
            let owner = owner(&current.config.config.user);
            let folders = made_on_the_way(&path).into_iter();
            let actions = folders.map(|path| FileAction::Mkdir { path, mode: 0o755, owner: owner.clone() });
            let op = Op::File(FileOp { actions: actions.collect() });
            current.step = current.step.map(|step| self.graph.add(op, &[step], current.platform.clone(), label, false));
        }
        current.history(format!("WORKDIR {path}"), path == "/");
        Ok(())
    }

    /// The step of the main context.
    pub(super) fn main_context(&mut self, current: &Current<'_>, span: &Span) -> Result<Option<StepId>, Diagnostic> {
        let options = self.options;
        let source = options.contexts.get("context").unwrap_or(&options.context);
        let platform = self.target.clone();
        let span = current.at(span);
        if let ContextSource::Git(reference) = source
            && let Some(Ok(git)) = super::remote::parse_git(reference)
        {
            let asked = options.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
            let keep = git.keep_git_dir.unwrap_or(asked.is_some_and(|value| matches!(value.as_str(), "1" | "true")));
            let label = self.label("load build context", None);
            return self.git_step(&git, keep, &platform, label, &span);
        }
        Ok(self.context("context", source, &platform, &span)?.0)
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

/// Whether a path can be written without quotes.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
}

/// The configuration of `scratch`.
fn empty_image(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    };
    config.config.working_dir = "/".into();
    config
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

/// The folders that a path makes as it is walked: what stands before a `..` is made too.
fn made_on_the_way(path: &str) -> Vec<TreePath> {
    let mut made = Vec::new();
    let mut at = String::new();
    for part in path.split('/') {
        if part == ".." {
            made.push(TreePath::clean(&at));
        }
        at = format!("{at}/{part}");
    }
    made.push(TreePath::clean(&at));
    made
}
