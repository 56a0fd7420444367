//! `imgbuild load`: images read from an archive.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::{input, with_progress};
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::{Session, error};
use crate::event::Reporter;
use crate::oci::Platform;
use crate::ops::task::{Counted, Task};
use crate::ops::{self, Error, LoadOptions, LoadedImage};

/// Read images from an archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild load -i app.tar
  docker save app:1.0 | imgbuild load")]
pub struct Args {
    /// The archive: an OCI layout or docker's format, compressed or not, or a folder [default: stdin]
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Read only these platforms of an image
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Reads the archive and says what was in it.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    if args.input.is_none() && std::io::stdin().is_terminal() {
        return Err(Error::Usage("an archive is not read from a terminal: use -i FILE, or redirect stdin".into()));
    }
    let loaded = with_progress(args.progress, session, false, |progress| load(args, session, &*progress.reporter()));
    match loaded {
        Ok(loaded) => session.print(render(&loaded)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}

fn load(args: &Args, session: &Session, reporter: &dyn Reporter) -> Result<Vec<LoadedImage>, Error> {
    let input = match &args.input {
        Some(path) if path.is_dir() => None,
        path => Some(input(path.as_deref())?),
    };
    let store = session.open_store()?;
    let options = LoadOptions { platforms: args.platform.clone() };
    let total = input.as_ref().and_then(|(_, size)| *size);
    let mut task = Task::start(reporter, 0, "reading the archive", total);
    let loaded = match (input, &args.input) {
        (Some((inner, _)), _) => ops::load(&store, Counted { inner, task: &mut task }, &options),
        (None, folder) => ops::load_path(&store, folder.as_deref().unwrap_or(Path::new(".")), &options),
    };
    let loaded = loaded.map_err(|error| match &args.input {
        Some(path) => Error::from(error).about(path),
        None => error.into(),
    })?;
    task.finish();
    Ok(loaded)
}

fn render(loaded: &[LoadedImage]) -> String {
    let mut text = String::new();
    for image in loaded {
        for name in &image.references {
            text += &format!("Loaded image: {}\n", name.familiar());
        }
        if image.references.is_empty() {
            for (_, id) in &image.platforms {
                text += &format!("Loaded image ID: {id}\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::oci::Descriptor;

    #[test]
    fn says_what_was_read() {
        let id = Digest::of(b"config");
        let nameless = LoadedImage {
            references: Vec::new(),
            descriptor: Descriptor::of("", b"manifest"),
            platforms: vec![(Platform::host(), id)],
        };
        let named = LoadedImage { references: vec!["a:1".parse().unwrap()], ..nameless.clone() };
        assert_eq!(render(&[named, nameless]), format!("Loaded image: a:1\nLoaded image ID: {id}\n"));
    }
}
