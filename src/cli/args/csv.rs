//! The comma-separated `key=value` lists of `--output`, `--secret` and the like: one record of CSV, as in RFC 4180, so
//! that a value with a comma can be written in quotes.

use crate::frontend::buildfile::nearest;

/// The fields of one record. A field that begins with `"` ends at the next lone `"`; two stand for one.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(quoted) => {
                let (field, after) = unquote(quoted)?;
                (field, after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("there must be a comma after a closing quote, not {after:?}")),
        }
    }
}

fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(end) = rest.find('"') else { return Err("a quote is not closed".into()) };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

/// The pairs of one record, keys in lower case. A field without `=` is an error.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_ascii_lowercase(), value.to_owned())),
        _ => Err(format!("{field:?} is not of the form key=value")),
    };
    fields(text)?.into_iter().map(pair).collect()
}

/// `true` or `false` in one of the ways that people and Go write them.
pub fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(format!("{key}={value}: allowed are true and false")),
    }
}

/// The message for a key that is not known here.
pub fn unknown(key: &str, allowed: &str) -> String {
    format!("the key {key:?} is unknown: allowed are {allowed}")
}

/// The same for keys of which one may be meant.
pub fn unlike(key: &str, allowed: &[&str]) -> String {
    match nearest(key, allowed.iter().copied()) {
        Some(meant) => format!("the key {key:?} is unknown: did you mean {meant}?"),
        None => {
            let (last, others) = allowed.split_last().unwrap_or((&"none", &[]));
            unknown(key, &format!("{} and {last}", others.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_records() {
        let check = |text: &str, expected: &[&str]| assert_eq!(fields(text).unwrap(), expected, "{text}");
        check("a=1,b=2", &["a=1", "b=2"]);
        check(r#""a=1,2",b"#, &["a=1,2", "b"]);
        check(r#""say ""hi""""#, &[r#"say "hi""#]);
        check("", &[""]);
        check("a,", &["a", ""]);
    }

    #[test]
    fn refuses_what_is_no_record() {
        for text in ["\"a", "\"a\"b", "\""] {
            assert!(fields(text).is_err(), "{text}");
        }
        for text in ["a", "a=1,", "=1", "a=1,b"] {
            assert!(pairs(text).is_err(), "{text}");
        }
        assert_eq!(pairs("Type=a=b").unwrap(), [("type".to_owned(), "a=b".to_owned())]);
    }
}
