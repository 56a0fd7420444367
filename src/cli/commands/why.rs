//! `imgbuild why`: why steps would run, or ran.

use std::fmt::Write as _;
use std::path::Path;

use super::{TextFormat, json_pretty, now};
use crate::cli::Session;
use crate::cli::args::subject::{Subject, SubjectArgs};
use crate::cli::choose::choose;
use crate::cli::explain::{document, is_work, place, title};
use crate::cli::human::{ago, count};
use crate::cli::library::Look;
use crate::graph::explain::Reason;
use crate::ops::Error;
use crate::ops::account::{Account, StepState};

/// Explain why steps would run, or ran
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild why                           all that would run now; if nothing, all that ran last
  imgbuild why web                       a target of build.toml
  imgbuild why build                     a stage
  imgbuild why Dockerfile:12             the instruction on that line
  imgbuild why 'RUN make' -f app/Dockerfile app
                                         a step by the beginning of its name, of another Dockerfile
  imgbuild why --last                    only what ran last
  imgbuild why --format json             for programs (docs/explain.md)

Nothing runs and nothing is written. What is compared with is the last build of the same definition.")]
pub struct Args {
    /// A step by its name, FILE:LINE or LINE; a stage; or a target [default: all steps that would run]
    #[arg(value_name = "STEP|TARGET|LINE")]
    pub name: Option<String>,
    /// What would be built.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Explain the last build in which a step ran, not the next one
    #[arg(long)]
    pub last: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: TextFormat,
}

/// Prints the reasons.
pub fn run(mut args: Args, session: &Session) -> Result<(), Error> {
    // A folder is no step, but a context.
    if let Some(folder) = args.name.take_if(|name| Path::new(name.as_str()).is_dir()) {
        args.subject.what.insert(0, folder);
    }
    let mut subject = args.subject.subject()?;
    let mut look = Look::open(&subject, session)?;
    let name = args.name.as_deref();
    let (mut account, mut chosen) = match look_up(&look, name, args.last) {
        // It may be a target that is not among those that are built by default.
        Err(unknown @ Error::Usage(_)) => match (&mut subject, name) {
            (Subject::BuildFile(bake), Some(target)) if bake.targets.is_empty() => {
                bake.targets.push(target.to_owned());
                look.turn_to(&subject, session).map_err(|_| unknown)?;
                look_up(&look, name, args.last)?
            }
            _ => return Err(unknown),
        },
        found => found?,
    };
    if !args.last && !chosen.iter().any(|step| account.states[*step].is_miss()) {
        // Nothing would run: what ran last is the next best answer.
        if let Some(earlier) = look.last_build(true)? {
            let found = choose(&earlier.snapshot, name).unwrap_or_default();
            if found.iter().any(|step| earlier.states[*step].is_miss()) {
                (account, chosen) = (earlier, found);
            }
        }
    }
    let chosen: Vec<usize> = match args.name {
        Some(_) => chosen,
        None => chosen.into_iter().filter(|step| account.states[*step].is_miss()).collect(),
    };
    let text = match args.format {
        TextFormat::Text => text(&mut account, &chosen, args.name.is_some(), now()),
        TextFormat::Json => json_pretty(&document(&mut account, chosen.into_iter()))?,
    };
    session.print(text)
}

fn look_up(look: &Look, name: Option<&str>, of_last: bool) -> Result<(Account, Vec<usize>), Error> {
    let account = if of_last { last(look)? } else { look.plan()? };
    let chosen = choose(&account.snapshot, name)?;
    Ok((account, chosen))
}

fn last(look: &Look) -> Result<Account, Error> {
    look.last_build(true)?.ok_or_else(|| {
        Error::build("there is no record of a build of this definition in which a step ran")
            .help("records are kept in the store, of the last 50 builds")
    })
}

fn text(account: &mut Account, chosen: &[usize], named: bool, now: i64) -> String {
    let snapshot = account.snapshot.clone();
    let mut text = String::new();
    if let Some(when) = account.when {
        let when = i64::try_from(when / 1000).unwrap_or(now);
        let _ = writeln!(text, "In the build of {}:\n", ago(when, now).to_lowercase());
    }
    if chosen.is_empty() {
        let steps = snapshot.steps.iter().filter(|step| is_work(step)).count();
        let _ = writeln!(text, "Nothing would run: {} cached.", count(steps, "step"));
        return text;
    }
    // What only waits for another step is counted with it, unless it was asked for.
    let direct = |account: &Account, step: usize| named || !matches!(account.states[step], StepState::Waits(_));
    let mut waiting = 0;
    for (number, step) in chosen.iter().enumerate() {
        if !direct(account, *step) {
            waiting += 1;
            continue;
        }
        if number > 0 {
            text.push('\n');
        }
        one(account, *step, &mut text);
    }
    if waiting > 0 {
        let verb = if waiting == 1 { "depends" } else { "depend" };
        let _ = writeln!(text, "\n{} {verb} on that, and may run.", count(waiting, "step"));
    }
    text
}

fn one(account: &mut Account, step: usize, text: &mut String) {
    let snapshot = account.snapshot.clone();
    let verb = match account.states[step] {
        StepState::Cached | StepState::Unneeded => "is cached",
        StepState::Run => "would run",
        StepState::Waits(_) => "may run",
        StepState::Ran => "ran",
        StepState::Failed => "ran and failed",
        StepState::Canceled => "was stopped, or never began",
    };
    let head = |step: usize| {
        let facts = &snapshot.steps[step];
        title(facts) + &place(facts).map(|place| format!("  ({place})")).unwrap_or_default()
    };
    let _ = writeln!(text, "{} {verb}", head(step));
    if !account.states[step].is_miss() {
        return;
    }
    for (depth, link) in account.chain(step).into_iter().enumerate() {
        let indent = "  ".repeat(depth + 1);
        if depth > 0 {
            let _ = writeln!(text, "{}because of {}", "  ".repeat(depth), head(link));
        }
        for reason in account.reasons(link) {
            reason_lines(&reason, &indent, text);
        }
    }
}

/// A reason; of files, each on a line of its own.
fn reason_lines(reason: &Reason, indent: &str, text: &mut String) {
    match reason {
        // The next line of the chain says which.
        Reason::Input(_) => {}
        Reason::Files { of, changes, more } if changes.len() + more > 1 => {
            let _ = writeln!(text, "{indent}files of {of}:");
            for change in changes {
                let _ = writeln!(text, "{indent}  {change}");
            }
            if *more > 0 {
                let _ = writeln!(text, "{indent}  and {more} more");
            }
        }
        reason => drop(writeln!(text, "{indent}{reason}")),
    }
}
