//! Work that is no step of a build, such as reading an archive, as a [`Reporter`] hears of it.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::event::{Event, Reporter};

/// How often it is told how far such work is.
const PACE: Duration = Duration::from_millis(100);

/// One piece of work. Dropped without [`Task::finish`], it has failed and nothing more is said of it.
pub struct Task<'a> {
    reporter: &'a dyn Reporter,
    number: usize,
    started: Instant,
    told: Instant,
    done: u64,
    total: Option<u64>,
}

impl<'a> Task<'a> {
    /// Says that work begins. The number is unique among tasks; the total is in bytes, if it is known.
    pub fn start(reporter: &'a dyn Reporter, number: usize, name: impl Into<String>, total: Option<u64>) -> Self {
        reporter.report(Event::TaskStarted(number, name.into()));
        let now = Instant::now();
        Self { reporter, number, started: now, told: now, done: 0, total }
    }

    /// Says that so many more bytes are done, now and then.
    pub fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.told.elapsed() >= PACE {
            self.told = Instant::now();
            self.reporter.report(Event::TaskProgress(self.number, self.done, self.total));
        }
    }

    /// Says that it is done.
    pub fn finish(self) {
        if self.done > 0 {
            self.reporter.report(Event::TaskProgress(self.number, self.done, self.total));
        }
        self.reporter.report(Event::TaskFinished(self.number, self.started.elapsed()));
    }
}

/// A reader or writer whose bytes are a task's progress.
pub struct Counted<'t, 'a, T> {
    /// What is read or written.
    pub inner: T,
    /// What hears of it.
    pub task: &'t mut Task<'a>,
}

impl<T: Read> Read for Counted<'_, '_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.task.advance(read);
        Ok(read)
    }
}

impl<T: Write> Write for Counted<'_, '_, T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.task.advance(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Reporter for Heard {
        fn report(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn tells_the_sum_at_the_end() {
        let heard = Heard::default();
        let mut task = Task::start(&heard, 3, "reading", Some(5));
        io::copy(&mut Counted { inner: &b"hello"[..], task: &mut task }, &mut io::sink()).unwrap();
        task.finish();
        let events = heard.0.into_inner().unwrap();
        assert_eq!(events[0], Event::TaskStarted(3, "reading".into()));
        assert_eq!(events[events.len() - 2], Event::TaskProgress(3, 5, Some(5)));
        assert!(matches!(events.last(), Some(Event::TaskFinished(3, _))));
    }
}
