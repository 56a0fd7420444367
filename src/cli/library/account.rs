//! What `plan`, `why` and `graph` look at: a build that does not run, and the records of those that did.

use std::time::Duration;

use crate::cli::Session;
use crate::cli::args::subject::Subject;
use crate::cli::library::running;
use crate::cli::library::subject::Definition;
use crate::event::Silent;
use crate::graph::explain::Snapshot;
use crate::ops::Error;
use crate::ops::account::{self, Account};

/// A build that is looked at.
pub struct Look {
    run: running::Run,
    definition: Definition,
}

impl Look {
    /// Reads what defines it.
    pub fn open(subject: &Subject, session: &Session) -> Result<Self, Error> {
        let run = running::Run::start(session, None)?;
        let definition = Definition::read(subject, session, &run)?;
        Ok(Self { run, definition })
    }

    /// Looks at something else instead.
    pub fn turn_to(&mut self, subject: &Subject, session: &Session) -> Result<(), Error> {
        self.definition = Definition::read(subject, session, &self.run)?;
        Ok(())
    }

    /// What it would do.
    pub fn plan(&self) -> Result<Account, Error> {
        let Definition { targets, lock, mode } = &self.definition;
        account::plan(&self.run.session(&Silent)?, targets, lock, *mode)
    }

    /// What it did last; with `eventful`, when a step ran last.
    pub fn last_build(&self, eventful: bool) -> Result<Option<Account>, Error> {
        let Definition { targets, lock, .. } = &self.definition;
        Ok(account::last_build(&self.run.session(&Silent)?.store, targets, lock, eventful))
    }

    /// How long its steps took last.
    pub fn timings(&self, snapshot: &Snapshot) -> Result<Vec<Option<Duration>>, Error> {
        Ok(account::timings(&self.run.session(&Silent)?.store, snapshot))
    }
}
