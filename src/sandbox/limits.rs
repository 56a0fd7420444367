//! Limits of single processes: setrlimit(2), by the process that becomes the command.
//!
//! They are set last, just before privileges are dropped: a sandbox that is being built needs more descriptors and memory than
//! its command may be allowed, and only with privileges can a limit be raised.

use std::io;

use nix::libc;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::graph::limits::{Resource, Ulimit};
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
