//! What the live display says: the state of a build as lines. Knows nothing of cursors.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use console::{measure_text_width, truncate_str};

use super::super::{Lines, clean, title};
use super::meter::Meter;
use crate::cli::human;
use crate::event::{Event, Outcome, StepNumber, Stream};

/// How many lines of output a running step shows.
const TAIL: usize = 4;

/// The state of a build.
pub(super) struct Board {
    colours: bool,
    titles: HashMap<StepNumber, String>,
    reasons: HashMap<StepNumber, String>,
    running: BTreeMap<Id, Running>,
    total: usize,
    finished: usize,
    cached: usize,
    /// Lines to leave above the display.
    kept: Vec<Kept>,
    /// Lines to leave at the very end.
    last: Vec<Kept>,
}

/// A line to leave above the display.
enum Kept {
    /// A step or task that has ended: a mark with its SGR parameters, the title, and a word at the right.
    Ended(&'static str, &'static str, String, String),
    /// Anything else.
    Text(String),
}

/// Tasks come after steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Step(StepNumber),
    Task(usize),
}

struct Running {
    title: String,
    start: Duration,
    stdout: Lines,
    stderr: Lines,
    /// The stream that wrote last, whose unfinished line is shown.
    recent: Stream,
    tail: VecDeque<String>,
    meter: Option<Meter>,
}

