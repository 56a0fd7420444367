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
    ///
    /// A time without a fraction counts by its second: programs that know only those, such as useradd for its backups,
    /// copy a stamp and lose the rest of it, and so may show a time from just before the step.
    pub fn mtime(&self, seconds: i64, nanoseconds: u32) -> (i64, bool) {
        let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let stamped = self.clock.is_some_and(|clock| (clock.start - TICK..=clock.end).contains(&exact))
            || (nanoseconds == 0 && self.is_second_of_step(seconds));
        let settled = if stamped { self.epoch } else { seconds };
        (self.ceiling.map_or(settled, |ceiling| settled.min(ceiling)), stamped)
    }

    /// Whether a clock that shows whole seconds can have shown this one while the step ran.
    pub fn is_second_of_step(&self, seconds: i64) -> bool {
        let seconds = i128::from(seconds);
        let second = |nanoseconds: i128| nanoseconds.div_euclid(1_000_000_000);
        self.clock.is_some_and(|clock| (second(clock.start - TICK)..=second(clock.end)).contains(&seconds))
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
        // Without a fraction, as it is copied by programs that know only seconds.
        let late = Settle { clock: Some(Clock::new(at(1000, 700_000_000), at(1002, 0))), ..settle };
        check(late, (1000, 0), accident);
        check(late, (1000, 1), (1000, false));
        check(late, (999, 0), (999, false));
        check(late, (1003, 0), (1003, false));
        let low = Settle { ceiling: Some(500), epoch: 500, ..settle };
        check(low, (1001, 0), (500, true));
        check(low, (600, 0), (500, false));
        check(low, (-86_400, 0), (-86_400, false));
        check(Settle { clock: None, ..settle }, (1001, 7), (1001, false));
    }

    #[test]
    fn knows_the_seconds_of_a_step() {
        let at = |seconds, nanoseconds| UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        let settle = |start| Settle { clock: Some(Clock::new(start, at(1002, 0))), epoch: 0, ceiling: None };
        let check =
            |settle: Settle, seconds, expected| assert_eq!(settle.is_second_of_step(seconds), expected, "{seconds}");
        check(settle(at(1000, 500_000_000)), 1000, true);
        check(settle(at(1000, 500_000_000)), 999, false);
        check(settle(at(1000, 500)), 999, true);
        check(settle(at(1000, 500)), 1002, true);
        check(settle(at(1000, 500)), 1003, false);
        check(Settle { clock: None, ..settle(at(1000, 0)) }, 1001, false);
    }
}
