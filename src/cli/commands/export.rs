//! `imgbuild export`: the files of a container or an image as a tar.

use std::io::Write;
use std::path::PathBuf;

use super::with_layers;
use crate::cli::Session;
use crate::cli::args::values;
use crate::oci::Platform;
use crate::ops::{self, Error, container};

/// Write the files of a container or an image to a tar file
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild export -o rootfs.tar work    what a container sees
  imgbuild export debian | tar t        an image, its layers put together")]
pub struct Args {
    /// A container or an image: a name or an ID
    #[arg(value_name = "CONTAINER|IMAGE")]
    pub name: String,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
}

/// Writes the tar.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.output.is_none() && session.env.stdout_is_terminal() {
        return Err(Error::Usage("a tar is not written to a terminal: use -o FILE, or redirect stdout".into()));
    }
    with_layers(session, |layers| {
        let is_container = layers.store().find_container(&args.name).is_ok();
        let write = |out: &mut dyn Write| match is_container {
            true => container::export_container(layers, &args.name, out),
            false => container::export_image(layers, &args.name, args.platform.as_ref(), out),
        };
        match &args.output {
            Some(path) => ops::write_file(path, write),
            None => session.stream(write),
        }
    })
}
