//! What a command is about that looks at a build instead of running it: a Dockerfile with its context, or targets of a build file.
//!
//! `plan`, `why`, `lock` and their like take what `build` or `bake` would take, and mean the same by it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::attest::AttestArgs;
use super::bake::{BakeArgs, Override};
use super::build::{BuildArgs, Call};
use super::progress::ProgressArgs;
use super::shared::{
    CacheArgs, CompatibilityArgs, FailureArgs, ImageArgs, LockArgs, OutputArgs, PolicyArgs, RunArgs, ValueArgs,
};
use super::values::ContextSource;
use crate::ops::Error;

/// The build that a command is about.
#[derive(Debug, Args)]
pub struct SubjectArgs {
    /// Targets of the build file, or the context of a Dockerfile [default: ./build.toml if there is one, else .]
    #[arg(value_name = "TARGET|CONTEXT")]
    pub what: Vec<String>,
    /// The build file (.toml, …) or the Dockerfile
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The stage of the Dockerfile [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Override a value of the build file's targets; * stands for any part of a name
    #[arg(long, value_name = "TARGET.KEY=VALUE", value_parser = Override::parse)]
    pub set: Vec<Override>,
    /// Values, contexts and secrets for the build.
    #[command(flatten)]
    pub values: ValueArgs,
    /// What the image is called and says about itself.
    #[command(flatten)]
    pub image: ImageArgs,
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
}

/// The same as the command that would build it.
#[derive(Debug)]
pub enum Subject {
    /// `build`
    Dockerfile(Box<BuildArgs>),
    /// `bake`
    BuildFile(Box<BakeArgs>),
}

impl SubjectArgs {
    /// Decides which it is: by the kind of the file if one is named, else by what is there.
    pub fn subject(self) -> Result<Subject, Error> {
        match self.is_dockerfile(Path::new("build.toml").exists()) {
            true => self.dockerfile(),
            false => Ok(self.build_file()),
        }
    }

    fn is_dockerfile(&self, has_build_file: bool) -> bool {
        if let [file, ..] = &self.files[..] {
            let extension = file.extension().and_then(|extension| extension.to_str());
            return !matches!(extension, Some("toml" | "hcl" | "json" | "yaml" | "yml"));
        }
        let is_context = |what: &str| what == "-" || what == "." || what == ".." || what.contains('/');
        self.target.is_some() || !has_build_file || matches!(&self.what[..], [what] if is_context(what))
    }

    fn dockerfile(self) -> Result<Subject, Error> {
        let context = match &self.what[..] {
            [] => ContextSource::Folder(".".into()),
            [context] => context.parse().map_err(Error::Usage)?,
            [_, second, ..] => {
                return Err(Error::Usage(format!(
                    "{second:?} is one argument too many: a Dockerfile has one context, and there is no build.toml here"
                )));
            }
        };
        let mut files = self.files.into_iter();
        let (file, None) = (files.next(), files.next()) else {
            return Err(Error::Usage("--file: a build is of one Dockerfile".into()));
        };
        Ok(Subject::Dockerfile(Box::new(BuildArgs {
            context,
            file,
            target: self.target,
            until: None,
            failure: FailureArgs::default(),
            values: self.values,
            image: self.image,
            attest: AttestArgs::default(),
            output: OutputArgs::default(),
            cache: self.cache,
            run: self.run,
            lock: self.lock,
            policy: self.policy,
            progress: ProgressArgs::default(),
            check: false,
            call: Call::Build,
            compatibility: CompatibilityArgs::default(),
        })))
    }

    fn build_file(self) -> Subject {
        Subject::BuildFile(Box::new(BakeArgs {
            targets: self.what,
            files: self.files,
            program: None,
            set: self.set,
            values: self.values,
            image: self.image,
            attest: AttestArgs::default(),
            output: OutputArgs::default(),
            cache: self.cache,
            run: self.run,
            lock: self.lock,
            policy: self.policy,
            progress: ProgressArgs::default(),
            affected_by: Vec::new(),
            changed_since: None,
            print: false,
            list: None,
            failure: FailureArgs::default(),
            json: false,
            convert: false,
            compatibility: CompatibilityArgs::default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        subject: SubjectArgs,
    }

    fn check(words: &str, has_build_file: bool, dockerfile: bool) {
        let words = ["test"].into_iter().chain(words.split_whitespace());
        let args = Cli::try_parse_from(words).unwrap().subject;
        assert_eq!(args.is_dockerfile(has_build_file), dockerfile, "{args:?}");
    }

    #[test]
    fn a_file_says_what_it_is() {
        check("-f docker/Dockerfile", true, true);
        check("-f app.Dockerfile .", true, true);
        check("-f sub/build.toml web", false, false);
        check("-f docker-bake.hcl", false, false);
    }

    #[test]
    fn what_is_there_decides_else() {
        check("", true, false);
        check("", false, true);
        check("web worker", true, false);
        check(".", true, true);
        check("services/web", true, true);
        check("web", false, true);
        check("--target test", true, true);
    }

    #[test]
    fn a_dockerfile_has_one_context() {
        let args = Cli::try_parse_from(["test", "-f", "Dockerfile", "a", "b"]).unwrap().subject;
        assert!(matches!(args.subject(), Err(Error::Usage(_))));
    }
}
