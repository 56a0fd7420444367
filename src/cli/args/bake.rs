//! `imgbuild bake`: what only it has, beside the groups that it shares with `build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::attest::AttestArgs;
use super::progress::ProgressArgs;
use super::shared::{
    CacheArgs, CompatibilityArgs, FailureArgs, ImageArgs, LockArgs, OutputArgs, PolicyArgs, RunArgs, ValueArgs,
};
use crate::cli::program::Source;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_overrides() {
        let parsed = Override::parse("web.args.V=a.b=c").unwrap();
        assert_eq!((&*parsed.target, &*parsed.key, &*parsed.value), ("web", "args.V", "a.b=c"));
        for text in ["web", "web=1", ".a=1", "web.=1", "a=web.b"] {
            assert!(Override::parse(text).is_err(), "{text}");
        }
    }
}
