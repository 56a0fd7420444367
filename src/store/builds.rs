//! Records of builds: one small file each under `builds/`, and under `builds/objects/` what is large or what several of them say alike.
//!
//! A record is for people who ask why. Losing one harms nobody, so nothing is synced, and whatever cannot be read is not
//! there. Names sort by age. Like values of the action cache, all of it is opaque here.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::CacheKey;
use crate::store::error::{Result, io_error};
use crate::store::unfinished::{self, NEW, Unfinished, target_of};
use crate::store::{Store, layout};

/// An object that no record names may be that of a record which is about to be written, until it is this old.
const GRACE: Duration = Duration::from_secs(3600);

impl Store {
    /// Writes the record of a build. `name` sorts after those of earlier ones.
    ///
    /// What killed processes left of records and objects goes: their names differ from build to build, so nobody would come
    /// across it by writing the same.
    pub fn put_build(&self, name: &str, bytes: &[u8]) -> Result<()> {
        for folder in [layout::BUILDS, layout::BUILD_OBJECTS] {
            unfinished::sweep(&self.path(folder), |_| true);
        }
        write(&self.path(layout::BUILDS).join(name), bytes)
    }

    /// The names of all records, the latest first.
    pub fn builds(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(layout::BUILDS)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| name != "objects" && target_of(name.as_ref()).is_none()).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        names
    }

    /// A record.
    pub fn get_build(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(layout::BUILDS).join(name)).ok()
    }

    /// Whether there is an object of this name.
    pub fn has_build_object(&self, name: &CacheKey) -> bool {
        fs::metadata(self.path(layout::BUILD_OBJECTS).join(name.hex())).is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Writes an object, whose name follows from what it says.
    pub fn put_build_object(&self, name: &CacheKey, bytes: &[u8]) -> Result<()> {
        write(&self.path(layout::BUILD_OBJECTS).join(name.hex()), bytes)
    }

    /// An object.
    pub fn get_build_object(&self, name: &CacheKey) -> Option<Vec<u8>> {
        fs::read(self.path(layout::BUILD_OBJECTS).join(name.hex())).ok()
    }

    /// Where a record is.
    pub fn build_path(&self, name: &str) -> PathBuf {
        self.path(layout::BUILDS).join(name)
    }

    /// Where an object is.
    pub fn build_object_path(&self, name: &CacheKey) -> PathBuf {
        self.path(layout::BUILD_OBJECTS).join(name.hex())
    }

    /// Removes all but the latest records, and the objects that none of those names. `objects` are those that a record
    /// names.
    pub fn sweep_builds(&self, keep: usize, objects: impl Fn(&[u8]) -> Vec<CacheKey>) {
        let names = self.builds();
        let folder = self.path(layout::BUILDS);
        let (kept, gone) = names.split_at(keep.min(names.len()));
        for name in gone {
            let _ = fs::remove_file(folder.join(name));
        }
        let mut used: Vec<String> = kept
            .iter()
            .filter_map(|name| self.get_build(name))
            .flat_map(|bytes| objects(&bytes))
            .map(|key| key.hex())
            .collect();
        used.sort_unstable();
        let is_old = |entry: &fs::DirEntry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            modified.elapsed().is_ok_and(|age| age > GRACE)
        };
        let objects = self.path(layout::BUILD_OBJECTS);
        for entry in fs::read_dir(&objects).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() == 64 && used.binary_search(&name).is_err() && is_old(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Writes a file that appears whole.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let create = || Unfinished::create(path, NEW);
    let file = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            fs::create_dir_all(folder).map_err(io_error("create", folder))?;
            create()
        }
        file => file,
    };
    let mut file = file.map_err(io_error("create", path))?;
    file.write_all(bytes).and_then(|()| file.finish()).map_err(io_error("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> CacheKey {
        CacheKey::from_bytes([byte; 32])
    }

    #[test]
    fn the_latest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.builds().is_empty());
        for name in ["1-a", "3-a", "2-a"] {
            store.put_build(name, name.as_bytes()).unwrap();
        }
        assert_eq!(store.builds(), ["3-a", "2-a", "1-a"]);
        assert_eq!(store.get_build("2-a").as_deref(), Some(&b"2-a"[..]));
        assert_eq!(store.get_build("4-a"), None);
        store.put_build_object(&key(1), b"x").unwrap();
        assert!(store.has_build_object(&key(1)) && !store.has_build_object(&key(2)));
        assert_eq!(store.builds().len(), 3, "objects are no records");
        let left = [layout::BUILDS, layout::BUILD_OBJECTS].map(|place| store.path(place).join("x.7-0.new"));
        left.iter().for_each(|path| fs::write(path, b"half").unwrap());
        store.put_build("4-a", b"").unwrap();
        assert!(!left.iter().any(|path| path.exists()));
    }

    #[test]
    fn sweeping_keeps_the_latest_and_what_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for number in 1..=4u8 {
            store.put_build(&number.to_string(), &[number]).unwrap();
            store.put_build_object(&key(number), b"x").unwrap();
            if number != 2 {
                let path = store.path(layout::BUILD_OBJECTS).join(key(number).hex());
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        }
        store.sweep_builds(2, |bytes| vec![key(bytes[0])]);
        assert_eq!(store.builds(), ["4", "3"]);
        let there: Vec<u8> = (1..=4).filter(|number| store.has_build_object(&key(*number))).collect();
        assert_eq!(there, [2, 3, 4], "the second is nobody's, but young");
    }
}
