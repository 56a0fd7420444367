//! The ignore files of build contexts, and what is kept out of every context besides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fstree::pattern::{IgnoreList, Matcher, parse_ignore_file};
use crate::ops::Error;
use crate::source::regular;

/// The lockfiles of Dockerfiles by their usual names, as patterns of an ignore file.
const LOCKFILES: [&str; 3] = ["**/[Dd]ockerfile.lock", "**/[Dd]ockerfile.*.lock", "**/*.[Dd]ockerfile.lock"];

/// The lists of patterns of a build's contexts: many have the same, which is compiled once.
#[derive(Default)]
pub(super) struct Lists(Mutex<HashMap<Vec<String>, Arc<IgnoreList>>>);

impl Lists {
    /// What is not in the context `folder`, which has this ignore file, in a build with this lockfile.
    pub(super) fn of(&self, folder: &Path, file: &IgnoreFile, lock: Option<&Path>) -> Result<Arc<IgnoreList>, Error> {
        let mut patterns: Vec<String> = file.lines.iter().map(|(_, pattern)| pattern.clone()).collect();
        // A lockfile is written by builds, so it must not be an input of them: neither this one nor that of another build.
        patterns.extend(lock.and_then(|lock| pattern_below(folder, lock)));
        patterns.extend(LOCKFILES.iter().map(|pattern| (*pattern).to_owned()));
        if folder.join("build.toml").exists() {
            patterns.push("build.lock".into());
        }
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(&patterns) {
            return Ok(list.clone());
        }
        let list = IgnoreList::new(patterns.clone()).map_err(|error| file.wrong(&error.to_string()))?;
        Ok(lists.entry(patterns).or_insert_with(|| Arc::new(list)).clone())
    }
}

/// The ignore file of a context.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    path: PathBuf,
    /// The numbers of the lines that the patterns stand on.
    lines: Vec<(usize, String)>,
}

impl IgnoreFile {
    /// Where the pattern with this index stands, and the pattern.
    pub fn place(&self, index: usize) -> Option<String> {
        let (line, pattern) = self.lines.get(index)?;
        Some(format!("{}:{line}: {pattern}", self.path.display()))
    }

    /// The file that counts for a context: the first of these that exists.
    pub(super) fn read(candidates: Vec<PathBuf>) -> Result<Self, Error> {
        for path in candidates {
            match regular::bytes(&path) {
                Ok(bytes) => {
                    let lines = parse_ignore_file(&String::from_utf8_lossy(&bytes));
                    return Ok(Self { path, lines });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::build(format!("cannot read {}", path.display())).caused_by(error)),
            }
        }
        Ok(Self::default())
    }

    /// What is wrong with its patterns, with the place of the one that it is.
    fn wrong(&self, otherwise: &str) -> Error {
        let wrong = self.lines.iter().find_map(|(line, pattern)| Some((line, Matcher::new(&[pattern]).err()?)));
        Error::build(match wrong {
            Some((line, error)) => format!("{}:{line}: {error}", self.path.display()),
            None => otherwise.to_owned(),
        })
    }
}

/// The pattern of an ignore file that means just `path`, if that is below `folder`.
fn pattern_below(folder: &Path, path: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let path = std::path::absolute(path).ok()?;
    let below = path.strip_prefix(&folder).ok()?.to_str()?;
    let escaped = below.chars().flat_map(|c| {
        let special = "*?[\\".contains(c);
        special.then_some('\\').into_iter().chain([c])
    });
    Some(escaped.collect())
}
