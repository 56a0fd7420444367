//! `--affected-by` and `--changed-since`: which targets a change of files concerns.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::args::BakeArgs;
use crate::frontend::buildfile::{self, BuildFile, Plan};
use crate::ops::Error;

/// Whether only some targets are meant.
pub(super) fn asked(args: &BakeArgs) -> bool {
    !args.affected_by.is_empty() || args.changed_since.is_some()
}

/// The names of the targets that are affected.
pub(super) fn affected(
    args: &BakeArgs,
    file: &BuildFile,
    plan: &Plan,
    folder: &Path,
) -> Result<BTreeSet<String>, Error> {
    let mut changed = args.affected_by.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(revision) = &args.changed_since {
        changed.extend(changed_since(revision, folder)?);
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let changed: Vec<String> = changed.iter().map(|path| text(path)).collect();
    Ok(buildfile::affected(file, plan, &text(&absolute(folder)?), &changed))
}

/// An absolute path without links above it, as git names files; what is gone has none to follow.
#[expect(clippy::disallowed_methods, reason = "paths are compared, and nothing is opened by what comes out")]
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let failed = |error| Error::build(format!("cannot find {}", path.display())).caused_by(error);
    path.canonicalize().or_else(|_| std::path::absolute(path)).map_err(failed)
}

/// The files that differ from a revision, and those that git does not know yet.
fn changed_since(revision: &str, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = absolute(folder)?;
    if revision.starts_with('-') {
        return Err(Error::Usage(format!("--changed-since: {revision:?} is no revision")));
    }
    let top = git(&folder, &["rev-parse", "--show-toplevel"])?;
    let top = PathBuf::from(OsStr::from_bytes(top.trim_ascii_end()));
    let mut changed = Vec::new();
    for arguments in [
        &["diff", "--name-only", "--no-renames", "-z", revision, "--"][..],
        &["ls-files", "--others", "--exclude-standard", "-z"],
    ] {
        let names = git(&top, arguments)?;
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        changed.extend(names.map(|name| top.join(OsStr::from_bytes(name))));
    }
    Ok(changed)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Error> {
    let output =
        Command::new("git").arg("-C").arg(folder).args(arguments).output().map_err(|error| {
            Error::environment("--changed-since asks git, which cannot be started").caused_by(error)
        })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Error::build(format!("--changed-since: git says: {}", reason.trim_end())));
    }
    Ok(output.stdout)
}
