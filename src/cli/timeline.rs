//! When what happened: the events of a build as spans of time, side by side in lanes.
//!
//! Of a build that runs or of one that is recorded; the trace and the report are made of it. Times are after the start of the
//! build, by whatever clock the events came with. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::progress::title;
use crate::event::{Event, Outcome, StepInfo, StepNumber};
use crate::graph::explain::Input;

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it was.
    pub what: What,
    /// Its name, for people.
    pub name: String,
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
}

/// What took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A part of the build as a whole.
    Phase,
    /// A step.
    Step {
        /// Which.
        step: StepNumber,
        /// How it ended.
        outcome: Outcome,
        /// Why it ran; empty if that is not known.
        reason: String,
    },
    /// Work that is no step, such as writing an image.
    Task,
}

impl Span {
    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// Makes spans of events as they come.
#[derive(Debug, Default)]
pub struct Timeline {
    steps: BTreeMap<StepNumber, StepInfo>,
    reasons: BTreeMap<StepNumber, String>,
    running: BTreeMap<StepNumber, Duration>,
    tasks: BTreeMap<usize, (String, Duration)>,
    spans: Vec<Span>,
    marks: Marks,
}

/// The moments between which the phases are.
#[derive(Debug, Default)]
struct Marks {
    planned: Option<Duration>,
    /// When the first step was looked up.
    looked_up: Option<Duration>,
    last_step: Option<Duration>,
    last: Duration,
}

impl Timeline {
    /// Takes notice of an event.
    pub fn note(&mut self, time: Duration, event: &Event) {
        self.marks.last = self.marks.last.max(time);
        match event {
            Event::Planned(steps) => {
                self.marks.planned.get_or_insert(time);
                self.steps = steps.iter().map(|info| (info.step, info.clone())).collect();
            }
            Event::Explained(step, reason) => {
                self.marks.looked_up.get_or_insert(time);
                self.reasons.insert(*step, reason.clone());
            }
            Event::Started(step) => {
                self.marks.looked_up.get_or_insert(time);
                self.running.insert(*step, time);
            }
            Event::Finished(step, outcome, elapsed) => {
                self.marks.looked_up.get_or_insert(time);
                let Some(start) = self.running.remove(step) else { return };
                self.marks.last_step = Some(time);
                // What it took is known better than when its end was heard of.
                self.step(*step, outcome.clone(), start, (start + *elapsed).min(time).max(start));
            }
            Event::TaskStarted(task, name) => drop(self.tasks.insert(*task, (name.clone(), time))),
            Event::TaskFinished(task, elapsed) => {
                let Some((name, start)) = self.tasks.remove(task) else { return };
                self.spans.push(Span { what: What::Task, name, start, end: (start + *elapsed).min(time).max(start) });
            }
            Event::Output(..)
            | Event::Progress(..)
            | Event::TaskProgress(..)
            | Event::Warning(_)
            | Event::Summary(_) => {}
        }
    }

    fn step(&mut self, step: StepNumber, outcome: Outcome, start: Duration, end: Duration) {
        let name = self.steps.get(&step).map(title).unwrap_or_default();
        let reason = self.reasons.get(&step).cloned().unwrap_or_default();
        self.spans.push(Span { what: What::Step { step, outcome, reason }, name, start, end });
    }

