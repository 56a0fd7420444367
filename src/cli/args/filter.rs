//! The values of `--filter`: `KEY=VALUE`, as `docker` has them.

use super::super::human;
use crate::ops::prune::LabelFilter;

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What it looks at.
    pub key: String,
    /// What is wanted of it.
    pub value: String,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.trim().to_ascii_lowercase(), value: value.into() })
            }
            _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
        }
    }
}

/// The error for a filter that a command does not know.
pub fn unknown(filter: &Filter, allowed: &str) -> String {
    format!("--filter {}={}: allowed are {allowed}", filter.key, filter.value)
}

/// `label=KEY` and `label=KEY=VALUE`; as `label!`, the opposite.
pub fn label(filter: &Filter) -> LabelFilter {
    let (key, value) = match filter.value.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (filter.value.as_str(), None),
    };
    LabelFilter { key: key.to_owned(), value, absent: filter.key.ends_with('!') }
}

/// `until=`: how long ago, such as `24h`, `10m` or `7d`, or a moment in RFC 3339 or seconds; in seconds since 1970.
pub fn until(text: &str, now: i64) -> Result<i64, String> {
    if let Some(moment) = human::moment(text).or_else(|| text.parse().ok()) {
        return Ok(moment);
    }
    let seconds = age(text).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| {
        format!("until={text}: write an age such as 24h, 90m or 7d, or a moment such as 2024-01-31T12:00:00Z")
    })?;
    Ok(now.saturating_sub(seconds))
}

/// An age in seconds: numbers with units, the largest first.
pub fn age(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = match rest[digits..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_moments_and_ages() {
        let check = |text: &str, expected: i64| assert_eq!(until(text, 1_000_000), Ok(expected), "{text}");
        check("24h", 1_000_000 - 86_400);
        check("1h30m", 1_000_000 - 5400);
        check("7d", 1_000_000 - 7 * 86_400);
        check("1970-01-02T00:00:00Z", 86_400);
        check("500", 500);
        for text in ["", "h", "24", "24x", "-1h", "0s", "1h30", "99999999999999999999h"] {
            assert!(until(text, 0).is_err() || text == "24", "{text}");
        }
    }

    #[test]
    fn reads_filters() {
        let filter: Filter = "label!=a=b".parse().unwrap();
        assert_eq!((filter.key.as_str(), filter.value.as_str()), ("label!", "a=b"));
        assert_eq!(label(&filter), LabelFilter { key: "a".into(), value: Some("b".into()), absent: true });
        assert!("dangling".parse::<Filter>().is_err());
    }
}
