//! What the commands need of the library, in one place: one method for each command, so that a command can be tested
//! without a store.

mod archives;
mod bake;
mod build;
mod running;
mod store;

use std::sync::Arc;

use super::Session;
use super::args::{BakeArgs, BuildArgs};
use super::commands::{history, images, import, inspect, load, rmi, save};
use crate::event::Reporter;
use crate::ops::Error;
use crate::ops::error::Diagnostics;

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
    fn check(&self, args: &BuildArgs, session: &Session) -> Result<Diagnostics, Error>;
    /// Builds targets of a build file. The last event is the summary. Returns warnings about the definitions.
    fn bake(&self, args: &BakeArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error>;
    /// What `--print` and `--list` show.
    fn describe(&self, args: &BakeArgs, session: &Session) -> Result<serde_json::Value, Error>;
    /// The images in the store that have this name, or all, in the order to show.
    fn images(&self, args: &images::Args, session: &Session) -> Result<Vec<images::Row>, Error>;
    /// Gives an image another name.
    fn tag(&self, source: &str, target: &str, session: &Session) -> Result<(), Error>;
    /// Removes names, and images without names.
    fn remove(&self, args: &rmi::Args, session: &Session) -> Result<Vec<rmi::Removed>, Error>;
    /// Everything about these images, in the order asked for.
    fn inspect(&self, args: &inspect::Args, session: &Session) -> Result<Vec<inspect::Image>, Error>;
    /// How an image came to be, newest step first.
    fn history(&self, args: &history::Args, session: &Session) -> Result<Vec<history::Row>, Error>;
    /// Writes images to an archive.
    fn save(&self, args: &save::Args, session: &Session, reporter: Arc<dyn Reporter>) -> Result<(), Error>;
    /// Reads images from an archive.
    fn load(
        &self,
        args: &load::Args,
        session: &Session,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Vec<load::Loaded>, Error>;
    /// Makes an image from a tar file; its identity.
    fn import(&self, args: &import::Args, session: &Session, reporter: Arc<dyn Reporter>) -> Result<String, Error>;
}

/// The real library.
pub struct Ops;

impl Library for Ops {
    fn build(&self, args: &BuildArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        build::build(args, session, reporter)
    }

    fn check(&self, args: &BuildArgs, session: &Session) -> Result<Diagnostics, Error> {
        build::check(args, session)
    }

    fn bake(&self, args: &BakeArgs, session: &Session, reporter: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        bake::bake(args, session, reporter)
    }

    fn describe(&self, args: &BakeArgs, session: &Session) -> Result<serde_json::Value, Error> {
        bake::describe(args, session)
    }

    fn images(&self, args: &images::Args, session: &Session) -> Result<Vec<images::Row>, Error> {
        store::images(args, session)
    }

    fn tag(&self, source: &str, target: &str, session: &Session) -> Result<(), Error> {
        store::tag(source, target, session)
    }

    fn remove(&self, args: &rmi::Args, session: &Session) -> Result<Vec<rmi::Removed>, Error> {
        store::remove(args, session)
    }

    fn inspect(&self, args: &inspect::Args, session: &Session) -> Result<Vec<inspect::Image>, Error> {
        store::inspect(args, session)
    }

    fn history(&self, args: &history::Args, session: &Session) -> Result<Vec<history::Row>, Error> {
        store::history(args, session)
    }

    fn save(&self, args: &save::Args, session: &Session, reporter: Arc<dyn Reporter>) -> Result<(), Error> {
        archives::save(args, session, reporter)
    }

    fn load(
        &self,
        args: &load::Args,
        session: &Session,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Vec<load::Loaded>, Error> {
        archives::load(args, session, reporter)
    }

    fn import(&self, args: &import::Args, session: &Session, reporter: Arc<dyn Reporter>) -> Result<String, Error> {
        archives::import(args, session, reporter)
    }
}
