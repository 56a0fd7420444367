//! Where `debug` and `build --until` stop: a name becomes a line of one target's definition.

use std::sync::Arc;

use crate::cli::Session;
use crate::cli::args::shared::ValueArgs;
use crate::cli::args::subject::Subject;
use crate::cli::choose::{as_line, choose_one};
use crate::cli::interrupt;
use crate::cli::library::subject::Definition;
use crate::cli::library::{build, running};
use crate::event::{Reporter, Silent};
use crate::ops::build::{Dockerfile, Line, LockMode, LockPlace, Target};
use crate::ops::debug::{self, Standing};
use crate::ops::{Error, account};
use crate::solve::Credentials;

/// Builds what a build needs up to a step or line, and says what there is to see, with what its target has of secrets.
pub fn stand(
    subject: &Subject,
    session: &Session,
    name: &str,
    before: bool,
    reporter: Arc<dyn Reporter>,
) -> Result<(Standing, Credentials), Error> {
    let run = running::Run::start(session, None)?;
    run.report_to(&reporter);
    let Definition { mut targets, lock, mode } = Definition::read(subject, session, &run)?;
    let which = stop_at(&run, &mut targets, &lock, mode, name, before)?;
    let standing = debug::stand(&run.session(reporter.as_ref())?, &targets, which, &lock, mode)
        .map_err(|error| if interrupt::is_interrupted() { Error::Interrupted } else { error })?;
    Ok((standing, targets.swap_remove(which).credentials))
}

/// The secrets and agents of the command line.
pub fn credentials(args: &ValueArgs, session: &Session) -> Result<Credentials, Error> {
    let mut target = Target::new(Dockerfile::Text { name: String::new(), text: String::new() });
    build::apply_values(&mut target, args, session)?;
    Ok(target.credentials)
}

/// Lets the target that has a step or line stop there; which target that is.
pub(super) fn stop_at(
    run: &running::Run,
    targets: &mut [Target],
    lock: &LockPlace,
    mode: LockMode,
    name: &str,
    before: bool,
) -> Result<usize, Error> {
    // A line need not be that of a step, nor one of a stage that the build needs.
    let alone = match (&targets, as_line(name)) {
        ([only], Some((file, line))) if !matches!(only.dockerfile, Dockerfile::Steps { .. }) => {
            match &only.dockerfile {
                Dockerfile::File(path) if file.is_empty() || path.ends_with(file) => Some(line),
                _ if file.is_empty() => Some(line),
                _ => None,
            }
        }
        _ => None,
    };
    let (which, line) = match alone {
        Some(line) => (0, Line { file: None, line, before }),
        None => {
            let account = account::plan(&run.session(&Silent)?, targets, lock, mode)?;
            let snapshot = &account.snapshot;
            let step = choose_one(snapshot, name)?;
            let root = snapshot.owners()[step].map(|root| &snapshot.roots[root].target);
            let which = targets.iter().position(|target| Some(&target.name) == root);
            match (which, snapshot.steps[step].origin.clone()) {
                (Some(which), Some((file, line))) => (which, Line { file: Some(file), line, before }),
                _ => return Err(Error::Usage(format!("{name:?} is no instruction that a build can stop at"))),
            }
        }
    };
    targets[which].until = Some(line);
    Ok(which)
}
