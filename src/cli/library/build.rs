//! `build`.
use std::sync::Arc;
use crate::cli::Session;
use crate::cli::args::BuildArgs;
use crate::event::Reporter;
use crate::ops::Error;
use crate::ops::error::Diagnostics;
pub(super) fn build(_: &BuildArgs, _: &Session, _: Arc<dyn Reporter>) -> Result<(), Error> { Err(Error::build("")) }
pub(super) fn check(_: &BuildArgs, _: &Session) -> Result<Diagnostics, Error> { Err(Error::build("")) }
