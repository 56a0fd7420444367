//! `imgbuild debug`: a shell in the state of a failed step, or at any step of a build.

use std::path::Path;
use std::sync::Arc;

use super::run::{exit_code, not_started};
use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::shared::{OnError, ValueArgs};
use crate::cli::args::subject::SubjectArgs;
use crate::cli::args::values::BuildArg;
use crate::cli::attach::{self, Attach};
use crate::cli::explain::step_title;
use crate::cli::library::debug;
use crate::cli::{Session, error, interrupt};
use crate::ops::Error;
use crate::ops::debug::{EnterOptions, Standing, enter};
use crate::sandbox::Namespaces;
use crate::store::scenes::SceneStep;

/// Open a shell in the state of a failed step, or at any step
#[derive(Debug, clap::Args)]
#[command(override_usage = "imgbuild debug [OPTIONS] [STEP|LINE] [TARGET|CONTEXT] [-- COMMAND...]")]
#[command(after_help = "\
Examples:
  imgbuild debug                         a shell in the state that the last RUN that failed left behind
  imgbuild debug --before                … in the state before it ran
  imgbuild debug -- cat /src/config.log  a command there instead
  imgbuild debug 12                      a shell after line 12 of ./Dockerfile; what is missing is built
  imgbuild debug --before 'RUN make'     … before a step, by the beginning of its name
  imgbuild debug build:3 -f app/Dockerfile app
                                         … after the third step of a stage, of another Dockerfile
  imgbuild debug -u root --secret id=token,src=token.txt 12
                                         … as another user, with a secret that the step has

