//! What lies in the folders of the store as it is found, also where it cannot be read: for whoever checks the store, and puts
//! right what others pass over or stop at.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::store::containers::{Container, ContainerRecord, LOCK, RECORD, is_id};
use crate::store::error::{Result, io_error};
use crate::store::{Exclusive, Store, layout, locks, tmp, unfinished};

/// Where things go whose content only people can judge.
const SET_ASIDE: &str = "lost+found";

impl Store {
    /// All containers and mounts of images by their folders; what is wrong with the records of those that cannot be read.
    pub fn found_containers(&self) -> Result<Vec<(PathBuf, Result<Container, String>)>> {
        let mut all = Vec::new();
        for (folder, name) in tmp::list(&self.containers_dir())? {
            if !is_id(&name) {
                continue;
            }
            let read = fs::read(folder.join(RECORD)).map_err(|error| error.to_string());
            let read = read.and_then(|bytes| ContainerRecord::decode(&bytes));
            // It may be removed at this moment.
            if folder.exists() {
                all.push((folder.clone(), read.map(|record| Container { record, folder })));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// What is in the place of cache mounts and is none.
    pub fn odd_mounts(&self) -> Result<Vec<PathBuf>> {
        let mut odd = Vec::new();
        for (home, _) in tmp::list(&self.mounts_dir())? {
            if !home.is_dir() {
                odd.push(home);
                continue;
            }
            for (path, name) in tmp::list(&home)? {
                let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
                let belongs = if is_number { path.is_dir() } else { name.ends_with(".lock") && path.is_file() };
                if !belongs {
                    odd.push(path);
                }
            }
        }
        odd.sort();
        Ok(odd)
    }

    /// What killed processes left outside `tmp/`: files that were being written, visits of scenes that nobody is in, and
    /// scenes without a record.
    pub(super) fn abandoned(&self) -> Result<Vec<PathBuf>> {
        let places = [layout::BUILDS, layout::BUILD_OBJECTS, layout::CONTEXTS];
        let mut all: Vec<PathBuf> = places.iter().flat_map(|place| unfinished::abandoned(&self.path(place))).collect();
        all.extend(self.abandoned_scenes()?);
        Ok(all)
    }
}

impl Exclusive<'_> {
    /// Sets a container aside with what it had changed, unless somebody runs it.
    pub fn set_container_aside(&self, folder: &Path) -> Result<Option<PathBuf>> {
        // Without a file to lock, nobody can run it.
        let lock = File::open(folder.join(LOCK)).ok();
        let is_held = lock.as_ref().is_some_and(|file| locks::try_lock(file).is_ok_and(|taken| !taken));
        if is_held { Ok(None) } else { self.set_aside(folder).map(Some) }
    }

    /// Takes something out of its place and puts it where nothing of ours looks at it; returns where that is.
    pub fn set_aside(&self, path: &Path) -> Result<PathBuf> {
        let home = self.path(SET_ASIDE);
        match DirBuilder::new().mode(0o700).create(&home) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io_error("create", &home)(error)),
            _ => {}
        }
        let name = path.file_name().unwrap_or_default();
        let mut number = 0u32;
        loop {
            let mut free = name.to_owned();
            if number > 0 {
                free.push(format!(".{number}"));
            }
            let place = home.join(free);
            if fs::symlink_metadata(&place).is_err() {
                fs::rename(path, &place).map_err(io_error("move", path))?;
                return Ok(place);
            }
            number += 1;
        }
    }

    /// Removes something that was found in the store, a file or a folder; that it is gone is success. What is in `tmp/` is
    /// left to [`Store::sweep`]: this process may have a name there by now that was a dead one's.
    pub fn remove_found(&self, path: &Path) -> Result<()> {
        if path.starts_with(self.path(layout::TMP)) { Ok(()) } else { self.remove_whole(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_aside_without_overwriting() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let alone = store.exclusive().unwrap();
        for (number, expected) in ["x", "x.1"].iter().enumerate() {
            let path = alone.containers_dir().join("x");
            fs::write(&path, number.to_string()).unwrap();
            assert_eq!(alone.set_aside(&path).unwrap(), folder.path().join(SET_ASIDE).join(expected));
            assert!(!path.exists());
        }
        assert_eq!(fs::read_to_string(folder.path().join(SET_ASIDE).join("x")).unwrap(), "0");
        drop(alone);
        drop(store);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn tells_cache_mounts_from_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let home = store.mounts_dir().join("00");
        fs::create_dir_all(home.join("0")).unwrap();
        fs::create_dir_all(home.join("x")).unwrap();
        for file in ["0.lock", "1.lock", "1"] {
            fs::write(home.join(file), "").unwrap();
        }
        fs::write(store.mounts_dir().join("11"), "").unwrap();
        assert_eq!(store.odd_mounts().unwrap(), [home.join("1"), home.join("x"), store.mounts_dir().join("11")]);
    }
}
