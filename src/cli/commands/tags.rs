//! `imgbuild tags`: what a repository has.

use super::{Format, json_line};
use crate::cli::Session;
use crate::cli::library::network;
use crate::oci::Reference;
use crate::ops::{self, Error};

/// List the tags of a repository
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild tags debian
  imgbuild tags registry.example/team/app | sort -V | tail -n 1")]
pub struct Args {
    /// The repository
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    /// How to print: a tag on each line, or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// Prints the tags, in the registry's order.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let reference = Reference::parse(&args.repository)?;
    let tags = ops::tags(&network::registries(session)?, &reference)?;
    session.print(match args.format {
        Format::Table => tags.iter().map(|tag| format!("{tag}\n")).collect(),
        Format::Json => json_line(&tags)?,
    })
}
