//! Remembers what files of a context hashed to, so that an unchanged context is never read again.
//!
//! A file is unchanged if its inode, size, mode, mtime and ctime are. The kernel sets ctime and no program can set it
//! back, so an edit that restores the mtime is noticed. A file that changed so recently that a second change could
//! carry the same ctime is not remembered at all.
//!
//! One file for each context folder. It is only a shortcut: one that is torn, damaged or missing costs time, nothing else.
//! A build in which nothing changed spends much of its time here, so the file is used as it is read (`record`): nothing
//! is built of it but an index of the folders, and whoever walks a folder goes through the file's entries beside it.

#[cfg(fuzzing)]
pub mod fuzzing;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::record::{Record, Section};
use crate::digest::ContentDigest;
use crate::fstree::TreePath;
use crate::store::{NEW, Unfinished};

/// How old a change must be before it is trusted that no other one shares its ctime: well over a kernel tick.
const RACY: Duration = Duration::from_millis(50);

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A time as the kernel gives it: seconds since 1970, and nanoseconds.
pub type Moment = (i64, u32);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Modification time.
    pub mtime: Moment,
    /// Status change time.
    pub ctime: Moment,
}

/// What is known about a file in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The hash of its bytes, once somebody wanted it.
    pub content: Option<ContentDigest>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
}

/// What is known about the files of one context.
pub struct StatCache {
    file: Option<PathBuf>,
    /// What changed at this time or later is not remembered.
    trusted_before: Moment,
    /// What was known before.
    before: Record,
    after: Mutex<After>,
}

/// Folders by path. Paths come from a folder of the user, and a slow map is all that a bad one could get.
type Folders<T> = HashMap<TreePath, T, foldhash::fast::RandomState>;

/// What was found out since.
#[derive(Default)]
struct After {
    /// By folder and name.
    found: Folders<BTreeMap<Vec<u8>, (Stamp, Known)>>,
    /// The places, in the record's sections, of names that are gone.
    gone: Folders<Vec<usize>>,
    saved: bool,
}

impl StatCache {
    /// Nothing known, and nothing kept.
    pub fn forgetful() -> Self {
        Self { file: None, trusted_before: (i64::MAX, 0), before: Record::default(), after: Mutex::default() }
    }

    /// What was written to `file` before; nothing if that cannot be read.
    pub fn open(file: &Path) -> Self {
        let before = std::fs::read(file).ok().and_then(Record::decode).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(RACY);
        let trusted_before = (now.as_secs().cast_signed(), now.subsec_nanos());
        Self { file: Some(file.to_owned()), trusted_before, before, after: Mutex::default() }
    }

    /// Whether such a file is whole; one that is damaged is as good as none. Of another version, nothing is known.
    pub fn is_whole(file: &Path) -> bool {
        std::fs::read(file).is_ok_and(|bytes| Record::is_of_another_version(&bytes) || Record::decode(bytes).is_some())
    }

    /// What is known about a file in this state.
    pub fn get(&self, path: &TreePath, stamp: &Stamp) -> Option<Known> {
        let folder = path.parent()?;
        if let Some(state) = self.lock().found.get(&folder).and_then(|files| files.get(path.name())) {
            return (state.0 == *stamp).then(|| state.1.clone());
        }
        self.before.section(&folder)?.find(path.name(), stamp)
    }

    /// Goes through what is known of a folder.
    pub fn walk<'c>(&'c self, folder: &'c TreePath) -> Walk<'c> {
        let found_more = self.lock().found.contains_key(folder);
        let section = self.before.section(folder);
        Walk { cache: self, folder, section, next: 0, here: None, gone: Vec::new(), found_more }
    }

    /// Notes what was found out about a file in this state.
    pub fn put(&self, path: &TreePath, stamp: Stamp, known: Known) {
        if let Some(folder) = path.parent() {
            self.put_all(&folder, vec![(path.name().to_vec(), stamp, known)]);
        }
    }

    /// Notes what was found out about files of a folder, by name.
    pub fn put_all(&self, folder: &TreePath, files: Vec<(Vec<u8>, Stamp, Known)>) {
        if files.is_empty() {
            return;
        }
        let mut after = self.lock();
        after.saved = false;
        let files = files.into_iter().map(|(name, stamp, known)| (name, (stamp, known)));
        match after.found.get_mut(folder) {
            Some(found) => found.extend(files),
            None => drop(after.found.insert(folder.clone(), files.collect())),
        }
    }

