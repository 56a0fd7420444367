//! The flags of `build` and `bake`, in groups that both share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::attest::AttestArgs;
use super::cache::{CacheFrom, CacheTo};
use super::limits::LimitArgs;
use super::output::Output;
use super::values::{
    self, BuildArg, ContextSource, HostAddress, ImageAnnotation, NamedContext, Secret, SecurityOption, Ssh,
};
use crate::cli::env::Env;
use crate::cli::program::Source;
use crate::graph::limits;
use crate::oci::Platform;
use crate::ops::Error;

/// Build an image from a Dockerfile
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgbuild build -t app:1.0 .
      build ./Dockerfile and keep the image in the store as app:1.0
  imgbuild build -f docker/Dockerfile --target test -o type=cacheonly .
      run a stage only to see whether it works
  imgbuild build -o type=oci,dest=app.tar,compression=zstd .
      write an archive, with zstd layers
  imgbuild build --target bin -o out .
      copy the files of a stage to ./out
  imgbuild build --secret id=token,env=API_TOKEN --build-context lib=../lib .
      let steps read a secret, and files of another folder
  imgbuild build --on-error=shell .
      look around where a RUN failed; `imgbuild debug` does so afterwards
  imgbuild build --frozen .
      use only what the lockfile pins and the store holds")]
pub struct BuildArgs {
    /// The build context: a folder, the URL of a git repository or an archive, or - for a tar file on stdin
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub context: ContextSource,
    /// The Dockerfile; - for stdin [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Stop after a line of the Dockerfile, or a step by its name or STAGE:NUMBER: that is the image
    #[arg(long, value_name = "LINE|STEP", conflicts_with = "target")]
    pub until: Option<String>,
    /// What becomes of a failure.
    #[command(flatten)]
    pub failure: FailureArgs,
    /// Values, contexts and secrets for the build.
    #[command(flatten)]
    pub values: ValueArgs,
    /// What the image is called and says about itself.
    #[command(flatten)]
    pub image: ImageArgs,
    /// What is said about the image, beside it.
    #[command(flatten)]
    pub attest: AttestArgs,
    /// Where results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is taken from the cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// How steps run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How the lockfile is used.
    #[command(flatten)]
    pub lock: LockArgs,
    /// What may be built on.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// Check the Dockerfile, without building it
    #[arg(long, help_heading = "What to do")]
    pub check: bool,
    /// What to do with the Dockerfile
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Call::Build, conflicts_with = "check")]
    #[arg(help_heading = "What to do", hide_default_value = true)]
    pub call: Call,
    /// Flags without a meaning here.
    #[command(flatten)]
    pub compatibility: CompatibilityArgs,
}

impl BuildArgs {
    /// Whether the Dockerfile is checked only.
    pub fn only_checks(&self) -> bool {
        self.check || self.call == Call::Check
    }

    /// Whether the Dockerfile is on standard input.
    pub fn reads_dockerfile_from_stdin(&self) -> bool {
        self.file.as_deref().is_some_and(|file| file == Path::new("-"))
    }
}

/// Build the targets of a build file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgbuild bake
      build the default target of ./build.toml
  imgbuild bake web worker
      build two targets; what they share is built once
  imgbuild bake --print web
      show the resolved definition of a target, without building it
  imgbuild bake --set '*.platform=linux/arm64' --set web.tags=web:dev web
      change values of targets for this build
  imgbuild bake --list --changed-since origin/main
      list the targets that a branch changes, as JSON for a CI system")]
pub struct BakeArgs {
    /// The targets or groups to build [default: the build file's default]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The build file [default: build.toml, or else docker's]; docker's can be several, later ones over earlier ones
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The build file of a Rust program, instead of a file.
    #[arg(skip)]
    pub program: Option<Source>,
    /// Override a value of targets; * stands for any part of a name
    #[arg(long, value_name = "TARGET.KEY=VALUE", value_parser = Override::parse)]
    pub set: Vec<Override>,
    /// Values, contexts and secrets for the build.
    #[command(flatten)]
    pub values: ValueArgs,
    /// What the image is called and says about itself.
    #[command(flatten)]
    pub image: ImageArgs,
    /// What is said about the image, beside it.
    #[command(flatten)]
    pub attest: AttestArgs,
    /// Where results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is taken from the cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// How steps run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How the lockfile is used.
    #[command(flatten)]
    pub lock: LockArgs,
    /// What may be built on.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// Only targets that read this file or folder, and those that depend on them
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "What to build")]
    pub affected_by: Vec<PathBuf>,
    /// Only targets of which a file differs from a git revision, and those that depend on them
    #[arg(long, value_name = "REVISION", help_heading = "What to build")]
    pub changed_since: Option<String>,
    /// Show the resolved definition as JSON, without building it
    #[arg(long, help_heading = "What to do")]
    pub print: bool,
    /// Write the build.toml that says what docker-bake.hcl, docker-bake.json and compose.yaml say
    #[arg(long, conflicts_with_all = ["print", "list", "set", "targets"], help_heading = "What to do")]
    pub convert: bool,
    /// List the targets or the variables of the build file, without building it
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, default_missing_value = "targets")]
    #[arg(require_equals = true, conflicts_with = "print", help_heading = "What to do")]
    pub list: Option<List>,
    /// With --list, as JSON, which it always is
    #[arg(long, requires = "list", hide = true)]
    pub json: bool,
    /// What becomes of a failure.
    #[command(flatten)]
    pub failure: FailureArgs,
    /// Flags without a meaning here.
    #[command(flatten)]
    pub compatibility: CompatibilityArgs,
}

