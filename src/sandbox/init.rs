//! Inside the sandbox: builds the root file system from the spec, gives up privileges, becomes the command.
//!
//! It runs in a fresh execution of the builder's program with one thread, before anything else in `main`. Descriptor 3
//! holds the [`Job`], 4 takes a [`Failure`]. 0, 1 and 2 are the command's own.
//!
//! There are two processes, each the first one of its pid namespace. The outer one is the guard: the kernel kills it when
//! the builder dies, and with it all that is in its namespace and those below. The command itself cannot be that process,
//! since the kernel forgets about the builder's death when a process changes its user, as `su` and all set-user-id
//! programs do. So the command is the first process of a namespace of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use nix::libc;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::sandbox::cgroup::Groups;
use crate::sandbox::error::Failure;
use crate::sandbox::limits::{self, RawLimit};
use crate::sandbox::mounts::Mounter;
use crate::sandbox::path::{self, Missing};
use crate::sandbox::root::{Overlay, open_folder};
use crate::sandbox::spec::{Network, Spec};
use crate::sandbox::{attached, caps, exec, keyring, network, scope, seccomp, standard, sys};

/// The name under which the program is executed to become a sandbox.
pub(super) const NAME: &str = "imgbuild-sandbox-init";

/// The descriptors that it is given.
pub(super) const JOB_FD: i32 = 3;
/// See [`JOB_FD`].
pub(super) const STATUS_FD: i32 = 4;
/// The name of one whose builder wants to talk to the process: see [`attached`](super::attached).
pub(super) const ATTACHED_NAME: &str = "imgbuild-sandbox-attached";
/// The socket on which such a one answers.
pub(super) const CONTROL_FD: i32 = 5;

/// The size of `/dev/shm` where nothing else is asked for, in bytes: Docker's.
const SHM_SIZE: u64 = 64 << 20;

/// What `init` is told, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    /// What to run.
    pub(super) spec: Spec,
    /// Whether devices on its file systems must not be opened, because no control group watches them.
    pub(super) nodev: bool,
    /// The sockets that stand for the spec's socket mounts, by their place in it.
    pub(super) sockets: BTreeMap<usize, PathBuf>,
    /// Rows and columns of the terminal that the process gets for its streams.
    #[serde(default)]
    pub(super) terminal: Option<(u16, u16)>,
    /// Whether the root file system cannot be written to.
    #[serde(default)]
    pub(super) readonly: bool,
    /// The limits of each process.
    pub(super) ulimits: Vec<RawLimit>,
    /// The size of `/dev/shm` in bytes.
    pub(super) shm_size: u64,
    /// Files through which it enters control groups.
    pub(super) entrances: Vec<PathBuf>,
}

impl Job {
    /// What is told of a spec, and nothing besides.
    pub(super) fn new(spec: &Spec, groups: &Groups, nodev: bool) -> Self {
        let mut told = spec.clone();
        if spec.network == Network::Private {
            told.resolv_conf = network::resolv_conf(&spec.resolv_conf);
        }
        Self {
            spec: told,
            nodev,
            sockets: BTreeMap::new(),
            terminal: None,
            readonly: false,
            ulimits: spec.limits.ulimits.iter().copied().map(RawLimit::from).collect(),
            shm_size: spec.limits.shm_size.unwrap_or(SHM_SIZE),
            entrances: groups.entrances(),
        }
    }
}

