//! Limits of single processes, setrlimit(2), by the process that becomes the command; and what is said of a limit that was met.
//!
//! They are set last, just before privileges are dropped: a sandbox that is being built needs more descriptors and memory than
//! its command may be allowed, and only with privileges can a limit be raised.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::libc;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::graph::limits::{Resource, Size, Time, Ulimit};
use crate::sandbox::Exit;
use crate::sandbox::error::Failure;

/// A limit as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RawLimit {
    resource: u32,
    soft: u64,
    hard: u64,
}

impl From<Ulimit> for RawLimit {
    fn from(limit: Ulimit) -> Self {
        let number = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        Self { resource: number_of(limit.resource), soft: number(limit.soft), hard: number(limit.hard) }
    }
}

/// The kernel's number of a resource.
fn number_of(resource: Resource) -> u32 {
    match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}

/// Gives this process its limits, which it hands on to what it executes.
pub(super) fn apply(limits: &[RawLimit]) -> Result<(), Failure> {
    for limit in limits {
        let value = libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard };
        // SAFETY: the kernel reads one struct and writes none. This process has one thread, and 0 stands for it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_prlimit64,
                0,
                limit.resource,
                &raw const value,
                std::ptr::null_mut::<libc::rlimit64>(),
            )
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            let known = Resource::ALL.iter().find(|(resource, _)| number_of(*resource) == limit.resource);
            let name = known.map_or("", |(_, name)| name);
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            return Err(Failure::new("set the limit", format!("{name}={}:{}", limit.soft, limit.hard), errno));
        }
    }
    Ok(())
}

/// A limit of all processes of a sandbox together that they met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// So many bytes of memory: the kernel killed a process.
    Memory(u64),
    /// So many processes at once: the kernel refused another one.
    Processes(u64),
    /// So much time: all of them were killed.
    Time(Duration),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "the memory limit of {}", Size(*bytes)),
            Self::Processes(number) => write!(f, "the limit of {number} processes"),
            Self::Time(time) => write!(f, "the time limit of {}", Time(*time)),
        }
    }
}

/// How a process ended that met a limit, if it did.
///
/// One that succeeded although the kernel killed a process of its for memory has failed: what it made is not what it would make
/// with more. One that was refused a process and succeeded has managed without.
pub(super) fn judge(exit: Exit, exceeded: Option<Exceeded>) -> Exit {
    match exceeded {
        None => exit,
        Some(Exceeded::Processes(_)) if exit == Exit::Code(0) => exit,
        Some(exceeded) => Exit::Limit(exceeded, exit.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_met_is_named() {
        let check = |exit: Exit, exceeded: Option<Exceeded>, expected: &str| {
            assert_eq!(judge(exit, exceeded).to_string(), expected);
        };
        let (memory, processes) = (Some(Exceeded::Memory(64 << 20)), Some(Exceeded::Processes(20)));
        check(Exit::Code(0), None, "exit code 0");
        check(Exit::Signal(9), memory, "exit code 137 at the memory limit of 64 MiB");
        check(Exit::Code(0), memory, "exit code 0 at the memory limit of 64 MiB");
        check(Exit::Code(0), processes, "exit code 0");
        check(Exit::Code(2), processes, "exit code 2 at the limit of 20 processes");
        check(
            Exit::Signal(9),
            Some(Exceeded::Time(Duration::from_secs(90))),
            "exit code 137 at the time limit of 1m30s",
        );
    }
}
