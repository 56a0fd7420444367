//! Locks between processes: `flock` on files, which the kernel gives back when a process dies in any way.
//!
//! A lock file that can go away needs care: between opening and locking it, its holder may have removed it, and the lock
//! would be on a file that nobody else finds. So whoever has the lock looks again whether the name still leads to it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::CacheKey;
use crate::store::error::{Result, StoreError, io_error};
use crate::store::turn::{self, Use};
use crate::store::{Store, layout};

/// How often a lock that others hold is tried, at first and at last.
pub(super) const POLL: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];

/// The right to run the step with some key, held by at most one thread of one process. Given back when dropped.
#[derive(Debug)]
pub struct KeyLock(#[expect(dead_code, reason = "held for its Drop")] NamedLock);

/// An exclusive lock on a file that exists only while somebody wants it.
#[derive(Debug)]
pub(super) struct NamedLock {
    path: PathBuf,
    _file: File,
    process: u32,
}

impl NamedLock {
    /// Takes the lock at `path`, making the file; none if somebody else has it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            if !try_lock(&file)? {
                return Ok(None);
            }
            if leads_to(path, &file)? {
                return Ok(Some(Self { path: path.to_owned(), _file: file, process: std::process::id() }));
            }
        }
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        // A forked child has a copy of this value, but the lock is its parent's.
        if self.process == std::process::id() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` still names the open file.
pub(super) fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(named) => {
            let open = file.metadata()?;
            Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tries to lock a file exclusively; false if somebody else has it.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for a lock, whatever signals arrive meanwhile.
pub(super) fn wait(lock: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The shared lock that every user of a store holds on `gc.lock`; taken `in_turn`, not before who waits to have the store alone.
pub(super) fn use_store(root: &Path, in_turn: bool) -> Result<Use> {
    let path = root.join(layout::GC_LOCK);
    // Some network file systems want a file open for writing to lock it exclusively; a read-only store offers no such.
    let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            File::open(&path)
        }
        opened => opened,
    };
    let file = file.map_err(io_error("open", &path))?;
    if in_turn {
        turn::let_others_first(root, &file);
    }
    wait(|| file.lock_shared()).and_then(|()| Use::of(file)).map_err(io_error("lock", &path))
}

/// A store that nobody else uses, in this process or any other: things may be deleted.
///
/// Back to shared use when dropped.
pub struct Exclusive<'a> {
    store: &'a mut Store,
}

impl std::ops::Deref for Exclusive<'_> {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        // On one open file, taking the other kind of lock replaces the one that is held.
        let _ = wait(|| self.store.gc.file().lock_shared());
    }
}

impl Store {
    /// Waits until no other process uses the store, and keeps them out.
    ///
    /// `&mut` keeps other threads of this process out. Nothing that was seen before may be relied on: while waiting,
    /// another process may have had the store for itself. Builds that are started meanwhile come later.
    pub fn exclusive(&mut self) -> Result<Exclusive<'_>> {
        let path = self.path(layout::GC_LOCK);
        self.wait_in_turn().map_err(io_error("lock", &path))?;
        Ok(Exclusive { store: self })
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process uses the store.
    pub fn try_exclusive(&mut self) -> Result<Exclusive<'_>> {
        let path = self.path(layout::GC_LOCK);
        if try_lock(self.gc.file()).map_err(io_error("lock", &path))? {
            return Ok(Exclusive { store: self });
        }
        // The kernel gives the shared lock up before it tries for the other one.
        wait(|| self.gc.file().lock_shared()).map_err(io_error("lock", &path))?;
        Err(StoreError::Busy { root: self.root().to_owned() })
    }

    /// Takes the right to run the step with this key; none if another process or thread has it.
    pub fn try_lock_key(&self, key: &CacheKey) -> Result<Option<KeyLock>> {
        let path = self.path(layout::KEY_LOCKS).join(key.hex());
        match NamedLock::try_take(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = self.path(layout::KEY_LOCKS);
                fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
                NamedLock::try_take(&path)
            }
            taken => taken,
        }
        .map(|lock| lock.map(KeyLock))
        .map_err(io_error("lock", &path))
    }

    /// Waits for the right to run the step with this key, so that equal steps run once; none if `canceled` says so.
    ///
    /// Whoever gets it should look whether the result is there by now. Asked every 100 ms at least.
    pub fn lock_key(&self, key: &CacheKey, canceled: impl Fn() -> bool) -> Result<Option<KeyLock>> {
        let mut pause = POLL[0];
        loop {
            if let Some(lock) = self.try_lock_key(key)? {
                return Ok(Some(lock));
            }
            if canceled() {
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_key_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let [store, other] = [(); 2].map(|()| Store::open(folder.path()).unwrap());
        let [key, another] = [1, 2].map(|byte| CacheKey::from_bytes([byte; 32]));
        let lock = store.try_lock_key(&key).unwrap().unwrap();
        assert!(other.try_lock_key(&key).unwrap().is_none());
        assert!(other.try_lock_key(&another).unwrap().is_some());
        assert!(other.lock_key(&key, || true).unwrap().is_none());
        drop(lock);
        assert!(other.try_lock_key(&key).unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path().join(layout::KEY_LOCKS)).unwrap().count(), 0);
    }

    #[test]
    fn a_key_lock_excludes_under_contention() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = CacheKey::from_bytes([1; 32]);
        let [inside, total] = [AtomicU32::new(0), AtomicU32::new(0)];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _lock = store.lock_key(&key, || false).unwrap().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        total.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 100);
    }

    #[test]
    fn exclusive_means_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let mut other = Store::open(folder.path()).unwrap();
        assert!(matches!(store.try_exclusive(), Err(StoreError::Busy { .. })));
        assert!(matches!(other.try_exclusive(), Err(StoreError::Busy { .. })), "the first one still uses it");
        drop(other);
        let alone = store.try_exclusive().unwrap();
        assert_eq!(alone.root(), folder.path());
        drop(alone);
        Store::open(folder.path()).unwrap();
    }
}
