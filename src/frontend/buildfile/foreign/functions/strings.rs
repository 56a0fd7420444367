//! Functions that make strings of strings.

use super::{Answer, Arguments, MANY, Problem, Row};
use crate::frontend::buildfile::foreign::types::{from_json, to_json};
use crate::frontend::buildfile::foreign::value::{Str, Value};

pub(super) const ROWS: &[Row] = &[
    ("base64decode", 1, 1, base64_decode),
    ("base64encode", 1, 1, |a| Ok(Value::text(base64(a.text(0)?.as_bytes())))),
    ("basename", 1, 1, |a| Ok(Value::text(basename(&a.text(0)?)))),
    ("byteslen", 1, 1, |a| Ok(Value::Number(a.text(0)?.len() as f64))),
    ("chomp", 1, 1, |a| Ok(Value::text(a.text(0)?.trim_end_matches(['\n', '\r'])))),
    ("dirname", 1, 1, |a| Ok(Value::text(dirname(&a.text(0)?)))),
    ("indent", 2, 2, |a| {
        let spaces = " ".repeat(a.count(0)?.min(1000));
        Ok(Value::text(replaced(&a.text(1)?, "\n", &format!("\n{spaces}"))?))
    }),
    ("join", 1, MANY, join),
    ("jsondecode", 1, 1, |a| {
        let json = serde_json::from_str(&a.text(0)?);
        json.map(from_json).map_err(|error| Problem::at(0, format!("not JSON: {error}")))
    }),
    ("jsonencode", 1, 1, |a| Ok(Value::text(to_json(a.value(0)).to_string()))),
    ("lower", 1, 1, |a| Ok(Value::text(a.text(0)?.to_lowercase()))),
    ("replace", 3, 3, |a| Ok(Value::text(replaced(&a.text(0)?, &a.text(1)?, &a.text(2)?)?))),
    ("reverse", 1, 1, |a| Ok(Value::text(a.text(0)?.chars().rev().collect::<String>()))),
    ("sanitize", 1, 1, |a| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        Ok(Value::text(a.text(0)?.chars().map(plain).collect::<String>()))
    }),
    ("split", 2, 2, split),
    ("strlen", 1, 1, |a| Ok(Value::Number(a.text(0)?.chars().count() as f64))),
    ("substr", 3, 3, substr),
    ("title", 1, 1, |a| Ok(Value::text(title(&a.text(0)?)))),
    ("trim", 2, 2, |a| {
        let set: Vec<char> = a.text(1)?.chars().collect();
        Ok(Value::text(a.text(0)?.trim_matches(set.as_slice())))
    }),
    ("trimprefix", 2, 2, |a| {
        let text = a.text(0)?;
        Ok(Value::text(text.strip_prefix(a.text(1)?.as_str()).unwrap_or(&text)))
    }),
    ("trimspace", 1, 1, |a| Ok(Value::text(a.text(0)?.trim()))),
    ("trimsuffix", 2, 2, |a| {
        let text = a.text(0)?;
        Ok(Value::text(text.strip_suffix(a.text(1)?.as_str()).unwrap_or(&text)))
    }),
    ("upper", 1, 1, |a| Ok(Value::text(a.text(0)?.to_uppercase()))),
    ("urlencode", 1, 1, |a| Ok(Value::text(url_encode(&a.text(0)?)))),
];

/// The longest string that a function makes.
const LONGEST: usize = 1 << 20;

pub(super) fn bounded(text: String) -> Result<String, Problem> {
    if text.len() > LONGEST { Err(too_long()) } else { Ok(text) }
}

/// The text with something else in all these places.
fn replaced(text: &str, old: &str, new: &str) -> Result<String, Problem> {
    let more = text.matches(old).count().saturating_mul(new.len());
    if text.len().saturating_add(more) > LONGEST { Err(too_long()) } else { Ok(text.replace(old, new)) }
}

fn too_long() -> Problem {
    Problem::new("longer than a mebibyte")
}

fn join(arguments: &Arguments<'_>) -> Answer {
    let mut separator = arguments.str(0)?;
    separator.forget();
    let mut joined = Str::default();
    let mut first = true;
    for number in 1..arguments.values.len() {
        for item in arguments.strings(number)? {
            if !std::mem::take(&mut first) {
                joined.push(&separator);
            }
            joined.push(&item);
            if joined.text().len() > LONGEST {
                return Err(too_long());
            }
        }
    }
    Ok(Value::String(joined))
}

fn split(arguments: &Arguments<'_>) -> Answer {
    let (separator, text) = (arguments.text(0)?, arguments.text(1)?);
    let parts: Vec<Value> = match separator.is_empty() {
        true => text.chars().map(Value::text).collect(),
        false => text.split(&separator).map(Value::text).collect(),
    };
    Ok(Value::List(parts))
}

/// From a letter, so many letters; a negative start counts from the end, a negative length means all that is left.
fn substr(arguments: &Arguments<'_>) -> Answer {
    let letters: Vec<char> = arguments.text(0)?.chars().collect();
    let (start, length) = (arguments.whole(1)?, arguments.whole(2)?);
    let all = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let start = if start < 0 { (start + all).max(0) } else { start };
    let length = if length < 0 { all } else { length };
    let taken = letters.iter().skip(usize::try_from(start).unwrap_or(usize::MAX));
    Ok(Value::text(taken.take(usize::try_from(length).unwrap_or(usize::MAX)).collect::<String>()))
}

fn title(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .flat_map(|c| {
            let first = c.is_alphabetic() && !inside;
            inside = c.is_alphanumeric() || c == '_' || c == '\'';
            if first { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

fn basename(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match (path, trimmed) {
        ("", _) => ".".into(),
        (_, "") => "/".into(),
        _ => trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned(),
    }
}

fn dirname(path: &str) -> String {
    let Some((folder, _)) = path.rsplit_once('/') else { return ".".into() };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if folder.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    let clean = format!("{root}{}", parts.join("/"));
    if clean.is_empty() { ".".into() } else { clean }
}

/// Spaces are `+`, as in the query of a URL.
fn url_encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn base64_decode(arguments: &Arguments<'_>) -> Answer {
    let wrong = || Problem::at(0, "this is no base64");
    let text = arguments.text(0)?;
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let padding = chunk.iter().rev().take_while(|letter| **letter == b'=').count();
        if chunk.len() != 4 || padding > 2 {
            return Err(wrong());
        }
        let mut bits = 0u32;
        for letter in &chunk[..4 - padding] {
            let value = ALPHABET.iter().position(|known| known == letter).ok_or_else(wrong)?;
            bits = bits << 6 | value as u32;
        }
        let made = (bits << (6 * padding)).to_be_bytes();
        bytes.extend(&made[1..4 - padding]);
    }
    String::from_utf8(bytes).map(Value::text).map_err(|_| Problem::at(0, "what comes out is not UTF-8"))
}
