//! `imgbuild build`: an image from a Dockerfile.

use super::build_with_progress;
use crate::cli::args::BuildArgs;
use crate::cli::args::values::ContextSource;
use crate::cli::library::Library;
use crate::cli::{Session, error};
use crate::frontend::diagnostic::Severity;
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
    let notes = args.compatibility.notes();
    Ok(build_with_progress(args.progress, session, &args.output, notes, |reporter| {
        library.build(&args, session, reporter)
    }))
}

fn check(args: &BuildArgs, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    let found = library.check(args, session)?;
    if found.list.is_empty() {
        session.print(format!("{}: no problems found\n", found.name))?;
        return Ok(error::OK);
    }
    let style =
        error::Style { colours: session.style().colours && session.env.stdout_is_terminal(), ..session.style() };
    let errors = found.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let total = format!(
        "\n{}: {}, {}\n",
        found.name,
        crate::cli::human::count(errors, "error"),
        crate::cli::human::count(found.list.len() - errors, "warning")
    );
    session.print(error::render_diagnostics(&found, style) + &total)?;
    Ok(error::BUILD_FAILED)
}
