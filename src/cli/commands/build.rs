//! `imgbuild build`: an image from a Dockerfile.

use std::process::ExitCode;

use super::with_progress;
use crate::cli::args::BuildArgs;
use crate::cli::library::Library;
use crate::cli::{Session, error};
use crate::frontend::diagnostic::Severity;
use crate::ops::Error;

/// Builds, or with `--check` says what there is to say about the Dockerfile.
pub fn run(args: BuildArgs, session: &Session, library: &dyn Library) -> Result<ExitCode, Error> {
    if args.only_checks() {
        return check(&args, session, library);
    }
    let notes = args.compatibility.notes();
    let built = with_progress(args.progress, session, notes, |reporter| library.build(&args, session, reporter));
    Ok(built.map_or_else(|code| code, |()| ExitCode::SUCCESS))
}

fn check(args: &BuildArgs, session: &Session, library: &dyn Library) -> Result<ExitCode, Error> {
    let found = library.check(args, session)?;
    if found.list.is_empty() {
        session.print(format!("{}: no problems found\n", found.name))?;
        return Ok(ExitCode::SUCCESS);
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
    Ok(ExitCode::from(error::BUILD_FAILED))
}
