//! Running a spec: the trait, and the builder's side of the real sandbox.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;

use crate::event::Stream;
use crate::sandbox::cgroup::{self, Groups};
use crate::sandbox::error::Failure;
use crate::sandbox::init::{self, Job};
use crate::sandbox::limits::judge;
use crate::sandbox::network::Private;
use crate::sandbox::program::Program;
use crate::sandbox::relay::Relays;
use crate::sandbox::spawn::{self, Child, Ended, Start};
use crate::sandbox::{Cancel, Exceeded, Exit, Network, SandboxError, Spec, devices};

/// What the child is handed has descriptors from here on, above the numbers that they get: so putting one in its place
/// never closes another.
const FIRST_FD: i32 = 16;

/// Runs processes in sandboxes. Any number at once, from any threads.
pub trait Executor: Send + Sync {
    /// Runs a spec to its end. What it writes is handed to `output` as it comes, in order for each stream.
    ///
    /// When this returns, nothing of the process is left but what it did to the spec's upper folder and mounts. A
    /// command that fails is an [`Exit`], not an error.
    ///
    /// # Errors
    /// If the sandbox or the command cannot be started, or if `cancel` was tripped.
    fn run(&self, spec: &Spec, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, SandboxError>;
}

/// Runs nothing: a function says what came of it. For tests of what calls an [`Executor`].
pub struct Simulated<F>(
    /// What happens instead of the process.
    pub F,
);

impl<F> Executor for Simulated<F>
where
    F: Fn(&Spec, &mut dyn FnMut(Stream, &[u8])) -> Result<Exit, SandboxError> + Send + Sync,
{
    fn run(&self, spec: &Spec, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, SandboxError> {
        if cancel.is_canceled() { Err(SandboxError::Canceled) } else { (self.0)(spec, output) }
    }
}

/// Runs processes on this machine, in namespaces of their own.
///
/// Needs to be root in a user namespace that may mount overlays: the initial one, or one made for that.
pub struct Namespaces {
    program: Program,
    group: OnceLock<Option<PathBuf>>,
    swept: OnceLock<()>,
}

impl Namespaces {
    /// The executor whose sandboxes are set up by this very program: its `main` begins with
    /// [`init_if_asked`](super::init_if_asked).
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn new() -> io::Result<Self> {
        Self::with_init(Path::new("/proc/self/exe"))
    }

    /// One whose sandboxes are set up by another program, as in tests.
    ///
    /// # Errors
    /// If the program cannot be opened.
    pub fn with_init(program: &Path) -> io::Result<Self> {
        Ok(Self { program: Program::open(program, FIRST_FD)?, group: OnceLock::new(), swept: OnceLock::new() })
    }

    /// Starts the sandbox; the pipes of the result are those of the new process.
    fn start(&self, spec: &Spec, sockets: &BTreeMap<usize, PathBuf>) -> Result<Running, SandboxError> {
        let around = self.around(spec)?;
        let (child, [stdout, stderr, status]) = self.in_group(|group| self.start_in(spec, sockets, &around, group))?;
        Ok(Running { child, stdout, stderr, status, around, deadline: Deadline::of(spec) })
    }

    /// The groups and the network that a spec needs. The first time, what killed builders left of such is removed.
    pub(super) fn around(&self, spec: &Spec) -> Result<Around, SandboxError> {
        self.swept.get_or_init(cgroup::sweep);
        let groups = Groups::make(&spec.limits)?;
        let network = (spec.network == Network::Private).then(|| self.private_network()).transpose()?;
        Ok(Around { groups, network })
    }

    /// Starts something in the group that keeps devices from it, or without one where there is none.
    pub(super) fn in_group<T>(
        &self,
        start: impl Fn(Option<&OwnedFd>) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        if let Some(place) = self.group.get_or_init(devices::place) {
            // Another process may remove the group between opening and use, since it is shared; then once more.
            for _ in 0..8 {
                let group = match devices::open(place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(_) => break,
                    Ok(group) => group,
                };
                let result = start(Some(&group));
                match &result {
                    Err(SandboxError::Setup { source, .. }) => match source.raw_os_error() {
                        Some(libc::ENODEV | libc::ENOENT) => {}
                        // It cannot be joined from where we are.
                        Some(libc::EACCES | libc::EBUSY | libc::EOPNOTSUPP) => break,
                        _ => return result,
                    },
                    _ => return result,
                }
            }
        }
        start(None)
    }

    fn start_in(
        &self,
        spec: &Spec,
        sockets: &BTreeMap<usize, PathBuf>,
        around: &Around,
        group: Option<&OwnedFd>,
    ) -> Result<(Child, [OwnedFd; 3]), SandboxError> {
        let failed = |action: &'static str| move |error: io::Error| SandboxError::here(action, error);
        let pipes = || -> io::Result<[(OwnedFd, OwnedFd); 3]> {
            Ok([pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?])
        };
        let [(stdout, stdout_in), (stderr, stderr_in), (status, status_in)] = pipes().map_err(failed("make pipes"))?;
        let nodev = nodev(spec, &around.groups, group);
        let job = Job { sockets: sockets.clone(), ..Job::new(spec, &around.groups, nodev) };
        let job = write_job(&job).map_err(failed("describe the step"))?;
        let open_null = || rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let null = open_null().map_err(|errno| SandboxError::here("open /dev/null", errno))?;
        debug_assert_eq!((init::JOB_FD, init::STATUS_FD), (3, 4));
        let fds = [&null, &stdout_in, &stderr_in, &job, &status_in];
        let child = self.spawn(Birth::of(spec, around, group), init::NAME, &fds)?;
        Ok((child, [stdout, stderr, status]))
    }

    /// Starts our own program under another name with these descriptors, from 0 on.
    pub(super) fn spawn(&self, birth: Birth<'_>, name: &str, fds: &[&OwnedFd]) -> Result<Child, SandboxError> {
        let fds = fds.iter().map(|fd| {
            rustix::io::fcntl_dupfd_cloexec(fd, FIRST_FD).map_err(|errno| SandboxError::here("copy descriptors", errno))
        });
        let fds: Vec<OwnedFd> = fds.collect::<Result<_, _>>()?;
        let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let name = CString::new(name).map_err(|_| SandboxError::Lost("no name".into()))?;
        let Birth { namespaces, network, group } = birth;
        let program =
            self.program.guarded().map_err(|error| SandboxError::here("guard the builder's program", error))?;
        let start = Start { program: program.as_fd(), name: &name, fds: &raw, namespaces, network, group };
        spawn::start(&start).map_err(|error| SandboxError::here("create namespaces", error))
    }
}

/// What a process is born into.
pub(super) struct Birth<'a> {
    /// New namespaces, as flags.
    pub(super) namespaces: i32,
    /// A network that is there.
    pub(super) network: Option<BorrowedFd<'a>>,
    /// A control group.
    pub(super) group: Option<BorrowedFd<'a>>,
}

impl<'a> Birth<'a> {
    /// What the first process of a sandbox is born into.
    pub(super) fn of(spec: &Spec, around: &'a Around, group: Option<&'a OwnedFd>) -> Self {
        let mut namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        if spec.network == Network::None {
            namespaces |= libc::CLONE_NEWNET;
        }
        let group = if spec.privileged { None } else { group.map(AsFd::as_fd) };
        Self { namespaces, network: around.network.as_ref().map(Private::namespace), group }
    }
}

/// What is made for one sandbox, and goes when all of its processes have ended.
pub(super) struct Around {
    /// The groups that limit it.
    pub(super) groups: Groups,
    network: Option<Private>,
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        if let Some(Some(place)) = self.group.get() {
            devices::remove(place);
        }
    }
}

