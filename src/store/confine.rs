//! A thread that can write to one folder and nowhere else, for work on archives that anybody may have made. Mostly that is
//! the store's.
//!
//! That paths of archives lead nowhere else does not depend on it: they are resolved below a descriptor. It is for the day
//! when a reader or a decompressor has a hole. The kernel's Landlock does it, for a thread and for all that it starts, but
//! not for other threads of the process. So nothing may be handed from in here to a thread that exists already; the pool of
//! rayon is made before, lest its threads were confined for good. Where the kernel has no Landlock (before Linux 5.19, or
//! switched off), the work is done as it is.
//!
//! Reading is not limited, and neither is the network: the files of lower layers may have to be fetched on the way.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError,
};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::Store;

impl Store {
    /// Does some work that writes nothing but files below the store's folder, in a thread that cannot do more.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn confined<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        // If the store itself is gone, nothing is to be written.
        let folder = PathFd::new(self.root()).ok();
        confined(folder.as_ref().map(AsFd::as_fd), work)
    }
}

/// The same with another folder than the store's, which is open.
///
/// # Errors
/// If there is no thread to be had.
pub fn confined_to<T: Send>(folder: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    confined(Some(folder), work)
}

fn confined<T: Send>(folder: Option<BorrowedFd<'_>>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    // What the kernel cannot do is not missed; see above.
    let Ok(rules) = rules(folder) else { return Ok(work()) };
    make_pool();
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("unpack".into()).spawn_scoped(scope, || {
            let _ = rules.restrict_self();
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Makes rayon's threads, if there are none yet. They take no signals: whoever waits for one blocks it in its own thread, and
/// it must not be delivered to another.
fn make_pool() {
    let mut before = SigSet::empty();
    let blocked = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
    rayon::current_num_threads();
    if blocked.is_ok() {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}

/// Writing, below a folder only. Fails where the kernel knows no such rules, or would forbid links and renames between
/// folders altogether.
fn rules(folder: Option<BorrowedFd<'_>>) -> Result<RulesetCreated, RulesetError> {
    let refer = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer)?;
    let writing = AccessFs::from_write(ABI::V3);
    let rules = refer.set_compatibility(CompatLevel::BestEffort).handle_access(writing)?.create()?;
    let rules = match folder {
        Some(folder) => rules.add_rule(PathBeneath::new(folder, writing))?,
        None => rules,
    };
    // Programs are started with it.
    match PathFd::new("/dev/null") {
        Ok(null) => rules.add_rule(PathBeneath::new(null, AccessFs::WriteFile)),
        Err(_) => Ok(rules),
    }
}

/// A reader with a hole: whenever somebody reads from it, it makes a file in a folder if it can.
#[cfg(test)]
pub(crate) struct Hole<R>(pub R, pub std::path::PathBuf);

#[cfg(test)]
impl<R: io::Read> io::Read for Hole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let made = std::fs::File::create(self.1.join("made"));
        assert!(made.is_err() || rules(None).is_err(), "what reads this can write to {}", self.1.display());
        self.0.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;

    #[test]
    fn nothing_is_written_outside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "as it was").unwrap();
        if rules(None).is_err() {
            eprintln!("skipped: the kernel has no Landlock");
            return;
        }
        let inside = store.tmp_dir().unwrap().to_owned();
        let attempts = || {
            let write = |path: &Path| File::options().write(true).truncate(true).open(path).is_ok();
            assert!(!write(&outside), "it can be written to");
            assert!(File::create_new(folder.path().join("new")).is_err(), "a file can be made");
            assert!(std::fs::remove_file(&outside).is_err(), "it can be removed");
            assert!(std::os::unix::fs::symlink("x", folder.path().join("link")).is_err(), "a link can be made");
            assert!(std::fs::hard_link(&outside, inside.join("linked")).is_err(), "it can be linked to");
            assert!(std::fs::rename(&outside, inside.join("moved")).is_err(), "it can be taken away");
            // Threads that this one starts are confined as well.
            thread::scope(|scope| scope.spawn(|| assert!(!write(&outside))).join().unwrap());
            // What unpacking does.
            std::fs::create_dir_all(inside.join("a/b")).unwrap();
            std::fs::write(inside.join("a/b/file"), "x").unwrap();
            std::fs::hard_link(inside.join("a/b/file"), inside.join("a/link")).unwrap();
            std::fs::rename(inside.join("a/b"), inside.join("b")).unwrap();
            std::fs::remove_dir_all(inside.join("a")).unwrap();
            assert!(write(Path::new("/dev/null")));
            std::fs::read_to_string(&outside).unwrap()
        };
        assert_eq!(store.confined(attempts).unwrap(), "as it was");
        // In another folder, it is the store that is outside.
        let other = tempfile::tempdir().unwrap();
        let opened = File::open(&other).unwrap();
        let attempts = || {
            File::create_new(other.path().join("new")).unwrap();
            assert!(File::create_new(inside.join("new")).is_err(), "a file can be made");
        };
        confined_to(opened.as_fd(), attempts).unwrap();
        // This thread is as free as it was, and so are those of the pool.
        rayon::join(
            || std::fs::write(&outside, "new").unwrap(),
            || File::create_new(folder.path().join("new")).unwrap(),
        );
    }

    #[test]
    #[should_panic(expected = "as is said here")]
    fn a_panic_comes_through() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let _ = store.confined(|| panic!("as is said here"));
    }
}