    /// All spans, by when they began: first the phases, then the rest. What has no end yet ends with the last event.
    pub fn finish(mut self) -> Vec<Span> {
        let last = self.marks.last;
        for (step, start) in std::mem::take(&mut self.running) {
            self.marks.last_step = Some(last);
            self.step(step, Outcome::Canceled, start, last);
        }
        for (_, (name, start)) in std::mem::take(&mut self.tasks) {
            self.spans.push(Span { what: What::Task, name, start, end: last });
        }
        self.spans.sort_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
        let mut all = self.marks.phases();
        all.append(&mut self.spans);
        all
    }
}

impl Marks {
    /// The phases follow each other without gaps.
    fn phases(&self) -> Vec<Span> {
        let mut at = Duration::ZERO;
        let mut phases = Vec::new();
        let mut until = |name: &str, end: Option<Duration>| {
            let Some(end) = end.filter(|end| *end > at) else { return };
            phases.push(Span { what: What::Phase, name: name.to_owned(), start: at, end });
            at = end;
        };
        until("read and pin", self.planned);
        until("keys", self.looked_up);
        until("steps", self.last_step);
        until("export", Some(self.last).filter(|_| self.looked_up.is_some()));
        phases
    }
}

/// A lane for each span, so that no two in a lane overlap: the first one that is free. Spans come by when they began.
pub fn lanes<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<usize> {
    let mut free: Vec<Duration> = Vec::new();
    let lane = |span: &Span| {
        let lane = free.iter().position(|end| *end <= span.start).unwrap_or(free.len());
        if lane == free.len() {
            free.push(Duration::ZERO);
        }
        free[lane] = span.end;
        lane
    };
    spans.into_iter().map(lane).collect()
}

/// The steps of the longest way through a graph, by time; none if no time is known. Inputs come before what uses them.
pub fn critical_path(inputs: &[&[Input]], timings: &[Option<Duration>]) -> BTreeSet<usize> {
    let mut ends: Vec<(Duration, Option<usize>)> = Vec::with_capacity(inputs.len());
    for (step, inputs) in inputs.iter().enumerate() {
        let before =
            inputs.iter().map(|input| input.step).max_by_key(|input| (ends[*input].0, std::cmp::Reverse(*input)));
        let start = before.map_or(Duration::ZERO, |input| ends[input].0);
        ends.push((start + timings.get(step).copied().flatten().unwrap_or_default(), before));
    }
    let mut path = BTreeSet::new();
    let last = (0..ends.len()).max_by_key(|step| (ends[*step].0, std::cmp::Reverse(*step)));
    let mut at = last.filter(|step| ends[*step].0 > Duration::ZERO);
    while let Some(step) = at {
        path.insert(step);
        at = ends[step].1;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::progress::testing::step;
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn timeline(events: Vec<(u64, Event)>) -> Vec<String> {
        let mut timeline = Timeline::default();
        events.iter().for_each(|(time, event)| timeline.note(ms(*time), event));
        let shown = |span: &Span| {
            let what = match &span.what {
                What::Phase => "phase".to_owned(),
                What::Task => "task".to_owned(),
                What::Step { step, outcome, reason } => format!("{step} {outcome:?} {reason:?}"),
            };
            format!("{}-{} {} ({what})", span.start.as_millis(), span.end.as_millis(), span.name)
        };
        timeline.finish().iter().map(shown).collect()
    }

    #[test]
    fn spans_of_a_build() {
        let events = vec![
            (10, Event::Planned(vec![step(0, "", "FROM a"), step(1, "b 1/2", "RUN a"), step(2, "b 2/2", "RUN b")])),
            (15, Event::Finished(0, Outcome::Cached, ms(0))),
            (16, Event::Explained(1, "a changed".into())),
            (20, Event::Started(1)),
            (25, Event::Started(2)),
            (50, Event::Finished(2, Outcome::Failed("no".into()), ms(24))),
            (60, Event::Finished(1, Outcome::Done, ms(39))),
            (61, Event::TaskStarted(0, "exporting".into())),
            (70, Event::TaskFinished(0, ms(9))),
        ];
        let expected = [
            "0-10 read and pin (phase)",
            "10-15 keys (phase)",
            "15-60 steps (phase)",
            "60-70 export (phase)",
            "20-59 [b 1/2] RUN a (1 Done \"a changed\")",
            "25-49 [b 2/2] RUN b (2 Failed(\"no\") \"\")",
            "61-70 exporting (task)",
        ];
        assert_eq!(timeline(events), expected);
    }

    #[test]
    fn what_never_ended_ends_with_the_last_event() {
        let events = vec![
            (1, Event::Planned(vec![step(1, "", "RUN a")])),
            (2, Event::Started(1)),
            (3, Event::TaskStarted(7, "fetching".into())),
            (9, Event::Warning("stopped".into())),
        ];
        let expected = [
            "0-1 read and pin (phase)",
            "1-2 keys (phase)",
            "2-9 steps (phase)",
            "2-9 RUN a (1 Canceled \"\")",
            "3-9 fetching (task)",
        ];
        assert_eq!(timeline(events), expected);
        assert_eq!(timeline(Vec::new()), [""; 0]);
    }

    #[test]
    fn spans_in_a_lane_do_not_overlap() {
        let check = |spans: &[(u64, u64)], expected: &[usize]| {
            let span = |(start, end): &(u64, u64)| Span {
                what: What::Task,
                name: String::new(),
                start: ms(*start),
                end: ms(*end),
            };
            let spans: Vec<Span> = spans.iter().map(span).collect();
            assert_eq!(lanes(&spans), expected);
        };
        check(&[], &[]);
        check(&[(0, 5), (5, 9), (9, 9)], &[0, 0, 0]);
        check(&[(0, 5), (1, 2), (2, 3), (5, 9)], &[0, 1, 1, 0]);
        check(&[(0, 9), (1, 9), (2, 9), (9, 10)], &[0, 1, 2, 0]);
    }

    #[test]
    fn the_longest_way_is_critical() {
        let check = |inputs: &[&[usize]], times: &[u64], expected: &[usize]| {
            let inputs: Vec<Vec<Input>> = inputs
                .iter()
                .map(|list| list.iter().map(|step| Input { step: *step, files: None }).collect())
                .collect();
            let inputs: Vec<&[Input]> = inputs.iter().map(Vec::as_slice).collect();
            let times: Vec<Option<Duration>> = times.iter().map(|time| Some(Duration::from_secs(*time))).collect();
            assert_eq!(critical_path(&inputs, &times).into_iter().collect::<Vec<_>>(), expected);
        };
        check(&[&[], &[0], &[0], &[1, 2]], &[0, 1, 5, 1], &[0, 2, 3]);
        check(&[&[], &[0], &[0], &[1, 2]], &[0, 6, 5, 1], &[0, 1, 3]);
        check(&[&[], &[0]], &[0, 0], &[]);
        check(&[], &[], &[]);
        check(&[&[], &[], &[0]], &[0, 9, 1], &[1]);
    }
}
