//! `imgbuild inspect`: everything about images, as JSON.

use super::{each, json_line, json_pretty};
use crate::cli::Session;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::oci::Platform;
use crate::ops::{self, Error};

/// The flags.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild inspect app:1.0
  imgbuild inspect --remote debian:bookworm
  imgbuild inspect --format json app:1.0 | jq '.[0].Config.Env'")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// Look in the registry instead of the store, without pulling
    #[arg(long)]
    pub remote: bool,
    /// How to print: json for one line
    #[arg(short, long, value_parser = ["json"], value_name = "FORMAT")]
    pub format: Option<String>,
    /// What to inspect
    #[arg(long = "type", value_parser = ["image"], hide = true)]
    pub kind: Option<String>,
}

/// Prints the images that there are as one array.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut images = Vec::new();
    let platform = args.platform.as_ref();
    let done = if args.remote {
        let registries = network::registries(session)?;
        each(&args.images, |image| {
            images.push(ops::inspect_remote(&registries, image, platform)?);
            Ok(())
        })
    } else {
        let store = session.open_store()?;
        each(&args.images, |image| {
            images.push(ops::inspect(&store, image, platform)?);
            Ok(())
        })
    };
    session.print(if args.format.is_some() { json_line(&images)? } else { json_pretty(&images)? })?;
    done
}
