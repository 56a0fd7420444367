//! The ssh agents that steps may ask: one that runs already, by its socket, or one of our own for keys in files.
//!
//! Our own is OpenSSH's `ssh-agent`, which has always kept keys well, with the keys that `ssh-add` puts into it. It lives
//! as long as an [`Agent`] for it does, and ends by itself if this process is killed: it is started as the agent of a
//! command, and that command waits for the end of a pipe of ours.
//!
//! Nobody can be asked for a passphrase in the middle of a build, so a key that has one is refused.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// An agent that is there until the last clone of this is dropped.
#[derive(Debug, Clone)]
pub struct Agent {
    socket: PathBuf,
    /// Held for what happens when it is dropped.
    _process: Option<Arc<Process>>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A socket or key file cannot be read.
    #[error("cannot use {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A socket among several paths.
    #[error("{0} is a socket: it must be the only path")]
    SeveralSockets(PathBuf),
    /// A folder, or the like.
    #[error("{0} is neither the socket of an agent nor a key")]
    NotAKey(PathBuf),
    /// The key is encrypted.
    #[error(
        "the key {0} has a passphrase, which nobody can be asked for: `ssh-add` it to an agent of your own, and give that"
    )]
    Passphrase(PathBuf),
    /// A key that OpenSSH does not take.
    #[error("the key {path} cannot be used: {reason}")]
    Key {
        /// Which.
        path: PathBuf,
        /// OpenSSH's words.
        reason: String,
    },
    /// OpenSSH's programs are not here.
    #[error("keys in files need the program {0}, which is not installed")]
    NotInstalled(&'static str),
    /// The agent does not start.
    #[error("ssh-agent cannot be started: {0}")]
    Start(String),
}

impl Agent {
    /// The agent that listens at a socket, or a new one that has the keys of these files.
    pub fn open(paths: &[PathBuf]) -> Result<Self, AgentError> {
        for path in paths {
            let metadata = std::fs::metadata(path).map_err(|source| AgentError::Read { path: path.clone(), source })?;
            if metadata.file_type().is_socket() {
                return match paths.len() {
                    1 => Ok(Self { socket: path.clone(), _process: None }),
                    _ => Err(AgentError::SeveralSockets(path.clone())),
                };
            }
            if metadata.is_dir() {
                return Err(AgentError::NotAKey(path.clone()));
            }
        }
        for path in paths {
            check_key(path)?;
        }
        let process = Process::start()?;
        let socket = process.socket.clone();
        let agent = Self { socket, _process: Some(Arc::new(process)) };
        paths.iter().try_for_each(|path| agent.add(path))?;
        Ok(agent)
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn add(&self, path: &Path) -> Result<(), AgentError> {
        let mut command = Command::new("ssh-add");
        command.args(["-q", "--"]).arg(path).env("SSH_AUTH_SOCK", &self.socket);
        let output = run("ssh-add", command)?;
        if output.status.success() { Ok(()) } else { Err(refused(path, &output)) }
    }
}

/// Whether a file is a private key that can be used without asking anything.
fn check_key(path: &Path) -> Result<(), AgentError> {
    let mut command = Command::new("ssh-keygen");
    // Derives the public key, with an empty passphrase.
    command.args(["-y", "-P", "", "-f"]).arg(path);
    let output = run("ssh-keygen", command)?;
    if output.status.success() { Ok(()) } else { Err(refused(path, &output)) }
}

fn refused(path: &Path, output: &Output) -> AgentError {
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("incorrect passphrase") {
        return AgentError::Passphrase(path.to_owned());
    }
    let reason = if text.contains("UNPROTECTED") {
        "others may read it: `chmod 600` it".to_owned()
    } else {
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("OpenSSH refuses it").to_owned()
    };
    AgentError::Key { path: path.to_owned(), reason }
}

fn run(program: &'static str, mut command: Command) -> Result<Output, AgentError> {
    command.env("SSH_ASKPASS_REQUIRE", "never").stdin(Stdio::null());
    command.output().map_err(|error| start_error(program, &error))
}

fn start_error(program: &'static str, error: &std::io::Error) -> AgentError {
    match error.kind() {
        std::io::ErrorKind::NotFound => AgentError::NotInstalled(program),
        _ => AgentError::Start(error.to_string()),
    }
}

/// A running `ssh-agent`, with the command that it runs for.
#[derive(Debug)]
struct Process {
    socket: PathBuf,
    agent: OwnedFd,
    command: Child,
}

impl Process {
    fn start() -> Result<Self, AgentError> {
        // The agent makes a folder that only we may enter, and says where to the command. It ends with the command, but
        // looks for that only every few seconds; so we end it ourselves where we can.
        let script = r#"printf '%s\n' "$SSH_AGENT_PID" "$SSH_AUTH_SOCK" && exec cat >/dev/null"#;
        let mut command = Command::new("ssh-agent");
        command.args(["sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for us: a step that is being stopped may still ask the agent.
        command.process_group(0);
        let mut command = command.spawn().map_err(|error| start_error("ssh-agent", &error))?;
        let mut lines = command.stdout.take().map(|stdout| BufReader::new(stdout).lines().map_while(Result::ok));
        let mut line = || lines.as_mut().and_then(Iterator::next);
        let agent = line().and_then(|line| pidfd_open(Pid::from_raw(line.parse().ok()?)?, PidfdFlags::empty()).ok());
        match (agent, line()) {
            (Some(agent), Some(socket)) if !socket.is_empty() => Ok(Self { socket: socket.into(), agent, command }),
            _ => {
                let _ = command.kill();
                let _ = command.wait();
                Err(AgentError::Start("it does not say where it listens".into()))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It removes its socket then, which takes no time; if it does take some, it is not waited for. If it is gone
        // already, there is nothing to do.
        if pidfd_send_signal(&self.agent, Signal::TERM).is_ok() {
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&self.agent, PollFlags::IN)], Some(&second));
        }
        drop(self.command.stdin.take());
        let _ = self.command.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn an_agent_that_runs_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(Agent::open(std::slice::from_ref(&socket)).unwrap().socket(), socket);
        let error = Agent::open(&[socket.clone(), socket]).unwrap_err();
        assert!(matches!(error, AgentError::SeveralSockets(_)), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: PathBuf, expected: &str| {
            let error = Agent::open(&[path]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(folder.path().join("nosuch"), "nosuch: No such file");
        check(folder.path().to_owned(), "neither the socket of an agent nor a key");
        check("/dev/null".into(), "the key /dev/null cannot be used: ");
    }

    #[test]
    fn an_agent_for_keys_ends_with_its_last_owner() {
        let process = Process::start().unwrap();
        let agent = Agent { socket: process.socket.clone(), _process: Some(Arc::new(process)) };
        let socket = agent.socket().to_owned();
        let clone = agent.clone();
        drop(agent);
        UnixStream::connect(&socket).unwrap();
        drop(clone);
        assert!(!socket.exists() || UnixStream::connect(&socket).is_err());
    }
}
