//! Docker's build files: which of them are meant, and what they are told of the environment.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use super::bake::diagnostics;
use crate::cli::Session;
use crate::cli::args::BakeArgs;
use crate::frontend::buildfile::foreign::{self, Format, Read, Source, Sources, Surroundings};
use crate::graph::Times;
use crate::oci::Platform;
use crate::ops::Error;
use crate::source::regular;

/// The build file that is looked for first.
const OWN: &str = "build.toml";

/// Those of docker that are looked for otherwise, in the order in which they are merged.
const DOCKER: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// Which build files are meant.
pub(super) enum Chosen {
    /// One of our own.
    Own(PathBuf),
    /// Docker's, later ones over earlier ones.
    Docker(Vec<PathBuf>),
}

/// Chooses by the options, or else by what is in the folder.
pub(super) fn choose(args: &BakeArgs) -> Result<Chosen, Error> {
    let written = args.files.iter().map(|path| path.display().to_string()).chain(args.targets.iter().cloned());
    for name in written {
        if name.contains("://") || name.starts_with("git@") {
            return Err(Error::Usage(format!("{name}: build files are read from this machine only: clone it first")));
        }
    }
    let is_docker = |path: &Path| Format::of(&path.to_string_lossy()).is_some();
    match args.files.as_slice() {
        // In `bake --convert > build.toml`, the shell has just made it.
        [] if Path::new(OWN).is_file() && !(args.convert && is_empty(Path::new(OWN))) => Ok(Chosen::Own(OWN.into())),
        [] => {
            let found: Vec<PathBuf> = DOCKER.iter().map(PathBuf::from).filter(|path| path.is_file()).collect();
            if found.is_empty() { Ok(Chosen::Own(OWN.into())) } else { Ok(Chosen::Docker(found)) }
        }
        files if files.iter().all(|path| is_docker(path)) => Ok(Chosen::Docker(files.to_vec())),
        [file] => Ok(Chosen::Own(file.clone())),
        files => {
            let own = files.iter().find(|path| !is_docker(path)).map(|path| path.display().to_string());
            let own = own.unwrap_or_default();
            Err(Error::Usage(format!(
                "{own} cannot be merged with other files: let it `include` those that belong to it"
            )))
        }
    }
}

fn is_empty(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.len() == 0)
}

/// Reads docker's files. Their paths start at the folder in which the command runs. Also returns whether the environment had
/// something to say, so that they could be others without it.
pub(super) fn load(paths: &[PathBuf], session: &Session) -> Result<(Read, bool), Error> {
    let told = Cell::new(false);
    let variable = |name: &str| {
        let value = session.env.variable(name)?.into_string().ok();
        told.set(told.get() || value.is_some());
        value
    };
    let (dotenv, epoch) = (dotenv()?, session.env.source_date_epoch()?);
    told.set(dotenv.is_some() || epoch.is_some());
    let read = read(paths, &variable, dotenv, epoch)?;
    Ok((read, told.get()))
}

/// The same without any environment. A file `.env` is one: it is for a machine, and mostly not committed.
pub(super) fn load_alone(paths: &[PathBuf]) -> Result<Read, Error> {
    read(paths, &|_| None, None, None)
}

fn read(
    paths: &[PathBuf],
    variable: &dyn Fn(&str) -> Option<String>,
    dotenv: Option<String>,
    epoch: Option<i64>,
) -> Result<Read, Error> {
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let text = regular::text(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::build(format!("there is no build file at {name}")),
            std::io::ErrorKind::InvalidData => Error::build(format!("{name} is not UTF-8 text")),
            _ => Error::build(format!("cannot read {name}")).caused_by(error),
        })?;
        files.push(Source { name, text });
    }
    let surroundings = Surroundings {
        variable,
        dotenv,
        platform: Platform::host().to_string(),
        epoch: epoch.unwrap_or(Times::default().epoch),
    };
    let name = names(paths);
    foreign::read(&Sources::new(files), &surroundings)
        .map_err(|broken| diagnostics(&name, &broken.text, &broken.parts, broken.list.clone()))
}

/// What messages call files that are read together.
pub(super) fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn dotenv() -> Result<Option<String>, Error> {
    match regular::text(Path::new(".env")) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound || Path::new(".env").is_dir() => Ok(None),
        Err(error) => Err(Error::build("cannot read .env").caused_by(error)),
    }
}

/// The build file that says what docker's files say.
pub(super) fn convert(args: &BakeArgs, session: &Session) -> Result<String, Error> {
    match choose(args)? {
        Chosen::Own(path) if path.is_file() => {
            Err(Error::Usage(format!("{} is a build.toml already: name docker's file with -f", path.display())))
        }
        Chosen::Own(path) => Err(missing(&path.display().to_string())),
        Chosen::Docker(paths) => Ok(foreign::toml(&load(&paths, session)?.0, &names(&paths))),
    }
}

/// There is no such build file, and no other.
pub(super) fn missing(name: &str) -> Error {
    let message = match name {
        OWN => format!("there is no build file at {OWN}, and none of docker's either"),
        name => format!("there is no build file at {name}"),
    };
    Error::build(message).help("name it with -f FILE, or use `imgbuild build` for a Dockerfile on its own")
}
