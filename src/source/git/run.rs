//! Runs git where nothing of this machine reaches it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{GitError, Settings, at};
use crate::source::Watch;
use crate::source::http::shown;

/// All that git is configured with, submodules included.
const CONFIGURATION: &str = "\
[core]
\tautocrlf = false
\tsymlinks = true
\tfileMode = true
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
[advice]
\tdetachedHead = false
[credential]
\thelper =
[gc]
\tauto = 0
[maintenance]
\tauto = false
[http]
\tlowSpeedLimit = 16
\tlowSpeedTime = 60
[index]
\tthreads = 1
[pack]
\tthreads = 1
[protocol]
\tversion = 2
";

/// The most that is read of what it says, in bytes.
const MOST: u64 = 64 << 20;

/// Runs git with a working folder.
pub(super) struct Git<'a> {
    settings: &'a Settings,
    agent: Option<&'a Path>,
    watch: &'a dyn Watch,
    /// A folder for whatever is made on the way.
    pub(super) work: PathBuf,
}

impl<'a> Git<'a> {
    /// Makes the folder `work`.
    pub(super) fn new(
        settings: &'a Settings,
        agent: Option<&'a Path>,
        work: &Path,
        watch: &'a dyn Watch,
    ) -> Result<Self, GitError> {
        std::fs::create_dir(work).map_err(at(work))?;
        let home = work.join("home");
        std::fs::create_dir(&home).map_err(at(&home))?;
        let file = home.join("config");
        std::fs::write(&file, CONFIGURATION).map_err(at(&file))?;
        Ok(Self { settings, agent, watch, work: work.to_owned() })
    }

    /// Runs a command; what it printed.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.finish(self.command(arguments), arguments)
    }

    /// The same in a repository.
    pub(super) fn run_at(&self, folder: &OsStr, arguments: &[&str]) -> Result<String, GitError> {
        let mut command = self.command(arguments);
        command.current_dir(folder);
        self.finish(command, arguments)
    }

    /// The same with access to repositories of this machine.
    pub(super) fn run_locally(&self, folder: &OsStr, arguments: &[&str]) -> Result<String, GitError> {
        let mut command = self.command(arguments);
        command.current_dir(folder).env("GIT_ALLOW_PROTOCOL", "file");
        self.finish(command, arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let home = self.work.join("home");
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.work).env_clear();
        command.env("PATH", &self.settings.path).env("HOME", &home).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", home.join("config"));
        command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "/bin/false");
        command.env("GIT_ALLOW_PROTOCOL", "https:http:git:ssh").env("GIT_CEILING_DIRECTORIES", &self.work);
        // Keys come from the agent alone. A host that is known must be the same; one that is new is believed once.
        let known = home.join("known_hosts");
        let identity = if self.agent.is_some() { "SSH_AUTH_SOCK" } else { "none" };
        let ssh = format!(
            "ssh -F none -o BatchMode=yes -o IdentityAgent={identity} -o IdentityFile=/dev/null \
             -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30 -o LogLevel=ERROR \
             -o 'UserKnownHostsFile=\"{}\" ~/.ssh/known_hosts'",
            known.display()
        );
        command.env("GIT_SSH_COMMAND", ssh).env("SSH_ASKPASS", "/bin/false");
        if let Some(agent) = self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        let proxies = &self.settings.proxies;
        let named = [("http_proxy", &proxies.http), ("https_proxy", &proxies.https), ("all_proxy", &proxies.all)];
        for (name, proxy) in named {
            if let Some(proxy) = proxy {
                command.env(name, proxy);
            }
        }
        command.env("no_proxy", &proxies.none);
        if let Some(file) = &self.settings.ca_file {
            command.env("GIT_SSL_CAINFO", file);
        }
        if let Some(folder) = &self.settings.ca_folder {
            command.env("GIT_SSL_CAPATH", folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is told to us, and we tell it; what git starts ends with it.
        command.process_group(0);
        command
    }

    fn finish(&self, mut command: Command, arguments: &[&str]) -> Result<String, GitError> {
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GitError::NoGit,
            _ => at(Path::new("git"))(error),
        })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (status, out, err) = std::thread::scope(|scope| {
            let out = scope.spawn(move || read(out));
            let err = scope.spawn(move || read(err));
            let status = self.wait(&mut child);
            (status, out.join().unwrap_or_default(), err.join().unwrap_or_default())
        });
        if status? {
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        Err(GitError::Failed { command: line(arguments), said: self.reason(&String::from_utf8_lossy(&err), arguments) })
    }

    /// Whether it ended well.
    fn wait(&self, child: &mut Child) -> Result<bool, GitError> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait().map_err(at(Path::new("git")))? {
                return Ok(status.success());
            }
            if self.watch.is_canceled() {
                let group = rustix::process::Pid::from_child(child);
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
                let _ = child.wait();
                return Err(GitError::Canceled);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The line that says why, without passwords.
    fn reason(&self, said: &str, arguments: &[&str]) -> String {
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let starting = |start: &str| lines.iter().find(|line| line.starts_with(start)).copied();
        let best = starting("fatal: ").or_else(|| starting("error: ")).or(lines.last().copied());
        let mut text = best.unwrap_or("it did not say why").to_owned();
        // Of a connection that ssh did not make, only ssh says why: in the last line before git's own.
        if text == "fatal: Could not read from remote repository."
            && let Some(ssh) = lines.iter().take_while(|line| !line.starts_with("fatal: ")).last()
        {
            text = (*ssh).to_owned();
            if self.agent.is_none() && ssh.contains("Permission denied") {
                text.push_str(" It was tried without keys: an agent or keys for it are given with --ssh default");
            } else if *ssh == "Host key verification failed." {
                text.push_str(" The server has another key than ~/.ssh/known_hosts says: if that is right, correct it");
            }
        }
        // What the server itself says explains what git makes of it.
        if let Some(remote) = lines.iter().find_map(|line| line.strip_prefix("remote: "))
            && !text.contains(remote)
        {
            text = format!("{text} ({remote})");
        }
        for url in arguments.iter().filter(|argument| argument.contains("://")) {
            text = text.replace(url, &shown(url));
        }
        text
    }
}

/// A command as messages show it: without options that do not matter, and without passwords.
fn line(arguments: &[&str]) -> String {
    let words = arguments.iter().filter(|word| !word.starts_with('-')).map(|word| shown(word));
    words.collect::<Vec<_>>().join(" ")
}

fn read(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What is beyond is read and dropped, so that nobody waits.
        let _ = from.by_ref().take(MOST).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    bytes
}
