//! `imgbuild copy`: an image from one place to another.

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::cli::{Session, error};
use crate::oci::Platform;
use crate::ops::{self, Copying, Error, Place};
use crate::registry::transfer::Platforms;

/// Copy an image between registries, layouts, archives and the store
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Places:
  NAME                      in a registry
  store:NAME                in the store
  oci:FOLDER[:TAG]          in an OCI image layout; also oci:FOLDER@sha256:…
  oci-archive:FILE[:NAME]   in a tar of one
  docker-archive:FILE[:NAME]

Examples:
  imgbuild copy redis:7 registry.example/mirror/redis:7
  imgbuild copy --platform linux/arm64 registry.example/app:1.0 oci:app
  imgbuild copy docker-archive:app.tar registry.example/app:1.0")]
pub struct Args {
    /// Where the image is
    #[arg(value_name = "FROM")]
    pub from: Place,
    /// Where it goes
    #[arg(value_name = "TO")]
    pub to: Place,
    /// Copy only this platform, without its index [default: all]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// Take signatures along
    #[arg(long)]
    pub signatures: bool,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Copies, and says what the image is.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let copied = with_progress(args.progress, session, false, |progress| {
        let registries = network::registries(session)?;
        let platforms = match &args.platform {
            None => Platforms::All,
            Some(platform) => Platforms::Only(vec![platform.clone()]),
        };
        let store = session.open_store()?;
        let reporter = progress.reporter();
        let how = Copying { platforms: &platforms, signatures: args.signatures, reporter: &*reporter };
        ops::copy(&store, &registries, &args.from, &args.to, how)
    });
    match copied {
        Ok(copied) => session.print(format!("{}\n", copied.descriptor.digest)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}
