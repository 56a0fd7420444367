//! A process that somebody sits in front of: it has the caller's own streams, or a terminal, and takes signals.
//!
//! The sandbox is that of a step. Its first process answers on a socket with two descriptors: the guard sends one of the
//! command's process, through which signals reach it (the guard, being process 1, would ignore them), and the command's
//! side sends its terminal's other end, which it made in its own `/dev/pts`, so that `tty` and `ps` in there know it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::sandbox::init::{self, Job};
use crate::sandbox::limits::judge;
use crate::sandbox::run::{Around, Birth, nodev, outcome, write_job};
use crate::sandbox::spawn::Child;
use crate::sandbox::{Exit, Namespaces, SandboxError, Spec, path};

/// What comes with a descriptor that is sent: this one is the command's process.
pub(super) const PROCESS: u8 = b'p';
/// This one is the outer end of its terminal.
const TERMINAL: u8 = b't';

/// Where a process reads from and writes to.
pub enum Streams {
    /// These: standard input, output and error.
    Given([OwnedFd; 3]),
    /// A new terminal with so many rows and columns.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// A process that runs. Dropped, it is killed with everything that it started. To be kept by the thread that started it: the
/// kernel ends it when that thread ends.
pub struct Attached {
    child: Child,
    status: OwnedFd,
    process: OwnedFd,
    terminal: Option<OwnedFd>,
    /// Last: its processes have ended when it goes.
    around: Option<Around>,
}

impl Namespaces {
    /// Starts a process; with `readonly`, nothing in its root can be written but mounts.
    ///
    /// Sockets of the host cannot be mounted as such, only bound.
    ///
    /// # Errors
    /// If the sandbox cannot be built, or a stream is a folder, since `..` leads out of one. That the command cannot be
    /// executed is said by [`Attached::wait`].
    pub fn attach(&self, spec: &Spec, streams: Streams, readonly: bool) -> Result<Attached, SandboxError> {
        let failed = |action: &'static str| move |errno: Errno| SandboxError::here(action, errno);
        let open_null = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let (streams, terminal) = match streams {
            Streams::Given(streams) => (streams, None),
            Streams::Terminal { rows, columns } => {
                let null = || open_null().map_err(failed("open /dev/null"));
                ([null()?, null()?, null()?], Some((rows, columns)))
            }
        };
        for (stream, name) in streams.iter().zip(["input", "output", "error"]) {
            if path::is_dir(stream).map_err(failed("look at the streams"))? {
                let source = io::Error::other("it is a folder, and would lead out of the container");
                let action = format!("let the process have standard {name}");
                return Err(SandboxError::Setup { action, path: String::new(), source });
            }
        }
        let around = self.around(spec)?;
        let started = self.in_group(|group| {
            let (status, status_in) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make pipes"))?;
            let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
            let (control, control_in) = pair.map_err(failed("make a socket"))?;
            let nodev = nodev(spec, &around.groups, group);
            let job = Job { terminal, readonly, ..Job::new(spec, &around.groups, nodev) };
            let job = write_job(&job).map_err(|error| SandboxError::here("describe the process", error))?;
            debug_assert_eq!((init::JOB_FD, init::STATUS_FD, init::CONTROL_FD), (3, 4, 5));
            let fds = [&streams[0], &streams[1], &streams[2], &job, &status_in, &control_in];
            let child = self.spawn(Birth::of(spec, &around, group), init::ATTACHED_NAME, &fds)?;
            drop((status_in, control_in));
            Attached::greet(child, status, &control, terminal.is_some())
        })?;
        Ok(Attached { around: Some(around), ..started })
    }
}

impl Attached {
    /// Waits for the descriptors that the new process sends. If they do not come, it says why.
    fn greet(child: Child, status: OwnedFd, control: &OwnedFd, with_terminal: bool) -> Result<Self, SandboxError> {
        let (mut process, mut terminal) = (None, None);
        while process.is_none() || (with_terminal && terminal.is_none()) {
            match receive(control).map_err(|errno| SandboxError::here("talk to the sandbox", errno))? {
                Some((PROCESS, fd)) => process = Some(fd),
                Some((TERMINAL, fd)) => terminal = Some(fd),
                Some(_) => {}
                None => {
                    let exit = end(child, status)?;
                    return Err(SandboxError::Lost(exit.to_string()));
                }
            }
        }
        match process {
            Some(process) => Ok(Self { child, status, process, terminal, around: None }),
            None => Err(SandboxError::Lost("no process".into())),
        }
    }

    /// The outer end of its terminal, if it has one.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// The number of its process on this machine, if `/proc` says.
    pub fn number(&self) -> Option<u32> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.process.as_raw_fd())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
    }

    /// Sends it a signal by number. One that has ended, and a number that is none, are nothing.
    pub fn signal(&self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = rustix::process::pidfd_send_signal(&self.process, signal);
        }
    }

    /// Becomes readable when it has ended, and everything that it started.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it could not be started.
    pub fn wait(self) -> Result<Exit, SandboxError> {
        let exit = end(self.child, self.status)?;
        Ok(judge(exit, self.around.and_then(|around| around.groups.exceeded())))
    }
}

fn end(mut child: Child, status: OwnedFd) -> Result<Exit, SandboxError> {
    let lost = |error: io::Error| SandboxError::here("wait for the process", error);
    let mut report = Vec::new();
    File::from(status).read_to_end(&mut report).map_err(lost)?;
    outcome(child.wait().map_err(lost)?, &report)
}

/// Sends a descriptor with a byte that says what it is.
pub(super) fn send(socket: impl AsFd, what: u8, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !buffer.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(socket, &[IoSlice::new(&[what])], &mut buffer, SendFlags::NOSIGNAL).map(drop)
}

/// Receives one; none if there is nobody left who could send.
pub(super) fn receive(socket: &OwnedFd) -> Result<Option<(u8, OwnedFd)>, Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut buffer, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let fd = buffer.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.map(|fd| Some((byte[0], fd))).ok_or(Errno::BADMSG)
}

/// Makes a terminal in the sandbox's own `/dev/pts`, sends its outer end, and puts the inner one in place of the streams.
pub(super) fn make_terminal(control: &OwnedFd, (rows, columns): (u16, u16), uid: u32) -> Result<(), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let outer = rustix::fs::openat(CWD, "/dev/pts/ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&outer)?;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::termios::tcsetwinsize(&outer, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    rustix::fs::fchown(&inner, Some(Uid::from_raw(uid)), None)?;
    rustix::process::ioctl_tiocsctty(&inner)?;
    rustix::stdio::dup2_stdin(&inner)?;
    rustix::stdio::dup2_stdout(&inner)?;
    rustix::stdio::dup2_stderr(&inner)?;
    send(control, TERMINAL, outer.as_fd())
}
