//! Which times are data, and which only say when a step ran.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel stamps files with a clock that it moves on at its timer's ticks: 100 a second at the slowest.
const TICK: i128 = 10_000_000;

/// From when to when a step ran, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    start: i128,
    end: i128,
}

impl Clock {
    /// From before anything touched the folder to after the last process was gone.
    pub fn new(start: SystemTime, end: SystemTime) -> Self {
        Self { start: nanoseconds(start), end: nanoseconds(end) }
    }
}

fn nanoseconds(time: SystemTime) -> i128 {
    let signed = |time: Duration| time.as_nanos().cast_signed();
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

/// How modification times become data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// When the step ran; what was stamped then is an accident. None where no time is one.
    pub clock: Option<Clock>,
    /// What accidents become, in seconds since 1970.
    pub epoch: i64,
    /// Later times become this one (`SOURCE_DATE_EPOCH`, where the user set it), in seconds since 1970.
    pub ceiling: Option<i64>,
}

impl Settle {
    /// The settled time in whole seconds, and whether the given one was stamped by the step's clock.
    pub fn mtime(&self, seconds: i64, nanoseconds: u32) -> (i64, bool) {
        let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let stamped = self.clock.is_some_and(|clock| (clock.start - TICK..=clock.end).contains(&exact));
        let settled = if stamped { self.epoch } else { seconds };
        (self.ceiling.map_or(settled, |ceiling| settled.min(ceiling)), stamped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles() {
        let at = |seconds, nanoseconds| UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        let clock = Some(Clock::new(at(1000, 500), at(1002, 0)));
        let settle = Settle { clock, epoch: 315_532_800, ceiling: None };
        let check =
            |settle: Settle, time: (i64, u32), expected| assert_eq!(settle.mtime(time.0, time.1), expected, "{time:?}");
        let accident = (315_532_800, true);
        check(settle, (1000, 500), accident);
        check(settle, (999, 990_000_500), accident);
        check(settle, (999, 990_000_499), (999, false));
        check(settle, (1002, 0), accident);
        check(settle, (1002, 1), (1002, false));
        check(settle, (-1, 999_999_999), (-1, false));
        check(settle, (9_000_000_000, 0), (9_000_000_000, false));
        let low = Settle { ceiling: Some(500), epoch: 500, ..settle };
        check(low, (1001, 0), (500, true));
        check(low, (600, 0), (500, false));
        check(low, (-86_400, 0), (-86_400, false));
        check(Settle { clock: None, ..settle }, (1001, 7), (1001, false));
    }
}
