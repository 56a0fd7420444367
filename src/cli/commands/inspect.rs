//! `imgbuild inspect`: everything about images, as JSON.

use super::{each, json_line, json_pretty};
use crate::cli::Session;
use crate::cli::args::values;
use crate::oci::Platform;
use crate::ops::{self, Error};

/// The flags.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild inspect app:1.0
  imgbuild inspect --format json app:1.0 | jq '.[0].Config.Env'")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// How to print: json for one line
    #[arg(short, long, value_parser = ["json"], value_name = "FORMAT")]
    pub format: Option<String>,
    /// What to inspect
    #[arg(long = "type", value_parser = ["image"], hide = true)]
    pub kind: Option<String>,
}

/// Prints the images that there are as one array.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    let mut images = Vec::new();
    let done = each(&args.images, |image| {
        images.push(ops::inspect(&store, image, args.platform.as_ref())?);
        Ok(())
    });
    session.print(if args.format.is_some() { json_line(&images)? } else { json_pretty(&images)? })?;
    done
}
