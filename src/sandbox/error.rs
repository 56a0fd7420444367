//! What can go wrong, in words that say what to do.
//!
//! Failures inside the sandbox cross a pipe as a [`Failure`]: which step, on what, with which error number. The parent
//! turns them into a [`SandboxError`].

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// A process that could not be run. One that ran and failed is no error but an [`Exit`](super::Exit).
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The command cannot be executed: the image's or the user's business.
    #[error("cannot run {command:?}: {problem}")]
    Command {
        /// The program as it was given.
        command: String,
        /// Why.
        problem: CommandProblem,
    },
    /// The sandbox cannot be built: the kernel's or the machine's business, or a mount that does not fit the image.
    #[error("cannot {action}{}{path}: {source}{}", if path.is_empty() { "" } else { " " }, hint(action, source))]
    Setup {
        /// What was tried, such as `mount the root file system at`.
        action: String,
        /// On which path, if on one.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit was asked for that cannot be enforced here.
    #[error("cannot enforce {flag} here: {reason}")]
    Limit {
        /// The flag that asks for it.
        flag: &'static str,
        /// Why not.
        reason: String,
    },
    /// A network of its own cannot be had.
    #[error("there is no private network to be had: {0}")]
    Network(String),
    /// The step was stopped on request. Nothing of it is left running.
    #[error("canceled")]
    Canceled,
    /// The sandbox's first process died before it could execute the command or say what is wrong.
    #[error("the sandbox ended unexpectedly while it was set up ({0})")]
    Lost(String),
}

impl SandboxError {
    /// What to do about a limit that cannot be enforced.
    pub const LIMIT_HELP: &str = "limits of memory, processors and processes need control groups that imgbuild can write to: \
        run it as root, or as `systemd-run --user --scope -p Delegate=yes imgbuild …` (docs/limits.md)";

    /// What to do about a network that cannot be had.
    pub const NETWORK_HELP: &str = "--network=private needs pasta or slirp4netns, and /dev/net/tun: on Debian and Ubuntu \
        `apt-get install passt` or `apt-get install slirp4netns`; --network=none and --network=host need neither";

    /// Whether it is the machine that cannot make the overlay of a root file system, whatever the step.
    pub fn is_overlay(&self) -> bool {
        matches!(self, Self::Setup { action, .. } if action.contains("overlay"))
    }

    /// For a call of the parent side.
    pub(super) fn here(action: &str, source: impl Into<io::Error>) -> Self {
        Self::Setup { action: action.into(), path: String::new(), source: source.into() }
    }
}

/// Why a command cannot be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandProblem {
    /// There is no such program, at the path or in any folder of `PATH`.
    NotFound,
    /// The program is there, but not the interpreter that it names (`#!` line, or dynamic loader).
    NoInterpreter,
    /// It may not be executed by this user.
    PermissionDenied,
    /// It is a folder.
    IsDirectory,
    /// It is neither a program of this architecture nor a script with a `#!` line.
    ExecFormat,
    /// The arguments and the environment are too long for the kernel.
    TooLong,
    /// Any other answer of the kernel, by error number.
    Other(i32),
}

impl fmt::Display for CommandProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such program in the image (looked in PATH if it has no slash)"),
            Self::NoInterpreter => f.write_str("its interpreter (#! line, or dynamic loader) is not in the image"),
            Self::PermissionDenied => {
                f.write_str("permission denied: the user may not execute it (check its mode and USER)")
            }
            Self::IsDirectory => f.write_str("it is a directory"),
            Self::ExecFormat => {
                f.write_str("exec format error: not a program for this machine, nor a script with a #! line")
            }
            Self::TooLong => f.write_str("the arguments and environment are too long"),
            Self::Other(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

/// How the first process in the sandbox tells its parent what failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failure {
    /// A step of the set-up.
    Setup { action: String, path: String, errno: i32 },
    /// The execution of the command itself.
    Command { command: String, problem: Problem, errno: i32 },
    /// No failure of ours: the command was ended by a signal, which an exit code could not say.
    Killed { signal: i32 },
}

