//! `imgbuild build`: what only it has, beside the groups that it shares with `bake`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::attest::AttestArgs;
use super::progress::ProgressArgs;
use super::shared::{
    CacheArgs, CompatibilityArgs, FailureArgs, ImageArgs, LockArgs, OutputArgs, PolicyArgs, RunArgs, ValueArgs,
};
use super::values::ContextSource;

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

/// What `build --call` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// Build
    Build,
    /// Check, without building
    #[value(alias = "lint")]
    Check,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use clap::Parser as _;

    use super::*;
    use crate::cli::args::output::{Destination, OutputKind};
    use crate::cli::args::progress::ProgressStyle;
    use crate::cli::args::shared::{Entitlement, Network};
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
        // Of a flag that is given twice, the last one counts.
        let args = parse("--load --load=false --sbom=true --sbom=true .").unwrap();
        assert_eq!((args.compatibility.load, args.attest.all().count()), (Some(false), 1));
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
}