/// Becomes the sandbox and then the command, if this process was started for that; else returns at once.
///
/// To be called first in `main`, while there is one thread.
pub fn init_if_asked() {
    let name = std::env::args_os().next();
    let is = |other: &str| name.as_deref() == Some(OsStr::new(other));
    let (attached, network) = (is(ATTACHED_NAME), is(network::helper::NAME));
    if std::process::id() != 1 || !(attached || network || is(NAME)) {
        return;
    }
    // SAFETY: whoever executes us under this name, as process 1, has put the two there for us.
    let (job, status) = unsafe { (OwnedFd::from_raw_fd(JOB_FD), OwnedFd::from_raw_fd(STATUS_FD)) };
    // SAFETY: with the other names, there is a third.
    let control = (attached || network).then(|| unsafe { OwnedFd::from_raw_fd(CONTROL_FD) });
    let failure = match &control {
        Some(control) if network => network::helper::run(job, status.as_fd(), control),
        _ => Some(run(job, status.as_fd(), control)),
    };
    if let Some(Ok(text)) = failure.map(|failure| serde_json::to_vec(&failure)) {
        // Less than a pipe holds. If nobody listens any more, there is nobody to tell.
        let _ = rustix::io::write(&status, &text);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the process has nothing else to end, and must not run on as another program"
    )]
    std::process::exit(127);
}

/// Executes the command; returns only if it cannot.
fn run(job: OwnedFd, status: BorrowedFd<'_>, control: Option<OwnedFd>) -> Failure {
    let step = |action: &'static str| move |errno| Failure::new(action, "", errno);
    let prepared = detach_from_parent(status, control.as_ref())
        .map_err(step("detach from the builder"))
        .and_then(|()| leave_guard(status, control).map_err(step("create namespaces")))
        .and_then(|control| prepare(job, control));
    match prepared {
        Ok(spec) => exec::exec(&spec),
        Err(failure) => failure,
    }
}

/// Goes on in a child, in a pid namespace of its own; this process guards it.
fn leave_guard(status: BorrowedFd<'_>, control: Option<OwnedFd>) -> Result<Option<OwnedFd>, Errno> {
    let errno = |error: nix::Error| Errno::from_raw_os_error(error as i32);
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).map_err(errno)?;
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { nix::unistd::fork() }.map_err(errno)? {
        nix::unistd::ForkResult::Child => rustix::process::setsid().map(|_| control),
        nix::unistd::ForkResult::Parent { child } => {
            let child = rustix::process::Pid::from_raw(child.as_raw());
            if let (Some(control), Some(child)) = (control, child) {
                // Without it no signal reaches the process. Whoever asked for it sees that it does not come.
                let process = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty());
                let _ = process.and_then(|process| attached::send(&control, attached::PROCESS, process.as_fd()));
            }
            guard(child, status)
        }
    }
}

/// Ends as the child ends.
fn guard(child: Option<rustix::process::Pid>, status: BorrowedFd<'_>) -> ! {
    use rustix::process::{WaitOptions, waitpid};
    // Whoever reads the command's output sees when nobody can write any more.
    // SAFETY: nothing here uses these descriptors any more.
    unsafe { libc::close_range(0, JOB_FD as u32, 0) };
    let code = loop {
        let ended = match waitpid(child, WaitOptions::empty()) {
            Ok(Some((_, ended))) => ended,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => break 127,
        };
        if let Some(code) = ended.exit_status() {
            break code;
        }
        if let Some(signal) = ended.terminating_signal() {
            if let Ok(text) = serde_json::to_vec(&Failure::Killed { signal }) {
                let _ = rustix::io::write(status, &text);
            }
            break 127;
        }
    };
    // SAFETY: ends the process, and with it all others here.
    unsafe { libc::_exit(code) }
}

