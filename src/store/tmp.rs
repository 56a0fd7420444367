//! Where things are made before they appear: one folder per process under `tmp/`, removed when the process ends.
//!
//! `tmp/NAME` belongs to whoever holds the lock on `tmp/NAME.lock`, which is made first and goes last. A process that was
//! killed holds nothing, so the next one that needs a folder of its own finds out and cleans up after it. A process that
//! only reads never makes one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::error::{Result, io_error};
use crate::store::locks::NamedLock;
use crate::store::remove::remove_tree;
use crate::store::{Store, layout};

/// What the name of the lock file ends with.
const LOCK: &str = ".lock";

/// This process's own folder.
#[derive(Debug)]
pub(super) struct OwnFolder {
    path: PathBuf,
    /// Names given out so far.
    count: AtomicU64,
    process: u32,
    // Dropped last: the lock file must outlive the folder.
    _lock: NamedLock,
}

impl OwnFolder {
    fn create(tmp: &Path) -> io::Result<Self> {
        // Several stores may be open in one process, and process numbers repeat (in containers, all the time).
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        loop {
            let path = tmp.join(format!("{process}-{}", OPENED.fetch_add(1, Ordering::Relaxed)));
            let Some(lock) = NamedLock::try_take(&lock_path(&path))? else { continue };
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Left by a process that had this number.
                    remove_tree(&path)?;
                    DirBuilder::new().mode(0o700).create(&path)?;
                }
                created => created?,
            }
            return Ok(Self { path, count: AtomicU64::new(0), process, _lock: lock });
        }
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = remove_tree(&self.path);
        }
    }
}

/// The lock file of a folder in `tmp/`, or the path itself if it is one.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    if path.as_os_str().as_bytes().ends_with(LOCK.as_bytes()) { path.to_owned() } else { lock_path(path) }
}

fn lock_path(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(LOCK);
    path.into()
}

impl Store {
    /// This process's own temporary folder, on the same file system as everything in the store.
    ///
    /// Made when it is first asked for; then also what dead processes left is removed. Mode 0700.
    pub fn tmp_dir(&self) -> Result<&Path> {
        Ok(&self.own_folder()?.path)
    }

    /// A path in [`Store::tmp_dir`] at which there is nothing yet. `hint` is a part of its name.
    pub fn tmp_path(&self, hint: &str) -> Result<PathBuf> {
        let own = self.own_folder()?;
        Ok(own.path.join(format!("{hint}-{}", own.count.fetch_add(1, Ordering::Relaxed))))
    }

    /// A new empty file in [`Store::tmp_dir`], open for reading and writing. Mode 0644 at most.
    pub fn tmp_file(&self, hint: &str) -> Result<(File, PathBuf)> {
        let path = self.tmp_path(hint)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(io_error("create", &path))?;
        Ok((file, path))
    }

    /// Removes what dead processes left in `tmp/`. Cheap if there is nothing: one folder is read.
    ///
    /// What cannot be removed is left for the next time.
    pub fn sweep(&self) -> Result<()> {
        let locks = self.path(layout::KEY_LOCKS);
        for (path, name) in list(&locks)? {
            // A key lock that can be had is nobody's; taking and dropping it removes the file.
            if name.len() == 64 {
                drop(NamedLock::try_take(&path));
            }
        }
        for (path, _) in list(&self.path(layout::TMP))? {
            if path == locks {
                continue;
            }
            let lock = lock_of(&path);
            if let Ok(Some(_lock)) = NamedLock::try_take(&lock) {
                let _ = remove_tree(&lock.with_extension(""));
            }
        }
        Ok(())
    }

    fn own_folder(&self) -> Result<&OwnFolder> {
        if let Some(own) = self.tmp.get() {
            return Ok(own);
        }
        self.sweep()?;
        let tmp = self.path(layout::TMP);
        let own = match OwnFolder::create(&tmp) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&tmp).map_err(io_error("create", &tmp))?;
                OwnFolder::create(&tmp)
            }
            created => created,
        };
        let own = own.map_err(io_error("write to", &tmp))?;
        // Another thread may have been faster; then ours goes away again.
        Ok(self.tmp.get_or_init(|| own))
    }
}

/// The paths in a folder with their names; none if there is no such folder.
pub(super) fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error("read", folder))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("read", folder))?;
        all.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = list(&root.join(layout::TMP)).unwrap().into_iter().map(|(_, name)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_lasts_as_long_as_its_process() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(names(root.path()), ["locks"], "reading makes nothing");
        let own = store.tmp_dir().unwrap().to_owned();
        let (_, file) = store.tmp_file("x").unwrap();
        assert!(file.starts_with(&own) && file.exists());
        assert_ne!(store.tmp_path("x").unwrap(), file);
        drop(store);
        assert_eq!(names(root.path()), ["locks"]);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_the_living_stay() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let alive = store.tmp_dir().unwrap().to_owned();
        let tmp = root.path().join(layout::TMP);
        // What a killed process leaves: a folder with its lock file, which nobody holds; or either of them alone.
        fs::create_dir_all(tmp.join("1-0/overlay/work/work")).unwrap();
        fs::write(tmp.join("1-0/f"), "x").unwrap();
        fs::set_permissions(tmp.join("1-0/overlay/work/work"), fs::Permissions::from_mode(0o0)).unwrap();
        for file in ["1-0.lock", "2-0.lock"] {
            fs::write(tmp.join(file), "").unwrap();
        }
        fs::create_dir(tmp.join("3-0")).unwrap();
        fs::create_dir_all(tmp.join("locks")).unwrap();
        fs::write(tmp.join("locks").join("a".repeat(64)), "").unwrap();

        let other = Store::open(root.path()).unwrap();
        let own = other.tmp_dir().unwrap().to_owned();
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let mut expected =
            vec![name(&alive), format!("{}.lock", name(&alive)), name(&own), format!("{}.lock", name(&own))];
        expected.push("locks".into());
        expected.sort();
        assert_eq!(names(root.path()), expected);
        assert_eq!(list(&tmp.join("locks")).unwrap(), []);
    }
}
