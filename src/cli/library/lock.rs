//! `lock`, `update`, `fetch` and `verify`: what `build` or `bake` would build, looked up or compared.

use std::path::Path;
use std::sync::Arc;

use crate::cli::args::subject::Subject;
use crate::cli::library::bake;
use crate::cli::library::running::Run;
use crate::cli::library::subject::Definition;
use crate::cli::{Session, interrupt};
use crate::event::Reporter;
use crate::lockfile::SourcePolicy;
use crate::ops::verify::{self, VerifyReport};
use crate::ops::{self, Error, Fetched, LockReport, LockRequest, Renew};
use crate::source::regular;

/// What to do with a lockfile.
#[derive(Debug, Default)]
pub struct LockOptions<'a> {
    /// What is looked up anew.
    pub renew: Option<Renew>,
    /// The file of a policy whose pins are taken.
    pub policy: Option<&'a Path>,
    /// Whether to build, and note what the targets come to.
    pub outputs: bool,
    /// Whether the file stays as it is.
    pub dry_run: bool,
}

/// Looks up and pins.
pub fn lock(
    mut subject: Subject,
    options: LockOptions<'_>,
    session: &Session,
    reporter: &Arc<dyn Reporter>,
) -> Result<LockReport, Error> {
    let policy = options.policy.map(read_policy).transpose()?;
    let whole = whole(&mut subject, session)?;
    let (run, definition) = start(&subject, session)?;
    if definition.mode.ignored {
        return Err(Error::Usage("--no-lock has no meaning for a command about the lockfile".into()));
    }
    let request = LockRequest {
        targets: &definition.targets,
        whole,
        place: &definition.lock,
        mode: definition.mode,
        renew: options.renew,
        policy,
        outputs: options.outputs,
        dry_run: options.dry_run,
    };
    ops::lock(&run.session(reporter.as_ref())?, request).map_err(interrupted)
}

/// Brings everything that is pinned into the store.
pub fn fetch(mut subject: Subject, session: &Session, reporter: &Arc<dyn Reporter>) -> Result<Fetched, Error> {
    whole(&mut subject, session)?;
    let (run, definition) = start(&subject, session)?;
    let Definition { targets, lock, mode } = &definition;
    ops::fetch(&run.session(reporter.as_ref())?, targets, lock, *mode).map_err(interrupted)
}

/// Builds again from nothing, and compares.
pub fn verify(mut subject: Subject, session: &Session, reporter: &Arc<dyn Reporter>) -> Result<VerifyReport, Error> {
    whole(&mut subject, session)?;
    let (run, definition) = start(&subject, session)?;
    let Definition { targets, lock, mode } = &definition;
    verify::verify(&run.session(reporter.as_ref())?, targets, lock, *mode).map_err(interrupted)
}

/// Reads the definition of what a command is about.
pub(super) fn start(subject: &Subject, session: &Session) -> Result<(Run, Definition), Error> {
    let jobs = match subject {
        Subject::Dockerfile(args) => args.run.jobs,
        Subject::BuildFile(args) => args.run.jobs,
    };
    let run = Run::start(session, jobs)?;
    let definition = Definition::read(subject, session, &run)?;
    Ok((run, definition))
}

/// Whether the subject is all that its lockfile is for. Of a build file of which no target is named, all are meant.
pub(super) fn whole(subject: &mut Subject, session: &Session) -> Result<bool, Error> {
    match subject {
        Subject::Dockerfile(args) => Ok(args.target.is_none() && args.image.platform.is_empty()),
        Subject::BuildFile(args) if args.targets.is_empty() => {
            args.targets = bake::buildable(args, session)?;
            Ok(args.image.platform.is_empty() && args.set.is_empty())
        }
        Subject::BuildFile(_) => Ok(false),
    }
}

pub(super) fn interrupted(error: Error) -> Error {
    if interrupt::is_interrupted() { Error::Interrupted } else { error }
}

fn read_policy(path: &Path) -> Result<SourcePolicy, Error> {
    let text = regular::text(path)
        .map_err(|error| Error::build(format!("cannot read the source policy {}", path.display())).caused_by(error))?;
    SourcePolicy::parse(&text).map_err(|error| Error::build(error.to_string()).about(path))
}
