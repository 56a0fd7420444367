//! A request to stop, shared by everything that can be stopped.
//!
//! It can be asked for and waited for: a flag for loops, a descriptor for `poll`. Nobody learns who asked or why.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A token that many hold and any may trip. Clones are the same token. It cannot be reset.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flag: AtomicBool,
    event: OwnedFd,
}

impl Cancel {
    /// A fresh token.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Inner { flag: AtomicBool::new(false), event })))
    }

    /// Asks everybody to stop. Any number of times, from any thread, and from a signal handler.
    pub fn cancel(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        // The only way to fail is a counter that is full: it is readable then, which is all that is wanted.
        let _ = rustix::io::write(&self.0.event, &1u64.to_ne_bytes());
    }

    /// Whether somebody asked.
    pub fn is_canceled(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }
}

/// The descriptor becomes readable when the token is tripped, and stays so. Never read from it.
impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn readable(cancel: &Cancel) -> bool {
        let mut fds = [PollFd::new(cancel, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn trips_all_clones_for_good() {
        let token = Cancel::new().unwrap();
        let other = token.clone();
        assert!(!other.is_canceled() && !readable(&other));
        token.cancel();
        token.cancel();
        assert!(other.is_canceled() && readable(&other) && readable(&token));
    }
}
