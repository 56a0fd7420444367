//! Whose turn it is, so that who waits to have the store for itself is let in before builds that come later.
//!
//! The kernel's shared and exclusive locks are not fair: while builds overlap, there is never a moment without one, and who
//! wants the store alone would wait for ever. So that one holds a second lock exclusively meanwhile, on `turn.lock`, and what may
//! take long passes there on its way in. Whoever is in already ends, and then it is let in. What only looks does not pass there, since
//! it is soon done, and need not wait for the builds of others. Nobody holds that lock but who waits, and it goes with its holder.
//!
//! A process that has the store open must not wait there: it would wait for somebody who waits for it. So it is noted who is in.
//! An older program that knows nothing of all this comes in as it always did.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::locks::{POLL, wait};
use super::{Store, layout};

/// The device and the number of a store's `gc.lock`.
type Identity = (u64, u64);

/// How often this process has each store open.
static OPEN: Mutex<BTreeMap<Identity, usize>> = Mutex::new(BTreeMap::new());

/// The open `gc.lock` of a store, on which this process holds a lock.
#[derive(Debug)]
pub(super) struct Use {
    file: File,
    identity: Identity,
}

impl Use {
    /// Notes that this process is in. The lock is held already.
    pub(super) fn of(file: File) -> io::Result<Self> {
        let identity = identity(&file)?;
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner).entry(identity).or_default() += 1;
        Ok(Self { file, identity })
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.identity);
            }
        }
    }
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Waits while somebody waits for the store at `root`, unless this process is in already. Whatever goes wrong, nobody waits: it is
/// a matter of manners.
pub(super) fn let_others_first(root: &Path, gc: &File) {
    // There is none where nobody ever waited.
    let (Ok(file), Ok(identity)) = (File::open(root.join(layout::TURN_LOCK)), identity(gc)) else { return };
    let mut pause = POLL[0];
    loop {
        let is_in = OPEN.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&identity);
        if is_in || !matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)) {
            return;
        }
        // Asked again and again, because another thread may be let in meanwhile.
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL[1]);
    }
}

impl Store {
    /// Takes the lock of the store exclusively, before whoever comes later. Until then this process holds none: two that wait would
    /// wait for each other.
    pub(super) fn wait_in_turn(&self) -> io::Result<()> {
        let gc = self.gc.file();
        // A full disk has no room for a new file; then the others are let in as they come.
        let mut how = OpenOptions::new();
        let turn = how.read(true).write(true).create(true).truncate(false).mode(0o600);
        let turn = turn.open(self.path(layout::TURN_LOCK));
        gc.unlock()?;
        let held = turn.ok().filter(|turn| wait(|| turn.lock()).is_ok());
        let alone = wait(|| gc.lock());
        drop(held);
        alone.inspect_err(|_| drop(wait(|| gc.lock_shared())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_need_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_in_turn(folder.path()).unwrap();
        // As if another process waited for this one.
        let turn = File::create(folder.path().join(layout::TURN_LOCK)).unwrap();
        turn.lock().unwrap();
        let again = Store::open_in_turn(folder.path()).unwrap();
        drop(store);
        let store = Store::open_in_turn(folder.path()).unwrap();
        drop((again, store));
        // Who only looks need not either.
        Store::open(folder.path()).unwrap();
        assert!(!OPEN.lock().unwrap().contains_key(&identity(&gc_of(folder.path())).unwrap()));
        std::thread::scope(|scope| {
            let late = scope.spawn(|| Store::open_in_turn(folder.path()).map(drop));
            // Another thread may be in by then, and the first goes on.
            let inside = Store::open(folder.path()).unwrap();
            late.join().unwrap().unwrap();
            drop(inside);
        });
    }

    fn gc_of(root: &Path) -> File {
        File::open(root.join(layout::GC_LOCK)).unwrap()
    }

    #[test]
    fn several_that_wait_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let stores: Vec<Store> = (0..4).map(|_| Store::open(folder.path()).unwrap()).collect();
        std::thread::scope(|scope| {
            // Each has it in turn, although at first all have it open.
            for mut store in stores {
                scope.spawn(move || {
                    let alone = store.exclusive().unwrap();
                    std::fs::create_dir(alone.root().join("one")).unwrap();
                    std::fs::remove_dir(alone.root().join("one")).unwrap();
                });
            }
        });
        Store::open_in_turn(folder.path()).unwrap();
    }
}
