//! The commands that bring images in and out as archives: arguments to calls of [`ops`](crate::ops), results to rows.

use std::sync::Arc;

use crate::cli::Session;
use crate::cli::commands::{import, load, save};
use crate::event::Reporter;
use crate::ops::Error;

fn missing<T>(command: &str) -> Result<T, Error> {
    Err(Error::environment(format!("`imgbuild {command}` is not part of this version")))
}

pub(super) fn save(_: &save::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<(), Error> {
    missing("save")
}

pub(super) fn load(_: &load::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<Vec<load::Loaded>, Error> {
    missing("load")
}

pub(super) fn import(_: &import::Args, _: &Session, _: Arc<dyn Reporter>) -> Result<String, Error> {
    missing("import")
}
