//! The timeline of a build for trace viewers: Perfetto, `chrome://tracing`, speedscope.
//!
//! The format is the JSON object form of Chrome's trace events: complete events (`X`) in microseconds, with a thread for each
//! lane and one for the phases of the build as a whole. `docs/build-records.md` describes it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Clock, lock};
use crate::cli::timeline::{Span, Timeline, What, lanes};
use crate::event::{Event, Outcome, Reporter};

/// Hears what another receiver hears, and remembers when.
pub struct Trace {
    other: Arc<dyn Reporter>,
    clock: Clock,
    timeline: Mutex<Timeline>,
}

impl Trace {
    /// One beside `other`.
    pub fn beside(other: Arc<dyn Reporter>, clock: Clock) -> Self {
        Self { other, clock, timeline: Mutex::default() }
    }

    /// What happened so far.
    pub fn finish(&self) -> Vec<Span> {
        std::mem::take(&mut *lock(&self.timeline)).finish()
    }
}

impl Reporter for Trace {
    fn report(&self, event: Event) {
        {
            let mut timeline = lock(&self.timeline);
            timeline.note((self.clock)(), &event);
        }
        self.other.report(event);
    }
}

/// Spans as a document of trace events.
pub fn document(spans: &[Span]) -> Value {
    let is_phase = |span: &&Span| span.what == What::Phase;
    let others: Vec<&Span> = spans.iter().filter(|span| !is_phase(span)).collect();
    let lanes = lanes(others.iter().copied());
    let count = lanes.iter().max().map_or(0, |last| last + 1);
    let mut events = vec![about("process_name", 0, "imgbuild"), about("thread_name", 0, "build")];
    events.extend((1..=count).map(|lane| about("thread_name", lane, &format!("lane {lane}"))));
    events.extend(spans.iter().filter(is_phase).map(|span| complete(span, 0)));
    events.extend(others.iter().zip(lanes).map(|(span, lane)| complete(span, lane + 1)));
    json!({
        "displayTimeUnit": "ms",
        "otherData": { "program": concat!("imgbuild ", env!("CARGO_PKG_VERSION")) },
        "traceEvents": events,
    })
}

fn about(what: &str, lane: usize, name: &str) -> Value {
    json!({ "ph": "M", "pid": 1, "tid": lane, "name": what, "args": { "name": name } })
}

fn complete(span: &Span, lane: usize) -> Value {
    let (category, arguments) = match &span.what {
        What::Phase => ("phase", json!({})),
        What::Task => ("task", json!({})),
        What::Step { step, outcome, reason } => {
            let (outcome, error) = match outcome {
                Outcome::Cached => ("cached", None),
                Outcome::Done => ("done", None),
                Outcome::Failed(message) => ("failed", Some(message)),
                Outcome::Canceled => ("canceled", None),
            };
            let mut arguments = json!({ "step": step, "outcome": outcome });
            if !reason.is_empty() {
                arguments["reason"] = json!(reason);
            }
            if let Some(error) = error {
                arguments["error"] = json!(error);
            }
            ("step", arguments)
        }
    };
    json!({
        "ph": "X",
        "pid": 1,
        "tid": lane,
        "name": span.name,
        "cat": category,
        "ts": micros(span.start),
        "dur": micros(span.elapsed()),
        "args": arguments,
    })
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Hand, step};
    use super::*;
    use crate::event::Silent;

    #[test]
    fn is_a_document_of_trace_events() {
        let hand = Hand::default();
        let trace = Trace::beside(Arc::new(Silent), hand.clock());
        let at = |millis, event| {
            hand.set(millis);
            trace.report(event);
        };
        at(1, Event::Planned(vec![step(4, "b 1/1", "RUN \"a\" \\\n  b")]));
        at(2, Event::Explained(4, "a changed".into()));
        at(3, Event::Started(4));
        at(9, Event::Finished(4, Outcome::Failed("exit code 1".into()), Duration::from_millis(5)));
        let document = document(&trace.finish());
        let events = document["traceEvents"].as_array().unwrap();
        let complete: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(
            *complete[3],
            json!({
                "ph": "X", "pid": 1, "tid": 1, "name": "[b 1/1] RUN \"a\" b", "cat": "step", "ts": 3000, "dur": 5000,
                "args": { "step": 4, "outcome": "failed", "reason": "a changed", "error": "exit code 1" },
            })
        );
        let phases: Vec<&str> = complete[..3].iter().map(|event| event["name"].as_str().unwrap()).collect();
        assert_eq!(phases, ["read and pin", "keys", "steps"]);
        assert_eq!(events.iter().filter(|event| event["name"] == "thread_name").count(), 2);
        assert!(trace.finish().is_empty());
    }
}
