//! From a [`Dockerfile`] to steps and an image configuration.
//!
//! [`plan`] finds out which stages there are and which the target needs; then [`stage`] goes through each of these, an
//! instruction at a time, with [`copy`] and [`run`] for those that make layers. Nothing is looked up here: where a
//! reference must be resolved first, what depends on it is left out, the rest is checked all the same, and the caller
//! is told what is missing.
//!
//! Steps are added to the graph only once all their inputs are known, so a second attempt finds its own steps again.

mod arguments;
mod change;
mod copy;
mod environment;
mod metadata;
mod mount;
mod plan;
mod ports;
mod reference;
mod remote;
mod run;
mod scrub;
mod signal;
mod stage;
mod variable;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::frontend::diagnostic::{Diagnostic, Part};
use crate::frontend::dockerfile::ast::{CheckOptions, Dockerfile, Span};
use crate::frontend::dockerfile::expand::{Expander, Lookup};
use crate::frontend::dockerfile::lint::{Linter, advise, check_syntax};
use crate::frontend::dockerfile::parse::{CHECK_HELP, check_front_end, parse_check};
use crate::fstree::Scrub;
use crate::fstree::pattern::IgnoreList;
use crate::graph::{
    CopyAction, CopySource, FileAction, FileOp, GitOp, Graph, HttpOp, ImageOp, Label, Limits, LocalOp, Network, Op,
    Origin, StepId, Unpack,
};
use crate::oci::{ImageConfig, Platform};
pub use remote::remote_context;
pub use run::is_proxy;

use environment::Environment;
use plan::{Plan, Source};
use stage::Finished;

/// Everything that a build depends on besides the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the file is called in messages.
    pub file: String,
    /// The files that it is made of, if they are several: those of a build file.
    pub parts: Vec<Part>,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--target`
    pub target: Option<String>,
    /// `--platform`: what the image is for. If none, it is the build platform, and the base image may differ from it.
    pub platform: Option<Platform>,
    /// The platform of the builder.
    pub build_platform: Platform,
    /// The build context.
    pub context: ContextSource,
    /// `--build-context`, by name
    pub contexts: BTreeMap<String, ContextSource>,
    /// `--label`: added to the image's own.
    pub labels: BTreeMap<String, String>,
    /// `--no-cache`, `--no-cache-filter`
    pub no_cache: NoCache,
    /// The network of steps that do not choose one.
    pub network: Network,
    /// Whether steps may ask for the host's network (`--allow network.host`).
    pub allow_host_network: bool,
    /// Whether steps may ask for all privileges (`--allow security.insecure`).
    pub allow_insecure: bool,
    /// Whether no step may gain privileges by set-user-ID programs (`--security-opt no-new-privileges`).
    pub no_new_privileges: bool,
    /// `--add-host`: (name, address)
    pub extra_hosts: Vec<(String, String)>,
    /// What steps may use of the machine.
    pub limits: Limits,
    /// `--scrub`: what is taken away from the layers of all steps.
    pub scrubs: BTreeSet<Scrub>,
    /// Whether steps are called by their platform too: because there are several.
    pub name_platforms: bool,
    /// Whether all stages are lowered and checked, not just those that the target needs.
    pub all_stages: bool,
    /// What is to be checked, whatever the file says.
    pub check: Option<CheckOptions>,
}

impl Options {
    /// The options of a build without any, of the file of this name, with the folder `context` as its context.
    pub fn new(file: impl Into<String>, build_platform: Platform) -> Self {
        Self {
            file: file.into(),
            parts: Vec::new(),
            build_args: BTreeMap::new(),
            target: None,
            platform: None,
            build_platform,
            context: ContextSource::Local { name: "context".into(), ignore: Arc::default() },
            contexts: BTreeMap::new(),
            labels: BTreeMap::new(),
            no_cache: NoCache::None,
            network: Network::Default,
            allow_host_network: false,
            allow_insecure: false,
            no_new_privileges: false,
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            scrubs: BTreeSet::new(),
            name_platforms: false,
            all_stages: false,
            check: None,
        }
    }
}

/// What a context is.
#[derive(Debug, Clone)]
pub enum ContextSource {
    /// A folder of this machine.
    Local {
        /// The name by which the solver knows it.
        name: String,
        /// The patterns of its ignore file.
        ignore: Arc<IgnoreList>,
    },
    /// An image, by reference; `scratch` is an empty one.
    Image(String),
    /// A git reference, such as `https://host/repo.git#ref:folder`.
    Git(String),
    /// A file from a URL, called `context`; what it holds, if it is an archive.
    Http(String),
    /// The result of another build.
    State {
        /// Its step, in the same graph.
        step: StepId,
        /// Its configuration, all history included.
        config: Box<ImageConfig>,
    },
}

