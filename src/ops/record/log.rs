//! What a build said while it ran, kept with its record: the events that a display shows, with their times.
//!
//! So the same displays can show it again. Output came through the redactor before it was an event, so what is kept is what
//! was shown. A [`Journal`] collects while the build runs, in memory and within limits: of a step that writes more, the
//! beginning and the end are kept. Of the build as a whole, the steps that ended well first lose theirs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::{Event, Outcome, StepNumber, Stream};

/// How much of a step's output is kept from its beginning, and how much from its end, in bytes.
const HEAD: usize = 64 << 10;
const TAIL: usize = 192 << 10;
/// How much of a build's output is kept, in bytes.
const MOST: usize = 4 << 20;
/// What a piece of output costs besides its bytes.
const OVERHEAD: usize = 32;
/// A piece that came in the same millisecond as the one before it is put with it, up to this size.
const PIECE: usize = 4 << 10;

/// What happened, in the order of time. Steps have the numbers of the record's snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The events with their times after the start of the build.
    pub entries: Vec<(Duration, Event)>,
}

impl Log {
    /// Whether nothing happened that is worth keeping: no step began.
    pub fn is_uneventful(&self) -> bool {
        !self.entries.iter().any(|(_, event)| matches!(event, Event::Started(_)))
    }

    /// The same with other numbers for the steps; what has none is left out.
    pub fn renumbered(self, number: impl Fn(StepNumber) -> Option<StepNumber>) -> Self {
        let renumber = |event: Event| {
            Some(match event {
                Event::Explained(step, reason) => Event::Explained(number(step)?, reason),
                Event::Started(step) => Event::Started(number(step)?),
                Event::Output(step, stream, bytes) => Event::Output(number(step)?, stream, bytes),
                Event::Finished(step, outcome, elapsed) => Event::Finished(number(step)?, outcome, elapsed),
                event => event,
            })
        };
        Self { entries: self.entries.into_iter().filter_map(|(time, event)| Some((time, renumber(event)?))).collect() }
    }
}

/// Collects the log of a build under way.
#[derive(Default)]
pub struct Journal {
    /// All but output.
    entries: Vec<(Duration, Event)>,
    outputs: BTreeMap<StepNumber, Output>,
    /// Steps that ended well, the first one first.
    well: VecDeque<StepNumber>,
    /// What all outputs take.
    size: usize,
}

/// What one step wrote.
#[derive(Default)]
struct Output {
    head: Vec<Piece>,
    tail: VecDeque<Piece>,
    head_size: usize,
    tail_size: usize,
    /// How many bytes are gone, and when the first of them came.
    gone: usize,
    since: Duration,
}

struct Piece {
    time: Duration,
    stream: Stream,
    bytes: Vec<u8>,
}

impl Journal {
    /// Notes an event. Of progress only its end is worth it, and plans are in the record.
    pub fn note(&mut self, time: Duration, event: &Event) {
        match event {
            Event::Planned(_) | Event::Progress(..) | Event::TaskProgress(..) => return,
            Event::Output(step, stream, bytes) => {
                let output = self.outputs.entry(*step).or_default();
                let before = output.size();
                output.push(time, *stream, bytes);
                self.size = self.size + output.size() - before;
            }
            event => {
                if let Event::Finished(step, Outcome::Done, _) = event {
                    self.well.push_back(*step);
                }
                self.entries.push((time, event.clone()));
            }
        }
        while self.size > MOST {
            let Some(output) = self.well.pop_front().and_then(|step| self.outputs.get_mut(&step)) else { break };
            self.size -= output.size();
            output.forget();
            self.size += output.size();
        }
    }

    /// The log.
    pub fn finish(self) -> Log {
        let mut entries = self.entries;
        for (step, mut output) in self.outputs {
            output.trim();
            let hint = (output.gone > 0).then(|| {
                let text = format!("[{} bytes are left out here]\n", output.gone);
                Piece { time: output.since, stream: Stream::Stderr, bytes: text.into_bytes() }
            });
            let pieces = output.head.into_iter().chain(hint).chain(output.tail);
            entries.extend(pieces.map(|piece| (piece.time, Event::Output(step, piece.stream, piece.bytes))));
        }
        // What a step wrote comes before its end, also at the same moment.
        entries.sort_by_key(|(time, event)| (*time, order(event)));
        Log { entries }
    }
}

/// The order of what happens at one moment.
fn order(event: &Event) -> u8 {
    match event {
        Event::Explained(..) => 0,
        Event::Started(_) | Event::TaskStarted(..) => 1,
        Event::Finished(..) | Event::TaskFinished(..) => 3,
        Event::Summary(_) => 4,
        _ => 2,
    }
}

impl Output {
    fn size(&self) -> usize {
        self.head_size + self.tail_size
    }

    fn push(&mut self, time: Duration, stream: Stream, bytes: &[u8]) {
        let is_head = self.gone == 0 && self.tail.is_empty() && self.head_size + bytes.len() <= HEAD;
        let (last, size) = match is_head {
            true => (self.head.last_mut(), &mut self.head_size),
            false => (self.tail.back_mut(), &mut self.tail_size),
        };
        let joins = |last: &&mut Piece| {
            let is_same = last.stream == stream && last.time.as_millis() == time.as_millis();
            is_same && last.bytes.len() + bytes.len() <= PIECE
        };
        match last.filter(joins) {
            Some(last) => {
                last.bytes.extend_from_slice(bytes);
                *size += bytes.len();
            }
            None => {
                *size += bytes.len() + OVERHEAD;
                let piece = Piece { time, stream, bytes: bytes.to_vec() };
                if is_head { self.head.push(piece) } else { self.tail.push_back(piece) }
            }
        }
        while self.tail_size > TAIL && self.tail.len() > 1 {
            let Some(piece) = self.tail.pop_front() else { break };
            self.tail_size -= piece.bytes.len() + OVERHEAD;
            if self.gone == 0 {
                self.since = piece.time;
            }
            self.gone += piece.bytes.len();
        }
    }

