//! Becoming root without being root: a user namespace in which this process may do to its own files what root may.
//!
//! The process itself enters the namespace; there is no second one to pass signals and terminals on. The kernel lets
//! nobody map more than their own user, so `newuidmap` and `newgidmap` do it, which are allowed to for the ranges in
//! `/etc/subuid` and `/etc/subgid` (subuid(5)). They must run outside, so a child is forked that waits until we are
//! inside. Without a range there is one user only, root: files of others become root's.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::unistd::{ForkResult, Pid};
use rustix::io::Errno;

use crate::users::Users;

/// What this process may do to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// Those that it had: it was root already, perhaps in a namespace that somebody else made.
    Root,
    /// What root may, to its own files: in a user namespace, with users besides root.
    Mapped,
    /// The same, but there are no other users.
    Single,
}

/// A user namespace that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// The kernel refuses one.
    #[error("the kernel does not let this user have a user namespace")]
    Refused(#[source] std::io::Error),
    /// The programs that map users refuse.
    #[error("{program} refuses to map the users of this user's range: {message}")]
    Mapping {
        /// Which one.
        program: &'static str,
        /// What it says.
        message: String,
    },
    /// Something else went wrong.
    #[error("a user namespace cannot be set up")]
    Io(#[from] std::io::Error),
}

impl From<Errno> for UserNamespaceError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Whether this process is in a user namespace, and not in the machine's own. There overlayfs keeps its notes in
/// `user.overlay.*` attributes, since `trusted.*` ones are root's.
pub(super) fn inside() -> bool {
    Users::of_process() != Users::All
}

/// A range of users or groups that belongs to this user: the first one, and how many.
type Range = (u32, u32);

/// Enters a user namespace in which this process is root, unless it is root already.
///
/// To be called while there is one thread. `helpers` says whether `newuidmap` and `newgidmap` are installed.
pub fn become_root(helpers: bool) -> Result<Privileges, UserNamespaceError> {
    if rustix::process::geteuid().is_root() {
        return Ok(Privileges::Root);
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let range =
        |file: &str| -> Option<Range> { find_range(&std::fs::read_to_string(file).ok()?, user.as_deref(), uid) };
    match (range("/etc/subuid"), range("/etc/subgid")) {
        (Some(users), Some(groups)) if helpers => {
            map_ranges((uid, users), (gid, groups))?;
            Ok(Privileges::Mapped)
        }
        _ => {
            unshare()?;
            // Who may leave a group could get at what the group was kept from; so the kernel demands that nobody may.
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
            Ok(Privileges::Single)
        }
    }
}

/// With mounts of its own too: only there may it mount anything.
fn unshare() -> Result<(), UserNamespaceError> {
    use nix::sched::CloneFlags;
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|error| UserNamespaceError::Refused(error.into()))
}

/// Enters the namespace and has the two programs map this user to root, and the ranges to what comes after.
fn map_ranges(users: (u32, Range), groups: (u32, Range)) -> Result<(), UserNamespaceError> {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (answer, answering) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { nix::unistd::fork() }.map_err(|error| UserNamespaceError::Io(error.into()))? {
        ForkResult::Child => {
            drop((go, answer));
            let text = map_when_told(wait, process, users, groups);
            let _ = std::fs::File::from(answering).write_all(text.as_bytes());
            // SAFETY: ends the process, with none of what its parent would do at its end.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((wait, answering));
            let entered = unshare();
            if entered.is_ok() {
                std::fs::File::from(go).write_all(b"1")?;
            } else {
                drop(go);
            }
            let mut text = String::new();
            std::fs::File::from(answer).read_to_string(&mut text)?;
            wait_for(child);
            entered?;
            match text.split_once('\n') {
                None => Ok(()),
                Some((program, message)) => Err(UserNamespaceError::Mapping {
                    program: if program == "newuidmap" { "newuidmap" } else { "newgidmap" },
                    message: message.trim().to_owned(),
                }),
            }
        }
    }
}

fn wait_for(child: Pid) {
    while nix::sys::wait::waitpid(child, None) == Err(nix::Error::EINTR) {}
}

/// In the child: what went wrong, as the name of the program and what it says; nothing if all went well.
fn map_when_told(wait: OwnedFd, process: i32, users: (u32, Range), groups: (u32, Range)) -> String {
    let mut byte = [0];
    if std::fs::File::from(wait).read_exact(&mut byte).is_err() {
        return String::new();
    }
    let mut failed = String::new();
    for (program, (own, (first, count))) in [("newuidmap", users), ("newgidmap", groups)] {
        let map = ["0", &own.to_string(), "1", "1", &first.to_string(), &count.to_string()].map(str::to_owned);
        let result = Command::new(program).arg(process.to_string()).args(map).output();
        let message = match result {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let _ = write!(failed, "{program}\n{message}");
        break;
    }
    failed
}

/// The first range of a user in the text of `/etc/subuid` or `/etc/subgid`: lines of name or number, first, count.
fn find_range(text: &str, user: Option<&str>, uid: u32) -> Option<Range> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let own = Some(owner) == user || owner.parse() == Ok(uid);
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (own && range.1 > 0).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        let text = "root:1:2\nuser:100000:65536\n# a comment\n1001:5:0\n1001:200000:10\nbroken:x:1\n";
        let check = |user: Option<&str>, uid: u32, expected: Option<Range>| {
            assert_eq!(find_range(text, user, uid), expected, "{user:?} {uid}");
        };
        check(Some("user"), 1000, Some((100_000, 65536)));
        check(Some("nobody"), 1001, Some((200_000, 10)));
        check(None, 1001, Some((200_000, 10)));
        check(Some("broken"), 7, None);
        check(None, 7, None);
    }
}
