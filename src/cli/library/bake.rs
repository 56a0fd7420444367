//! `bake`: a build file is read, resolved, and its targets handed to [`ops::build`](crate::ops::build).

use std::sync::Arc;

use crate::cli::Session;
use crate::cli::args::BakeArgs;
use crate::event::Reporter;
use crate::ops::Error;

pub(super) fn bake(_: &BakeArgs, _: &Session, _: Arc<dyn Reporter>) -> Result<(), Error> {
    Err(Error::environment("`imgbuild bake` is not part of this version"))
}

pub(super) fn describe(_: &BakeArgs, _: &Session) -> Result<serde_json::Value, Error> {
    Err(Error::environment("`imgbuild bake --print` is not part of this version"))
}
