//! `imgbuild import`: an image of one layer from a tar file.

use std::io::IsTerminal as _;
use std::path::Path;

use super::{input, name_to_give, with_progress};
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::{Session, error};
use crate::compress::Compression;
use crate::export::rfc3339;
use crate::oci::Platform;
use crate::ops::task::{Counted, Task};
use crate::ops::{self, Error, ImportOptions};

/// Make an image of one layer from a tar file
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
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let references = args.name.iter().map(|name| name_to_give(name)).collect::<Result<Vec<_>, _>>()?;
    let path = Some(Path::new(&args.source)).filter(|_| args.source != "-");
    if path.is_none() && std::io::stdin().is_terminal() {
        return Err(Error::Usage("a tar file is not read from a terminal: name a file, or redirect stdin".into()));
    }
    let imported = with_progress(args.progress, session, false, |progress| {
        let reporter = progress.reporter();
        let options = ImportOptions {
            references,
            platform: args.platform.clone().unwrap_or_else(Platform::host),
            created: session.env.source_date_epoch()?.map(rfc3339),
            message: args.message.clone().unwrap_or_else(|| format!("Imported from {}", args.source)),
            changes: args.change.clone(),
            compression: Compression::GZIP,
        };
        let (inner, total) = input(path)?;
        let store = session.open_store()?;
        let mut task = Task::start(&*reporter, 0, "reading the root file system", total);
        let image = ops::import(&store, Counted { inner, task: &mut task }, options)?;
        task.finish();
        Ok(image)
    });
    match imported {
        Ok(image) => session.print(format!("{}\n", image.id)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}
