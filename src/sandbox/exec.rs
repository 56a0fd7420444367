//! Finding the program and becoming it.

use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use crate::sandbox::error::{Failure, Problem};
use crate::sandbox::path::{c_string, is_dir};
use crate::sandbox::spec::Spec;

/// What is searched if the environment has no `PATH`, as for Docker's images.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Replaces this process by the command, or says why it cannot.
///
/// The kernel decides for each candidate; nothing is tested beforehand, so nothing can differ from what it thinks.
pub(super) fn exec(spec: &Spec) -> Failure {
    let command = spec.args.first().cloned().unwrap_or_default();
    let failure =
        |problem, errno: Errno| Failure::Command { command: command.clone(), problem, errno: errno.raw_os_error() };
    let args: Result<Vec<CString>, Errno> = spec.args.iter().map(|arg| c_string(arg.as_str())).collect();
    let env: Result<Vec<CString>, Errno> =
        spec.env.iter().map(|(name, value)| c_string(format!("{name}={value}"))).collect();
    let (args, env) = match (args, env) {
        (Ok(args), Ok(env)) => (args, env),
        (Err(errno), _) | (_, Err(errno)) => return failure(Problem::Errno, errno),
    };
    if command.is_empty() {
        return failure(Problem::Errno, Errno::NOENT);
    }
    let mut refused = None;
    for candidate in candidates(spec, &command) {
        let Ok(program) = c_string(candidate) else { continue };
        let (problem, errno) = try_exec(&program, &args, &env);
        match errno {
            Errno::NOENT | Errno::NOTDIR if problem == Problem::Errno => {}
            // As a shell does: one that may not be executed is passed over, but named if there is no other.
            Errno::ACCESS => {
                refused.get_or_insert((problem, errno));
            }
            _ => return failure(problem, errno),
        }
    }
    let (problem, errno) = refused.unwrap_or((Problem::Errno, Errno::NOENT));
    failure(problem, errno)
}

/// The paths that may be meant by a command, in order.
fn candidates(spec: &Spec, command: &str) -> Vec<String> {
    if command.contains('/') {
        return vec![command.to_owned()];
    }
    let path = spec.env.iter().rev().find_map(|(name, value)| (name == "PATH").then_some(value.as_str()));
    path.unwrap_or(DEFAULT_PATH)
        .split(':')
        .map(|folder| if folder.is_empty() { format!("./{command}") } else { format!("{folder}/{command}") })
        .collect()
}

/// Executes a program; returns what is wrong with it.
fn try_exec(program: &CString, args: &[CString], env: &[CString]) -> (Problem, Errno) {
    let error = match nix::unistd::execve(program, args, env) {
        Ok(never) => match never {},
        Err(error) => Errno::from_raw_os_error(error as i32),
    };
    let problem = match error {
        Errno::ACCESS if is_folder(program) => Problem::IsDirectory,
        Errno::NOENT if rustix::fs::statat(CWD, program, AtFlags::empty()).is_ok() => Problem::NoInterpreter,
        _ => Problem::Errno,
    };
    (problem, error)
}

fn is_folder(program: &CString) -> bool {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::openat(CWD, program, flags, rustix::fs::Mode::empty())
        .is_ok_and(|file| is_dir(file.as_fd()).unwrap_or(false))
}