/// `--set TARGET.KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The target's name; `*` stands for any part of it.
    pub target: String,
    /// The key, such as `args.VERSION`.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Override {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
        match parts {
            Some(((target, key), value)) if !target.is_empty() && !key.is_empty() => {
                Ok(Self { target: target.into(), key: key.into(), value: value.into() })
            }
            _ => Err("write TARGET.KEY=VALUE, such as web.args.VERSION=2".into()),
        }
    }
}

/// What `bake --list` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum List {
    /// Targets and groups
    Targets,
    /// Variables
    Variables,
}

/// What becomes of a failure.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FailureArgs {
    /// What to do when a RUN fails: end, or open a shell in the state that it left, and end after that
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        hide_default_value = true,
        help_heading = "What to do"
    )]
    pub on_error: OnError,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// The build fails
    #[default]
    Fail,
    /// A shell is opened first
    Shell,
}

/// What `build --call` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// Build
    Build,
    /// Check, without building
    #[value(alias = "lint")]
    Check,
}

/// What may be built on.
#[derive(Debug, Clone, Default, Args)]
pub struct PolicyArgs {
    /// Build only on images that the policy in this file permits, besides those of the machine and of the build file
    #[arg(long = "policy", value_name = "FILE", help_heading = "Policy")]
    pub policies: Vec<PathBuf>,
}

/// Values, contexts and secrets for the build.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Values")]
pub struct ValueArgs {
    /// Set an ARG; without a value, from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<BuildArg>,
    /// Name another context: a folder, docker-image://REF, oci-layout://FOLDER or a URL
    #[arg(long, value_name = "NAME=SOURCE")]
    pub build_context: Vec<NamedContext>,
    /// Let steps read a secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub secret: Vec<Secret>,
    /// Let steps use an SSH agent, or keys: default, NAME=SOCKET or NAME=KEY,KEY
    #[arg(long, value_name = "NAME[=PATH]")]
    pub ssh: Vec<Ssh>,
}

/// What the image is called and says about itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Image")]
pub struct ImageArgs {
    /// Name the image
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub tags: Vec<String>,
    /// Build for these platforms, such as linux/amd64,linux/arm64
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// Add a label to the image's configuration
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::label)]
    pub label: Vec<(String, String)>,
    /// Add an annotation to the manifest, or with index: to the index
    #[arg(long, value_name = "[TYPE:]KEY=VALUE")]
    pub annotation: Vec<ImageAnnotation>,
}

/// Where results go.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write the result: type=oci|docker|tar|local|image|registry|cacheonly with dest=PATH; or a folder for its files; or -
    /// for a tar file of them on stdout
    #[arg(short, long = "output", value_name = "KEY=VALUE,…")]
    pub outputs: Vec<Output>,
    /// Push the image to the registries that its names say: the same as -o type=registry
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub push: bool,
    /// Write the image's ID to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write what was built to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write when what happened to a file, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

impl OutputArgs {
    /// Refuses what standard output cannot take: two archives, or one on a terminal.
    pub fn check(&self, env: &Env) -> Result<(), Error> {
        match self.outputs.iter().filter(|output| output.uses_stdout()).count() {
            0 => Ok(()),
            1 if env.stdout_is_terminal() => Err(Error::Usage(
                "--output: an archive is not written to a terminal: add dest=FILE, or redirect stdout".into(),
            )),
            1 => Ok(()),
            more => Err(Error::Usage(format!(
                "--output: {more} archives cannot share stdout: add dest=FILE to all but one"
            ))),
        }
    }
}

