//! The flags that `build` and `bake` share, in groups: values, image, output, cache, steps, lockfile, policy, failure, and
//! those of docker that have no meaning here.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::cache::{CacheFrom, CacheTo};
use super::limits::LimitArgs;
use super::output::Output;
use super::values::{self, BuildArg, HostAddress, ImageAnnotation, NamedContext, Secret, SecurityOption, Ssh};
use crate::cli::env::Env;
use crate::graph::limits;
use crate::oci::Platform;
use crate::ops::Error;

/// What becomes of a failure.
#[derive(Debug, Clone, Default, Args)]
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
