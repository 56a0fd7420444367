//! `imgbuild info`: the store and the machine, as far as they matter.

use serde::Serialize;

use super::{Format, json_line};
use crate::cli::Session;
use crate::cli::human;
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::df::df;
use crate::ops::inventory::Inventory;

/// Show the store and the machine
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild info
  imgbuild info --format json")]
pub struct Args {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    version: &'static str,
    store: String,
    store_format: u32,
    images: usize,
    containers: usize,
    containers_running: usize,
    size: u64,
    platform: String,
    kernel: String,
    processors: usize,
    root: bool,
}

/// Prints what there is to say.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    let rows = df(&Inventory::take(&store)?);
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        store: store.root().display().to_string(),
        store_format: crate::store::VERSION,
        images: rows[0].total,
        containers: rows[1].total,
        containers_running: rows[1].active,
        size: rows.iter().map(|row| row.size).sum(),
        platform: Platform::host().to_string(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        root: rustix::process::geteuid().is_root(),
    };
    session.print(match args.format {
        Format::Json => json_line(&info)?,
        Format::Table => render(&info),
    })
}

fn render(info: &Info) -> String {
    let steps = if info.root { "can run" } else { "cannot run: they need root" };
    let lines = [
        ("Version", info.version.to_owned()),
        ("Store", format!("{} (format {})", info.store, info.store_format)),
        ("Images", info.images.to_string()),
        ("Containers", format!("{} ({} running)", info.containers, info.containers_running)),
        ("Disk space", human::size(info.size)),
        ("Platform", info.platform.clone()),
        ("Kernel", info.kernel.clone()),
        ("Processors", info.processors.to_string()),
        ("Steps", steps.to_owned()),
    ];
    lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}
