//! Whether bytes come fast enough to be worth waiting for.

use std::time::Instant;

use super::Settings;

/// Watches how fast bytes come, over one window of time after the other.
#[derive(Debug)]
pub(crate) struct Pace {
    settings: Settings,
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), since: Instant::now(), bytes: 0 }
    }

    /// Notes that bytes came; whether enough did.
    pub(crate) fn keeps_up(&mut self, read: usize) -> bool {
        self.bytes += read as u64;
        if self.since.elapsed() < self.settings.window {
            return true;
        }
        let enough = self.bytes as f64 >= self.settings.slowest as f64 * self.settings.window.as_secs_f64();
        (self.since, self.bytes) = (Instant::now(), 0);
        enough
    }
}
