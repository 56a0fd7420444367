//! Times in the file: RFC 3339 in UTC, whole seconds. Elsewhere they are seconds since 1970.

use toml::value::{Date, Datetime, Offset, Time};

const DAY: i64 = 86400;
/// Days from 0000-03-01, where the count below begins, to 1970-01-01.
const TO_1970: i64 = 719_468;

/// Seconds since 1970 as text. Years beyond 9999 are held at their end.
pub(super) fn format(seconds: i64) -> String {
    let seconds = seconds.clamp(-62_167_219_200, 253_402_300_799);
    let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // The Gregorian calendar repeats every 400 years; within a year that begins in March, the leap day comes last.
    let shifted = days + TO_1970;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 from a time in UTC with whole seconds.
pub(super) fn parse(time: &Datetime) -> Option<i64> {
    let Datetime {
        date: Some(Date { year, month, day }),
        time: Some(Time { hour, minute, second, nanosecond: None | Some(0), .. }),
        offset: Some(Offset::Z | Offset::Custom { minutes: 0 }),
    } = *time
    else {
        return None;
    };
    let (month, day) = (i64::from(month), i64::from(day));
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - TO_1970;
    Some(days * DAY + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        let check = |seconds: i64, text: &str| {
            assert_eq!(format(seconds), text);
            assert_eq!(parse(&text.parse().unwrap()), Some(seconds), "{text}");
        };
        check(0, "1970-01-01T00:00:00Z");
        check(315_532_800, "1980-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_200, "2024-03-01T00:00:00Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(253_402_300_799, "9999-12-31T23:59:59Z");
        assert_eq!(format(i64::MAX), "9999-12-31T23:59:59Z");
        for text in ["2024-03-01", "2024-03-01T00:00:00", "2024-03-01T00:00:00+01:00", "2024-03-01T00:00:00.5Z"] {
            assert_eq!(parse(&text.parse().unwrap()), None, "{text}");
        }
    }
}
