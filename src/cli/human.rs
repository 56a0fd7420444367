//! Sizes and times as people read them, in the words that docker uses.

use std::time::Duration;

/// A size in decimal units with three significant digits, such as `4.26MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let mut digits = format!("{value:.decimals$}");
    if digits.contains('.') {
        digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{digits}{}", UNITS[unit])
}

/// A duration in its largest unit, such as `2 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let days = seconds / 86_400;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

/// How long ago a moment was; both are seconds since 1970. A moment in the future was just now.
pub fn ago(moment: i64, now: i64) -> String {
    let seconds = now.saturating_sub(moment).try_into().unwrap_or(0);
    format!("{} ago", duration(Duration::from_secs(seconds)))
}

/// The time that a step took, such as `0.3s` or `2m 05s`.
pub fn elapsed(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = duration.as_secs();
    match seconds {
        0..60 if tenths < 600 => format!("{}.{}s", tenths / 10, tenths % 10),
        0..3600 => format!("{}m {:02}s", seconds.max(60) / 60, seconds.max(60) % 60),
        _ => format!("{}h {:02}m {:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// A number and a word, such as `1 step` or `3 steps`.
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// The seconds since 1970 of a moment in RFC 3339, fractions left out; none if it is none.
pub fn moment(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let numbers = |text: &str, separator| -> Option<[i64; 3]> {
        let numbers: Option<Vec<i64>> =
            text.split(separator).map(|part| part.parse::<u32>().ok().map(Into::into)).collect();
        numbers?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(at);
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let [hours, minutes, _] = numbers(&format!("{zone}:0"), ':')?;
            if sign == "-" { -(hours * 60 + minutes) } else { hours * 60 + minutes }
        }
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years are counted in eras of 400, and begin on the first of March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute - offset) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_sizes() {
        let check = |bytes, expected| assert_eq!(size(bytes), expected);
        check(0, "0B");
        check(999, "999B");
        check(1000, "1kB");
        check(1234, "1.23kB");
        check(4_261_550, "4.26MB");
        check(99_949, "99.9kB");
        check(99_990, "100kB");
        check(999_499, "999kB");
        check(999_500, "1MB");
        check(120_000_000, "120MB");
        check(u64::MAX, "18.4EB");
    }

    #[test]
    fn shows_durations() {
        let check = |seconds, expected| assert_eq!(duration(Duration::from_secs(seconds)), expected);
        check(0, "Less than a second");
        check(1, "1 second");
        check(59, "59 seconds");
        check(60, "About a minute");
        check(150, "2 minutes");
        check(3600, "About an hour");
        check(7200, "2 hours");
        check(86_400, "24 hours");
        check(3 * 86_400, "3 days");
        check(15 * 86_400, "2 weeks");
        check(90 * 86_400, "3 months");
        check(46 * 365 * 86_400, "46 years");
        assert_eq!(ago(100, 50), "Less than a second ago");
        assert_eq!(ago(0, 15 * 86_400), "2 weeks ago");
    }

    #[test]
    fn shows_elapsed_time() {
        let check = |millis, expected| assert_eq!(elapsed(Duration::from_millis(millis)), expected);
        check(0, "0.0s");
        check(1249, "1.2s");
        check(59_949, "59.9s");
        check(59_960, "1m 00s");
        check(125_900, "2m 05s");
        check(3_725_000, "1h 02m 05s");
    }

    #[test]
    fn reads_moments() {
        for time in [0, 315_532_800, 951_827_696, 1_709_251_199, 4_107_542_400, -1] {
            assert_eq!(moment(&crate::export::rfc3339(time)), Some(time));
        }
        let check = |text, expected| assert_eq!(moment(text), expected, "{text}");
        check("2024-09-26T21:31:42.123456789Z", Some(1_727_386_302));
        check("2024-09-26T23:31:42+02:00", Some(1_727_386_302));
        check("2024-09-26T16:01:42.5-05:30", Some(1_727_386_302));
        for text in [
            "",
            "T",
            "2024-09-26",
            "2024-09-26T21:31:42",
            "2024-13-01T00:00:00Z",
            "2024-09-26T21:31:42Zé",
            "a-b-cTd:e:fZ",
        ] {
            check(text, None);
        }
    }
}
