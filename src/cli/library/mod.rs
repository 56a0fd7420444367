//! What building needs of the library, in one place, so that `build` and `bake` can be tested without building anything.
//!
//! The commands that only look at the store, or bring images in and out, call [`ops`](crate::ops) themselves.

mod account;
mod bake;
mod build;
mod changes;
mod check;
mod command;
pub(super) mod debug;
mod foreign;
mod include;
pub mod lock;
pub(super) mod metadata;
pub(super) mod network;
mod running;
mod subject;
pub(super) mod trust;

use std::sync::Arc;

pub use account::Look;
pub use check::CheckRequest;

use super::Session;
use super::args::{BakeArgs, BuildArgs};
use crate::event::Reporter;
use crate::ops::error::Diagnostics;
use crate::ops::{Error, FixedFile};

/// The operations behind the commands.
pub trait Library {
    /// Builds from a Dockerfile. The last event is the summary. Returns warnings about the Dockerfile.
    fn build(
        &self,
        args: &BuildArgs,
        session: &Session,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Vec<Diagnostics>, Error>;
    /// What there is to say about a Dockerfile without building it. Errors are among the diagnostics.
    fn check(&self, request: &CheckRequest<'_>, session: &Session) -> Result<Diagnostics, Error>;
    /// The same text with everything mended that can be; with `also_changes`, even if the image changes.
    fn fix(&self, request: &CheckRequest<'_>, session: &Session, also_changes: bool) -> Result<FixedFile, Error>;
    /// Builds targets of a build file. The last event is the summary. Returns warnings about the definitions.
    fn bake(&self, args: &BakeArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error>;
    /// What `--print` and `--list` show.
    fn describe(&self, args: &BakeArgs, session: &Session) -> Result<serde_json::Value, Error>;
    /// The text of the `build.toml` that says what docker's build files say.
    fn convert(&self, args: &BakeArgs, session: &Session) -> Result<String, Error>;
}

/// The real library.
pub struct Ops;

impl Library for Ops {
    fn build(
        &self,
        args: &BuildArgs,
        session: &Session,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Vec<Diagnostics>, Error> {
        build::build(args, session, reporter)
    }

    fn check(&self, request: &CheckRequest<'_>, session: &Session) -> Result<Diagnostics, Error> {
        check::check(request, session)
    }

    fn fix(&self, request: &CheckRequest<'_>, session: &Session, also_changes: bool) -> Result<FixedFile, Error> {
        check::fix(request, session, also_changes)
    }

    fn bake(&self, args: &BakeArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        bake::bake(args, session, reporter)
    }

    fn describe(&self, args: &BakeArgs, session: &Session) -> Result<serde_json::Value, Error> {
        bake::describe(args, session)
    }

    fn convert(&self, args: &BakeArgs, session: &Session) -> Result<String, Error> {
        foreign::convert(args, session)
    }
}
