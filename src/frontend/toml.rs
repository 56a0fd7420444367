//! Keys and strings of TOML, for those who write a build file that people will read: a serialiser knows nothing of the order
//! of keys and the look of the text.

/// A key, in quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { string(name) }
}

/// A basic string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_as_it_was() {
        for text in ["", "a", "a-b_1", "a.b", "ä", "a \"b\" \\c", "\n\t\r\u{7}\u{85}", "${A}"] {
            let table: toml::Table = format!("{} = {}", key(text), string(text)).parse().unwrap();
            assert_eq!(table.get(text).and_then(toml::Value::as_str), Some(text), "{text:?}");
        }
    }

    #[test]
    fn quotes_what_needs_it() {
        let check = |text: &str, expected: &str| assert_eq!(string(text), expected);
        check("a \"b\" \\ c", r#""a \"b\" \\ c""#);
        check("line\nbreak\ttab\u{1}ä", r#""line\nbreak\ttab\u0001ä""#);
        assert_eq!((key("a-b_1"), key("a.b")), ("a-b_1".into(), "\"a.b\"".into()));
    }
}
