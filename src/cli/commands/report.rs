//! `imgbuild report`: a page about a recorded build, that needs nothing else.

mod data;
mod html;
mod images;
mod output;
mod page;
mod scale;
mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use super::{json_line, write_text};
use crate::cli::Session;
use crate::cli::progress::trace;
use crate::cli::records::find;
use crate::graph::explain::Snapshot;
use crate::ops::Error;
use crate::ops::record::{self, Summary};
use crate::store::Store;
use data::Report;

/// Write a page about a build
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild report -o build.html           the last build of this folder
  imgbuild report 3f2a9c > build.html     a build by its ID: `imgbuild builds` lists them
  imgbuild report --trace -o build.json   a trace of it, for Perfetto or chrome://tracing

The page is one file without scripts: when which step ran and which of them made the build take so long, why they ran, the graph,
what was pinned, the layers of the images by size, and the log of each step.")]
pub struct Args {
    /// The build: the first digits of its ID, or the folder or file that was built [default: the last of this folder]
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// Write it to a file [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write a trace instead, in the format of Chrome's trace events
    #[arg(long)]
    pub trace: bool,
}

/// Writes the page.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    if args.output.is_none() && session.env.stdout_is_terminal() && !args.trace {
        return Err(Error::Usage("a page is not written to a terminal: add -o FILE, or redirect stdout".into()));
    }
    let store = Arc::new(session.open_store()?);
    let folder = super::current_folder()?;
    let build = find(&store, args.build.as_deref(), &folder)?;
    let text = match args.trace {
        true => json_line(&trace::document(&data::spans(&store, &build)?))?,
        false => page::page(&Report::of(&store, &build, &folder)?),
    };
    match &args.output {
        Some(path) => write_text(path, &text),
        None => session.print(text),
    }
}

/// The steps of a recorded build.
pub(super) fn snapshot(store: &Store, build: &Summary) -> Result<Snapshot, Error> {
    record::snapshot(store, build).ok_or_else(|| Error::build("the record of this build is not whole"))
}
