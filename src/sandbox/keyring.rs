//! The keyrings of the kernel: a sandbox has none of the builder's.
//!
//! A session keyring is inherited by whatever a session starts, and who has it may read what is in it: keys of file
//! systems, tokens, tickets. The system call filter keeps steps from asking; where there is none, an empty keyring does.

use nix::libc;
use rustix::io::{Errno, Result};

/// `KEYCTL_JOIN_SESSION_KEYRING` (keyctl(2)).
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Leaves the session keyring for a new one that is empty. A kernel without keyrings has nothing to leave.
pub(super) fn leave() -> Result<()> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: the call takes a name or none, and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) };
    match result {
        -1 => match Errno::from_raw_os_error(nix::Error::last_raw()) {
            Errno::NOSYS => Ok(()),
            errno => Err(errno),
        },
        _ => Ok(()),
    }
}
