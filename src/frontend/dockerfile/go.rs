//! Formats of Go's standard library that have become part of the language: durations, and how lists are shown in an
//! image's history.

/// Nanoseconds of a duration such as `1m30s`, `500ms` or `0`; none if it is no duration.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = &rest[..rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())];
        rest = &rest[number.len()..];
        let unit_name = &rest[..rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len())];
        rest = &rest[unit_name.len()..];
        let unit: i128 = match unit_name {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        total += whole.parse::<i128>().unwrap_or(0) * unit;
        let mut scale = unit;
        for digit in fraction.bytes().take(18) {
            // Whatever is less than a nanosecond is dropped.
            total += i128::from(digit - b'0') * scale / 10;
            scale /= 10;
        }
        if total > i128::from(i64::MAX) {
            return None;
        }
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A duration as Go prints it: `1h0m0s`, `2.5s`, `500ms`, `0s`.
pub(super) fn format_duration(nanoseconds: i64) -> String {
    let fraction = |value: u64, unit: u64| {
        let (whole, rest) = (value / unit, value % unit);
        let digits = unit.ilog10() as usize;
        let rest = format!("{rest:0digits$}");
        match rest.trim_end_matches('0') {
            "" => whole.to_string(),
            rest => format!("{whole}.{rest}"),
        }
    };
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let value = nanoseconds.unsigned_abs();
    let text = match value {
        0 => "0s".into(),
        1..1_000 => format!("{value}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(value, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(value, 1_000_000)),
        _ => {
            let (minutes, rest) = (value / 60_000_000_000, value % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// A list as `%v` prints it: `[a b]`.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(" "))
}

/// A list as `%q` prints it: `["a" "b"]`.
pub(super) fn quoted_list(items: &[String]) -> String {
    list(&items.iter().map(|item| quote(item)).collect::<Vec<_>>())
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\0'..' ' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_printable(c) => out.push(c),
            '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

fn is_printable(c: char) -> bool {
    // After a letter, only what cannot be printed is escaped; alone, combining marks would be, too.
    c.is_ascii_graphic() || c == ' ' || format!("a{c}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, nanoseconds: i64, printed: &str| {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
            assert_eq!(format_duration(nanoseconds), printed);
        };
        check("0", 0, "0s");
        check("1m30s", 90_000_000_000, "1m30s");
        check("1h", 3_600_000_000_000, "1h0m0s");
        check("2.5s", 2_500_000_000, "2.5s");
        check("500ms", 500_000_000, "500ms");
        check("1.0005ms", 1_000_500, "1.0005ms");
        check("900us", 900_000, "900µs");
        check("-1s", -1_000_000_000, "-1s");
        for text in ["", "30", "1x", ".s", "1.2.3s", "s", "9999999999h", "1 s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(
            quoted_list(&["a\t\"\\".into(), "é🐳\u{1}\u{a0}\u{e000}".into()]),
            "[\"a\\t\\\"\\\\\" \"é🐳\\x01\\u00a0\\ue000\"]"
        );
        assert_eq!(list(&["a", "b"]), "[a b]");
        assert_eq!(quoted_list(&[]), "[]");
    }
}