/// For which steps a cached result is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these stages.
    Stages(BTreeSet<String>),
}

/// Something that has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// An image's configuration.
    Image {
        /// The image, as it is written once variables are expanded.
        reference: String,
        /// For which platform.
        platform: Platform,
        /// Where it is asked for.
        span: Span,
    },
    /// A file's digest and time.
    Http {
        /// Its URL.
        url: String,
        /// Where it is asked for.
        span: Span,
    },
    /// The commit of a branch, a tag or the default branch.
    Git {
        /// The repository's URL.
        url: String,
        /// The reference: a name, a full one such as `refs/tags/v1`, or a commit; empty for the default branch.
        reference: String,
        /// Where it is asked for.
        span: Span,
    },
}

/// What was looked up.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Images by reference and platform, as the need gave them.
    pub images: BTreeMap<(String, Platform), ResolvedImage>,
    /// Files by URL.
    pub http: BTreeMap<String, ResolvedHttp>,
    /// Commits by URL and reference.
    pub git: BTreeMap<(String, String), ResolvedGit>,
}

/// An image that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// What it is called in messages, with its digest.
    pub reference: String,
    /// Its configuration, which names its layers.
    pub config: ImageConfig,
}

/// A file that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedHttp {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its `Last-Modified` time in seconds since 1970.
    pub modified: Option<i64>,
}