/// Removes the control groups near this process's own that builders left which were killed. One that is used stays, and one that
/// is just made for use is made again.
pub fn sweep_groups() {
    cgroup::sweep();
    if let Some(place) = devices::place() {
        devices::remove(&place);
    }
}

impl Executor for Namespaces {
    fn run(&self, spec: &Spec, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, SandboxError> {
        if cancel.is_canceled() {
            return Err(SandboxError::Canceled);
        }
        std::thread::scope(|scope| {
            let relays = Relays::start(scope, spec)?;
            self.start(spec, &relays.paths)?.finish(output, cancel)
        })
    }
}

/// Whether devices on a sandbox's file systems must not be opened, because no group watches them: neither the one that it starts
/// in, nor the one that it goes to for its limits.
pub(super) fn nodev(spec: &Spec, groups: &Groups, group: Option<&OwnedFd>) -> bool {
    let watched = || groups.unified().map_or(group.is_some(), |group| devices::watch(group).is_ok());
    !spec.privileged && !watched()
}

/// The job as a file in memory, to be read from its beginning.
pub(super) fn write_job(job: &impl Serialize) -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("imgbuild-step", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(memory);
    io::Write::write_all(&mut file, &serde_json::to_vec(job)?)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// A sandbox that runs.
struct Running {
    child: Child,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: OwnedFd,
    around: Around,
    deadline: Option<Deadline>,
}

/// When a sandbox is stopped.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn of(spec: &Spec) -> Option<Self> {
        let limit = spec.limits.time?;
        Some(Self { at: Instant::now().checked_add(limit)?, limit })
    }
}

