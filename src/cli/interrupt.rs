//! Ctrl-C: the first asks the build to stop, the second ends the program at once.
//!
//! The handler only counts and writes a byte to a pipe; a thread waits at the other end and does what was asked, as a
//! handler may do next to nothing itself. SIGTERM counts as Ctrl-C. Nothing has to be put back at the second: the live
//! display never hides the cursor and always leaves it on an empty line.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::error::INTERRUPTED;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static PIPE: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicI32 = AtomicI32::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);
static TAKER: AtomicI32 = AtomicI32::new(0);

/// Calls `stop` on a thread of its own at the first SIGINT or SIGTERM. To be called at most once, by commands that have
/// something to stop; all others just end.
pub fn install(stop: Arc<dyn Fn() + Send + Sync>) -> io::Result<()> {
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("interrupts are handled already"));
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    PIPE.store(writer.as_raw_fd(), Ordering::SeqCst);
    // Used by the handler for as long as the process lives.
    std::mem::forget(writer);
    OWNER.store(std::process::id().cast_signed(), Ordering::SeqCst);
    std::thread::Builder::new().name("interrupt".into()).spawn(move || wait(reader, &*stop))?;
    let action = SigAction::new(SigHandler::Handler(handle), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler touches atomics and calls functions that signal-safety(7) lists, nothing else.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// From now on signals are those of this thread, which blocks and reads them: there is nothing to stop any more.
pub fn hand_over() {
    TAKER.store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
}

/// Whether the user has asked to stop.
pub fn is_interrupted() -> bool {
    COUNT.load(Ordering::SeqCst) > 0
}

fn wait(reader: OwnedFd, stop: &dyn Fn()) {
    if File::from(reader).read_exact(&mut [0]).is_ok() {
        stop();
    }
}

extern "C" fn handle(signal: libc::c_int) {
    // A child that has not yet executed another program has this handler too, and our pipe.
    // SAFETY: getpid(2) cannot fail and is safe in a handler.
    if unsafe { libc::getpid() } != OWNER.load(Ordering::SeqCst) {
        // SAFETY: _exit(2) is safe in a handler.
        unsafe { libc::_exit(INTERRUPTED.into()) }
    }
    let taker = TAKER.load(Ordering::SeqCst);
    if taker != 0 {
        // SAFETY: tgkill(2) is safe in a handler; if the thread is gone, so is whoever could take the signal.
        unsafe { libc::syscall(libc::SYS_tgkill, OWNER.load(Ordering::SeqCst), taker, signal) };
        return;
    }
    if COUNT.fetch_add(1, Ordering::SeqCst) > 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(INTERRUPTED.into()) }
    }
    // SAFETY: the descriptor stays open for as long as the process lives, the byte is on the stack, and write(2) is
    // safe in a handler. It changes errno only if it fails, which writing the first byte to a pipe does not.
    unsafe { libc::write(PIPE.load(Ordering::SeqCst), [0u8].as_ptr().cast(), 1) };
}
