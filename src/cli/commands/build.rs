//! `imgbuild build`: an image from a Dockerfile.

use super::{build_with_progress, debug};
use crate::cli::Session;
use crate::cli::args::BuildArgs;
use crate::cli::args::values::ContextSource;
use crate::cli::library::{CheckRequest, Library};
use crate::ops::Error;

/// Builds, or with `--check` says what there is to say about the Dockerfile.
pub fn run(args: BuildArgs, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    if args.context == ContextSource::Stdin && args.reads_dockerfile_from_stdin() {
        return Err(Error::Usage(
            "stdin cannot be both the context and the Dockerfile: give one of them a path".into(),
        ));
    }
    if args.only_checks() {
        return check(&args, session, library);
    }
    args.output.check(&session.env)?;
    debug::check(args.failure.on_error, session)?;
    let mut kept = None;
    let code = build_with_progress(args.progress, session, &args.output, |reporter| {
        library.build(&args, session, reporter).inspect_err(|error| kept = debug::kept(error))
    });
    debug::on_error(args.failure.on_error, kept, &args.values, session);
    Ok(code)
}

fn check(args: &BuildArgs, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    let request = CheckRequest {
        context: args.context.clone(),
        file: args.file.as_deref(),
        target: args.target.as_deref(),
        build_args: &args.values.build_arg,
        contexts: &args.values.build_context,
        platforms: &args.image.platform,
    };
    let found = library.check(&request, session)?;
    // As with docker, a warning is a failure here.
    super::check::show(&[found], super::check::Format::Text, Some(super::check::Deny::Warnings), session)
}
