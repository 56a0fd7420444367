//! The build that a command looks at, as targets of the library.

use crate::cli::Session;
use crate::cli::args::subject::Subject;
use crate::cli::library::{bake, build, running};
use crate::ops::Error;
use crate::ops::build::{LockMode, LockPlace, Target};

/// Everything that defines a build.
pub(super) struct Definition {
    /// Its targets, each after those it is linked to.
    pub targets: Vec<Target>,
    /// Where its lockfile is.
    pub lock: LockPlace,
    /// How that is used.
    pub mode: LockMode,
}

impl Definition {
    /// Reads it.
    pub(super) fn read(subject: &Subject, session: &Session, run: &running::Run) -> Result<Self, Error> {
        match subject {
            Subject::Dockerfile(args) => {
                let (target, lock) = build::target(args, session, run)?;
                Ok(Self { targets: vec![target], lock, mode: build::lock_mode(args.lock) })
            }
            Subject::BuildFile(args) => {
                let bake::Definition { targets, lock, .. } = bake::Definition::read(args, session)?;
                Ok(Self { targets, lock, mode: build::lock_mode(args.lock) })
            }
        }
    }
}
