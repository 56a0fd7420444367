//! `imgbuild search`: which repositories a registry has.

use super::{Format, json_line};
use crate::cli::Session;
use crate::cli::library::network;
use crate::oci::Reference;
use crate::ops::{self, Error};

/// List the repositories of a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild search localhost:5000/
  imgbuild search registry.example/team")]
pub struct Args {
    /// The registry, and what names must hold
    #[arg(value_name = "REGISTRY[/TEXT]")]
    pub what: String,
    /// How to print: a name on each line, or json
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// Prints the names.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (registry, text) = args.what.split_once('/').unwrap_or((&args.what, ""));
    let parsed = Reference::parse(&format!("{registry}/x"))?;
    if parsed.registry() != registry {
        return Err(Error::Usage(format!(
            "{registry:?} is no registry: write HOST[:PORT], with / and a text after it"
        )));
    }
    let names = ops::search(&network::registries(session)?, registry, text)?;
    session.print(match args.format {
        Format::Table => names.iter().map(|name| format!("{name}\n")).collect(),
        Format::Json => json_line(&names)?,
    })
}
