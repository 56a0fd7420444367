//! `imgbuild bake`: targets of a build file.

use super::{build_with_progress, debug, json_pretty};
use crate::cli::args::BakeArgs;
use crate::cli::library::Library;
use crate::cli::{Session, error};
use crate::ops::Error;

/// Builds, or with `--print` or `--list` shows what there is to build, or with `--convert` writes it as a `build.toml`.
pub fn run(args: BakeArgs, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    if args.convert {
        session.print(library.convert(&args, session)?)?;
        return Ok(error::OK);
    }
    if args.print || args.list.is_some() {
        let definition = library.describe(&args, session)?;
        session.print(json_pretty(&definition)?)?;
        return Ok(error::OK);
    }
    args.output.check(&session.env)?;
    debug::check(args.failure.on_error, session)?;
    let mut kept = None;
    let code = build_with_progress(args.progress, session, &args.output, |reporter| {
        library.bake(&args, session, reporter).inspect_err(|error| kept = debug::kept(error))
    });
    debug::on_error(args.failure.on_error, kept, &args.values, session);
    Ok(code)
}
