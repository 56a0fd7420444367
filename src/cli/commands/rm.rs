//! `imgbuild rm`: containers removed, with what they changed.

use super::each;
use crate::cli::Session;
use crate::ops::{Error, container};

/// Remove containers
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild rm work
  imgbuild rm -f $(imgbuild ps -aq)     all of them, also those that run")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
    /// Kill those that run; do not fail if there is none
    #[arg(short, long)]
    pub force: bool,
    /// Accepted for docker's sake: there are no volumes
    #[arg(short, long, hide = true)]
    pub volumes: bool,
}

/// Removes them and says which.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    each(&args.containers, |name| match container::rm(&store, name, args.force) {
        Err(_) if args.force && store.find_container(name).is_err() => Ok(()),
        removed => removed.and_then(|_| session.print(format!("{name}\n"))),
    })
}