fn prepare(job: OwnedFd, control: Option<OwnedFd>) -> Result<Spec, Failure> {
    let step = |action: &'static str| move |errno| Failure::new(action, "", errno);
    let Job { spec, nodev, sockets, terminal, readonly, ulimits, shm_size, entrances } = read(job)?;
    enter_groups(&entrances)?;
    let sockets = sockets
        .iter()
        .map(|(&index, path)| {
            Ok((index, rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?))
        })
        .collect::<Result<BTreeMap<usize, OwnedFd>, Errno>>()
        .map_err(step("open the sockets"))?;

    // What we mount must not show outside.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(step("make the mounts private"))?;

    let attributes = if nodev { MountAttrFlags::MOUNT_ATTR_NODEV } else { MountAttrFlags::empty() };
    let (root, scratch) = mount_root(&spec, attributes)?;
    let cwd = |errno| Failure::new("make the working folder", spec.cwd.as_str(), errno);
    // Before the mounts, as BuildKit: a folder that is made under a mount is part of the layer.
    let owner = Some((spec.uid, spec.gid));
    path::open_or_make(root.as_fd(), spec.cwd.as_bytes(), Missing::Dir, owner, &|_| Ok(())).map_err(cwd)?;

    standard::mount(root.as_fd(), &spec, nodev, shm_size)?;
    let root_mount = path::mount_id(&root).map_err(step("look at the root file system"))?;
    let mut mounter =
        Mounter { root: root.as_fd(), root_mount, scratch: scratch.as_fd(), attributes, sockets, names: 0 };
    mounter.mount_all(&spec)?;
    enter(&root).map_err(step("change to the new root file system"))?;

    rustix::system::sethostname(spec.hostname.as_bytes()).map_err(step("set the host name"))?;
    if spec.network == Network::None {
        bring_up_loopback().map_err(step("bring up the loopback device"))?;
    }
    let root = open_folder("/".as_ref()).map_err(cwd)?;
    let folder = path::open_or_make(root.as_fd(), spec.cwd.as_bytes(), Missing::Dir, None, &|_| Ok(())).map_err(cwd)?;
    rustix::process::fchdir(&folder)
        .map_err(|errno| Failure::new("enter the working folder", spec.cwd.as_str(), errno))?;
    if let (Some(size), Some(control)) = (terminal, &control) {
        attached::make_terminal(control, size, spec.uid).map_err(step("make a terminal"))?;
    }
    if readonly {
        // Last: the working folder and mount points may have been missing.
        sys::add_mount_attributes(&root, MountAttrFlags::MOUNT_ATTR_RDONLY, false)
            .map_err(step("make the root file system read-only"))?;
    }
    limits::apply(&ulimits)?;
    drop_privileges(&spec)?;
    Ok(spec)
}

/// Goes where this process, and what it starts, is counted. The guard stays outside.
fn enter_groups(entrances: &[PathBuf]) -> Result<(), Failure> {
    for path in entrances {
        let failed = |errno| Failure::new("enter the control group", path.to_string_lossy(), errno);
        let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        rustix::io::write(&file, b"0").map_err(failed)?;
    }
    Ok(())
}

fn read(job: OwnedFd) -> Result<Job, Failure> {
    let failed = |errno| Failure::new("read the description of the step", "", errno);
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(job), &mut text)
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    serde_json::from_slice(&text).map_err(|_| failed(Errno::BADMSG))
}

/// Leaves behind what is inherited from the builder: its session, signals, descriptors, file mode mask.
pub(super) fn detach_from_parent(status: BorrowedFd<'_>, control: Option<&OwnedFd>) -> Result<(), Errno> {
    let last = if control.is_some() { CONTROL_FD } else { STATUS_FD };
    // SAFETY: the range begins behind the descriptors that are in use here.
    let closed = unsafe { libc::close_range(last as u32 + 1, u32::MAX, 0) };
    if closed != 0 {
        return Err(Errno::from_raw_os_error(nix::Error::last_raw()));
    }
    rustix::io::fcntl_setfd(status, rustix::io::FdFlags::CLOEXEC)?;
    if let Some(control) = control {
        rustix::io::fcntl_setfd(control, rustix::io::FdFlags::CLOEXEC)?;
    }
    end_with_parent(status)?;
    rustix::process::setsid()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Past the C library, which does not let go of the two that it uses itself. Zero is the default action, without
    // flags and mask, in the kernel's form of the struct too.
    let default = [0u64; 4];
    for number in 1..=64 {
        // SAFETY: the kernel reads the struct and writes none. It refuses signals that have no other action.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), std::ptr::null::<u64>(), 8) };
    }
    let none = nix::sys::signal::SigSet::empty();
    nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&none), None)
        .map_err(|error| Errno::from_raw_os_error(error as i32))
}