/// What is taken from caches, and put into them.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// Run every step, even if its result is there
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_name = "BOOL", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub no_cache: bool,
    /// Run every step of these stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', conflicts_with = "no_cache")]
    pub no_cache_filter: Vec<String>,
    /// Ask for base images anew, even if they are in the store
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_name = "BOOL", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub pull: bool,
    /// Look for results of steps in a cache or an image: NAME, type=registry,ref=NAME or type=local,src=FOLDER
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub cache_from: Vec<CacheFrom>,
    /// Put results of steps into a cache: type=registry,ref=NAME or type=local,dest=FOLDER, with mode=max those of all steps;
    /// or type=inline, along with the image that is pushed
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub cache_to: Vec<CacheTo>,
}

/// How steps run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Steps")]
pub struct RunArgs {
    /// The network of RUN steps
    #[arg(long, value_enum, default_value_t = Network::Default, value_name = "NETWORK", hide_default_value = true)]
    pub network: Network,
    /// Add an address to /etc/hosts of RUN steps
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = values::host)]
    pub add_host: Vec<(String, HostAddress)>,
    /// Take away from layers what only says when steps ran, such as apt,shadow; recommended for all that is safe
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    #[arg(value_parser = values::scrubs())]
    pub scrub: Vec<String>,
    /// Allow steps what the Dockerfile asks for
    #[arg(long, value_enum, value_name = "RIGHT", value_delimiter = ',')]
    pub allow: Vec<Entitlement>,
    /// Harden steps: with no-new-privileges, set-user-ID programs such as sudo give them nothing
    #[arg(long, value_name = "OPTION", value_parser = values::security_option)]
    pub security_opt: Vec<SecurityOption>,
    /// Run at most this many steps at once [default: the number of processors]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Stop a step that takes longer, such as 90s, 10m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = limits::time)]
    pub step_timeout: Option<Duration>,
    /// What each step may use.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// The network of steps that do not say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// One that reaches the outside
    Default,
    /// None but the loopback
    None,
    /// The network of this machine
    Host,
    /// One that reaches the outside, but nothing that listens on this machine alone
    Private,
}

/// A right that a step must ask for and the user must grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Entitlement {
    /// RUN --network=host
    #[value(name = "network.host")]
    NetworkHost,
    /// RUN --security=insecure
    #[value(name = "security.insecure")]
    SecurityInsecure,
}

/// How the lockfile is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Lockfile")]
pub struct LockArgs {
    /// Fail if the lockfile would change
    #[arg(long)]
    pub locked: bool,
    /// Do not use the network
    #[arg(long)]
    pub offline: bool,
    /// The same as --locked --offline
    #[arg(long)]
    pub frozen: bool,
    /// Neither read nor write a lockfile
    #[arg(long, conflicts_with_all = ["locked", "frozen"])]
    pub no_lock: bool,
}

impl LockArgs {
    /// Whether the lockfile must not change.
    pub fn is_locked(self) -> bool {
        self.locked || self.frozen
    }

    /// Whether the network must not be used.
    pub fn is_offline(self) -> bool {
        self.offline || self.frozen
    }
}

/// What is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Progress")]
pub struct ProgressArgs {
    /// How to show what happens
    #[arg(long, value_enum, value_name = "STYLE", default_value_t = ProgressStyle::Auto, hide_default_value = true)]
    #[arg(env = "BUILDKIT_PROGRESS", hide_env_values = true)]
    pub progress: ProgressStyle,
    /// Show nothing but errors; print what was made
    #[arg(short, long)]
    pub quiet: bool,
}

/// How to show what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// tty if stderr is a terminal, else plain
    #[default]
    Auto,
    /// A log
    Plain,
    /// A live display
    Tty,
    /// One JSON object on each line
    #[value(alias = "rawjson")]
    Json,
    /// Nothing
    #[value(alias = "none")]
    Quiet,
}

/// Flags that `docker build` has and that have no meaning here: there are no intermediate containers to remove, no
/// daemon to send a context to or to load from. Scripts that set them keep working.
#[derive(Debug, Default, Args)]
pub struct CompatibilityArgs {
    #[expect(missing_docs, reason = "accepted and ignored; a help text would be shown")]
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rm: Option<bool>,
    #[expect(missing_docs, reason = "accepted and ignored; a help text would be shown")]
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub force_rm: Option<bool>,
    #[expect(missing_docs, reason = "accepted and ignored; a help text would be shown")]
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub compress: Option<bool>,
    #[expect(missing_docs, reason = "accepted and ignored; a help text would be shown")]
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub load: Option<bool>,
    #[expect(missing_docs, reason = "accepted and ignored; a help text would be shown")]
    #[arg(long, hide = true)]
    pub builder: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::output::{Destination, OutputKind};
    use crate::cli::args::{Cli, Command};

