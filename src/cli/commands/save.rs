//! `imgbuild save`: images written to an archive.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::cli::{Session, error};
use crate::event::Reporter;
use crate::oci::Platform;
use crate::ops::task::{Counted, Task};
use crate::ops::{self, Error, SaveOptions};
use crate::store::ArchiveFormat;

/// Write images to an archive
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
    /// Who is to read it: docker also writes what docker needs into the OCI archive
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
    /// Write only this platform of the images [default: all that are in the store]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// What an archive may look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For docker load, and whatever reads OCI archives
    #[default]
    #[value(alias = "docker-archive")]
    Docker,
    /// Only for what reads OCI archives
    #[value(alias = "oci-archive")]
    Oci,
}

/// Writes the archive.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    if args.output.is_none() && session.env.stdout_is_terminal() {
        return Err(Error::Usage("an archive is not written to a terminal: use -o FILE, or redirect stdout".into()));
    }
    let saved = with_progress(args.progress, session, args.output.is_none(), |progress| {
        save(args, session, &progress.reporter())
    });
    Ok(saved.map_or_else(|code| code, |()| error::OK))
}

fn save(args: &Args, session: &Session, reporter: &Arc<dyn Reporter>) -> Result<(), Error> {
    let layers = network::layers(session, session.open_store()?, reporter)?;
    ops::complete(&layers, &args.images, args.platform.as_ref())?;
    let options = SaveOptions {
        format: match args.format {
            Format::Docker => ArchiveFormat::Docker,
            Format::Oci => ArchiveFormat::Oci,
        },
        platform: args.platform.clone(),
    };
    let mut task = Task::start(&**reporter, 0, "writing the archive", None);
    let mut write = |inner: &mut dyn Write| -> Result<(), Error> {
        let out = Counted { inner, task: &mut task };
        Ok(ops::save(layers.store(), &args.images, &options, out)?)
    };
    match &args.output {
        Some(path) => ops::write_file(path, &mut write)?,
        None => session.stream(&mut write)?,
    }
    task.finish();
    Ok(())
}
