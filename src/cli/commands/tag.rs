//! `imgbuild tag`: another name for an image.

use crate::cli::Session;
use crate::ops::{self, Error};

/// Give an image another name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild tag app:1.0 registry.example/team/app:1.0")]
pub struct Args {
    /// The image: a name or an ID
    #[arg(value_name = "IMAGE")]
    pub source: String,
    /// Its new name; an image that has it loses it
    #[arg(value_name = "NAME[:TAG]")]
    pub target: String,
}

/// Gives the name.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    ops::tag(&session.open_store()?, &args.source, &args.target)?;
    Ok(())
}
