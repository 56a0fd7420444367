//! What a build looks like while it runs: the receivers of [`Event`]s.
//!
//! [`Plain`] writes a log, [`Tty`] a live display, [`Json`] a stream for programs, [`Quiet`] only what was made. All of
//! them write to standard error, except for [`Quiet`], whose one line is data. A [`Progress`] chooses one and ends it:
//! the display must be gone before an error is shown.

pub mod json;
pub mod plain;
pub mod quiet;
pub mod summary;
mod text;
pub mod trace;
pub mod tty;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::progress::{ProgressArgs, ProgressStyle};
use super::env::{Env, Sink};
use crate::event::{Event, Reporter, StepInfo};

pub use json::Json;
pub use plain::Plain;
pub use quiet::Quiet;
pub use text::{Lines, clean};
pub use tty::Tty;

/// Tells the time since the start of a build.
pub type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// A clock that starts now.
pub fn clock() -> Clock {
    let start = Instant::now();
    Box::new(move || start.elapsed())
}

/// A step's name for people: the stage in brackets and the instruction, on one line.
pub(super) fn title(info: &StepInfo) -> String {
    let words: Vec<&str> = info.name.split_whitespace().filter(|word| *word != "\\").collect();
    let name = clean(words.join(" ").as_bytes(), false);
    match info.stage.is_empty() {
        true => name,
        false => format!("[{}] {name}", clean(info.stage.as_bytes(), false)),
    }
}

/// The receiver that was asked for.
pub enum Progress {
    /// A log.
    Plain(Arc<Plain>),
    /// A live display.
    Tty(Arc<Tty>),
    /// For programs.
    Json(Arc<Json>),
    /// Only what was made.
    Quiet(Arc<Quiet>),
}

impl Progress {
    /// The receiver that these flags ask for. If standard output is taken by an archive, nothing else is written there.
    pub fn start(args: ProgressArgs, env: &Env, stdout_is_taken: bool) -> Self {
        let data = || if stdout_is_taken { Box::new(std::io::sink()) } else { env.stdout() };
        match args.progress {
            _ if args.quiet => Self::Quiet(Arc::new(Quiet::new(data()))),
            ProgressStyle::Quiet => Self::Quiet(Arc::new(Quiet::new(data()))),
            ProgressStyle::Json => Self::Json(Arc::new(Json::new(env.stderr(), clock()))),
            ProgressStyle::Tty => Self::tty(env),
            ProgressStyle::Auto if env.is_live() => Self::tty(env),
            ProgressStyle::Auto | ProgressStyle::Plain => {
                Self::Plain(Arc::new(Plain::new(env.stderr(), clock(), env.colours())))
            }
        }
    }

    fn tty(env: &Env) -> Self {
        let term = console::Term::stderr();
        let size = move || term.size_checked().map_or((80, 24), |(rows, columns)| (columns.into(), rows.into()));
        Self::Tty(Arc::new(Tty::new(env.stderr(), clock(), Box::new(size), env.colours())))
    }

    /// What to hand to the library.
    pub fn reporter(&self) -> Arc<dyn Reporter> {
        match self {
            Self::Plain(plain) => plain.clone(),
            Self::Tty(tty) => tty.clone(),
            Self::Json(json) => json.clone(),
            Self::Quiet(quiet) => quiet.clone(),
        }
    }

    /// Tells the user something that is not from the library.
    pub fn warn(&self, text: impl Into<String>) {
        self.reporter().report(Event::Warning(text.into()));
    }

    /// Ends the display. What is written to the terminal from now on stays where it is.
    pub fn finish(&self) {
        match self {
            Self::Tty(tty) => tty.finish(),
            Self::Plain(plain) => plain.finish(),
            Self::Json(_) | Self::Quiet(_) => {}
        }
    }

    /// Whether errors are to be shown as JSON too.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// How many lines of a failed step's output an error repeats: few where they have been shown already.
    pub fn log_lines(&self) -> usize {
        match self {
            Self::Plain(_) => 10,
            _ => 50,
        }
    }
}

/// Locks, whatever became of the thread that held the lock before: half a line of progress harms nobody.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing {
    //! A clock and a writer for the receivers' tests.

    use std::io::{self, Write};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::event::StepNumber;

    /// A clock that is set by hand, in milliseconds.
    #[derive(Clone, Default)]
    pub(crate) struct Hand(Arc<AtomicU64>);

    impl Hand {
        pub(crate) fn set(&self, millis: u64) {
            self.0.store(millis, Ordering::SeqCst);
        }

        pub(crate) fn clock(&self) -> Clock {
            let time = self.0.clone();
            Box::new(move || Duration::from_millis(time.load(Ordering::SeqCst)))
        }
    }

    /// Keeps what is written.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(crate) fn sink(&self) -> Sink {
            Box::new(self.clone())
        }

        pub(crate) fn open(&self) -> crate::cli::env::Open {
            let paper = self.clone();
            Box::new(move || paper.sink())
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.bytes()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn step(step: StepNumber, stage: &str, name: &str) -> StepInfo {
        StepInfo { step, name: name.into(), stage: stage.into(), inputs: Vec::new(), origin: None }
    }
}
