//! `imgbuild schema`: the JSON Schemas of what imgbuild reads and writes.
//!
//! They are made of the types and tables that the program goes by. `schemas/` has the same for editors, and a test keeps it so.

use super::json_pretty;
use crate::cli::library::metadata;
use crate::cli::progress::json;
use crate::cli::{Session, table};
use crate::frontend::buildfile;
use crate::lockfile::Lockfile;
use crate::ops::Error;

/// Print the JSON Schemas of build files, lockfiles, progress and metadata
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild schema
      list the schemas
  imgbuild schema build-file > build-file.json
      for an editor: put `#:schema ./build-file.json` in the first line of build.toml")]
pub struct Args {
    /// Which one [default: list them]
    #[arg(value_enum, value_name = "NAME")]
    pub name: Option<Name>,
}

/// The schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// build.toml
    BuildFile,
    /// build.lock and Dockerfile.lock
    Lockfile,
    /// A line of --progress json
    ProgressEvents,
    /// --metadata-file
    Metadata,
}

const LIST: [(&str, &str); 4] = [
    ("build-file", "build.toml"),
    ("lockfile", "build.lock and Dockerfile.lock"),
    ("progress-events", "a line of --progress json"),
    ("metadata", "--metadata-file"),
];

/// Prints a schema, or which there are.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let schema = match args.name {
        None => {
            let rows = LIST.map(|(name, about)| [name.to_owned(), about.to_owned()]);
            return session.print(table::render(["NAME", "OF"], &rows));
        }
        Some(Name::BuildFile) => buildfile::schema(),
        Some(Name::Lockfile) => Lockfile::schema(),
        Some(Name::ProgressEvents) => json::schema(),
        Some(Name::Metadata) => metadata::schema(),
    };
    session.print(json_pretty(&schema)?)
}
