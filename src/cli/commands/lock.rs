//! `imgbuild lock`: the lockfile is made to fit the build, or compared with it.

use std::path::PathBuf;

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::library::lock::{self, LockOptions};
use crate::cli::{Session, error};
use crate::lockfile::{Change, ChangeKind, LockKey, SourcePolicy};
use crate::ops::{Error, LockReport, write_file};

/// Pin what a build takes from outside, without building
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild lock
      pin what is not pinned yet, and drop what nothing uses any more
  imgbuild lock --check
      fail if the lockfile does not fit the build, and say what would change
  imgbuild lock --platform linux/amd64,linux/arm64 .
      pin images for two platforms
  imgbuild lock --outputs
      build, and note the digests of what comes out, for `imgbuild verify`
  imgbuild lock --export-policy policy.json
      write the pins as a source policy for BuildKit

With a build file, all targets are locked unless some are named. What nothing uses is dropped only if nothing was left out.
Exit codes: 0 done, 1 the lockfile would change (with --check), or something cannot be looked up.")]
pub struct Args {
    /// What is locked.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Write nothing; fail if the lockfile would change
    #[arg(long, help_heading = "What to do")]
    pub check: bool,
    /// Build, and note what the targets come to
    #[arg(long, help_heading = "What to do")]
    pub outputs: bool,
    /// Write what is pinned as a source policy of BuildKit
    #[arg(long, value_name = "FILE", help_heading = "What to do")]
    pub export_policy: Option<PathBuf>,
    /// Pin what a source policy of BuildKit pins
    #[arg(long, value_name = "FILE", help_heading = "What to do")]
    pub import_policy: Option<PathBuf>,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Locks, or checks.
pub fn run(args: Args, session: &Session) -> Result<u8, Error> {
    let check = args.check || args.subject.lock.is_locked();
    let subject = args.subject.subject()?;
    let locked = with_progress(args.progress, session, true, |progress| {
        let options = LockOptions {
            policy: args.import_policy.as_deref(),
            outputs: args.outputs,
            dry_run: check,
            ..LockOptions::default()
        };
        let report = lock::lock(subject, options, session, &progress.reporter())?;
        for kept in &report.kept {
            progress.warn(format!("what is locked for {kept}; it stays as it is"));
        }
        if check && !report.changes.is_empty() {
            return Err(would_change(&report));
        }
        if let Some(path) = &args.export_policy {
            let text = SourcePolicy::of(&report.lockfile).map_err(|error| Error::build(error.to_string()))?;
            let failed = |error| Error::build(format!("cannot write {}", path.display())).caused_by(error);
            write_file(path, |out| out.write_all(text.as_bytes()).map_err(failed))?;
        }
        Ok(report)
    });
    Ok(locked.map_or_else(
        |code| code,
        |report| {
            if !check && !args.progress.quiet {
                session.complain(&lines(&report.changes));
            }
            error::OK
        },
    ))
}

fn would_change(report: &LockReport) -> Error {
    let list: Vec<String> = report.changes.iter().map(|change| format!("  {change}")).collect();
    let path = report.path.display();
    Error::build(format!("the lockfile {path} does not fit the build:\n{}", list.join("\n")))
        .help("run `imgbuild lock`, and commit the lockfile")
}

/// What changed, a line for each.
pub(super) fn lines(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("{}\n", line(change))).collect()
}

/// Such as `Updating redis:7 (linux/amd64): sha256:12ab… -> sha256:34cd…`.
fn line(change: &Change) -> String {
    let name = match &change.key {
        LockKey::Image { reference, platform } => format!("{reference} ({platform})"),
        LockKey::Http { .. } | LockKey::Git { .. } => change.key.name(),
        key @ (LockKey::Target { .. } | LockKey::Output { .. }) => key.to_string(),
    };
    match &change.kind {
        ChangeKind::Added => format!("    Adding {name}"),
        ChangeKind::Removed => format!("  Removing {name}"),
        ChangeKind::Changed(fields) => {
            // The first field that differs says it: an index before its manifests, a digest before a size.
            let (_, old, new) =
                fields.iter().find(|(_, old, new)| !old.is_empty() && !new.is_empty()).unwrap_or(&fields[0]);
            format!("  Updating {name}: {} -> {}", short(old), short(new))
        }
    }
}

/// Enough of a digest, or of a list of them, to tell it from others.
fn short(text: &str) -> String {
    let end = text.find(':').map_or(0, |at| at + 1) + 12;
    match text.get(..end) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::lockfile::{LockedImage, Lockfile};

    #[test]
    fn says_what_changed() {
        let amd = "linux/amd64".parse().unwrap();
        let image = |byte| LockedImage {
            index: None,
            manifest: Digest::from_bytes([byte; 32]),
            config: Digest::from_bytes([byte; 32]),
        };
        let (mut old, mut new) = (Lockfile::new(), Lockfile::new());
        old.record_image("busybox", &amd, image(1));
        new.record_image("busybox", &amd, image(2));
        old.record_git("https://a/b.git", "main", &"a".repeat(40));
        new.record_git("https://a/b.git", "v2", &"b".repeat(40));
        assert_eq!(
            lines(&Lockfile::diff(&old, &new)),
            "  Updating busybox (linux/amd64): sha256:010101010101… -> sha256:020202020202…\n  \
             Removing https://a/b.git#main\n    Adding https://a/b.git#v2\n"
        );
    }
}
