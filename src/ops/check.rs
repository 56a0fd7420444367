//! `check`: what there is to say about a Dockerfile without building it, and the edits that mend some of it.

use std::path::Path;

use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::frontend::dockerfile::{Fixed, apply_fixes};
use crate::ops::Error;
use crate::ops::build::{self, LockPlace, Session, Target};
use crate::ops::error::Diagnostics;
use crate::ops::write_file;

/// How often a file is checked and fixed again: fixes that touch the same bytes are made one after the other.
const MOST_ROUNDS: usize = 10;

/// What the checks say of a target's Dockerfile. Images that the store has are asked; nothing is fetched, and nothing
/// is written.
pub fn check(session: &Session<'_>, target: &Target, lock: &LockPlace) -> Result<Diagnostics, Error> {
    Ok(build::check(session, target, lock, None)?.found)
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
pub fn fix(session: &Session<'_>, target: &Target, lock: &LockPlace, also_changes: bool) -> Result<FixedFile, Error> {
    let build::Checked { mut found, definitions } = build::check(session, target, lock, None)?;
    let before = found.text.clone();
    let mut rules = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let fixed: Fixed = apply_fixes(&found.text, &found.list, also_changes);
        if fixed.rules.is_empty() {
            break;
        }
        let again = build::check(session, target, lock, Some(fixed.text))?;
        let broken = has_new_errors(&found.list, &again.found.list);
        if broken || (!also_changes && again.definitions != definitions) {
            break;
        }
        rules.extend(fixed.rules);
        found = again.found;
    }
    Ok(FixedFile { before: before.to_string(), after: found.text.to_string(), rules, remaining: found })
}

fn has_new_errors(before: &[Diagnostic], after: &[Diagnostic]) -> bool {
    // The error of `check=error=true` names checks, and goes when they do.
    let count = |list: &[Diagnostic]| list.iter().filter(|one| one.severity == Severity::Error).count();
    count(after) > count(before)
}

/// Puts a fixed text in the place of a file, at once: whoever reads it sees the old text or the new one.
#[expect(clippy::disallowed_methods, reason = "the user's own file, on the user's own machine, not below a root")]
pub fn write_fixed(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::build(format!("cannot write {}", path.display())).caused_by(error);
    // A link stays a link, and permissions stay as they are.
    let path = std::fs::canonicalize(path).map_err(failed)?;
    let permissions = std::fs::metadata(&path).map_err(failed)?.permissions();
    write_file(&path, |out| out.write_all(text.as_bytes()).map_err(failed))?;
    std::fs::set_permissions(&path, permissions).map_err(failed)
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
