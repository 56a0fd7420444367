//! The commands that list, name and remove images: arguments to calls of [`ops`](crate::ops), results to rows.

use crate::cli::Session;
use crate::cli::commands::{history, images, inspect, rmi};
use crate::ops::Error;

fn missing<T>(command: &str) -> Result<T, Error> {
    Err(Error::environment(format!("`imgbuild {command}` is not part of this version")))
}

pub(super) fn images(_: &images::Args, _: &Session) -> Result<Vec<images::Row>, Error> {
    missing("images")
}

pub(super) fn tag(_: &str, _: &str, _: &Session) -> Result<(), Error> {
    missing("tag")
}

pub(super) fn remove(_: &rmi::Args, _: &Session) -> Result<Vec<rmi::Removed>, Error> {
    missing("rmi")
}

pub(super) fn inspect(_: &inspect::Args, _: &Session) -> Result<Vec<inspect::Image>, Error> {
    missing("inspect")
}

pub(super) fn history(_: &history::Args, _: &Session) -> Result<Vec<history::Row>, Error> {
    missing("history")
}
