//! The stream for programs: one JSON object on each line. `docs/progress-events.md` is its schema; whatever changes
//! here changes there, and a change that could break a reader raises [`VERSION`].

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Clock, Sink, lock};
use crate::event::{self, Event, Outcome, Reporter, Stream};

/// The version of the schema, in the first line of every stream.
pub const VERSION: u32 = 1;

/// Writes the stream.
pub struct Json {
    state: Mutex<State>,
}

struct State {
    sink: Sink,
    clock: Clock,
    begun: bool,
    /// The beginnings of characters that the pieces of a step's output were cut in.
    cut: HashMap<(usize, bool), Vec<u8>>,
}

/// A line of `imgbuild --progress json`. Readers must ignore fields and events that they do not know.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "imgbuild's progress events")]
struct Line<'a> {
    /// Seconds since the start.
    time: f64,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Body<'a> {
    Stream { version: u32 },
    Planned { steps: Vec<Step<'a>> },
    StepExplained { step: usize, reason: &'a str },
    StepStarted { step: usize },
    StepOutput { step: usize, stream: &'static str, text: String },
    StepProgress { step: usize, done: u64, total: Option<u64> },
    StepFinished { step: usize, outcome: &'static str, error: Option<&'a str>, duration: f64 },
    TaskStarted { task: usize, name: &'a str },
    TaskProgress { task: usize, done: u64, total: Option<u64> },
    TaskFinished { task: usize, duration: f64 },
    Warning { message: &'a str },
    Summary { executed: usize, cached: usize, duration: f64, images: Vec<Image<'a>> },
    Diagnostics { messages: &'a [Message] },
    Error(&'a Failure),
}

#[derive(Serialize, JsonSchema)]
struct Step<'a> {
    step: usize,
    name: &'a str,
    stage: &'a str,
    inputs: &'a [usize],
    origin: Option<Origin<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Origin<'a> {
    file: &'a str,
    line: u32,
}

#[derive(Serialize, JsonSchema)]
struct Image<'a> {
    target: &'a str,
    digest: &'a str,
    tags: &'a [String],
    size: u64,
    outputs: &'a [String],
}

/// The JSON Schema of a line.
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Line<'_>>()
        .to_value()
}

/// The last line of a stream of a build that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// `diagnostics`, `step_failed`, `usage`, `environment`, `build`, `output` or `interrupted`.
    pub kind: &'static str,
    /// What went wrong, in one line.
    pub message: String,
    /// What was underneath, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub help: Vec<String>,
    /// The exit code of imgbuild.
    pub exit_code: u8,
    /// The exit code of the process of a step that failed.
    pub step_exit_code: Option<i32>,
    /// The end of the output of a step that failed.
    pub log: Option<String>,
    /// Messages about a definition, or the place of a step that failed.
    pub diagnostics: Vec<Message>,
}

/// One message about a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Message {
    /// `error`, `warning` or `advice`.
    pub severity: &'static str,
    /// The name of the check, if it was one.
    pub rule: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Vec<String>,
    /// The places meant, the primary place first.
    pub spans: Vec<Span>,
}

/// A place in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Span {
    /// The file.
    pub file: String,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// The line of the first byte, from 1.
    pub line: usize,
    /// The column of the first byte, in characters from 1.
    pub column: usize,
    /// What to say there.
    pub text: String,
    /// Whether the message is about this place, not just helped by it.
    pub primary: bool,
}

impl Json {
    /// A stream to `sink`.
    pub fn new(sink: Sink, clock: Clock) -> Self {
        Self { state: Mutex::new(State { sink, clock, begun: false, cut: HashMap::new() }) }
    }

    /// Writes what there is to say about a definition.
    pub fn remark(&self, messages: &[Message]) {
        lock(&self.state).write(Body::Diagnostics { messages });
    }

    /// Writes why the build failed.
    pub fn fail(&self, failure: &Failure) {
        lock(&self.state).write(Body::Error(failure));
    }
}

impl State {
    fn write(&mut self, body: Body<'_>) {
        let mut text = Vec::new();
        let time = seconds((self.clock)());
        if !std::mem::replace(&mut self.begun, true) {
            line(&mut text, &Line { time, body: Body::Stream { version: VERSION } });
        }
        line(&mut text, &Line { time, body });
        // A stream that cannot be written must not stop the build.
        let _ = self.sink.write_all(&text).and_then(|()| self.sink.flush());
    }
}

fn line(text: &mut Vec<u8>, line: &Line<'_>) {
    let start = text.len();
    // Writing plain structs to memory cannot fail; if it did, half a line would be worse than none.
    match serde_json::to_writer(&mut *text, line) {
        Ok(()) => text.push(b'\n'),
        Err(_) => text.truncate(start),
    }
}

/// The text of these bytes after what was cut off before. The beginning of a character at the end is kept for the next
/// piece; bytes that are no text are replaced.
fn whole_characters(cut: &mut Vec<u8>, bytes: &[u8]) -> String {
    cut.extend_from_slice(bytes);
    let rest = match cut.utf8_chunks().last() {
        // An incomplete character can only be at the very end, and is a proper beginning of one.
        Some(chunk) if !chunk.invalid().is_empty() => match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        _ => 0,
    };
    let rest = cut.split_off(cut.len() - rest);
    let text = String::from_utf8_lossy(cut).into_owned();
    *cut = rest;
    text
}

/// Seconds, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "exact for 285 thousand years")]
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

impl Reporter for Json {
    fn report(&self, event: Event) {
        let mut state = lock(&self.state);
        let body = match &event {
            Event::Planned(steps) => Body::Planned { steps: steps.iter().map(step).collect() },
            Event::Explained(step, reason) => Body::StepExplained { step: *step, reason },
            Event::Started(step) => Body::StepStarted { step: *step },
            Event::Output(step, stream, bytes) => {
                let cut = state.cut.entry((*step, *stream == Stream::Stderr)).or_default();
                let text = whole_characters(cut, bytes);
                if text.is_empty() {
                    return;
                }
                let stream = match stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                };
                Body::StepOutput { step: *step, stream, text }
            }
            Event::Progress(step, done, total) => Body::StepProgress { step: *step, done: *done, total: *total },
            Event::Finished(step, outcome, duration) => {
                let (outcome, error) = match outcome {
                    Outcome::Cached => ("cached", None),
                    Outcome::Done => ("done", None),
                    Outcome::Failed(message) => ("failed", Some(message.as_str())),
                    Outcome::Canceled => ("canceled", None),
                };
                Body::StepFinished { step: *step, outcome, error, duration: seconds(*duration) }
            }
            Event::TaskStarted(task, name) => Body::TaskStarted { task: *task, name },
            Event::TaskProgress(task, done, total) => Body::TaskProgress { task: *task, done: *done, total: *total },
            Event::TaskFinished(task, duration) => Body::TaskFinished { task: *task, duration: seconds(*duration) },
            Event::Warning(message) => Body::Warning { message },
            Event::Summary(event::Summary { executed, cached, images, elapsed }) => Body::Summary {
                executed: *executed,
                cached: *cached,
                duration: seconds(*elapsed),
                images: images.iter().map(image).collect(),
            },
        };
        state.write(body);
    }
}

