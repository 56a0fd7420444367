//! The process that guards a program which carries packets: it makes the namespaces, starts the program in them, and waits.
//!
//! It is the builder's own program once more, with one thread, as process 1 of a pid namespace, with mounts of its own. The program
//! has to stay in the network of this machine. So its process is forked first, and only then does this one go into a new network.
//!
//! The program finds the network at a path that only these two see, since those in `/proc` are not open to a program that gave
//! up its privileges.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::libc;
use nix::sched::CloneFlags;
use nix::unistd::{ForkResult, Pid};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use serde::{Deserialize, Serialize};

use crate::sandbox::error::Failure;
use crate::sandbox::init::{bring_up_loopback, detach_from_parent};
use crate::sandbox::path::c_string;
use crate::sandbox::root::open_folder;
use crate::sandbox::{attached, sys};

/// The name under which the program is executed to become a helper.
pub(in crate::sandbox) const NAME: &str = "imgbuild-sandbox-network";
/// Where the program finds the network namespace.
pub(super) const NETWORK: &str = "/tmp/network";
/// The folder of that, which is replaced.
const FOLDER: &str = "/tmp";
/// What a helper is told, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Whether it writes to descriptor 3 when the network is there, and stays; else it leaves a process behind and ends.
    pub(super) says_when: bool,
}

/// Makes the network, sends it to the builder, and guards it for ever; returns only if there is none.
pub(in crate::sandbox) fn run(job: OwnedFd, status: BorrowedFd<'_>, control: &OwnedFd) -> Option<Failure> {
    let step = |action: &'static str| move |errno: Errno| Failure::new(action, "", errno);
    let made = || -> Result<Option<OwnedFd>, Failure> {
        detach_from_parent(status, Some(control)).map_err(step("detach from the builder"))?;
        let mut text = Vec::new();
        File::from(job).read_to_end(&mut text).map_err(|_| step("read the description of the network")(Errno::IO))?;
        let job: Job =
            serde_json::from_slice(&text).map_err(|_| step("read the description of the network")(Errno::BADMSG))?;
        make(&job)
    };
    match made() {
        Err(failure) => Some(failure),
        // The program has written why.
        Ok(None) => None,
        Ok(Some(network)) => {
            if let Err(errno) = attached::send(control, b'n', network.as_fd()) {
                return Some(step("talk to the builder")(errno));
            }
            loop {
                // Until it is killed. What ends meanwhile is waited for, as process 1 has to.
                if nix::sys::wait::wait().is_err() {
                    nix::unistd::pause();
                }
            }
        }
    }
}

/// The network namespace with the program behind it; none if the program does not want to.
fn make(job: &Job) -> Result<Option<OwnedFd>, Failure> {
    let step = |action: &'static str| move |errno: Errno| Failure::new(action, "", errno);
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(step("make pipes"));
    make_place().map_err(step("make a place for the network"))?;
    let ((wait, go), (ready, ready_in)) = (pipe()?, pipe()?);
    // SAFETY: this process has one thread, so the child may do whatever it could.
    let child = match unsafe { nix::unistd::fork() } {
        Err(error) => return Err(step("start a process")(Errno::from_raw_os_error(error as i32))),
        Ok(ForkResult::Child) => {
            drop((go, ready));
            become_program(job, wait, &ready_in);
            // SAFETY: ends the process, with none of what its parent would do at its end.
            unsafe { libc::_exit(127) }
        }
        Ok(ForkResult::Parent { child }) => child,
    };
    drop((wait, ready_in));
    let network = enter_network().map_err(step("create a network namespace"))?;
    let told = File::from(go).write_all(b"1");
    let carries = told.is_ok()
        && match job.says_when {
            true => File::from(ready).read_exact(&mut [0]).is_ok(),
            false => succeeds(child),
        };
    Ok(carries.then_some(network))
}

/// An empty folder in memory with a file to mount the network on.
fn make_place() -> Result<(), Errno> {
    // What is mounted must not show outside.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let place = sys::new_mount(c"tmpfs", &[("mode", "0755")], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    sys::attach(&place, open_folder(FOLDER.as_ref())?.as_fd())?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, NETWORK, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Puts this process into a new network, with a loopback device, which is to be found at its place from now on.
fn enter_network() -> Result<OwnedFd, Errno> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Errno::from_raw_os_error(error as i32))?;
    bring_up_loopback()?;
    rustix::mount::mount_bind("/proc/self/ns/net", NETWORK)?;
    rustix::fs::open("/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// In the child: waits for the network and executes the program. What goes wrong it writes where the program would.
fn become_program(job: &Job, wait: OwnedFd, ready: &OwnedFd) {
    if File::from(wait).read_exact(&mut [0]).is_err() {
        return;
    }
    let words = [job.program.to_string_lossy().into_owned()].into_iter().chain(job.arguments.iter().cloned());
    let words: Result<Vec<CString>, Errno> = words.map(c_string).collect();
    let Ok(words) = words else { return };
    // SAFETY: nothing here uses descriptor 3 any more. The copy is not closed when the program is executed.
    let prepared = !job.says_when || unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(ready), 3) } == 3;
    if let (true, Some(program)) = (prepared, words.first()) {
        let path = c"PATH=/usr/bin:/bin:/usr/sbin:/sbin".to_owned();
        let Err(error) = nix::unistd::execve(program, &words, &[path]);
        let text = format!("it cannot be executed: {}\n", error.desc());
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    }
}

/// Whether a process ends well.
fn succeeds(process: Pid) -> bool {
    use nix::sys::wait::{WaitStatus, waitpid};
    loop {
        match waitpid(process, None) {
            Err(nix::Error::EINTR) => {}
            result => return matches!(result, Ok(WaitStatus::Exited(_, 0))),
        }
    }
}
