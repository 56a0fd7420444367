//! `imgbuild verify`: whether a build comes out the same, and what differs if it does not.

mod document;
mod text;

use super::{TextFormat, json_pretty, with_progress};
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::library::lock;
use crate::cli::{Session, error};
use crate::ops::Error;

/// Build again from nothing, and say what differs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild lock --outputs && imgbuild verify
      note what the build comes to, and later see whether it still does
  imgbuild verify .
      if nothing was noted: build twice, and compare
  imgbuild verify --format json web > differences.json

Everything is built from nothing, in a temporary store. Images and files are those that are pinned.
Exit codes: 0 everything is the same, 1 something differs, or the build failed.")]
pub struct Args {
    /// What is verified.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: TextFormat,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Verifies.
pub fn run(args: Args, session: &Session) -> Result<u8, Error> {
    let subject = args.subject.subject()?;
    let verified =
        with_progress(args.progress, session, true, |progress| lock::verify(subject, session, &progress.reporter()));
    let report = match verified {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    session.print(match args.format {
        TextFormat::Text => text::render(&report),
        TextFormat::Json => json_pretty(&document::Document::of(&report))?,
    })?;
    Ok(if report.is_good() { error::OK } else { error::BUILD_FAILED })
}
