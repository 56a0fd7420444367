//! Sitting in front of a process: its terminal is this one, its signals are those that come here.
//!
//! One thread, which started the process and so must stay, waits for everything at once: the process's end, signals,
//! what is typed and what is shown. The terminal is put back whatever happens.
//!
//! A process that did not ask for a terminal is not given this one all the same, only because it is our standard output:
//! it could read what is typed from it, and change whose it is. It gets pipes ([`Relayed`]), as Docker does it.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{OptionalActions, Termios, Winsize};

use crate::sandbox::{Attached, Exit, Namespaces, SandboxError, Spec, Streams};

/// The signals that are handed on.
const HANDED_ON: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
];
/// So many requests to end that are not heard, and it is killed.
const PATIENCE: u32 = 3;
/// The size of a terminal that nobody knows, as rows and columns.
const USUAL: (u16, u16) = (24, 80);

/// What of the caller's streams a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attach {
    /// Whether it can read what is typed.
    pub interactive: bool,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether its root cannot be written to.
    pub readonly: bool,
}

/// Runs a process to its end. `started` is called once, with its number on this machine.
pub fn run(
    namespaces: &Namespaces,
    spec: &Spec,
    attach: Attach,
    started: impl FnOnce(Option<u32>),
) -> Result<Exit, SandboxError> {
    let failed = |action: &str| {
        let action = action.to_owned();
        move |error: io::Error| SandboxError::Setup { action, path: String::new(), source: error }
    };
    let signals = signals().map_err(failed("handle signals"))?;
    let mut relayed = Relayed::default();
    let streams = if attach.terminal {
        let (rows, columns) = size();
        Streams::Terminal { rows, columns }
    } else {
        Streams::Given(relayed.streams(attach.interactive).map_err(failed("copy the standard streams"))?)
    };
    // Before the process starts, so that nothing is typed into a terminal that echoes.
    let raw = if attach.terminal && attach.interactive { Raw::enter() } else { None };
    let process = namespaces.attach(spec, streams, attach.readonly)?;
    started(process.number());
    let mut loop_ = Loop {
        process: &process,
        signals,
        reads_input: attach.terminal && attach.interactive,
        typed: Vec::new(),
        shows: attach.terminal,
        requests: 0,
    };
    let watched = loop_.run().map_err(failed("wait for the process"));
    let exit = process.wait();
    relayed.finish();
    drop(raw);
    watched.and(exit)
}

struct Loop<'a> {
    process: &'a Attached,
    signals: SignalFd,
    reads_input: bool,
    /// What was typed and not taken yet.
    typed: Vec<u8>,
    shows: bool,
    requests: u32,
}