/// A git reference that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedGit {
    /// The commit, 40 or 64 hexadecimal digits.
    pub commit: String,
}

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

    fn need(&mut self, need: Need) {
        let same = |other: &Need| match (other, &need) {
            (Need::Image { reference: a, platform: p, .. }, Need::Image { reference: b, platform: q, .. }) => {
                a == b && p == q
            }
            (Need::Http { url: a, .. }, Need::Http { url: b, .. }) => a == b,
            (Need::Git { url: a, reference: r, .. }, Need::Git { url: b, reference: s, .. }) => a == b && r == s,
            _ => false,
        };
        if !self.needs.iter().any(same) {
            self.needs.push(need);
        }
    }

    /// The named context that takes the place of a stage or an image of this name.
    fn named_context(&self, name: &str) -> Option<&'a ContextSource> {
        let reserved = name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context");
        if reserved || self.options.contexts.is_empty() {
            return None;
        }
        let wanted = reference::familiar(name).ok()?;
        let known = |key: &str| reference::familiar(key).unwrap_or_else(|_| key.to_owned());
        self.options.contexts.iter().find(|(key, _)| known(key) == wanted).map(|(_, source)| source)
    }

    /// An image, if it has been looked up.
    fn image(&mut self, reference: &str, platform: &Platform, span: &Span) -> Option<&'a ResolvedImage> {
        let found = self.resolved.images.get(&(reference.to_owned(), platform.clone()));
        if found.is_none() {
            let (reference, platform) = (reference.to_owned(), platform.clone());
            self.need(Need::Image { reference, platform, span: span.clone() });
        }
        found
    }

    /// The step of an image's file system.
    fn image_step(&mut self, image: &ResolvedImage, platform: &Platform, mut label: Label) -> StepId {
        if image.config.rootfs.diff_ids.is_empty() {
            return self.scratch(platform);
        }
        label.text = format!("FROM {}", image.reference);
        let layers = image.config.rootfs.diff_ids.clone();
        let op = Op::Image(ImageOp { reference: image.reference.clone(), layers });
        self.graph.add(op, &[], platform.clone(), label, false)
    }

    fn scratch(&mut self, platform: &Platform) -> StepId {
        self.graph.add(Op::Scratch, &[], platform.clone(), self.label("FROM scratch", None), false)
    }

    /// The step and the configuration of a context; none for either that is not there (yet).
    fn context(
        &mut self,
        name: &str,
        source: &'a ContextSource,
        platform: &Platform,
        span: &Span,
    ) -> Result<(Option<StepId>, Option<ImageConfig>), Diagnostic> {
        let label = self.label(format!("load context {name}"), None);
        Ok(match source {
            ContextSource::Local { name, ignore } => {
                let op = Op::Local(LocalOp { name: name.clone(), ignore: ignore.patterns().to_vec() });
                (Some(self.graph.add(op, &[], platform.clone(), label, false)), None)
            }
            ContextSource::State { step, config } => (Some(*step), Some((**config).clone())),
            ContextSource::Image(reference) if reference == "scratch" => (Some(self.scratch(platform)), None),
            ContextSource::Image(reference) => {
                reference::check(reference).map_err(|reason| {
                    Diagnostic::error(span.clone(), format!("`{reference}` is no image: {reason}"))
                })?;
                match self.image(reference, platform, span) {
                    Some(image) => (Some(self.image_step(image, platform, label)), Some(image.config.clone())),
                    None => (None, None),
                }
            }
            ContextSource::Git(reference) => {
                let git = remote::parse_git(reference)
                    .and_then(Result::ok)
                    .ok_or_else(|| Diagnostic::error(span.clone(), format!("`{reference}` is no git reference")))?;
                (self.git_step(&git, git.keep_git_dir.unwrap_or(false), platform, label, span)?, None)
            }
            ContextSource::Http(url) => {
                let file = self.http_step(url, "context", None, platform, label.clone(), span)?;
                (file.map(|file| self.unpacked(file, platform, label)), None)
            }
        })
    }

    /// The step of a file called `context` in its place, or of what it holds if it is an archive.
    fn unpacked(&mut self, file: StepId, platform: &Platform, label: Label) -> StepId {
        let source = CopySource::Path { input: 1, path: "context".into(), wildcard: false };
        let action = CopyAction {
            sources: vec![source],
            dest: "/".into(),
            owner: None,
            mode: None,
            parents: false,
            exclude: Vec::new(),
            unpack: Unpack::Archives,
        };
        let op = Op::File(FileOp { actions: vec![FileAction::Copy(Box::new(action))] });
        let empty = self.scratch(platform);
        self.graph.add(op, &[empty, file], platform.clone(), label, false)
    }

    fn http_step(
        &mut self,
        url: &str,
        name: &str,
        checksum: Option<Digest>,
        platform: &Platform,
        label: Label,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        let Some(found) = self.resolved.http.get(url) else {
            self.need(Need::Http { url: url.to_owned(), span: span.clone() });
            return Ok(None);
        };
        if let Some(wanted) = checksum
            && wanted != found.digest
        {
            let message = format!("{url} is not what was expected: its digest is {}", found.digest);
            return Err(Diagnostic::error(span.clone(), message)
                .help(format!("if the file was changed on purpose, write --checksum={}", found.digest)));
        }
        let op = Op::Http(HttpOp {
            url: url.to_owned(),
            name: name.to_owned(),
            digest: found.digest,
            modified: found.modified,
        });
        Ok(Some(self.graph.add(op, &[], platform.clone(), label, false)))
    }

    fn git_step(
        &mut self,
        git: &remote::GitReference,
        keep_git_dir: bool,
        platform: &Platform,
        label: Label,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        let wanted = git.checksum.clone().unwrap_or_default();
        let reference = if git.reference.is_empty() { &wanted } else { &git.reference };
        let Some(found) = self.resolved.git.get(&(git.url.clone(), reference.clone())) else {
            self.need(Need::Git { url: git.url.clone(), reference: reference.clone(), span: span.clone() });
            return Ok(None);
        };
        if !found.commit.starts_with(&wanted) {
            let message = format!("`{reference}` of {} is commit {}, not {wanted}", git.url, found.commit);
            return Err(Diagnostic::error(span.clone(), message).help("update the checksum if the change is expected"));
        }
        let op = Op::Git(GitOp {
            url: git.url.clone(),
            commit: found.commit.clone(),
            subdir: git.subdir.clone(),
            keep_git_dir,
            submodules: git.submodules.unwrap_or(true),
        });
        Ok(Some(self.graph.add(op, &[], platform.clone(), label, false)))
    }

    /// The step whose files a `COPY --from` or a mount reads; none if it is not known yet.
    fn source(
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
}

#[cfg(test)]
mod tests;
