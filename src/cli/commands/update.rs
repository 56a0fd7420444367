//! `imgbuild update`: what is pinned is looked up anew.

use std::path::PathBuf;

use super::{lock, with_progress};
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::library::lock::{self as library, LockOptions};
use crate::cli::{Session, error};
use crate::lockfile::{Change, LockKey};
use crate::ops::{Error, Renew, parse_precise};

/// Look up anew what is pinned
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild update
      look up everything anew
  imgbuild update redis https://example.org/tool.tar.gz
      only what has one of these names, whatever its tag
  imgbuild update --dry-run
      say what would change
  imgbuild update redis:7 --precise sha256:…
      pin an image by its digest
  imgbuild update https://example.org/app.git#main --precise 0123…
      pin a commit
  imgbuild update -f docker/Dockerfile --context . golang
      a Dockerfile that is not in its context

Images are looked up in their registries; with --offline, in the store.")]
#[command(mut_arg("what", |what| what
    .value_name("NAME")
    .help("What to look up anew: an image (with any tag, if none is given), a URL, a git URL [default: everything]")))]
pub struct Args {
    /// What is updated.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// The build context of a Dockerfile [default: ./build.toml if there is one, else .]
    #[arg(long, value_name = "FOLDER")]
    pub context: Option<PathBuf>,
    /// Pin exactly this: the digest of an image or file, or a commit
    #[arg(long, value_name = "DIGEST|COMMIT", help_heading = "What to do", requires = "what")]
    pub precise: Option<String>,
    /// Write nothing; say what would change
    #[arg(long, help_heading = "What to do")]
    pub dry_run: bool,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Updates.
pub fn run(mut args: Args, session: &Session) -> Result<u8, Error> {
    let precise = args.precise.as_deref().map(parse_precise).transpose()?;
    let names = std::mem::take(&mut args.subject.what);
    // With a slash at its end it is no target.
    args.subject.what = args.context.iter().map(|folder| folder.join("").to_string_lossy().into_owned()).collect();
    let subject = args.subject.subject()?;
    let updated = with_progress(args.progress, session, true, |progress| {
        let options =
            LockOptions { renew: Some(Renew { names, precise }), dry_run: args.dry_run, ..LockOptions::default() };
        let report = library::lock(subject, options, session, &progress.reporter())?;
        for kept in &report.kept {
            progress.warn(format!("what is locked for {kept}; it stays as it is"));
        }
        Ok(report)
    });
    Ok(updated.map_or_else(
        |code| code,
        |report| {
            if !args.progress.quiet {
                session.complain(&lock::lines(&report.changes));
                session.complain(&summary(&report.changes, report.lockfile.keys(), args.dry_run));
            }
            error::OK
        },
    ))
}

fn summary(changes: &[Change], keys: Vec<LockKey>, dry_run: bool) -> String {
    let outside = |key: &&LockKey| !matches!(key, LockKey::Target { .. } | LockKey::Output { .. });
    let unchanged = keys.iter().filter(outside).filter(|key| !changes.iter().any(|change| change.key == **key)).count();
    let written = if dry_run { "; nothing was written" } else { "" };
    format!("{unchanged} unchanged{written}\n")
}
