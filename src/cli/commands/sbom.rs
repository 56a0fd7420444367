//! `imgbuild sbom`: what packages are in an image.

use std::sync::Arc;

use clap::ValueEnum;

use super::json_pretty;
use crate::cli::Session;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::event::Silent;
use crate::oci::Platform;
use crate::ops::sbom::{SbomForm, sbom};
use crate::ops::{Error, ImageName, OpenedImage};

/// The flags.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild sbom app > app.spdx.json
  imgbuild sbom --format cyclonedx docker://debian:bookworm
  imgbuild sbom app | jq -r '.packages[] | .name + \" \" + .versionInfo'

Images are named as in the store, or by a place: oci:FOLDER, oci-archive:FILE, docker-archive:FILE, docker://NAME.")]
pub struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The form of the list
    #[arg(long, value_enum, default_value_t = Form::Spdx, value_name = "FORMAT")]
    pub format: Form,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
}

/// The form of a list of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// SPDX 2.3 as JSON
    #[value(alias = "spdx-json")]
    Spdx,
    /// CycloneDX 1.5 as JSON
    #[value(alias = "cyclonedx-json")]
    Cyclonedx,
}

/// Prints the list.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = Arc::new(session.open_store()?);
    let registries = Arc::new(network::registries(session)?);
    let name: ImageName = args.image.parse().map_err(Error::Usage)?;
    let image = OpenedImage::open(&store, &registries, &name, args.platform.as_ref(), &Silent)?;
    let form = match args.format {
        Form::Spdx => SbomForm::Spdx,
        Form::Cyclonedx => SbomForm::CycloneDx,
    };
    session.print(json_pretty(&sbom(&image, form)?)?)
}
