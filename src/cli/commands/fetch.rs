//! `imgbuild fetch`: everything that is pinned is brought into the store.

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::human::count;
use crate::cli::library::lock;
use crate::cli::{Session, error};
use crate::ops::Error;

/// Bring everything that is pinned into the store
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild fetch && imgbuild build --frozen .
      the build needs no network
  imgbuild fetch --locked
      all targets of ./build.toml, as they are locked

What steps download by themselves is not known, and not fetched.")]
pub struct Args {
    /// What is fetched.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Fetches.
pub fn run(args: Args, session: &Session) -> Result<u8, Error> {
    let subject = args.subject.subject()?;
    let fetched =
        with_progress(args.progress, session, true, |progress| lock::fetch(subject, session, &progress.reporter()));
    Ok(fetched.map_or_else(
        |code| code,
        |fetched| {
            if !args.progress.quiet {
                session.complain(&format!(
                    "In the store: {}, {}, {}\n",
                    count(fetched.images, "image"),
                    count(fetched.files, "file"),
                    count(fetched.checkouts, "checkout")
                ));
            }
            error::OK
        },
    ))
}