/// Dies if the builder dies, and now if it is dead already: then nobody holds the other end of the status pipe.
fn end_with_parent(status: BorrowedFd<'_>) -> Result<(), Errno> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut fds = [PollFd::from_borrowed_fd(status, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if fds[0].revents().contains(PollFlags::ERR) { Err(Errno::PIPE) } else { Ok(()) }
}

/// The overlay of the step's layers and a scratch folder in memory, both at places of the host's tree that only this
/// process sees so.
fn mount_root(spec: &Spec, attributes: MountAttrFlags) -> Result<(OwnedFd, OwnedFd), Failure> {
    let open = |path: &PathBuf| {
        open_folder(path).map_err(|errno| Failure::new("open the layer folder", path.to_string_lossy(), errno))
    };
    let lower = spec.lower.iter().map(open).collect::<Result<Vec<OwnedFd>, Failure>>()?;
    let (upper, work) = (open(&spec.upper)?, open(&spec.work)?);
    let prepare = || -> Result<OwnedFd, Errno> {
        let scratch = sys::new_mount(c"tmpfs", &[("mode", "0700")], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        sys::attach(&scratch, work.as_fd())?;
        Ok(scratch)
    };
    let scratch = prepare().map_err(|errno| Failure::new("mount a tmpfs for the sandbox", "", errno))?;
    let overlay = Overlay { lower, upper: Some((upper.as_fd(), work.as_fd())), attributes };
    let root = overlay
        .mount(scratch.as_fd(), "root")
        .map_err(|errno| Failure::new("mount an overlay of the layers", "", errno))?;
    Ok((root, scratch))
}

/// Makes `root` the root of this mount namespace and drops all that was there before.
fn enter(root: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // The old root is now on top of the new one.
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

pub(super) fn bring_up_loopback() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all of it are numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, &byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is one for flags, and lives during the call.
    let result =
        unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(nix::Error::last_raw())) }
}

/// Becomes the spec's user with the sandbox's capabilities and filter.
fn drop_privileges(spec: &Spec) -> Result<(), Failure> {
    let step = |action: &'static str| move |errno| Failure::new(action, "", errno);
    // Where the filter keeps the process from all keyrings, one may as well stay: a user may have a limited number of them.
    match keyring::leave() {
        Err(errno) if spec.privileged => return Err(step("leave the session's keyring")(errno)),
        _ => {}
    }
    if spec.network == Network::Host && !spec.privileged {
        // A kernel that cannot do it has said so by now.
        scope::cut_off().map_err(|_| step("cut the process off from abstract sockets")(Errno::PERM))?;
    }
    let kept = if spec.privileged { CapabilitySet::all() } else { caps::DEFAULT };
    caps::limit(kept).map_err(step("limit the capabilities"))?;
    if !spec.privileged {
        seccomp::install().map_err(step("install the system call filter"))?;
    }
    caps::reduce(kept).map_err(step("give up capabilities"))?;
    let user = step("become the step's user");
    if [spec.uid, spec.gid].iter().chain(&spec.groups).any(|&id| id == u32::MAX) {
        return Err(user(Errno::INVAL));
    }
    let groups: Vec<Gid> = spec.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(spec.uid), Gid::from_raw(spec.gid));
    match rustix::thread::set_thread_groups(&groups) {
        // A user namespace with a single user may not change them: then the process keeps what the builder has.
        Err(Errno::PERM) if groups.iter().all(|&other| other == gid) => {}
        result => result.map_err(user)?,
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(user)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(user)?;
    match spec.no_new_privileges {
        true => rustix::thread::set_no_new_privs(true).map_err(step("give up gaining privileges")),
        false => Ok(()),
    }
}
