//! How the arguments of instructions are taken apart. All results are places in the line.

use std::borrow::Cow;

use crate::frontend::dockerfile::ast::Span;

/// Whether a byte separates the arguments of most instructions.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b'\t' | 0xb | 0xc | b'\r' | b' ')
}

/// The first word, and where what follows it starts.
pub(super) fn first(text: &str, within: Span) -> (Span, usize) {
    let bytes = &text.as_bytes()[within.clone()];
    let end = bytes.iter().position(is_blank).unwrap_or(bytes.len());
    let blanks = bytes[end..].iter().take_while(|byte| is_blank(byte)).count();
    (within.start..within.start + end, within.start + end + blanks)
}

/// Words between blanks; quotes mean nothing.
pub(super) fn plain(text: &str, within: Span) -> impl Iterator<Item = Span> + '_ {
    let mut at = within.start;
    let words = std::iter::from_fn(move || {
        (at < within.end).then(|| {
            let (word, next) = first(text, at..within.end);
            at = next;
            word
        })
    });
    words.filter(|word| !word.is_empty())
}

/// Words between blanks that are neither quoted nor escaped. Quotes stay; an escape character at the very end goes.
pub(super) fn quoted(text: &str, within: Span, escape: char) -> Vec<Span> {
    let mut words = Vec::new();
    let mut start: Option<usize> = None;
    let mut quote: Option<char> = None;
    let mut end = within.end;
    let mut chars = text[within.clone()].char_indices().map(|(at, c)| (within.start + at, c)).peekable();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        if c == escape && quote != Some('\'') && chars.peek().is_none() {
            end = at;
            break;
        }
        start.get_or_insert(at);
        match quote {
            _ if c == escape && quote != Some('\'') => {
                chars.next();
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    words.extend(start.map(|start| start..end));
    words
}

/// The flags at the start, each with its quotes and escapes resolved, and where the rest starts.
pub(super) fn flags(text: &str, within: Span, escape: char) -> (Vec<(String, Span)>, usize) {
    let mut flags = Vec::new();
    let mut chars = text[within.clone()].char_indices().map(|(at, c)| (within.start + at, c)).peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(start, _)) = chars.peek() else { return (flags, within.end) };
        if !text[start..within.end].starts_with("--") {
            return (flags, start);
        }
        let mut word = String::new();
        let mut any = false;
        let mut quote: Option<char> = None;
        while let Some((_, c)) = chars.next_if(|(_, c)| quote.is_some() || !c.is_whitespace()) {
            match quote {
                None if c == '\'' || c == '"' => (quote, any) = (Some(c), true),
                Some(open) if c == open => quote = None,
                _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
                _ => word.push(c),
            }
        }
        let end = chars.peek().map_or(within.end, |&(at, _)| at);
        if word == "--" {
            return (flags, end);
        }
        if any || !word.is_empty() {
            flags.push((word, start..end));
        }
    }
}

/// What the JSON form of an instruction holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    /// The text is no JSON array.
    No,
    /// It is one, but not of strings.
    Mixed,
    /// These strings.
    Strings(Vec<String>),
}

/// Reads the JSON form. Halves of surrogate pairs become U+FFFD, as encoding/json has it.
pub(super) fn json(text: &str) -> Json {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Json::No;
    }
    let whole = if text.contains("\\u") { Cow::Owned(without_lone_surrogates(text)) } else { Cow::Borrowed(text) };
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&whole) else {
        return Json::No;
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    });
    strings.collect::<Option<Vec<String>>>().map_or(Json::Mixed, Json::Strings)
}

/// JSON in which no escape is half of a surrogate pair.
pub(in crate::frontend::dockerfile) fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let length = match (c, unit(at)) {
            ('\\', Some(0xD800..0xDC00)) if matches!(unit(at + 6), Some(0xDC00..0xE000)) => 12,
            ('\\', Some(0xD800..0xE000)) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            // An escaped character, so that the second backslash of two starts nothing.
            ('\\', _) => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        out.push_str(&text[at..at + length]);
        at += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(text: &str, words: impl IntoIterator<Item = Span>) -> Vec<&str> {
        words.into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn plain_words() {
        let text = "a\tb\u{b}'c  d' ";
        assert_eq!(slices(text, plain(text, 0..text.len())), ["a", "b", "'c", "d'"]);
    }

    #[test]
    fn quoted_words() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(slices(text, quoted(text, 0..text.len(), '\\')), expected, "{text}");
        };
        check(r#"a=1  b="x y" c='\' d=e\ f "" g"#, &["a=1", "b=\"x y\"", "c='\\'", "d=e\\ f", "\"\"", "g"]);
        check(r#"a="open b"#, &[r#"a="open b"#]);
        check(r"a=x\\\", &[r"a=x\\"]);
        check(r"a \", &["a"]);
    }

    #[test]
    fn flags_come_off() {
        let check = |text: &str, expected: &[&str], rest: &str| {
            let (found, at) = flags(text, 0..text.len(), '\\');
            let found: Vec<&str> = found.iter().map(|(word, _)| word.as_str()).collect();
            assert_eq!((found.as_slice(), &text[at..]), (expected, rest), "{text}");
        };
        check("--a=b --c x --d", &["--a=b", "--c"], "x --d");
        check("--a='x y'\"z\" -- --b", &["--a=x yz"], " --b");
        check("--a=x\\ y z", &["--a=x y"], "z");
        check("--ü=ö", &["--ü=ö"], "");
    }

    #[test]
    fn json_forms() {
        let strings = |list: &[&str]| Json::Strings(list.iter().map(ToString::to_string).collect());
        assert_eq!(json(r#"["a", "\u00e9\ud83d\udc33\\u"] "#), strings(&["a", "é🐳\\u"]));
        assert_eq!(json(r#"["\ud800x"]"#), strings(&["\u{fffd}x"]));
        assert_eq!(json("[]"), strings(&[]));
        assert_eq!(json(r#"["a", 1]"#), Json::Mixed);
        for text in ["['a']", r#"["a",]"#, r#"["a""#, r#"["a"] x"#, r#"["c:\windows"]"#, "a"] {
            assert_eq!(json(text), Json::No, "{text}");
        }
    }
}