    /// Writes down what is known, if it is more than before.
    pub fn save(&self) -> std::io::Result<()> {
        let mut after = self.lock();
        let Some(file) = self.file.as_ref().filter(|_| !after.saved && !after.found.is_empty()) else { return Ok(()) };
        let bytes = self.before.encode_with(&after.found, &after.gone, self.trusted_before);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        let mut unfinished = Unfinished::replace(file, NEW)?;
        unfinished.write_all(&bytes)?;
        unfinished.finish()?;
        after.saved = true;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, After> {
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the files of one folder, to be asked in the order of their names.
pub struct Walk<'c> {
    cache: &'c StatCache,
    folder: &'c TreePath,
    section: Option<Section<'c>>,
    /// The next entry of the section.
    next: usize,
    /// The entry with the name that was entered last.
    here: Option<usize>,
    gone: Vec<usize>,
    /// Whether something was found out about the folder that the section does not say.
    found_more: bool,
}

impl Walk<'_> {
    /// Goes on to `name`, which sorts behind all names before. What is passed over has no name any more.
    pub fn enter(&mut self, name: &[u8]) {
        let Some(section) = self.section else { return };
        self.here = None;
        while let Some(known) = section.name(self.next)
            && known <= name
        {
            if known == name {
                self.here = Some(self.next);
            } else {
                self.gone.push(self.next);
            }
            self.next += 1;
        }
    }

    /// What is known of the file `name`, which was entered last, in this state.
    pub fn get(&self, name: &[u8], stamp: &Stamp) -> Option<Known> {
        if self.found_more {
            return self.cache.get(&self.folder.join(name), stamp);
        }
        self.section?.known(self.here?, stamp)
    }

    /// All names of the folder were entered: what else was known is not there any more.
    pub fn finish(mut self) {
        self.gone.extend(self.next..self.section.as_ref().map_or(0, Section::len));
        if !self.gone.is_empty() {
            self.cache.lock().gone.insert(self.folder.clone(), self.gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(ctime: i64) -> Stamp {
        Stamp { ino: 1, size: 2, mode: 3, mtime: (-4, 5), ctime: (ctime, 0) }
    }

    fn known(text: &[u8]) -> Known {
        Known { content: Some(ContentDigest::of(text)), xattrs: [(b"user.a".to_vec(), text.to_vec())].into() }
    }

    fn path(text: &str) -> TreePath {
        TreePath::clean(text)
    }

    #[test]
    fn remembers_settled_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sub/cache");
        let cache = StatCache::open(&file);
        cache.put(&path("old"), stamp(5), known(b"x"));
        cache.put(&path("new"), stamp(i64::MAX), known(b"x"));
        assert_eq!(cache.get(&path("new"), &stamp(i64::MAX)), Some(known(b"x")));
        cache.save().unwrap();
        let again = StatCache::open(&file);
        assert_eq!(again.get(&path("old"), &stamp(5)), Some(known(b"x")));
        assert_eq!(again.get(&path("old"), &stamp(6)), None);
        assert_eq!(again.get(&path("new"), &stamp(i64::MAX)), None);
    }

    /// Walks a folder that has `names`; what is known of each, by its size.
    fn walk(cache: &StatCache, folder: &str, names: &[&str]) -> Vec<bool> {
        let folder = path(folder);
        let mut walk = cache.walk(&folder);
        let mut found = Vec::new();
        for name in names {
            walk.enter(name.as_bytes());
            found.push(walk.get(name.as_bytes(), &stamp(5)).is_some());
        }
        walk.finish();
        found
    }

    #[test]
    fn a_walk_goes_beside_what_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache");
        let cache = StatCache::open(&file);
        for name in ["d/a", "d/c", "d/e", "d/g", "d.x", "d/s/a", "top"] {
            cache.put(&path(name), stamp(5), known(name.as_bytes()));
        }
        assert_eq!(walk(&cache, "d", &["a", "b", "c"]), [true, false, true], "what this build found out counts");
        cache.save().unwrap();

        let cache = StatCache::open(&file);
        assert_eq!(walk(&cache, "d", &["a", "b", "c", "d", "g"]), [true, false, true, false, true]);
        assert_eq!(walk(&cache, "", &["d", "d.x", "top"]), [false, true, true]);
        assert_eq!(walk(&cache, "none", &["a"]), [false]);
        cache.put(&path("d/b"), stamp(5), known(b"b"));
        cache.put(&path("d/c"), stamp(6), known(b"c"));
        assert_eq!(walk(&cache, "d", &["a", "b", "c", "g"]), [true, true, false, true], "the newer word counts");
        cache.save().unwrap();

        let cache = StatCache::open(&file);
        let get = |name: &str, ctime| cache.get(&path(name), &stamp(ctime)).map(|known| known.content);
        assert_eq!(get("d/e", 5), None, "it was gone");
        assert_eq!(get("d/b", 5), Some(known(b"b").content));
        assert_eq!((get("d/c", 5), get("d/c", 6)), (None, Some(known(b"c").content)));
        assert_eq!(get("d/s/a", 5), Some(known(b"d/s/a").content));
        assert_eq!(get("top", 5), Some(known(b"top").content));
    }

    #[test]
    fn damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache");
        let cache = StatCache::open(&file);
        cache.put(&path("a"), stamp(5), Known::default());
        cache.save().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert_eq!(StatCache::open(&file).get(&path("a"), &stamp(5)), None, "{cut}");
        }
    }
}
