//! How far a blob is, as a [`Reporter`] hears of it: a task for each blob that really moves.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Event, Reporter};
use crate::oci::Descriptor;

/// How often it is told how far a blob is.
const PACE: Duration = Duration::from_millis(100);

/// Tasks of transfers are numbered from here, so that none is taken for another.
static NUMBER: AtomicUsize = AtomicUsize::new(1 << 24);

/// Tells how far one blob is. Nothing is told before its first byte.
pub(super) struct Meter<'a> {
    reporter: &'a dyn Reporter,
    name: String,
    total: u64,
    begun: Mutex<Option<Begun>>,
}

#[derive(Clone, Copy)]
struct Begun {
    number: usize,
    at: Instant,
    told: Instant,
}

impl<'a> Meter<'a> {
    pub(super) fn new(reporter: &'a dyn Reporter, verb: &str, blob: &Descriptor) -> Self {
        let name = format!("{verb} {}", blob.digest.short());
        Self { reporter, name, total: blob.size, begun: Mutex::new(None) }
    }

    /// The same bytes, counted from `offset` on.
    pub(super) fn watch<R: Read>(&self, inner: R, offset: u64) -> impl Read + use<'_, 'a, R> {
        Watched { meter: self, inner, done: offset }
    }

    /// Says that it is done, if it ever began.
    pub(super) fn finish(&self) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Begun { number, at, .. }) = *begun {
            self.reporter.report(Event::TaskProgress(number, self.total, Some(self.total)));
            self.reporter.report(Event::TaskFinished(number, at.elapsed()));
        }
    }

    fn tell(&self, done: u64) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *begun {
            None => {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                self.reporter.report(Event::TaskStarted(number, self.name.clone()));
                *begun = Some(Begun { number, at: now, told: now });
            }
            Some(begun) if now - begun.told >= PACE => {
                begun.told = now;
                self.reporter.report(Event::TaskProgress(begun.number, done, Some(self.total)));
            }
            Some(_) => {}
        }
    }
}

struct Watched<'m, 'a, R> {
    meter: &'m Meter<'a>,
    inner: R,
    done: u64,
}

impl<R: Read> Read for Watched<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done += read as u64;
        self.meter.tell(self.done);
        Ok(read)
    }
}