impl Loop<'_> {
    fn run(&mut self) -> io::Result<()> {
        if let Some(terminal) = self.process.terminal() {
            let flags = rustix::fs::fcntl_getfl(terminal)?;
            rustix::fs::fcntl_setfl(terminal, flags | OFlags::NONBLOCK)?;
        }
        let stdin = io::stdin();
        loop {
            let terminal = self.process.terminal().filter(|_| self.shows || !self.typed.is_empty());
            let wanted = match (self.shows, self.typed.is_empty()) {
                (true, true) => PollFlags::IN,
                (true, false) => PollFlags::IN | PollFlags::OUT,
                (false, _) => PollFlags::OUT,
            };
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.process.ended(), PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            let input = (self.reads_input && self.typed.is_empty()).then(|| {
                fds.push(PollFd::new(&stdin, PollFlags::IN));
                fds.len() - 1
            });
            let output = terminal.map(|terminal| {
                fds.push(PollFd::from_borrowed_fd(terminal, wanted));
                fds.len() - 1
            });
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            let happened = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
            let (ended, signal, typed, shown) =
                (happened(Some(0)), happened(Some(1)), happened(input), happened(output));
            if signal {
                self.take_signals()?;
            }
            if typed {
                self.take_input(stdin.as_fd())?;
            }
            if shown {
                self.hand_over()?;
                self.show()?;
            }
            if ended {
                // What it wrote last may still be on its way.
                return self.show();
            }
        }
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            let number = signal.ssi_signo.cast_signed();
            if number == Signal::SIGWINCH as i32 {
                if let Some(terminal) = self.process.terminal() {
                    let (rows, columns) = size();
                    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // The kernel tells the processes in there.
                    let _ = rustix::termios::tcsetwinsize(terminal, size);
                }
                continue;
            }
            let ends = [Signal::SIGINT, Signal::SIGTERM].iter().any(|known| *known as i32 == number);
            self.requests += u32::from(ends);
            // As process 1, a program that does not handle a signal never hears it.
            self.process.signal(if self.requests >= PATIENCE { Signal::SIGKILL as i32 } else { number });
        }
        Ok(())
    }

    fn take_input(&mut self, stdin: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match rustix::io::retry_on_intr(|| rustix::io::read(stdin, &mut buffer)) {
            Ok(0) | Err(Errno::IO) => self.reads_input = false,
            Ok(count) => self.typed.extend_from_slice(&buffer[..count]),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        self.hand_over()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let Some(terminal) = self.process.terminal() else { return Ok(()) };
        while !self.typed.is_empty() {
            match rustix::io::retry_on_intr(|| rustix::io::write(terminal, &self.typed)) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                // Nobody reads from it any more.
                Err(Errno::IO) => self.typed.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Shows what there is to show.
    fn show(&mut self) -> io::Result<()> {
        let Some(terminal) = self.process.terminal().filter(|_| self.shows) else { return Ok(()) };
        let mut buffer = vec![0; 64 << 10];
        let mut stdout = io::stdout().lock();
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(terminal, &mut *buffer)) {
                // The last process that had it is gone.
                Ok(0) | Err(Errno::IO) => {
                    self.shows = false;
                    return Ok(());
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(count) => {
                    // Whoever does not look any more does not keep the process from going on.
                    let _ = stdout.write_all(&buffer[..count]).and_then(|()| stdout.flush());
                }
            }
        }
    }
}

/// The signals that come to this process, to be read.
fn signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    HANDED_ON.iter().chain([&Signal::SIGWINCH]).for_each(|signal| set.add(*signal));
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Pipes in place of streams that are terminals, and the threads that hand on what goes through them.
#[derive(Default)]
struct Relayed {
    outputs: Vec<JoinHandle<()>>,
}

impl Relayed {
    /// The streams of a process.
    fn streams(&mut self, interactive: bool) -> io::Result<[OwnedFd; 3]> {
        let copy = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let input = match interactive {
            true if stdin.is_terminal() => {
                let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
                // Nobody waits for it: what is typed may never end. It ends with this process.
                std::thread::spawn(move || hand_on(&mut io::stdin(), &mut File::from(ours)));
                theirs
            }
            true => copy(stdin.as_fd())?,
            false => rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
        };
        let output = match stdout.is_terminal() {
            true => self.output(io::stdout())?,
            false => copy(stdout.as_fd())?,
        };
        let errors = match stderr.is_terminal() {
            // One pipe for both keeps them in order.
            true if stdout.is_terminal() => copy(output.as_fd())?,
            true => self.output(io::stderr())?,
            false => copy(stderr.as_fd())?,
        };
        Ok([input, output, errors])
    }

    fn output(&mut self, mut to: impl Write + Send + 'static) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        self.outputs.push(std::thread::spawn(move || hand_on(&mut File::from(ours), &mut to)));
        Ok(theirs)
    }

    /// Waits until all of it is shown. Nobody has the other ends any more.
    fn finish(self) {
        for output in self.outputs {
            let _ = output.join();
        }
    }
}

/// Hands on bytes as they come. If nobody takes them any more, the process goes on all the same.
fn hand_on(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = vec![0; 64 << 10];
    let mut taken = true;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => taken = taken && to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_ok(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Rows and columns of this terminal.
fn size() -> (u16, u16) {
    let known = [rustix::termios::tcgetwinsize(io::stdin()), rustix::termios::tcgetwinsize(io::stdout())];
    let known = known.into_iter().flatten().find(|size| size.ws_row > 0 && size.ws_col > 0);
    known.map_or(USUAL, |size| (size.ws_row, size.ws_col))
}

/// This terminal in raw mode: what is typed goes on as it is. Put back when dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let before = rustix::termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