/// What can happen to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
    Status,
    End,
    Cancel,
}

impl Running {
    /// Hands on what it writes until its first process has ended; the kernel ends the others with that.
    fn finish(mut self, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, SandboxError> {
        let lost = |error: io::Error| SandboxError::here("wait for the step", error);
        let mut open = vec![Source::Stdout, Source::Stderr, Source::Status, Source::End, Source::Cancel];
        let mut report: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut canceled = false;
        let mut exceeded = None;
        while open.contains(&Source::End) {
            if let Some(Deadline { limit, .. }) = self.deadline.take_if(|deadline| deadline.at <= Instant::now()) {
                exceeded = Some(Exceeded::Time(limit));
                self.child.kill();
            }
            for source in self.wait(&open, cancel).map_err(lost)? {
                match source {
                    Source::Stdout | Source::Stderr | Source::Status => {
                        // One piece at a time, so that a flood of output does not hide the other sources.
                        if !self.read(source, &mut buffer, output, &mut report).map_err(lost)? {
                            open.retain(|&other| other != source);
                        }
                    }
                    Source::End => open.retain(|&other| other != Source::End),
                    Source::Cancel => {
                        canceled = true;
                        self.child.kill();
                        open.retain(|&other| other != Source::Cancel);
                    }
                }
            }
        }
        // All that could write is dead, so that what is left in the pipes has an end.
        for source in open {
            while source != Source::Cancel && self.read(source, &mut buffer, output, &mut report).map_err(lost)? {}
        }
        let end = self.child.wait().map_err(lost)?;
        if canceled {
            return Err(SandboxError::Canceled);
        }
        Ok(judge(outcome(end, &report)?, exceeded.or_else(|| self.around.groups.exceeded())))
    }

    /// Waits until something happens at one of these sources, and says at which; or until there is no more time.
    fn wait(&self, sources: &[Source], cancel: &Cancel) -> io::Result<Vec<Source>> {
        let fd = |source: &Source| match source {
            Source::Stdout => self.stdout.as_fd(),
            Source::Stderr => self.stderr.as_fd(),
            Source::Status => self.status.as_fd(),
            Source::End => self.child.pidfd(),
            Source::Cancel => cancel.as_fd(),
        };
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|source| PollFd::from_borrowed_fd(fd(source), PollFlags::IN)).collect();
        let left = self.deadline.map(|deadline| deadline.at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        rustix::io::retry_on_intr(|| poll(&mut fds, left.as_ref()))?;
        Ok(sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(&source, _)| source).collect())
    }

    /// Reads a piece from one of the pipes; false at its end.
    fn read(
        &self,
        source: Source,
        buffer: &mut [u8],
        output: &mut dyn FnMut(Stream, &[u8]),
        report: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let pipe = match source {
            Source::Stdout => &self.stdout,
            Source::Stderr => &self.stderr,
            _ => &self.status,
        };
        let count = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *buffer))?;
        let piece = &buffer[..count];
        match source {
            _ if count == 0 => return Ok(false),
            Source::Stdout => output(Stream::Stdout, piece),
            Source::Stderr => output(Stream::Stderr, piece),
            _ => report.extend_from_slice(piece),
        }
        Ok(true)
    }
}

/// How a sandbox ended, by its first process and by what that reported.
pub(super) fn outcome(end: Ended, report: &[u8]) -> Result<Exit, SandboxError> {
    if !report.is_empty() {
        let failure: Failure = serde_json::from_slice(report).map_err(|error| SandboxError::Lost(error.to_string()))?;
        return match failure {
            Failure::Killed { signal } => Ok(Exit::Signal(signal)),
            failure => Err(failure.into()),
        };
    }
    Ok(match end {
        Ended::Code(code) => Exit::Code(code),
        Ended::Signal(signal) => Exit::Signal(signal),
    })
}
