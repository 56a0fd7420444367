//! What URLs and git references stand for: by the lockfile if it says, else by what the network has now.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::event::{Event, Reporter};
use crate::frontend::dockerfile::{ResolvedGit, ResolvedHttp};
use crate::lockfile::LockedHttp;
use crate::ops::Error;
use crate::ops::build::Session;
use crate::ops::build::images::Unresolved;
use crate::ops::build::locking::Lock;
use crate::sandbox::Cancel;
use crate::source::Watch;
use crate::source::git::{self, GitError};
use crate::source::http::{self, HttpError, shown};
use crate::store::remove_tree;

/// How often it is told how far a file is.
const PACE: Duration = Duration::from_millis(100);

/// Looks things up on the network.
pub struct Remote<'a> {
    /// What does it.
    pub session: &'a Session<'a>,
    /// What is known, and what hears of it.
    pub lock: &'a mut Lock,
    /// The socket of the ssh agent that may be used.
    pub agent: Option<&'a Path>,
    /// Whether everything is looked up anew, whatever the lockfile says.
    pub fresh: bool,
}

impl Remote<'_> {
    /// What the file behind a URL is. One that is not pinned is fetched, because that is the only way to know.
    pub fn http(self, url: &str) -> Result<ResolvedHttp, Unresolved> {
        let Session { store, sources, reporter, cancel, .. } = self.session;
        let locked = self.lock.http(url, self.fresh).cloned();
        let file = match locked {
            Some(locked) => locked,
            None => {
                let fetched = if self.lock.offline() {
                    http::last_known(store, url).ok_or_else(|| offline(&shown(url)))?
                } else {
                    let mut watch = TaskWatch::start(*reporter, cancel, format!("fetching {}", shown(url)));
                    let fetched = sources.http.fetch(store, url, &mut watch)?;
                    watch.finish();
                    fetched
                };
                LockedHttp { sha256: fetched.digest, size: fetched.size, last_modified: fetched.modified }
            }
        };
        let found = ResolvedHttp { digest: file.sha256, modified: file.last_modified };
        self.lock.record_http(url, file);
        Ok(found)
    }
}

impl Remote<'_> {
    /// The commit that a git reference stands for.
    pub fn git(self, url: &str, reference: &str) -> Result<ResolvedGit, Unresolved> {
        let Session { store, sources, reporter, cancel, .. } = self.session;
        if git::is_commit(reference) {
            return Ok(ResolvedGit { commit: reference.to_owned() });
        }
        let commit = match self.lock.git(url, reference, self.fresh) {
            Some(commit) => commit.to_owned(),
            None => {
                let name = if reference.is_empty() { shown(url) } else { format!("{}#{reference}", shown(url)) };
                if self.lock.offline() {
                    return Err(offline(&name));
                }
                let watch = TaskWatch::start(*reporter, cancel, format!("asking for {name}"));
                let work = store.tmp_path("git")?;
                let commit = git::resolve(&sources.git, self.agent, &work, url, reference, &watch);
                let _ = remove_tree(&work);
                let commit = commit?;
                watch.finish();
                commit
            }
        };
        self.lock.record_git(url, reference, &commit);
        Ok(ResolvedGit { commit })
    }
}

impl From<GitError> for Unresolved {
    fn from(error: GitError) -> Self {
        match &error {
            GitError::Canceled => Self::Fatal(Error::Interrupted),
            GitError::Io { .. } => Self::Fatal(Error::environment(error.to_string())),
            GitError::Failed { said, .. } if said.contains("could not read Username") => {
                let help = "it is private or not there; a token can be part of the URL: https://TOKEN@HOST/…";
                Self::Here(error.to_string(), vec![help.into()])
            }
            GitError::Failed { said, .. } if said.contains("Permission denied") => {
                Self::Here(error.to_string(), vec!["give the agent that has the key: --ssh default".into()])
            }
            _ => Self::Here(error.to_string(), Vec::new()),
        }
    }
}

fn offline(what: &str) -> Unresolved {
    Unresolved::Here(
        format!("{what} is not in the lockfile, and --offline forbids to look it up"),
        vec!["build once without --offline".into()],
    )
}

impl From<HttpError> for Unresolved {
    fn from(error: HttpError) -> Self {
        let help = match &error {
            HttpError::Canceled => return Self::Fatal(Error::Interrupted),
            HttpError::Store(_) => return Self::Fatal(Error::build(error.to_string())),
            HttpError::TooLarge { .. } => vec!["allow more with IMGBUILD_MAX_DOWNLOAD, in bytes".into()],
            HttpError::Status { status, .. } if matches!(status.as_u16(), 401 | 403 | 407) => {
                vec!["a user and password can be part of the URL: https://USER:PASSWORD@HOST/…".into()]
            }
            _ => Vec::new(),
        };
        Self::Here(error.to_string(), help)
    }
}

/// Tells how far a look-up is, as a task of the build.
pub struct TaskWatch<'a> {
    reporter: &'a dyn Reporter,
    cancel: &'a Cancel,
    number: usize,
    started: Instant,
    told: Instant,
}

impl<'a> TaskWatch<'a> {
    /// Says that it begins.
    pub fn start(reporter: &'a dyn Reporter, cancel: &'a Cancel, name: String) -> Self {
        // Outputs are numbered from 0; look-ups must not be taken for them.
        static NUMBER: AtomicUsize = AtomicUsize::new(1 << 20);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        reporter.report(Event::TaskStarted(number, name));
        Self { reporter, cancel, number, started: Instant::now(), told: Instant::now() }
    }

    /// Says that it is done.
    pub fn finish(self) {
        self.reporter.report(Event::TaskFinished(self.number, self.started.elapsed()));
    }
}

impl Watch for TaskWatch<'_> {
    fn progress(&mut self, done: u64, total: Option<u64>) {
        if self.told.elapsed() >= PACE {
            self.told = Instant::now();
            self.reporter.report(Event::TaskProgress(self.number, done, total));
        }
    }

    fn warn(&mut self, text: String) {
        self.reporter.report(Event::Warning(text));
    }

    fn is_canceled(&self) -> bool {
        self.cancel.is_canceled()
    }
}
