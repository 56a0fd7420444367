//! `imgbuild version`.

use serde::Serialize;

use super::{Format, json_line};
use crate::cli::Session;
use crate::cli::table;
use crate::oci::Platform;
use crate::ops::Error;

/// Show the version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild version
  imgbuild version --format json")]
pub struct Args {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
    platform: String,
    progress_schema: u32,
}

/// Prints the version.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        platform: Platform::host().to_string(),
        progress_schema: crate::cli::progress::json::VERSION,
    };
    session.print(match args.format {
        Format::Json => json_line(&version)?,
        Format::Table => table::render(["imgbuild", version.version], &[["platform".into(), version.platform]]),
    })
}
