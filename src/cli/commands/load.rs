//! `imgbuild load`: images read from an archive.

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
  imgbuild load -i app.tar
  docker save app:1.0 | imgbuild load")]
pub struct Args {
    /// The archive: an OCI layout or docker's format, compressed or not [default: stdin]
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Read only these platforms of an image
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// An image that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// Under this name.
    Name(String),
    /// Without a name; its identity.
    Image(String),
}

/// Reads the archive and says what was in it.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    if args.input.is_none() && session.env.stdin_is_terminal() {
        return Err(Error::Usage("an archive is not read from a terminal: use -i FILE, or redirect stdin".into()));
    }
    let loaded =
        with_progress(args.progress, session, false, |progress| library.load(args, session, progress.reporter()));
    match loaded {
        Ok(loaded) => session.print(render(&loaded)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}

fn render(loaded: &[Loaded]) -> String {
    let line = |loaded: &Loaded| match loaded {
        Loaded::Name(name) => format!("Loaded image: {name}\n"),
        Loaded::Image(id) => format!("Loaded image ID: {id}\n"),
    };
    loaded.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_read() {
        let loaded = [Loaded::Name("a:1".into()), Loaded::Image("sha256:12".into())];
        assert_eq!(render(&loaded), "Loaded image: a:1\nLoaded image ID: sha256:12\n");
    }
}
