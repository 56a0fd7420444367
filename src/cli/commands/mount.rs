//! `imgbuild mount` and `umount`: the files of images and containers as folders of this machine.

use std::path::PathBuf;

use super::{each, now, with_layers};
use crate::cli::Session;
use crate::cli::args::values;
use crate::cli::table;
use crate::oci::Platform;
use crate::ops::{Error, container};

/// Mount the files of an image or a container
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild mount                        what is mounted
  ls $(imgbuild mount debian)           an image, to be read
  imgbuild mount work /mnt              a container that does not run, to be written to
  imgbuild umount debian work")]
pub struct Args {
    /// An image or a container: a name or an ID
    #[arg(value_name = "IMAGE|CONTAINER")]
    pub name: Option<String>,
    /// Where to [default: a folder in the store, whose path is printed]
    #[arg(value_name = "FOLDER")]
    pub target: Option<PathBuf>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
}

/// Mounts it and prints where, or lists what is mounted.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let Some(name) = &args.name else {
        let store = session.open_store()?;
        let mut rows = Vec::new();
        for found in store.containers()? {
            let (record, place) = (&found.record, found.record.mounted.as_ref());
            rows.extend(place.map(|place| [record.name.clone(), record.image.clone(), place.display().to_string()]));
        }
        return session.print(table::render(["NAME", "IMAGE", "FOLDER"], &rows));
    };
    let (platform, target) = (args.platform.as_ref(), args.target.as_deref());
    let place = with_layers(session, |layers| container::mount(layers, name, platform, target, now()))?;
    session.print(format!("{}\n", place.display()))
}

/// Take such mounts away
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild umount debian
  imgbuild umount /mnt")]
pub struct UmountArgs {
    /// What was mounted, or where
    #[arg(value_name = "IMAGE|CONTAINER|FOLDER", required = true)]
    pub names: Vec<String>,
}

/// Takes the mounts away and prints where they were.
pub fn umount(args: &UmountArgs, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    each(&args.names, |name| {
        let places = container::umount(&store, name)?;
        session.print(places.iter().map(|place| format!("{}\n", place.display())).collect::<String>())
    })
}
