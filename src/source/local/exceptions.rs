//! Folders that an ignore file excludes and must be entered all the same, because it takes something in them back.
//!
//! Whether it does can only be seen by looking, and every folder above asks the same of those below. So what was found is
//! remembered, and no folder is looked through twice, however deep it is.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

use super::LocalContext;
use crate::fstree::pattern::Verdict;
use crate::fstree::select::LONGEST_PATH;
use crate::fstree::{NodeKind, TreePath, ViewError};

/// What is known of folders.
#[derive(Default)]
pub(super) struct Judged {
    /// What the patterns say of those that nobody has listed yet.
    verdicts: Mutex<HashMap<TreePath, Verdict>>,
    /// Whether excluded ones hold something that is not.
    hold: Mutex<HashMap<TreePath, bool>>,
}

impl Judged {
    /// Keeps a folder's verdict for whoever lists it.
    pub(super) fn keep(&self, folder: TreePath, verdict: Verdict) {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(folder, verdict);
    }

    /// A verdict that was kept.
    pub(super) fn take(&self, folder: &TreePath) -> Option<Verdict> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).remove(folder)
    }

    fn holds(&self, folder: &TreePath) -> Option<bool> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).get(folder).copied()
    }

    fn note(&self, folder: TreePath, holds: bool) {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).insert(folder, holds);
    }
}

/// A folder that is being looked through: what is left of it.
struct Open {
    path: TreePath,
    verdict: Verdict,
    names: std::vec::IntoIter<CString>,
}

impl LocalContext {
    /// Whether anything below an excluded folder, of which this is said, is taken back by a later `!` pattern.
    pub(super) fn holds_exceptions(&self, path: &TreePath, verdict: &Verdict) -> Result<bool, ViewError> {
        let mut way: Vec<Open> = self.enter(path, verdict)?.into_iter().collect();
        let mut found = self.judged.holds(path) == Some(true);
        while let Some(open) = way.last_mut().filter(|_| !found) {
            let Some(name) = open.names.next() else {
                self.judged.note(open.path.clone(), false);
                way.pop();
                continue;
            };
            let child = open.path.join(name.to_bytes());
            let verdict = self.ignore.enter(&open.verdict, &child);
            if verdict.excluded && !self.ignore.may_hold_exceptions(&child) {
                continue;
            }
            match self.kind(&child).map_err(|error| self.error(&child, error))? {
                None => {}
                Some(_) if !verdict.excluded => found = true,
                Some(NodeKind::Dir) => {
                    found = self.judged.holds(&child) == Some(true);
                    way.extend(self.enter(&child, &verdict)?);
                }
                Some(_) => {}
            }
        }
        for open in way {
            self.judged.note(open.path, true);
        }
        Ok(found)
    }

    /// Opens a folder to look through it; none if that is not needed to know what it holds.
    fn enter(&self, path: &TreePath, verdict: &Verdict) -> Result<Option<Open>, ViewError> {
        // What lies deeper than any path can say cannot be copied, so it is no exception either.
        let too_deep = path.as_bytes().len() > LONGEST_PATH;
        if too_deep || self.judged.holds(path).is_some() || !self.ignore.may_hold_exceptions(path) {
            return Ok(None);
        }
        let names = self.list(path).map_err(|error| self.error(path, error))?.map(|(_, names)| names);
        let names = names.unwrap_or_default().into_iter();
        Ok(Some(Open { path: path.clone(), verdict: verdict.clone(), names }))
    }

    /// What is at a path, as far as it matters here.
    fn kind(&self, path: &TreePath) -> io::Result<Option<NodeKind>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match self.open_beneath(&path.parent().unwrap_or_default(), flags) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened?,
        };
        let name = CString::new(path.name()).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(self.stat(&parent, &name)?.map(|(kind, _)| kind))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::fstree::pattern::Matcher;
    use crate::fstree::{TreePath, View};
    use crate::source::{LocalContext, StatCache};
    use crate::store::Stop;

    #[test]
    fn excluded_folders_are_entered_only_for_what_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/b/keep", "a/c/x", "d/e/x", "f/x"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let patterns = ["*", "!**/keep", "!f"].map(str::to_owned);
        let matcher = Matcher::new(&patterns).unwrap();
        let context = LocalContext::open(folder.path(), matcher, 0, StatCache::forgetful(), Stop::NEVER).unwrap();
        let check = |path: &str, expected: &[&str]| {
            // Twice: what is remembered says the same.
            for _ in 0..2 {
                let children = context.children(&TreePath::clean(path)).unwrap();
                let names: Vec<String> =
                    children.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
                assert_eq!(names, expected, "{path}");
            }
        };
        check("", &["a", "f"]);
        check("a", &["b"]);
        check("a/b", &["keep"]);
        check("d", &[]);
        check("f", &["x"]);
        assert_eq!(context.lookup(&TreePath::clean("d")).unwrap(), None);
        assert!(context.lookup(&TreePath::clean("a/b")).unwrap().is_some());
    }
}
