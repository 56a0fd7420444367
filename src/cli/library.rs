//! What the commands need of the library, in one place: one method for each command, so that a command can be tested
//! without a store.

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

fn missing<T>(command: &str) -> Result<T, Error> {
    Err(Error::environment(format!("`imgbuild {command}` is not part of this version")))
}

impl Library for Ops {
    fn build(&self, _: &BuildArgs, _: &Session, _: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        missing("build")
    }

    fn check(&self, _: &BuildArgs, _: &Session) -> Result<Diagnostics, Error> {
        missing("build --check")
    }

    fn bake(&self, _: &BakeArgs, _: &Session, _: Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error> {
        missing("bake")
    }

    fn describe(&self, _: &BakeArgs, _: &Session) -> Result<serde_json::Value, Error> {
        missing("bake --print")
    }

    fn images(&self, _: &images::Args, _: &Session) -> Result<Vec<images::Row>, Error> {
        missing("images")
    }

    fn tag(&self, _: &str, _: &str, _: &Session) -> Result<(), Error> {
        missing("tag")
    }

    fn remove(&self, _: &rmi::Args, _: &Session) -> Result<Vec<rmi::Removed>, Error> {
        missing("rmi")
    }

    fn inspect(&self, _: &inspect::Args, _: &Session) -> Result<Vec<inspect::Image>, Error> {
        missing("inspect")
    }

    fn history(&self, _: &history::Args, _: &Session) -> Result<Vec<history::Row>, Error> {
        missing("history")
    }

    fn save(&self, _: &save::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<(), Error> {
        missing("save")
    }

    fn load(&self, _: &load::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<Vec<load::Loaded>, Error> {
        missing("load")
    }

    fn import(&self, _: &import::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<String, Error> {
        missing("import")
    }
}