impl Running {
    fn new(title: String, start: Duration) -> Self {
        Self {
            title,
            start,
            stdout: Lines::default(),
            stderr: Lines::default(),
            recent: Stream::Stdout,
            tail: VecDeque::new(),
            meter: None,
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8], colours: bool) {
        self.recent = stream;
        let lines = match stream {
            Stream::Stdout => self.stdout.push(bytes),
            Stream::Stderr => self.stderr.push(bytes),
        };
        // A step may write faster than anybody reads; only what will be seen is worth cleaning.
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            let line = clean(line, colours);
            if !line.trim().is_empty() {
                self.tail.push_back(line);
            }
        }
        while self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }

    fn bar(&self) -> Option<String> {
        self.meter.as_ref().map(Meter::draw).filter(|bar| !bar.is_empty())
    }

    /// The last lines, the unfinished one too.
    fn tail(&self, most: usize, colours: bool) -> Vec<String> {
        let partial = match self.recent {
            Stream::Stdout => self.stdout.current(),
            Stream::Stderr => self.stderr.current(),
        };
        let partial = Some(clean(partial, colours)).filter(|line| !line.trim().is_empty());
        let lines: Vec<String> = self.tail.iter().cloned().chain(partial).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

impl Board {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            titles: HashMap::new(),
            reasons: HashMap::new(),
            running: BTreeMap::new(),
            total: 0,
            finished: 0,
            cached: 0,
            kept: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Lines to leave at the very end.
    pub(super) fn keep(&mut self, lines: Vec<String>) {
        self.last.extend(lines.into_iter().map(Kept::Text));
    }

    /// The build is over: nothing runs any more, and what was to be left at the end is left now.
    pub(super) fn close(&mut self) {
        self.running.clear();
        self.kept.append(&mut self.last);
    }

    /// The lines to leave above the display that were not asked for before.
    pub(super) fn kept(&mut self, width: usize) -> Vec<String> {
        let kept = std::mem::take(&mut self.kept);
        let line = |kept| match kept {
            Kept::Ended(mark, sgr, title, word) => spread(&format!(" {} {title}", self.paint(sgr, mark)), &word, width),
            Kept::Text(text) => text,
        };
        kept.into_iter().map(line).collect()
    }

    /// The lines of the display: the state of the whole, then the steps and tasks that run with the last of their
    /// output. There are fewer of them than rows of the terminal.
    pub(super) fn frame(&self, now: Duration, width: usize, height: usize) -> Vec<String> {
        let mut status = format!("[+] Building {} ({}/{})", human::elapsed(now), self.finished, self.total);
        if self.cached > 0 {
            status.push_str(&format!(", {} cached", self.cached));
        }
        let mut lines = vec![self.paint("36", &status)];
        // The status and the empty line with the cursor take two rows; one more is for those that find no room.
        let room = height.saturating_sub(2).max(1);
        let shown = if self.running.len() <= room { self.running.len() } else { room - 1 };
        let tail = TAIL.min((room / shown.max(1)).saturating_sub(1));
        for running in self.running.values().take(shown) {
            let time = human::elapsed(now.saturating_sub(running.start));
            lines.push(spread(&format!(" => {}", running.title), &time, width));
            let bar = running.bar().filter(|_| tail > 0);
            let rest = tail.saturating_sub(bar.iter().len());
            lines.extend(bar.map(|bar| format!("    {bar}")));
            lines.extend(running.tail(rest, self.colours).iter().map(|line| self.quote(line)));
        }
        if shown < self.running.len() {
            lines.push(format!("    … and {} more", self.running.len() - shown));
        }
        lines
    }

    /// A line of output, standing back unless it has colours of its own.
    fn quote(&self, line: &str) -> String {
        match line.contains('\x1b') {
            true => format!("{}{line}", self.paint("2", "    | ")),
            false => self.paint("2", &format!("    | {line}")),
        }
    }

    /// The text with SGR parameters, if there are to be colours.
    fn paint(&self, sgr: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn take(&mut self, event: Event, now: Duration) {
        match event {
            Event::Planned(steps) => {
                self.total = steps.len();
                self.titles = steps.iter().map(|info| (info.step, title(info))).collect();
            }
            Event::Explained(step, reason) => drop(self.reasons.insert(step, clean(reason.as_bytes(), false))),
            Event::Started(step) => {
                let mut title = self.titles.get(&step).cloned().unwrap_or_default();
                if let Some(reason) = self.reasons.remove(&step) {
                    title = format!("{title}  ({reason})");
                }
                self.running.insert(Id::Step(step), Running::new(title, now));
            }
            Event::TaskStarted(task, name) => {
                self.running.insert(Id::Task(task), Running::new(clean(name.as_bytes(), false), now));
            }
            Event::Output(step, stream, bytes) => {
                if let Some(running) = self.running.get_mut(&Id::Step(step)) {
                    running.write(stream, &bytes, self.colours);
                }
            }
            Event::Progress(step, done, total) => self.progress(Id::Step(step), done, total),
            Event::TaskProgress(task, done, total) => self.progress(Id::Task(task), done, total),
            Event::Finished(step, outcome, duration) => {
                self.finished += 1;
                let started = self.running.remove(&Id::Step(step));
                self.finish(step, started.is_some(), &outcome, duration);
            }
            Event::TaskFinished(task, duration) => {
                if let Some(running) = self.running.remove(&Id::Task(task)) {
                    self.kept.push(Kept::Ended("✔", "32", running.title, human::elapsed(duration)));
                }
            }
            Event::Warning(text) => {
                let mark = self.paint("33", "!");
                let text = clean(text.replace('\n', " ").as_bytes(), false);
                self.kept.push(Kept::Text(format!(" {mark} {text}")));
            }
            Event::Summary(_) => {}
        }
    }

    fn progress(&mut self, id: Id, done: u64, total: Option<u64>) {
        let bytes = matches!(id, Id::Task(_));
        if let Some(running) = self.running.get_mut(&id) {
            running.meter.get_or_insert_with(|| Meter::new(bytes)).set(done, total);
        }
    }

    fn finish(&mut self, step: StepNumber, started: bool, outcome: &Outcome, duration: Duration) {
        let title = self.titles.get(&step).cloned().unwrap_or_default();
        let time = human::elapsed(duration);
        match outcome {
            Outcome::Cached => self.cached += 1,
            Outcome::Done => self.kept.push(Kept::Ended("✔", "32", title, time)),
            Outcome::Failed(_) => self.kept.push(Kept::Ended("✘", "31", title, time)),
            Outcome::Canceled if started => self.kept.push(Kept::Ended("-", "2", title, "canceled".into())),
            Outcome::Canceled => {}
        }
    }
}

/// The text at the left and the word at the right of a line; the text is cut to leave room for the word.
fn spread(text: &str, word: &str, width: usize) -> String {
    // The last column stays free.
    let room = width.saturating_sub(2 + measure_text_width(word));
    let text = truncate_str(text, room, "…");
    let gap = (room + 1).saturating_sub(measure_text_width(&text));
    format!("{text}{}{word}", " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::step;
    use super::*;

    fn board(colours: bool) -> Board {
        let mut board = Board::new(colours);
        let steps = (0..30).map(|number| step(number, "build 日本", "RUN 日本語のとても長い行です make"));
        board.take(Event::Planned(steps.collect()), Duration::ZERO);
        for step in 0..30 {
            board.take(Event::Started(step), Duration::ZERO);
            board.take(Event::Output(step, Stream::Stderr, "\x1b[31m日本語のとても長い行\n".into()), Duration::ZERO);
        }
        board.take(Event::TaskStarted(0, "push".into()), Duration::ZERO);
        board.take(Event::TaskProgress(0, 1, Some(2)), Duration::ZERO);
        board
    }

    #[test]
    fn fits_every_terminal() {
        for colours in [false, true] {
            let board = board(colours);
            for (width, height) in [(0, 0), (1, 1), (2, 2), (3, 50), (7, 5), (13, 33), (80, 24), (500, 200)] {
                let frame = board.frame(Duration::from_secs(10_000), width, height);
                assert!(frame.len() < height.max(4), "{} lines at {width}x{height}", frame.len());
                assert!(frame.iter().all(|line| !line.contains('\n')));
            }
        }
    }

    #[test]
    fn says_how_many_found_no_room() {
        let frame = board(false).frame(Duration::ZERO, 80, 10);
        assert_eq!((frame.len(), frame.last().unwrap().as_str()), (9, "    … and 24 more"));
    }

    #[test]
    fn cuts_the_text_not_the_time() {
        let check = |text, width, expected| assert_eq!(spread(text, "1.0s", width), expected);
        check("abc", 20, "abc            1.0s");
        check("日本語日本語日本語", 14, "日本語…  1.0s");
        check("abc", 3, "…1.0s");
    }
}
