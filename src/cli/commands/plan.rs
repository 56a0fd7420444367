//! `imgbuild plan`: what a build would do.

use std::fmt::Write as _;

use super::{TextFormat, json_pretty};
use crate::cli::Session;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::explain::{document, is_work, target, title};
use crate::cli::human::count;
use crate::cli::library::Look;
use crate::ops::Error;
use crate::ops::account::{Account, StepState};

/// Show what a build would do, without doing it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild plan                          what `imgbuild bake` or `imgbuild build .` would run, and why
  imgbuild plan web worker               two targets of build.toml
  imgbuild plan --build-arg V=2 .        what another argument would cost
  imgbuild plan --all --format json .    every step, for programs (docs/explain.md)

Nothing runs and nothing is written. A step that depends on one that would run may still be found in the cache, if
that one comes to the same.")]
pub struct Args {
    /// What would be built.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Also list the steps that are cached
    #[arg(short, long)]
    pub all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: TextFormat,
}

/// Prints the plan.
pub fn run(args: Args, session: &Session) -> Result<(), Error> {
    let look = Look::open(&args.subject.subject()?, session)?;
    let mut account = look.plan()?;
    let text = match args.format {
        TextFormat::Text => text(&mut account, args.all),
        TextFormat::Json => {
            let all = 0..account.snapshot.steps.len();
            let wanted: Vec<usize> = all.filter(|step| is_work(&account.snapshot.steps[*step])).collect();
            json_pretty(&document(&mut account, wanted.into_iter()))?
        }
    };
    session.print(text)
}

/// How many steps are in which state.
#[derive(Default)]
struct Counts {
    cached: usize,
    run: usize,
    depend: usize,
}

impl Counts {
    fn add(&mut self, state: &StepState) {
        match state {
            StepState::Run => self.run += 1,
            StepState::Waits(_) => self.depend += 1,
            _ => self.cached += 1,
        }
    }

    fn words(&self) -> String {
        let verb = if self.depend == 1 { "depends" } else { "depend" };
        let mut words = match (self.run, self.depend) {
            (0, 0) => return format!("nothing to run, {} cached", count(self.cached, "step")),
            (0, depend) => format!("{} {verb} on other targets", count(depend, "step")),
            (run, 0) => format!("{} to run", count(run, "step")),
            (run, depend) => {
                let on = if run == 1 { "it" } else { "them" };
                format!("{} to run, {depend} {verb} on {on}", count(run, "step"))
            }
        };
        if self.cached > 0 {
            let _ = write!(words, ", {} cached", self.cached);
        }
        words
    }
}

fn text(account: &mut Account, all: bool) -> String {
    let snapshot = account.snapshot.clone();
    let mut of_root: Vec<Vec<usize>> = vec![Vec::new(); snapshot.roots.len()];
    for (step, owner) in snapshot.owners().into_iter().enumerate() {
        if let Some(owner) = owner.filter(|_| is_work(&snapshot.steps[step])) {
            of_root[owner].push(step);
        }
    }
    let (mut text, mut total, mut quiet) = (String::new(), Counts::default(), 0);
    for (root, steps) in of_root.iter().enumerate() {
        let mut counts = Counts::default();
        for step in steps {
            counts.add(&account.states[*step]);
            total.add(&account.states[*step]);
        }
        if counts.run + counts.depend == 0 && !all {
            quiet += 1;
            continue;
        }
        let name = target(&snapshot, root);
        if !name.is_empty() {
            let _ = writeln!(text, "{name}: {}", counts.words());
        }
        for step in steps {
            let name = title(&snapshot.steps[*step]);
            let _ = match account.states[*step] {
                StepState::Run => writeln!(text, "  run      {name}\n           {}", account.in_short(*step)),
                StepState::Waits(on) => {
                    writeln!(text, "  depends  {name}\n           on {}", title(&snapshot.steps[on]))
                }
                _ if all => writeln!(text, "  cached   {name}"),
                _ => Ok(()),
            };
        }
    }
    if quiet > 0 && !text.is_empty() {
        let more = if quiet == 1 { "1 more target is".to_owned() } else { format!("{quiet} more targets are") };
        let _ = writeln!(text, "{more} cached");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "Plan: {}", total.words());
    text
}
