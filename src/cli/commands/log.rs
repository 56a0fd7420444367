//! `imgbuild log`: what a build showed while it ran, again.

use super::TextFormat;
use crate::cli::Session;
use crate::cli::choose::choose;
use crate::cli::progress::{Json, Plain};
use crate::cli::records::{Replay, find, planned, step_of, when};
use crate::cli::{human, progress::clean};
use crate::event::{Event, Reporter};
use crate::ops::Error;
use crate::ops::record::{self, Ended, Summary};
use crate::store::Store;

/// Show again what a build showed
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild log                          the last build of this folder
  imgbuild log web/                     … of another
  imgbuild log 3f2a9c                   a build by its ID: `imgbuild builds` lists them
  imgbuild log 'RUN make'               only this step of the last build
  imgbuild log 3f2a9c Dockerfile:12     the step on that line
  imgbuild log --format json            the events, as --progress json has them

Of a step that wrote very much, the beginning and the end are kept. Secrets are masked, as they were when they were shown.")]
pub struct Args {
    /// The build: the first digits of its ID, or the folder or file that was built [default: the last of this folder]
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// Only this step, by its name, FILE:LINE or LINE; or a stage or a target
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: TextFormat,
}

/// Prints the log.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    let folder = super::current_folder()?;
    let (build, step) = match (args.build.as_deref(), args.step.as_deref()) {
        // One word can be either.
        (Some(word), None) => match find(&store, Some(word), &folder) {
            Ok(build) => (build, None),
            Err(unknown) => match find(&store, None, &folder) {
                Ok(build) => (build, Some(word)),
                Err(_) => return Err(unknown),
            },
        },
        (word, step) => (find(&store, word, &folder)?, step),
    };
    show(args, session, &store, &build, step)
}

fn show(args: &Args, session: &Session, store: &Store, build: &Summary, step: Option<&str>) -> Result<(), Error> {
    let snapshot = super::report::snapshot(store, build)?;
    let wanted = match step {
        Some(name) => Some(choose(&snapshot, Some(name))?),
        None => None,
    };
    let Some(log) = record::log(store, build) else {
        if args.format == TextFormat::Json {
            return Ok(());
        }
        let ago = human::ago(when(build), super::now()).to_lowercase();
        return session
            .print(format!("The build of {ago} ran nothing: {} cached.\n", human::count(build.cached, "step")));
    };
    let mut steps = planned(&snapshot);
    let mut entries = log.entries;
    if let Some(wanted) = &wanted {
        steps.retain(|info| wanted.contains(&info.step));
        entries.retain(|(_, event)| step_of(event).is_some_and(|step| wanted.contains(&step)));
    }
    let replay = Replay::default();
    let tell = |reporter: &dyn Reporter| {
        reporter.report(Event::Planned(steps));
        for (time, event) in entries {
            replay.set(time);
            reporter.report(event);
        }
    };
    match args.format {
        TextFormat::Json => tell(&Json::new(session.env.stdout(), replay.clock())),
        TextFormat::Text => {
            let colours = session.env.stdout_is_terminal() && session.env.colours();
            let plain = Plain::new(session.env.stdout(), replay.clock(), colours);
            tell(&plain);
            plain.finish();
            if let (Ended::Failed(message), None) = (&build.ended, step) {
                session.print(format!("\nerror: {}\n", clean(message.as_bytes(), false)))?;
            }
        }
    }
    Ok(())
}
