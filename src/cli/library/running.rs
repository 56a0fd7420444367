//! What every build needs of this process and machine: the store, a sandbox, a way to stop, the name servers.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::library::{command, network, trust};
use crate::cli::{Session, interrupt};
use crate::event::Reporter;
use crate::ops::{self, Error, build};
use crate::registry::Registries;
use crate::sandbox::{Cancel, Namespaces};
use crate::source::Sources;
use crate::source::regular;
use crate::store::Store;
use crate::trust::Policy;

/// A build that is about to start.
pub(super) struct Run {
    store: Arc<Store>,
    cancel: Cancel,
    executor: Namespaces,
    jobs: usize,
    sources: Arc<Sources>,
    registries: Arc<Registries>,
    command: Vec<String>,
    policies: Vec<Policy>,
}

/// What came on standard input.
pub(super) enum Stdin {
    /// A Dockerfile alone.
    Dockerfile(String),
    /// An archive of a context, unpacked here.
    Folder(PathBuf),
}

impl Run {
    /// Opens the store and takes care of Ctrl-C.
    pub(super) fn start(session: &Session, jobs: Option<NonZeroUsize>) -> Result<Self, Error> {
        let run = Self::open(session, jobs)?;
        let (token, connections, registries) = (run.cancel.clone(), run.sources.clone(), run.registries.clone());
        let stop = move || {
            token.cancel();
            // What waits for a server does not look at tokens.
            connections.http.stop();
            registries.stop();
        };
        interrupt::install(Arc::new(stop))
            .map_err(|error| Error::environment("Ctrl-C cannot be handled").caused_by(error))?;
        Ok(run)
    }

    /// The same for what runs no steps: Ctrl-C just ends the process. There can be several, one after the other.
    pub(super) fn open(session: &Session, jobs: Option<NonZeroUsize>) -> Result<Self, Error> {
        let store = Arc::new(session.open_store_in_turn()?);
        // What killed processes left; what cannot be removed now is left for the next time.
        let _ = store.sweep();
        let failed = |what: &'static str| move |error: io::Error| Error::environment(what).caused_by(error);
        let cancel = Cancel::new().map_err(failed("no descriptors are left for a build"))?;
        let sources = Arc::new(network::sources(session)?);
        let registries = Arc::new(network::registries(session)?);
        let executor = Namespaces::new().map_err(failed("/proc/self/exe cannot be opened, which builds need"))?;
        // Most steps wait for a network or a disk, so there can be more of them than processors.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = jobs.map_or((4 * processors).max(16), usize::from);
        let command = command::without_secrets(&session.env.arguments());
        let policies = trust::policies(session)?;
        Ok(Self { store, cancel, executor, jobs, sources, registries, command, policies })
    }

    /// Says who hears of layers that are fetched on the way.
    pub(super) fn report_to(&self, reporter: &Arc<dyn Reporter>) {
        self.registries.report_to(reporter.clone());
    }

    /// What the library wants to know.
    pub(super) fn session<'a>(&'a self, reporter: &'a dyn Reporter) -> Result<build::Session<'a>, Error> {
        Ok(build::Session {
            store: self.store.clone(),
            executor: &self.executor,
            reporter,
            cancel: &self.cancel,
            jobs: self.jobs,
            // A machine without the file has no name servers, and neither have its steps.
            resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
            sources: &self.sources,
            registries: self.registries.clone(),
            command: &self.command,
            policies: &self.policies,
        })
    }

    /// Standard input, which fails once the user wants to stop. Nothing else may have read from it.
    pub(super) fn stdin(&self) -> io::Result<impl io::Read + Send> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Interruptible { file, cancel: self.cancel.clone() })
    }

    /// Reads a context from standard input: a tar file, compressed or not, or a Dockerfile alone.
    pub(super) fn context_from_stdin(&self) -> Result<Stdin, Error> {
        let failed =
            |error: io::Error| Error::build("cannot read the build context from standard input").caused_by(error);
        let mut stdin = self.stdin().map_err(failed)?;
        let mut start = Vec::new();
        stdin.by_ref().take(1024).read_to_end(&mut start).map_err(failed)?;
        let is_text = !start.contains(&0) && std::str::from_utf8(&start).is_ok();
        let whole = io::Cursor::new(start).chain(stdin);
        if is_text {
            return regular::read_text(whole).map(Stdin::Dockerfile).map_err(failed);
        }
        Ok(Stdin::Folder(ops::unpack_context(&self.store, whole)?))
    }
}

/// A file that somebody else may take a long time to write.
struct Interruptible {
    file: File,
    cancel: Cancel,
}

impl io::Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut fds = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.cancel, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        if self.cancel.is_canceled() {
            return Err(io::Error::other("interrupted"));
        }
        self.file.read(buffer)
    }
}
