//! The log: one line for everything that happens, each with the number of its step, much as BuildKit's plain log.
//!
//! Steps are numbered in the order in which they are first heard of. Lines are whole, whatever the pieces that
//! processes write and however many steps run at once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use super::{Clock, Lines, Sink, clean, lock, summary, title};
use crate::cli::human;
use crate::event::{Event, Outcome, Reporter, StepNumber, Stream};

/// How often the log says how far a transfer is.
const PACE: Duration = Duration::from_secs(5);

/// Writes the log.
pub struct Plain {
    state: Mutex<State>,
}

/// Steps and tasks share the numbers of the log, but are numbered apart by the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Step(StepNumber),
    Task(usize),
}

struct State {
    sink: Sink,
    clock: Clock,
    colours: bool,
    titles: HashMap<StepNumber, String>,
    reasons: HashMap<StepNumber, String>,
    numbers: HashMap<Id, usize>,
    running: HashMap<Id, Running>,
    last: Option<Id>,
}

struct Running {
    start: Duration,
    stdout: Lines,
    stderr: Lines,
    /// When the log last said how far it is.
    told: Duration,
}

impl Plain {
    /// A log to `sink`. With `colours`, those of the processes are kept.
    pub fn new(sink: Sink, clock: Clock, colours: bool) -> Self {
        let state = State {
            sink,
            clock,
            colours,
            titles: HashMap::new(),
            reasons: HashMap::new(),
            numbers: HashMap::new(),
            running: HashMap::new(),
            last: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// Writes what processes left unfinished.
    pub fn finish(&self) {
        let mut state = lock(&self.state);
        let mut text = String::new();
        let mut ids: Vec<Id> = state.running.keys().copied().collect();
        ids.sort_by_key(|id| state.numbers.get(id).copied());
        ids.into_iter().for_each(|id| state.flush(id, &mut text));
        state.write(&text);
    }
}

impl Reporter for Plain {
    fn report(&self, event: Event) {
        let mut state = lock(&self.state);
        let mut text = String::new();
        state.take(event, &mut text);
        state.write(&text);
    }
}

impl State {
    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            // A log that cannot be written must not stop the build.
            let _ = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush());
        }
    }

    fn take(&mut self, event: Event, text: &mut String) {
        match event {
            Event::Planned(steps) => {
                self.titles = steps.iter().map(|info| (info.step, title(info))).collect();
            }
            Event::Explained(step, reason) => drop(self.reasons.insert(step, reason)),
            Event::Started(step) => self.start(Id::Step(step), text),
            Event::TaskStarted(task, name) => {
                self.start_named(Id::Task(task), &clean(name.as_bytes(), false), text);
            }
            Event::Output(step, stream, bytes) => self.output(step, stream, &bytes, text),
            Event::Progress(step, done, total) => self.progress(Id::Step(step), done, total, text),
            Event::TaskProgress(task, done, total) => self.progress(Id::Task(task), done, total, text),
            Event::Finished(step, outcome, duration) => self.end(step, &outcome, duration, text),
            Event::TaskFinished(task, duration) => {
                self.say(Id::Task(task), &format!("DONE {}", human::elapsed(duration)), text);
                self.running.remove(&Id::Task(task));
            }
            Event::Warning(warning) => {
                let _ = writeln!(text, "WARNING: {}", clean(warning.as_bytes(), false));
            }
            Event::Summary(summary) => {
                if self.last.take().is_some() {
                    text.push('\n');
                }
                summary::lines(&summary).iter().for_each(|line| {
                    let _ = writeln!(text, "{line}");
                });
            }
        }
    }

    fn start(&mut self, id: Id, text: &mut String) {
        let title = match id {
            Id::Step(step) => self.titles.get(&step).cloned().unwrap_or_default(),
            Id::Task(_) => String::new(),
        };
        self.start_named(id, &title, text);
        if let Id::Step(step) = id
            && let Some(reason) = self.reasons.remove(&step)
        {
            self.say(id, &format!("BECAUSE {}", clean(reason.as_bytes(), false)), text);
        }
    }

    fn start_named(&mut self, id: Id, title: &str, text: &mut String) {
        let now = (self.clock)();
        let running = Running { start: now, stdout: Lines::default(), stderr: Lines::default(), told: now };
        self.running.insert(id, running);
        self.say(id, title, text);
    }

    /// A line about a step, after an empty line if the last was about another.
    fn say(&mut self, id: Id, line: &str, text: &mut String) {
        if self.last.is_some_and(|last| last != id) {
            text.push('\n');
        }
        self.last = Some(id);
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(id).or_insert(next);
        let _ = writeln!(text, "#{number} {line}");
    }

    fn output(&mut self, step: StepNumber, stream: Stream, bytes: &[u8], text: &mut String) {
        let (id, now) = (Id::Step(step), (self.clock)());
        let Some(running) = self.running.get_mut(&id) else { return };
        let since = now.saturating_sub(running.start);
        let lines = match stream {
            Stream::Stdout => running.stdout.push(bytes),
            Stream::Stderr => running.stderr.push(bytes),
        };
        lines.iter().for_each(|line| self.line(id, since, line, text));
    }

    fn line(&mut self, id: Id, since: Duration, line: &[u8], text: &mut String) {
        let line = clean(line, self.colours);
        self.say(id, format!("{:.3} {line}", since.as_secs_f64()).trim_end(), text);
    }

    fn flush(&mut self, id: Id, text: &mut String) {
        let now = (self.clock)();
        let Some(running) = self.running.get_mut(&id) else { return };
        let since = now.saturating_sub(running.start);
        let rest = [running.stdout.finish(), running.stderr.finish()];
        rest.iter().flatten().for_each(|line| self.line(id, since, line, text));
    }

    fn progress(&mut self, id: Id, done: u64, total: Option<u64>, text: &mut String) {
        let now = (self.clock)();
        let Some(running) = self.running.get_mut(&id) else { return };
        if now.saturating_sub(running.told) < PACE {
            return;
        }
        running.told = now;
        let line = match (id, total) {
            (Id::Task(_), Some(total)) => format!("{} / {}", human::size(done), human::size(total)),
            (Id::Task(_), None) => human::size(done),
            // A step may count in bytes or in files.
            (Id::Step(_), Some(total)) => format!("{done} / {total}"),
            (Id::Step(_), None) => done.to_string(),
        };
        self.say(id, &line, text);
    }

    fn end(&mut self, step: StepNumber, outcome: &Outcome, duration: Duration, text: &mut String) {
        let id = Id::Step(step);
        let known = self.numbers.contains_key(&id);
        self.flush(id, text);
        self.running.remove(&id);
        // A step that was never heard of and did not run is not worth a line.
        if !known && matches!(outcome, Outcome::Canceled) {
            return;
        }
        if !known {
            let title = self.titles.get(&step).cloned().unwrap_or_default();
            self.say(id, &title, text);
        }
        let line = match outcome {
            Outcome::Cached => "CACHED".to_owned(),
            Outcome::Done => format!("DONE {}", human::elapsed(duration)),
            Outcome::Failed(message) => format!("ERROR: {}", clean(message.replace('\n', " ").as_bytes(), false)),
            Outcome::Canceled => "CANCELED".to_owned(),
        };
        self.say(id, &line, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Hand, Paper, step};
    use super::*;
    use crate::event::Summary;

    fn log(events: Vec<(u64, Event)>) -> String {
        let (hand, paper) = (Hand::default(), Paper::default());
        let plain = Plain::new(paper.sink(), hand.clock(), false);
        for (millis, event) in events {
            hand.set(millis);
            plain.report(event);
        }
        plain.finish();
        paper.text()
    }

    fn planned() -> Event {
        let steps = vec![
            step(0, "base", "FROM busybox"),
            step(1, "build 2/3", "RUN make \\\n  all"),
            step(2, "build 3/3", "COPY a b"),
        ];
        Event::Planned(steps)
    }

    fn out(step: usize, text: &str) -> Event {
        Event::Output(step, Stream::Stdout, text.into())
    }

    #[test]
    fn writes_a_build() {
        let image = crate::event::ImageSummary { digest: "sha256:12".into(), ..Default::default() };
        let second = Duration::from_millis(1234);
        let text = log(vec![
            (0, planned()),
            (10, Event::Finished(0, Outcome::Cached, Duration::ZERO)),
            (100, Event::Started(1)),
            (412, out(1, "cc a.c\ncc ")),
            (413, Event::Output(1, Stream::Stderr, b"warn\x1b[2Jing\n".into())),
            (500, out(1, "b.c\n")),
            (600, out(1, "no end")),
            (1334, Event::Finished(1, Outcome::Done, second)),
            (1400, Event::TaskStarted(0, "write image.tar".into())),
            (6500, Event::TaskProgress(0, 12_300_000, Some(40_000_000))),
            (6600, Event::TaskProgress(0, 13_000_000, Some(40_000_000))),
            (7000, Event::TaskFinished(0, second)),
            (7000, Event::Warning("careful".into())),
            (
                7000,
                Event::Summary(Summary {
                    executed: 1,
                    cached: 1,
                    images: vec![image],
                    elapsed: Duration::from_secs(7),
                }),
            ),
        ]);
        let expected = "\
#1 [base] FROM busybox
#1 CACHED

#2 [build 2/3] RUN make all
#2 0.312 cc a.c
#2 0.313 warning
#2 0.400 cc b.c
#2 1.234 no end
#2 DONE 1.2s

#3 write image.tar
#3 12.3MB / 40MB
#3 DONE 1.2s
WARNING: careful

Finished in 7.0s: 1 step run, 1 cached
  image   sha256:12
";
        assert_eq!(text, expected);
    }

    #[test]
    fn keeps_lines_of_parallel_steps_whole() {
        let text = log(vec![
            (0, planned()),
            (0, Event::Started(1)),
            (0, Event::Started(2)),
            (0, out(1, "one ")),
            (0, out(2, "two\n")),
            (0, out(1, "line\n")),
            (0, Event::Finished(2, Outcome::Failed("exit code 1\n#9 forged".into()), Duration::ZERO)),
            (0, Event::Finished(1, Outcome::Canceled, Duration::ZERO)),
            (0, Event::Finished(0, Outcome::Canceled, Duration::ZERO)),
        ]);
        let expected = "\
#1 [build 2/3] RUN make all

#2 [build 3/3] COPY a b
#2 0.000 two

#1 0.000 one line

#2 ERROR: exit code 1 #9 forged

#1 CANCELED
";
        assert_eq!(text, expected);
    }

    #[test]
    fn says_why_a_step_runs() {
        let text = log(vec![
            (0, planned()),
            (0, Event::Explained(2, "a/main.c changed".into())),
            (0, Event::Started(2)),
            (0, Event::Finished(2, Outcome::Done, Duration::ZERO)),
        ]);
        assert_eq!(text, "#1 [build 3/3] COPY a b\n#1 BECAUSE a/main.c changed\n#1 DONE 0.0s\n");
    }

    #[test]
    fn survives_events_that_make_no_sense() {
        let text = log(vec![
            (0, out(7, "x\n")),
            (0, Event::Progress(7, 1, None)),
            (0, Event::Finished(7, Outcome::Done, Duration::ZERO)),
        ]);
        assert_eq!(text, "#1 \n#1 DONE 0.0s\n");
    }
}
