//! `imgbuild logout`: the password for a registry is forgotten.

use std::path::PathBuf;

use crate::cli::{Session, keychain};
use crate::ops::Error;

/// Forget the password for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild logout registry.example")]
pub struct Args {
    /// The registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
    /// The file that it is kept in [default: $REGISTRY_AUTH_FILE, or Docker's config.json]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

/// Forgets it. That there was none is no failure.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let registry = super::login::registry(args.registry.as_deref())?;
    let found = keychain::forget(session, args.authfile.as_deref(), &registry)?;
    session.print(match found {
        true => format!("Removed the credentials for {registry}\n"),
        false => format!("Not logged in to {registry}\n"),
    })
}
