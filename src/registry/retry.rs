//! Trying again: longer pauses each time, not at the same moment as everybody else, or when the server says.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use super::{Registries, RegistryError};

/// The longest that a server may ask to wait.
const LONGEST: Duration = Duration::from_secs(60);

impl Registries {
    /// Does something until it works, cannot work, or was tried often enough.
    pub(super) fn retrying<T>(&self, mut action: impl FnMut() -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let mut tries = 1;
        loop {
            match action() {
                Err(error) if error.may_pass() && tries < self.settings.http.tries => {
                    self.pause(&error, tries)?;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Waits before the next try.
    pub(super) fn pause(&self, error: &RegistryError, tries: u32) -> Result<(), RegistryError> {
        let pause = match error.retry_after() {
            Some(asked) => asked.min(LONGEST),
            None => jittered(self.settings.http.pause * 2u32.saturating_pow(tries.saturating_sub(1))),
        };
        let until = Instant::now() + pause;
        loop {
            self.go_on()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Progress that makes up for a broken connection, in bytes: with less than that, tries are counted.
const PROGRESS: u64 = 1 << 20;

/// How often a transfer was tried since it last got on.
pub(super) struct Tries {
    count: u32,
    /// How many bytes there were when tries were last counted from the start.
    since: u64,
}

impl Tries {
    /// The first try, of a transfer that is `done` bytes far.
    pub(super) fn first(done: u64) -> Self {
        Self { count: 1, since: done }
    }

    /// After a failure `done` bytes on: waits before the next try. If it was tried often enough, that is the error.
    pub(super) fn again(
        &mut self,
        registries: &Registries,
        done: u64,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        registries.go_on()?;
        if done >= self.since + PROGRESS {
            *self = Self::first(done);
        }
        if !error.may_pass() || self.count >= registries.settings.http.tries {
            return Err(error);
        }
        registries.pause(&error, self.count)?;
        self.count += 1;
        Ok(())
    }
}

/// Between half of it and all of it.
fn jittered(pause: Duration) -> Duration {
    // Each of these starts from another seed.
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_within_bounds() {
        let pause = Duration::from_millis(800);
        let all: Vec<Duration> = (0..64).map(|_| jittered(pause)).collect();
        assert!(all.iter().all(|one| *one >= pause / 2 && *one <= pause), "{all:?}");
        assert!(all.iter().any(|one| *one != all[0]));
    }
}
