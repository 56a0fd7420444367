//! What happens during a build, as values. Whoever runs a build hands in a [`Reporter`]; rendering is `cli`'s business.

use std::time::Duration;

/// The number of a step within one build: dense from 0, in the order of the graph.
pub type StepNumber = usize;

/// What a step is called, told once before anything happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    /// Its number in all later events.
    pub step: StepNumber,
    /// The instruction as people know it, such as `RUN make test`.
    pub name: String,
    /// The stage and the place in it, such as `build 3/7`, after the platform if there are several; may be empty.
    pub stage: String,
    /// The numbers of its inputs.
    pub inputs: Vec<StepNumber>,
    /// Where it was written: file and line.
    pub origin: Option<(String, u32)>,
}

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its result was there already.
    Cached,
    /// It ran.
    Done,
    /// It ran and failed; the message says how.
    Failed(String),
    /// It was stopped because the build was, or never started.
    Canceled,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The steps that may run are known. Comes once, before all events that name them.
    Planned(Vec<StepInfo>),
    /// Why a step has to run, in a few words: what changed since it ran last. Comes before it starts; of a step that
    /// nothing is known of, nothing is said.
    Explained(StepNumber, String),
    /// A step begins to run.
    Started(StepNumber),
    /// A process wrote something: any bytes, not necessarily whole lines.
    Output(StepNumber, Stream, Vec<u8>),
    /// How far a step is, in bytes or files, out of a total if it is known.
    Progress(StepNumber, u64, Option<u64>),
    /// A step ended, after this time.
    Finished(StepNumber, Outcome, Duration),
    /// Work that is no step, such as writing an image, begins. The number is unique among tasks.
    TaskStarted(usize, String),
    /// How far such work is, in bytes, out of a total if it is known.
    TaskProgress(usize, u64, Option<u64>),
    /// Such work ended, after this time.
    TaskFinished(usize, Duration),
    /// Something that the user should know and that stops nothing.
    Warning(String),
    /// The build ended well.
    Summary(Summary),
}

/// What a build came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Steps that ran.
    pub executed: usize,
    /// Steps whose result was there already.
    pub cached: usize,
    /// The images made, in the order of the targets.
    pub images: Vec<ImageSummary>,
    /// How long it all took.
    pub elapsed: Duration,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageSummary {
    /// The target's name; empty if there is only one without a name.
    pub target: String,
    /// The manifest's digest (or the index's, for several platforms).
    pub digest: String,
    /// The names it was given.
    pub tags: Vec<String>,
    /// The sum of its layers' compressed sizes, in bytes.
    pub size: u64,
    /// Files and folders that were written, as the user named them.
    pub outputs: Vec<String>,
}

/// Receives events, from any thread, in an order that holds for each step.
pub trait Reporter: Send + Sync {
    /// Called for every event; must not block for long.
    fn report(&self, event: Event);
}

/// Hears nothing.
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event) {}
}