    /// Lets whole lines stand on both sides of a gap, as far as that is easily had.
    fn trim(&mut self) {
        if self.gone == 0 {
            return;
        }
        let is_end = |byte: &u8| *byte == b'\n';
        if let Some(last) = self.head.last_mut() {
            let keep = last.bytes.iter().rposition(is_end).map_or(last.bytes.len(), |at| at + 1);
            self.gone += last.bytes.len() - keep;
            last.bytes.truncate(keep);
        }
        if let Some(first) = self.tail.front_mut() {
            let from = first.bytes.iter().position(is_end).map_or(0, |at| at + 1);
            self.gone += from;
            first.bytes.drain(..from);
        }
    }

    /// Keeps nothing but how much there was.
    fn forget(&mut self) {
        let pieces: Vec<Piece> = self.head.drain(..).chain(self.tail.drain(..)).collect();
        if let Some(first) = pieces.first() {
            self.since = first.time;
        }
        self.gone += pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        (self.head_size, self.tail_size) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn output(step: StepNumber, text: &str) -> Event {
        Event::Output(step, Stream::Stdout, text.into())
    }

    fn log(events: Vec<(u64, Event)>) -> Log {
        let mut journal = Journal::default();
        events.iter().for_each(|(time, event)| journal.note(ms(*time), event));
        journal.finish()
    }

    /// What a log has of a step's output.
    fn text(log: &Log, wanted: StepNumber) -> String {
        let pieces = log.entries.iter().filter_map(|(_, event)| match event {
            Event::Output(step, _, bytes) if *step == wanted => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        });
        pieces.collect()
    }

    #[test]
    fn keeps_what_happened_in_its_order() {
        let done = Event::Finished(1, Outcome::Done, ms(4));
        let made = log(vec![
            (0, Event::Planned(Vec::new())),
            (1, Event::Started(1)),
            (2, output(1, "a")),
            (2, output(1, "b\n")),
            (3, Event::Output(1, Stream::Stderr, b"e\n".to_vec())),
            (4, Event::Progress(1, 1, None)),
            (5, done.clone()),
            (5, output(1, "c\n")),
        ]);
        let expected = [
            (ms(1), Event::Started(1)),
            (ms(2), output(1, "ab\n")),
            (ms(3), Event::Output(1, Stream::Stderr, b"e\n".to_vec())),
            (ms(5), output(1, "c\n")),
            (ms(5), done),
        ];
        assert_eq!(made.entries, expected);
        assert!(!made.is_uneventful());
        assert!(log(vec![(0, Event::Finished(0, Outcome::Cached, ms(0)))]).is_uneventful());
    }

    #[test]
    fn of_much_output_both_ends_are_kept() {
        let lines = 100_000;
        let events = (0..lines).map(|number| (number / 100, output(0, &format!("line {number}\n"))));
        let text = text(&log(events.collect()), 0);
        assert!(text.len() < HEAD + TAIL + 100, "{} bytes", text.len());
        let all: Vec<&str> = text.lines().collect();
        assert_eq!((all[0], *all.last().unwrap()), ("line 0", "line 99999"));
        let hints: Vec<&&str> = all.iter().filter(|line| line.ends_with(" bytes are left out here]")).collect();
        assert_eq!(hints.len(), 1);
        let gone: usize = hints[0].trim_start_matches('[').split(' ').next().unwrap().parse().unwrap();
        let whole: usize = (0..lines).map(|number| format!("line {number}\n").len()).sum();
        assert_eq!(text.len() - hints[0].len() - 1 + gone, whole);
        assert!(all.iter().all(|line| line.starts_with("line ") || line.starts_with('[')), "lines are whole");
    }

    #[test]
    fn of_many_outputs_those_of_failures_stay() {
        let lot = "x".repeat(100) + "\n";
        let mut events = Vec::new();
        for step in 0..60 {
            events.extend((0..1500).map(|at| (step * 10_000 + at, output(step as usize, &lot))));
            let outcome = if step == 0 { Outcome::Failed(String::new()) } else { Outcome::Done };
            events.push((step * 10_000 + 2000, Event::Finished(step as usize, outcome, ms(1))));
        }
        let log = log(events);
        let sizes: Vec<usize> = (0..60).map(|step| text(&log, step).len()).collect();
        assert!(sizes.iter().sum::<usize>() < MOST, "{sizes:?}");
        assert_eq!((sizes[0], sizes[59]), (151_500, 151_500));
        assert_eq!(text(&log, 1), "[151500 bytes are left out here]\n");
    }

    #[test]
    fn gives_steps_other_numbers() {
        let made = log(vec![(1, Event::Started(4)), (2, Event::Started(5)), (3, Event::Warning("w".into()))]);
        let other = made.renumbered(|step| (step == 5).then_some(0));
        assert_eq!(other.entries, [(ms(2), Event::Started(0)), (ms(3), Event::Warning("w".into()))]);
    }
}
