//! `imgbuild import`: an image of one layer from a tar file.

use super::with_progress;
use crate::cli::args::build::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::Library;
use crate::cli::{Session, error};
use crate::oci::Platform;
use crate::ops::Error;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild import rootfs.tar base:1
  curl -L URL | imgbuild import -c 'CMD [\"/bin/bash\"]' - debian:local")]
pub struct Args {
    /// The tar file, compressed or not; - for stdin
    #[arg(value_name = "FILE|-")]
    pub source: String,
    /// Its name
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,
    /// Apply a Dockerfile instruction, such as CMD or ENV
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// A remark for the history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// The platform it is for [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Makes the image and prints its identity.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    let imported =
        with_progress(args.progress, session, false, |progress| library.import(args, session, progress.reporter()));
    match imported {
        Ok(id) => session.print(id + "\n").map(|()| error::OK),
        Err(code) => Ok(code),
    }
}
