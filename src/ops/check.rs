//! `check`: what there is to say about a Dockerfile without building it, and the edits that mend some of it.

use std::path::Path;

use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::frontend::dockerfile::{Fixed, apply_fixes};
use crate::ops::Error;
use crate::ops::build::{self, Dockerfile, LockPlace, Session, Target};
use crate::ops::error::Diagnostics;

/// How often a file is checked and fixed again: fixes that touch the same bytes are made one after the other.
const MOST_ROUNDS: usize = 10;

/// What the checks say of a target's Dockerfile. Images that the store has are asked; nothing is fetched, and nothing
/// is written.
pub fn check(session: &Session<'_>, target: &Target, lock: &LockPlace) -> Result<Diagnostics, Error> {
    build::check(session, target, lock)
}

/// A Dockerfile after its fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedFile {
    /// The text before.
    pub before: String,
    /// The text afterwards.
    pub after: String,
    /// The names of the checks whose findings were fixed, once for each finding.
    pub rules: Vec<&'static str>,
    /// What is left.
    pub remaining: Diagnostics,
}

/// Applies all fixes that leave the image as it is, and with `also_changes` those that do not. Nothing is written.
///
/// A text that would have an error after its fixes, or that would define another image although it should not, is left
/// as it is.
pub fn fix(
    session: &Session<'_>,
    target: &Target,
    lock: &LockPlace,
    also_changes: bool,
) -> Result<FixedFile, Error> {
    let (first, definition) = build::check_text(session, target, lock)?;
    let before = first.text.clone();
    let mut found = first;
    let mut rules = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let fixed: Fixed = apply_fixes(&found.text, &found.list, also_changes);
        if fixed.rules.is_empty() {
            break;
        }
        let mut next = target.clone();
        next.dockerfile = Dockerfile::Text { name: found.name.clone(), text: fixed.text };
        // The ignore file beside the Dockerfile is found by its path.
        next.ignore_beside = match &target.dockerfile {
            Dockerfile::File(path) => Some(path.clone()),
            Dockerfile::Text { .. } => None,
        };
        let (again, now) = build::check_text(session, &next, lock)?;
        let broken = has_new_errors(&found.list, &again.list) || (!also_changes && now != definition);
        if broken {
            break;
        }
        rules.extend(fixed.rules);
        found = again;
    }
    Ok(FixedFile { before, after: found.text.clone(), rules, remaining: found })
}

fn has_new_errors(before: &[Diagnostic], after: &[Diagnostic]) -> bool {
    // The error of `check=error=true` names checks, and goes when they do.
    let count = |list: &[Diagnostic]| list.iter().filter(|one| one.severity == Severity::Error).count();
    count(after) > count(before)
}

/// Puts a fixed text in the place of a file, at once: whoever reads it sees the old text or the new one.
pub fn write_fixed(path: &Path, text: &str) -> Result<(), Error> {
    // A link stays a link.
    let failed = |error: std::io::Error| Error::build(format!("cannot write {}", path.display())).caused_by(error);
    let path = std::fs::canonicalize(path).map_err(failed)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create_new(&temporary)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.set_permissions(std::fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_files_and_keeps_links_and_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write_fixed(&link, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(write_fixed(&folder.path().join("none"), "x").is_err());
    }
}
