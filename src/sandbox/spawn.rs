//! Starting a program in new namespaces from a process with many threads.
//!
//! `fork` would copy page tables that grow with the builder; a forked child of a process with threads may hardly do
//! anything anyway. So this is `vfork` with namespaces: the child borrows our memory on a stack of its own, the calling
//! thread waits, and the child does nothing but system calls until it executes the program.

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::libc;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

/// What to start.
pub(super) struct Start<'a> {
    /// The program.
    pub(super) program: BorrowedFd<'a>,
    /// Its only argument.
    pub(super) name: &'a CStr,
    /// Its descriptors, from 0 on; it has no others. None may be one of these numbers already.
    pub(super) fds: &'a [RawFd],
    /// `CLONE_NEW*` flags.
    pub(super) namespaces: i32,
    /// The network namespace that it enters.
    pub(super) network: Option<BorrowedFd<'a>>,
    /// The control group that it is born into.
    pub(super) group: Option<BorrowedFd<'a>>,
}

/// A child that is killed and waited for if it is dropped.
pub(super) struct Child {
    pidfd: OwnedFd,
    ended: bool,
}

/// What the child is handed, in memory that it shares with us.
struct Message<'a> {
    start: &'a Start<'a>,
    argv: [*const libc::c_char; 2],
    envp: [*const libc::c_char; 1],
    /// Written by the child if it cannot execute the program.
    error: i32,
}

/// Bytes of stack for a function with a few system calls.
const STACK: usize = 64 * 1024;

/// Starts a child; its program is being executed when this returns.
pub(super) fn start(start: &Start<'_>) -> io::Result<Child> {
    debug_assert!(start.fds.iter().all(|&fd| fd as usize >= start.fds.len()));
    let mut message = Message { start, argv: [start.name.as_ptr(), ptr::null()], envp: [ptr::null()], error: 0 };
    // In units that the processor wants aligned.
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / 16);
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | start.namespaces;
    // SAFETY: zero is a value for all fields.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = STACK as u64;
    args.flags = flags as u64;
    if let Some(group) = start.group {
        args.cgroup = group.as_raw_fd() as u64;
        args.flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
    }

    // A signal handler must not run in the child: it would act on our memory.
    let blocked = block_signals()?;
    // SAFETY: the child runs `child` on its own stack, which outlives it, while this thread waits for it to execute a
    // program or to end; so `message` is not touched by two at once. `child` neither returns nor unwinds.
    let pid = unsafe { clone3(&args, child, (&raw mut message).cast()) };
    restore_signals(&blocked);
    drop(stack);
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(-pid as i32));
    }
    // SAFETY: the kernel has just made it for us.
    let mut started = Child { pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) }, ended: false };
    // SAFETY: a plain read of a field that the child, now gone from our memory, may have written behind the compiler's back.
    match unsafe { (&raw const message.error).read_volatile() } {
        0 => Ok(started),
        error => {
            let _ = started.wait();
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Sees to it that no program that this process starts inherits what its own caller happened to leave open: git, helpers that
/// know passwords, and those that map users. What this process opens itself is not handed on anyway.
pub fn hand_on_no_descriptors() {
    // SAFETY: nothing is closed, and no descriptor changes for this process. Linux before 5.11 refuses, and is too old anyway.
    unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
}

/// The child's side until the program runs: system calls only, no allocation, no locks.
extern "C" fn child(message: *mut c_void) -> ! {
    let message = message.cast::<Message<'_>>();
    // SAFETY: the parent waits and has made all that is pointed to; nothing here touches state of the C library but
    // `errno`, which the waiting thread does not look at.
    unsafe {
        let start = (*message).start;
        let mut failed = false;
        if let Some(network) = start.network {
            failed |= libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) < 0;
        }
        for (number, &fd) in start.fds.iter().enumerate() {
            failed |= libc::dup2(fd, number as i32) < 0;
        }
        if !failed {
            let (argv, envp) = (&raw const (*message).argv, &raw const (*message).envp);
            let program = start.program.as_raw_fd();
            libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH);
        }
        (&raw mut (*message).error).write_volatile(*libc::__errno_location());
        libc::_exit(127)
    }
}

/// `clone3` whose child calls a function on its new stack: the C library has no such call.
///
/// # Safety
/// `args` must name a stack; the function must not return.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &libc::clone_args, function: extern "C" fn(*mut c_void) -> !, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: as promised by the caller. The child leaves by the call and never sees what is behind it.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") ptr::from_ref(args),
            in("rsi") size_of::<libc::clone_args>(),
            in("r8") function,
            in("r9") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// See the other one.
///
/// # Safety
/// `args` must name a stack; the function must not return.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &libc::clone_args, function: extern "C" fn(*mut c_void) -> !, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: as promised by the caller. The child leaves by the call and never sees what is behind it.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x4",
            "blr x3",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(args) => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x3") function,
            in("x4") argument,
        );
    }
    result
}

fn block_signals() -> io::Result<nix::sys::signal::SigSet> {
    let mut before = nix::sys::signal::SigSet::empty();
    let all = nix::sys::signal::SigSet::all();
    nix::sys::signal::pthread_sigmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before))?;
    Ok(before)
}

fn restore_signals(before: &nix::sys::signal::SigSet) {
    // The only error is a wrong first argument.
    let _ = nix::sys::signal::pthread_sigmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(before), None);
}

/// How a process ended: its code, or the signal that killed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
}

impl Child {
    /// Readable once the process, and with it everything in its pid namespace, has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.pidfd)
    }

    /// Ends it, and with it everything in its pid namespace.
    pub(super) fn kill(&self) {
        // It fails only for one that has ended.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits for its end, which is then known to the kernel no more.
    pub(super) fn wait(&mut self) -> io::Result<Ended> {
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    self.ended = true;
                    return Ok(match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Ended::Code(code),
                        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
                    });
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => {
                    // Somebody else has waited for all children of this process.
                    self.ended = true;
                    return Err(error.into());
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            let _ = self.wait();
        }
    }
}
