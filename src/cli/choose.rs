//! Which steps of a build a name on the command line means: for `why`, `debug` and `build --until` alike.

use std::collections::{BTreeMap, BTreeSet};

use super::explain::{is_work, title};
use crate::graph::explain::{Snapshot, StepFacts};
use crate::ops::Error;

/// The steps that a name means; all if there is none.
pub fn choose(snapshot: &Snapshot, name: Option<&str>) -> Result<Vec<usize>, Error> {
    let work = || (0..snapshot.steps.len()).filter(|step| is_work(&snapshot.steps[*step]));
    let Some(name) = name else { return Ok(work().collect()) };
    let roots = snapshot.roots.iter().filter(|root| root.target == name && !name.is_empty());
    let of_target: BTreeSet<usize> = roots.flat_map(|root| snapshot.closure(root.step)).collect();
    if !of_target.is_empty() {
        return Ok(work().filter(|step| of_target.contains(step)).collect());
    }
    let matching =
        |is: &dyn Fn(&StepFacts) -> bool| work().filter(|step| is(&snapshot.steps[*step])).collect::<Vec<_>>();
    let lower = name.to_lowercase();
    let ways: [&dyn Fn(&StepFacts) -> bool; 4] = [
        &|step| is_in_place(step, &lower),
        &|step| step.slot().is_some_and(|(stage, _)| stage.eq_ignore_ascii_case(name)),
        &|step| step.name.to_lowercase().starts_with(&lower),
        &|step| step.name.to_lowercase().contains(&lower),
    ];
    let line = on_line(snapshot, name);
    let found = std::iter::once(line).chain(ways.iter().map(|way| matching(way))).find(|found| !found.is_empty());
    found.ok_or_else(|| {
        let names: Vec<String> = work().take(12).map(|step| format!("  {}", title(&snapshot.steps[step]))).collect();
        let more = match work().count().saturating_sub(names.len()) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        Error::Usage(format!(
            "no step, stage, line or target is called {name:?}; there are\n{}{more}",
            names.join("\n")
        ))
    })
}

/// The one step that a name means; of a stage, the last. The same instruction may be there for several platforms.
pub fn choose_one(snapshot: &Snapshot, name: &str) -> Result<usize, Error> {
    let found = choose(snapshot, Some(name))?;
    let of = |step: &usize| &snapshot.steps[*step];
    let whole = |is: &dyn Fn(&StepFacts) -> bool| found.iter().all(|step| is(of(step)));
    let is_stage = whole(&|step| step.slot().is_some_and(|(stage, _)| stage.eq_ignore_ascii_case(name)));
    let is_target = snapshot.roots.iter().any(|root| root.target == name && !name.is_empty());
    let first = found.first().copied().unwrap_or_default();
    match is_stage || is_target {
        true => Ok(found.last().copied().unwrap_or_default()),
        false if whole(&|step| step.origin == of(&first).origin) => Ok(first),
        false => {
            let names: Vec<String> = found.iter().take(12).map(|step| format!("  {}", title(of(step)))).collect();
            Err(Error::Usage(format!("{name:?} is the name of several steps; say which:\n{}", names.join("\n"))))
        }
    }
}

/// A line as it is written on the command line: `Dockerfile:12`, or `12`.
pub fn as_line(name: &str) -> Option<(&str, u32)> {
    let (file, line) = name.rsplit_once(':').unwrap_or(("", name));
    Some((file, line.parse().ok()?))
}

/// Whether a step is called so by its stage and its place there: `build 3/5` as it is shown, with brackets or without, or
/// `build:3`. `name` is in lower case.
fn is_in_place(step: &StepFacts, name: &str) -> bool {
    let stage = step.stage.to_lowercase();
    let shown = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let slot = step.slot().map(|(stage, place)| format!("{}:{place}", stage.to_lowercase()));
    !stage.is_empty() && (stage == shown || slot.as_deref() == Some(name))
}

/// The steps of the instruction that holds a line.
fn on_line(snapshot: &Snapshot, name: &str) -> Vec<usize> {
    let Some((file, line)) = as_line(name) else { return Vec::new() };
    let origin = |step: &StepFacts| {
        let (of, at) = step.origin.clone()?;
        let is_file = file.is_empty() || of == file || of.ends_with(&format!("/{file}"));
        (is_file && at <= line && is_work(step)).then_some((of, at))
    };
    let mut nearest: BTreeMap<String, u32> = BTreeMap::new();
    for (of, at) in snapshot.steps.iter().filter_map(origin) {
        let line = nearest.entry(of).or_default();
        *line = at.max(*line);
    }
    let is_there = |step: &usize| origin(&snapshot.steps[*step]).is_some_and(|(of, at)| nearest.get(&of) == Some(&at));
    (0..snapshot.steps.len()).filter(is_there).collect()
}