fn step(info: &event::StepInfo) -> Step<'_> {
    let origin = info.origin.as_ref().map(|(file, line)| Origin { file, line: *line });
    Step { step: info.step, name: &info.name, stage: &info.stage, inputs: &info.inputs, origin }
}

fn image(image: &event::ImageSummary) -> Image<'_> {
    let event::ImageSummary { target, digest, tags, size, outputs } = image;
    Image { target, digest, tags, size: *size, outputs }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Hand, Paper, step};
    use super::*;

    #[test]
    fn keeps_characters_whole() {
        let check = |pieces: &[&[u8]], expected: &[&str]| {
            let mut cut = Vec::new();
            let texts: Vec<String> = pieces.iter().map(|piece| whole_characters(&mut cut, piece)).collect();
            assert_eq!(texts, expected);
        };
        check(&["日本".as_bytes()], &["日本"]);
        check(&["日".as_bytes(), b"\xe6\x9c", b"\xac."], &["日", "", "本."]);
        check(&[b"a\xff", b"b"], &["a\u{fffd}", "b"]);
        check(&[b"a\xe6", b"b"], &["a", "\u{fffd}b"]);
        check(&[b"", b"a"], &["", "a"]);
    }

    #[test]
    fn writes_a_line_for_each_event() {
        let (hand, paper) = (Hand::default(), Paper::default());
        let json = Json::new(paper.sink(), hand.clock());
        let mut info = step(0, "build 1/1", "RUN make");
        info.origin = Some(("Dockerfile".into(), 2));
        json.report(Event::Planned(vec![info]));
        hand.set(1500);
        json.report(Event::Started(0));
        json.report(Event::Output(0, Stream::Stderr, b"a\xff\x1b[1m\n".to_vec()));
        json.report(Event::Finished(0, Outcome::Failed("exit code 1".into()), Duration::from_millis(250)));
        json.report(Event::TaskProgress(3, 5, None));
        json.report(Event::Summary(event::Summary { executed: 1, ..event::Summary::default() }));
        json.fail(&Failure { kind: "build", message: "no".into(), exit_code: 1, ..Failure::default() });
        let expected = [
            r#"{"time":0.0,"event":"stream","version":1}"#,
            r#"{"time":0.0,"event":"planned","steps":[{"step":0,"name":"RUN make","stage":"build 1/1","inputs":[],"origin":{"file":"Dockerfile","line":2}}]}"#,
            r#"{"time":1.5,"event":"step_started","step":0}"#,
            r#"{"time":1.5,"event":"step_output","step":0,"stream":"stderr","text":"a�\u001b[1m\n"}"#,
            r#"{"time":1.5,"event":"step_finished","step":0,"outcome":"failed","error":"exit code 1","duration":0.25}"#,
            r#"{"time":1.5,"event":"task_progress","task":3,"done":5,"total":null}"#,
            r#"{"time":1.5,"event":"summary","executed":1,"cached":0,"duration":0.0,"images":[]}"#,
            r#"{"time":1.5,"event":"error","kind":"build","message":"no","causes":[],"help":[],"exit_code":1,"step_exit_code":null,"log":null,"diagnostics":[]}"#,
        ];
        assert_eq!(paper.text().lines().collect::<Vec<_>>(), expected);
    }
}