    fn parse(words: &str) -> Result<BuildArgs, String> {
        let words = ["imgbuild", "build"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words) {
            Ok(Cli { command: Command::Build(args), .. }) => Ok(*args),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn reads_a_whole_command() {
        let args = parse(
            "--progress plain -o type=oci,dest=/o/image.tar -f /c/Dockerfile --build-arg A=1 --build-arg B \
             --build-context n=/c/n --secret id=s,src=/s --target two --network none --no-cache --jobs 1 -t a -t b:1 \
             --platform linux/amd64,linux/arm64/v8 --label k=v --add-host db:10.0.0.1 --allow network.host /c",
        )
        .unwrap();
        assert_eq!(args.context, ContextSource::Folder("/c".into()));
        assert_eq!(args.file, Some("/c/Dockerfile".into()));
        assert_eq!(args.target.as_deref(), Some("two"));
        assert_eq!(args.output.outputs[0].kind, OutputKind::Oci);
        assert_eq!(args.output.outputs[0].destination, Some(Destination::Path("/o/image.tar".into())));
        assert_eq!(args.values.build_arg.len(), 2);
        assert_eq!(args.values.build_context[0].name, "n");
        assert_eq!(args.values.secret[0].id, "s");
        assert_eq!((args.run.network, args.run.jobs.map(NonZeroUsize::get)), (Network::None, Some(1)));
        assert_eq!(args.run.allow, [Entitlement::NetworkHost]);
        assert_eq!(args.image.tags, ["a", "b:1"]);
        let platforms: Vec<String> = args.image.platform.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!(args.progress.progress, ProgressStyle::Plain);
        assert!(args.cache.no_cache && !args.cache.pull);
    }

    #[test]
    fn reads_flags_as_docker_does() {
        assert!(parse("--pull .").unwrap().cache.pull);
        assert!(parse("--pull=true .").unwrap().cache.pull);
        assert!(!parse("--pull=false .").unwrap().cache.pull);
        assert_eq!(parse("--no-cache-filter a,b .").unwrap().cache.no_cache_filter, ["a", "b"]);
        assert!(parse("--check .").unwrap().only_checks());
        assert!(parse("--push .").unwrap().output.push && !parse("--push=false .").unwrap().output.push);
        assert!(parse("--call=lint .").unwrap().only_checks());
        assert!(parse("-q .").unwrap().progress.quiet);
        assert_eq!(parse("--progress rawjson .").unwrap().progress.progress, ProgressStyle::Json);
        assert_eq!(parse("").unwrap().context, ContextSource::Folder(".".into()));
        assert_eq!(parse("-").unwrap().context, ContextSource::Stdin);
        assert!(parse("--frozen .").unwrap().lock.is_offline());
    }

    #[test]
    fn accepts_what_has_no_meaning_here() {
        let args = parse("--rm --force-rm=true --compress --load --builder x .").unwrap();
        assert_eq!(args.compatibility.load, Some(true));
        let args = parse("--provenance=false --provenance false --sbom=true .");
        assert!(args.unwrap_err().contains("cannot be used multiple times"));
        assert_eq!(parse("--sbom=true --provenance=mode=max .").unwrap().attest.all().count(), 2);
    }

    #[test]
    fn says_what_is_allowed() {
        let check = |words: &str, parts: &[&str]| {
            let error = parse(words).unwrap_err();
            parts.iter().for_each(|part| assert!(error.contains(part), "{words}: {error}"));
        };
        check("a b", &["'b'"]);
        check("--jobs 0 .", &["'0'", "--jobs", "zero"]);
        check("--network bridge .", &["'bridge'", "default, none, host, private"]);
        check("--progress fancy .", &["'fancy'", "auto, plain, tty, json, quiet"]);
        check("--allow root .", &["'root'", "network.host, security.insecure"]);
        check("--platform nonsense .", &["nonsense", "linux/arm64"]);
        check("--secret src=a .", &["id= is missing", "--secret"]);
        check("-o type=zip .", &["type=zip", "allowed are oci"]);
        check("--build-context lib .", &["'lib'", "NAME=FOLDER"]);
        check("--add-host db=x .", &["not an IP address"]);
        check("--locked --no-lock .", &["--locked", "cannot be used with"]);
        check("--chek .", &["--check"]);
    }

    #[test]
    fn reads_overrides() {
        let parsed = Override::parse("web.args.V=a.b=c").unwrap();
        assert_eq!((&*parsed.target, &*parsed.key, &*parsed.value), ("web", "args.V", "a.b=c"));
        for text in ["web", "web=1", ".a=1", "web.=1", "a=web.b"] {
            assert!(Override::parse(text).is_err(), "{text}");
        }
    }
}
