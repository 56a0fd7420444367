//! Functions of times. No clock: `timestamp()` is the time of the build, which is that of `SOURCE_DATE_EPOCH`.

use std::collections::BTreeMap;

use super::{Problem, Row};
use crate::frontend::buildfile::foreign::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("formatdate", 2, 2, |a| {
        let time = Time::parse(&a.text(1)?).ok_or_else(|| Problem::at(1, NO_TIME))?;
        time.format(&a.text(0)?).map(Value::text).map_err(|message| Problem::at(0, message))
    }),
    ("formattimestamp", 2, 2, |a| {
        let time = match a.value(1) {
            Value::Number(_) => Time { local: bounded(a.whole(1)?)?, offset: 0 },
            _ => Time::parse(&a.text(1)?).ok_or_else(|| Problem::at(1, NO_TIME))?,
        };
        match a.text(0)?.as_str() {
            "X" => Ok(Value::text((time.local - time.offset).to_string())),
            pattern => time.format(pattern).map(Value::text).map_err(|message| Problem::at(0, message)),
        }
    }),
    ("timeadd", 2, 2, |a| {
        let mut time = Time::parse(&a.text(0)?).ok_or_else(|| Problem::at(0, NO_TIME))?;
        let seconds = duration(&a.text(1)?).ok_or_else(|| Problem::at(1, "this is no duration, such as `1h30m`"))?;
        time.local = bounded(time.local.saturating_add(seconds))?;
        Ok(Value::text(time.rfc3339()))
    }),
    ("timestamp", 0, 0, |a| Ok(Value::text(Time { local: bounded(a.surroundings.epoch)?, offset: 0 }.rfc3339()))),
    ("unixtimestampparse", 1, 1, |a| Ok(Time { local: bounded(a.whole(0)?)?, offset: 0 }.parts())),
];

const NO_TIME: &str = "a time such as `2024-03-01T12:00:00Z` is needed here";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment as clocks show it, in seconds since 1970, and how far these clocks are ahead of UTC.
#[derive(Debug, Clone, Copy)]
struct Time {
    local: i64,
    offset: i64,
}

/// Years from 0 to 9999.
fn bounded(seconds: i64) -> Result<i64, Problem> {
    let years = -62_167_219_200..=253_402_300_799;
    if years.contains(&seconds) { Ok(seconds) } else { Err(Problem::new("this is beyond the year 9999")) }
}

/// Days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day at the end.
    let shifted = year - i64::from(month <= 2);
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// `1h30m`, `-10s`. Parts of seconds are cut off.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| end + at);
        seconds += number
            * match &rest[end..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some((sign * seconds) as i64)
}

impl Time {
    /// RFC 3339 with whole seconds; parts of them are left out.
    fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok().map(i64::from);
        let is = |at: usize, c: &str| text.get(at..at + 1).filter(|found| c.contains(*found));
        is(4, "-").and(is(7, "-")).and(is(10, "Tt ")).and(is(13, ":")).and(is(16, ":"))?;
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut zone = text.get(19..)?;
        if let Some(fraction) = zone.strip_prefix('.') {
            zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        let offset = match zone {
            "Z" | "z" => 0,
            zone => {
                let sign = if zone.starts_with('-') { -1 } else { 1 };
                let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
                let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
                sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60)
            }
        };
        Some(Self { local: days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second, offset })
    }

    /// Year, month and day.
    fn date(self) -> (i64, i64, i64) {
        let days_since = self.local.div_euclid(86400);
        let mut year = 1970 + days_since.div_euclid(365);
        while days(year, 1, 1) > days_since {
            year -= 1;
        }
        let month = (1..=12).rev().find(|month| days(year, *month, 1) <= days_since).unwrap_or(1);
        (year, month, days_since - days(year, month, 1) + 1)
    }

    fn clock(self) -> (i64, i64, i64) {
        let seconds = self.local.rem_euclid(86400);
        (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// From Sunday, which is 0.
    fn weekday(self) -> usize {
        usize::try_from((self.local.div_euclid(86400) + 4).rem_euclid(7)).unwrap_or_default()
    }

    fn zone(self, colon: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs() / 60;
        format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
    }

    fn rfc3339(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        let zone = if self.offset == 0 { "Z".into() } else { self.zone(":") };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
    }

    /// Runs of the same letter are parts of the time; what is in single quotes stays as it is.
    fn format(self, pattern: &str) -> Result<String, String> {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let mut text = String::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('\'') {
                let (inside, after) = quoted.split_once('\'').ok_or("a quote is not closed")?;
                text.push_str(inside);
                // A doubled quote in quotes is one.
                text.push_str(if after.starts_with('\'') { "'" } else { "" });
                rest = after;
                continue;
            }
            let run = rest.find(|c| c != first).unwrap_or(rest.len());
            let verb = &rest[..run];
            rest = &rest[run..];
            let name = MONTHS[usize::try_from(month - 1).unwrap_or_default()];
            let part = match verb {
                "YYYY" => format!("{year:04}"),
                "YY" => format!("{:02}", year % 100),
                "MMMM" => name.into(),
                "MMM" => name[..3].into(),
                "MM" => format!("{month:02}"),
                "M" => month.to_string(),
                "DD" => format!("{day:02}"),
                "D" => day.to_string(),
                "EEEE" => DAYS[self.weekday()].into(),
                "EEE" => DAYS[self.weekday()][..3].into(),
                "hh" => format!("{hour:02}"),
                "h" => hour.to_string(),
                "HH" => format!("{twelve:02}"),
                "H" => twelve.to_string(),
                "AA" => if hour < 12 { "AM" } else { "PM" }.into(),
                "aa" => if hour < 12 { "am" } else { "pm" }.into(),
                "mm" => format!("{minute:02}"),
                "m" => minute.to_string(),
                "ss" => format!("{second:02}"),
                "s" => second.to_string(),
                "ZZZZZ" => self.zone(":"),
                "ZZZZ" => self.zone(""),
                "ZZZ" if self.offset == 0 => "UTC".into(),
                "ZZZ" => self.zone(""),
                "Z" if self.offset == 0 => "Z".into(),
                "Z" => self.zone(":"),
                other if first.is_ascii_alphabetic() => return Err(format!("`{other}` is no part of a time")),
                other => other.into(),
            };
            text.push_str(&part);
        }
        Ok(text)
    }

    fn parts(self) -> Value {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        let date = self.local.div_euclid(86400);
        // The week of a day is that of its Thursday.
        let thursday = Self { local: (date - (date + 3).rem_euclid(7) + 3) * 86400, offset: 0 };
        let iso_year = thursday.date().0;
        let iso_week = (thursday.local / 86400 - days(iso_year, 1, 1)) / 7 + 1;
        let weekday = i64::try_from(self.weekday()).unwrap_or_default();
        let numbers = [
            ("year", year),
            ("year_day", date - days(year, 1, 1) + 1),
            ("day", day),
            ("month", month),
            ("weekday", weekday),
            ("hour", hour),
            ("minute", minute),
            ("second", second),
            ("iso_year", iso_year),
            ("iso_week", iso_week),
        ];
        let texts = [
            ("month_name", MONTHS[usize::try_from(month - 1).unwrap_or_default()].to_owned()),
            ("weekday_name", DAYS[self.weekday()].to_owned()),
            ("rfc3339", self.rfc3339()),
        ];
        let numbers = numbers.into_iter().map(|(name, number)| (name.to_owned(), Value::Number(number as f64)));
        let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), Value::text(text)));
        Value::Map(numbers.chain(texts).collect::<BTreeMap<_, _>>())
    }
}
