//! Where moments are on a page: percentages of a build's time, and the marks of its axis.

use std::time::Duration;

/// Where the last mark may be, in percent.
const LAST: f64 = 93.0;

/// The time of a build as the width of a page.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    whole: Duration,
}

impl Scale {
    /// One that reaches to this moment.
    pub fn to(whole: Duration) -> Self {
        Self { whole: whole.max(Duration::from_millis(1)) }
    }

    /// Where a moment is, in percent.
    pub fn percent(&self, moment: Duration) -> f64 {
        100.0 * (moment.as_secs_f64() / self.whole.as_secs_f64()).min(1.0)
    }

    /// The place and width of a bar, as a style.
    pub fn bar(&self, start: Duration, end: Duration) -> String {
        let (from, to) = (self.percent(start), self.percent(end));
        format!("left:{from:.3}%;width:{:.3}%", (to - from).max(0.0))
    }

    /// The moments to mark: whole steps of 1, 2 or 5, about five of them, and none so far right that its label has no room.
    pub fn marks(&self) -> Vec<Duration> {
        const FEWEST: u128 = 4;
        let whole = self.whole.as_micros();
        // The largest step that gives enough marks.
        let powers = (0..).map(|power| 10u128.pow(power)).take_while(|power| *power <= whole);
        let steps = powers.flat_map(|power| [power, 2 * power, 5 * power]);
        let step = steps.filter(|step| whole / step >= FEWEST).last().unwrap_or(whole).max(1);
        let count = (whole / step).min(2 * FEWEST + 2);
        let mark = |number: u128| Duration::from_micros(u64::try_from(number * step).unwrap_or(u64::MAX));
        (0..=count).map(mark).filter(|mark| self.percent(*mark) < LAST).collect()
    }
}

/// A mark's label, no finer than it has to be.
pub fn label(mark: Duration) -> String {
    let seconds = mark.as_secs_f64();
    match seconds {
        0.0 => "0".into(),
        seconds if seconds < 0.001 => format!("{}µs", mark.as_micros()),
        seconds if seconds < 1.0 => format!("{}ms", mark.as_millis()),
        seconds if seconds < 60.0 => format!("{seconds}s"),
        seconds if seconds < 3600.0 => format!("{}:{:02}", mark.as_secs() / 60, mark.as_secs() % 60),
        _ => format!("{}:{:02}:{:02}", mark.as_secs() / 3600, mark.as_secs() / 60 % 60, mark.as_secs() % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let check = |millis: u64, expected: &[&str]| {
            let marks = Scale::to(Duration::from_millis(millis)).marks();
            assert_eq!(marks.into_iter().map(label).collect::<Vec<_>>(), expected, "{millis}");
        };
        check(0, &["0", "200µs", "400µs", "600µs", "800µs"]);
        check(450, &["0", "100ms", "200ms", "300ms", "400ms"]);
        check(5200, &["0", "1s", "2s", "3s", "4s"]);
        check(9999, &["0", "2s", "4s", "6s", "8s"]);
        check(2500, &["0", "500ms", "1s", "1.5s", "2s"]);
        check(500_000, &["0", "1:40", "3:20", "5:00", "6:40"]);
    }

    #[test]
    fn bars_stay_on_the_page() {
        let scale = Scale::to(Duration::from_secs(4));
        let bar = |start, end| scale.bar(Duration::from_secs(start), Duration::from_secs(end));
        assert_eq!(bar(1, 3), "left:25.000%;width:50.000%");
        assert_eq!(bar(3, 9), "left:75.000%;width:25.000%");
        assert_eq!(bar(3, 1), "left:75.000%;width:0.000%");
    }
}
