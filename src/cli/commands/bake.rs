//! `imgbuild bake`: targets of a build file.

use std::process::ExitCode;

use super::{json_pretty, with_progress};
use crate::cli::Session;
use crate::cli::args::BakeArgs;
use crate::cli::library::Library;
use crate::ops::Error;

/// Builds, or with `--print` or `--list` shows what there is to build.
pub fn run(args: BakeArgs, session: &Session, library: &dyn Library) -> Result<ExitCode, Error> {
    if args.print || args.list.is_some() {
        let definition = library.describe(&args, session)?;
        session.print(json_pretty(&definition)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let notes = args.compatibility.notes();
    let built = with_progress(args.progress, session, notes, |reporter| library.bake(&args, session, reporter));
    Ok(built.map_or_else(|code| code, |()| ExitCode::SUCCESS))
}