What is changed there is thrown away. The shell has the step's environment, user, working folder and mounts; secrets and ssh
agents only if they are given again. The exit code is the shell's (docs/debugging.md).")]
pub struct Args {
    /// A step by its name, STAGE:NUMBER, FILE:LINE or LINE; or a stage [default: the RUN that failed last]
    #[arg(value_name = "STEP|LINE")]
    pub name: Option<String>,
    /// What is built.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Open the state before the step, not after it
    #[arg(long, help_heading = "Shell")]
    pub before: bool,
    /// Be this user, by name or number [default: the step's]
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Shell")]
    pub user: Option<String>,
    /// The working folder [default: the step's]
    #[arg(short, long, value_name = "FOLDER", help_heading = "Shell")]
    pub workdir: Option<String>,
    /// Set a variable, or take it from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Shell")]
    pub env: Vec<BuildArg>,
    /// Use this machine's static shell even if the image has one
    #[arg(long, help_heading = "Shell")]
    pub lend: bool,
    /// A command instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Opens the shell; the exit code is its own.
pub fn run(args: Args, session: &Session) -> Result<u8, Error> {
    let Args { mut name, mut subject, before, user, workdir, env, lend, command } = args;
    let env = session.env.build_arguments(&env)?;
    // A folder is no step, but a context.
    if let Some(folder) = name.take_if(|name| Path::new(name.as_str()).is_dir()) {
        subject.what.insert(0, folder);
    }
    let (standing, credentials) = match name {
        None if subject.what.is_empty() && subject.files.is_empty() => {
            let standing = Standing::failed(&session.open_store()?, None)?;
            (Standing { before, ..standing }, debug::credentials(&subject.values, session)?)
        }
        None => {
            return Err(Error::Usage(
                "name a step or a line of that build; without a build, the last step that failed is opened".into(),
            ));
        }
        Some(name) => {
            let subject = subject.subject()?;
            let stood = with_progress(ProgressArgs::default(), session, true, |progress| {
                debug::stand(&subject, session, &name, before, progress.reporter())
            });
            match stood {
                Ok(stood) => stood,
                Err(code) => return Ok(code),
            }
        }
    };
    let options = EnterOptions { command, user, cwd: workdir, env, lend, credentials, ..EnterOptions::default() };
    open(&standing, options, session)
}

/// Whether a shell can be opened when a step fails, if that is wanted.
pub(super) fn check(on_error: OnError, session: &Session) -> Result<(), Error> {
    let is_terminal = session.env.stdin_is_terminal() && session.env.stdout_is_terminal();
    match on_error {
        OnError::Shell if !is_terminal => Err(Error::Usage(
            "--on-error=shell needs a terminal, and standard input or output is none: leave it out, and use \
             `imgbuild debug` afterwards"
                .into(),
        )),
        _ => Ok(()),
    }
}

/// The ID of what was kept of the step that failed.
pub(super) fn kept(error: &Error) -> Option<String> {
    match error {
        Error::StepFailed(failure) => failure.kept.clone(),
        _ => None,
    }
}

/// Opens a shell in what a failed step left, right after it failed, if that is wanted. How that goes changes nothing about the
/// build.
pub(super) fn on_error(on_error: OnError, kept: Option<String>, values: &ValueArgs, session: &Session) {
    let (OnError::Shell, Some(id)) = (on_error, kept) else { return };
    let opened = || {
        let standing = Standing::failed(&session.open_store()?, Some(&id))?;
        let credentials = debug::credentials(values, session)?;
        open(&standing, EnterOptions { credentials, ..EnterOptions::default() }, session)
    };
    // Below the error, which is about something else.
    session.complain("\n");
    if let Err(error) = opened() {
        session.complain(&error::render(&error, session.style()));
    }
}

fn open(standing: &Standing, options: EnterOptions, session: &Session) -> Result<u8, Error> {
    let terminal = session.env.stdin_is_terminal() && session.env.stdout_is_terminal();
    let resolv_conf = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let options = EnterOptions { terminal, resolv_conf, ..options };
    let namespaces = Namespaces::new().map_err(|error| Error::environment("/proc is not mounted").caused_by(error))?;
    let visit = enter(&Arc::new(session.open_store()?), standing, &options)?;
    if options.command.is_empty() && terminal {
        session.complain(&greeting(standing, visit.is_lent, &visit.missing));
    }
    // From here on the store is not in use: others may tidy it up, however long this takes.
    interrupt::hand_over();
    let attach = Attach { interactive: true, terminal, readonly: false };
    let exit = attach::run(&namespaces, &visit.spec, attach, |_| {});
    drop(namespaces);
    let code = exit_code(&exit);
    visit.leave(&session.open_store()?)?;
    if let Err(error) = exit {
        not_started(error, session);
    }
    Ok(code)
}

/// What somebody who enters has to know.
fn greeting(standing: &Standing, is_lent: bool, missing: &[String]) -> String {
    let SceneStep { outcome, origin, .. } = &standing.scene.step;
    let title = step_title(&standing.scene.step.stage, &standing.scene.step.name);
    let place = origin.as_ref().map(|(file, line)| format!(" ({file}:{line})")).unwrap_or_default();
    let mut text = match (standing.before, outcome.is_empty()) {
        (true, _) => format!("Just before {title}{place}.\n"),
        (false, true) => format!("Just after {title}{place}.\n"),
        (false, false) => format!("As {title}{place} left it, which failed with {outcome}.\n"),
    };
    text += "What you change here is thrown away. `exit` leaves.\n";
    if is_lent {
        text += "There is no shell in here: this one is lent by this machine.\n";
    }
    if !missing.is_empty() {
        text += &format!("The step had more, which can be given again: {}\n", missing.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scenes::{Scene, SceneKind};

    #[test]
    fn says_where_one_is() {
        let step = SceneStep {
            name: "RUN make \\\n  all".into(),
            stage: "build 3/5".into(),
            origin: Some(("Dockerfile".into(), 7)),
            key: None,
            outcome: "exit code 2".into(),
        };
        let scene = Scene { step, ..Scene::bare(SceneKind::Failure, Vec::new()) };
        let check = |before, outcome: &str, expected: &str| {
            let step = SceneStep { outcome: outcome.into(), ..scene.step.clone() };
            let standing = Standing { scene: Scene { step, ..scene.clone() }, failure: None, before };
            assert_eq!(greeting(&standing, false, &[]).lines().next().unwrap(), expected);
        };
        check(true, "exit code 2", "Just before [build 3/5] RUN make all (Dockerfile:7).");
        check(false, "", "Just after [build 3/5] RUN make all (Dockerfile:7).");
        check(
            false,
            "exit code 2",
            "As [build 3/5] RUN make all (Dockerfile:7) left it, which failed with exit code 2.",
        );
        let standing = Standing { scene, failure: None, before: false };
        let text = greeting(&standing, true, &["--ssh default".into()]);
        assert!(text.contains("lent by this machine") && text.ends_with("--ssh default\n"), "{text}");
    }
}