/// [`CommandProblem`] as it crosses the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Problem {
    Errno,
    IsDirectory,
    NoInterpreter,
}

impl Failure {
    /// A set-up step that failed on a path (which may be empty).
    pub(super) fn new(action: &str, path: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self::Setup { action: action.into(), path: path.into(), errno: errno.raw_os_error() }
    }
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> Self {
        use nix::libc;
        match failure {
            Failure::Setup { action, path, errno } => {
                Self::Setup { action, path, source: io::Error::from_raw_os_error(errno) }
            }
            Failure::Command { command, problem, errno } => {
                let problem = match (problem, errno) {
                    (Problem::IsDirectory, _) => CommandProblem::IsDirectory,
                    (Problem::NoInterpreter, _) => CommandProblem::NoInterpreter,
                    (Problem::Errno, libc::ENOENT | libc::ENOTDIR) => CommandProblem::NotFound,
                    (Problem::Errno, libc::EACCES | libc::EPERM) => CommandProblem::PermissionDenied,
                    (Problem::Errno, libc::ENOEXEC) => CommandProblem::ExecFormat,
                    (Problem::Errno, libc::E2BIG) => CommandProblem::TooLong,
                    (Problem::Errno, errno) => CommandProblem::Other(errno),
                };
                Self::Command { command, problem }
            }
            Failure::Killed { signal } => Self::Lost(format!("signal {signal}")),
        }
    }
}

/// What to do about it, where we know.
fn hint(action: &str, error: &io::Error) -> &'static str {
    use nix::libc;
    let Some(errno) = error.raw_os_error() else { return "" };
    match errno {
        libc::EPERM | libc::EACCES if action.contains("namespace") => {
            "; run as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0); inside a container, give it CAP_SYS_ADMIN and an \
             unconfined seccomp profile"
        }
        libc::ENOSPC | libc::EUSERS if action.contains("namespace") => {
            "; the limit of namespaces is reached: raise the sysctls in /proc/sys/user/max_*_namespaces"
        }
        libc::EPERM if action == "set the limit" => "; only root can raise a hard limit above that of imgbuild itself",
        libc::ENOSYS => "; the kernel is too old: Linux 5.12 is needed",
        libc::ENODEV if action.contains("overlay") => "; the kernel has no overlayfs: load it with 'modprobe overlay'",
        libc::EINVAL if action.contains("overlay") => {
            "; steps cannot run on layers in the store's file system, if that is itself an overlay, a network file \
             system or one in user space (FUSE): choose another place with --root or IMGBUILD_ROOT; 'dmesg' has the \
             kernel's reason"
        }
        libc::EPERM if action.contains("/proc") || action.contains("/sys") => {
            "; inside a container whose own /proc or /sys is masked, a new one cannot be mounted: unmask them"
        }
        libc::EINVAL if action.contains("user") || action.contains("working folder") || action.contains("socket") => {
            "; the step's user or group has no place in this user namespace: give yourself more subordinate ids \
             (/etc/subuid and /etc/subgid)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let check = |failure: Failure, expected: &str| {
            let text = SandboxError::from(failure).to_string();
            assert!(text.starts_with(expected), "{text}");
        };
        let setup = |action: &str, path: &str, errno| Failure::new(action, path, errno);
        use rustix::io::Errno;
        check(setup("mount a tmpfs at", "/t", Errno::NOSPC), "cannot mount a tmpfs at /t: No space left");
        check(
            setup("mount an overlay of the layers", "", Errno::NODEV),
            "cannot mount an overlay of the layers: No such device (os error 19); the kernel has no overlayfs",
        );
        let command =
            |errno: Errno, problem| Failure::Command { command: "x".into(), problem, errno: errno.raw_os_error() };
        check(command(Errno::NOENT, Problem::Errno), "cannot run \"x\": no such program");
        check(command(Errno::ACCESS, Problem::IsDirectory), "cannot run \"x\": it is a directory");
        check(command(Errno::NOEXEC, Problem::Errno), "cannot run \"x\": exec format error");
    }
}
