//! `imgbuild save`: images written to an archive.

use super::with_progress;
use crate::cli::args::build::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::Library;
use crate::cli::{Session, error};
use crate::oci::Platform;
use crate::ops::Error;
use std::path::PathBuf;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild save -o app.tar app:1.0
  imgbuild save app:1.0 | ssh host docker load")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write only these platforms of an image
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Writes the archive.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    if args.output.is_none() && session.env.stdout_is_terminal() {
        return Err(Error::Usage("an archive is not written to a terminal: use -o FILE, or redirect stdout".into()));
    }
    let saved = with_progress(args.progress, session, args.output.is_none(), |progress| {
        library.save(args, session, progress.reporter())
    });
    Ok(saved.map_or_else(|code| code, |()| error::OK))
}
