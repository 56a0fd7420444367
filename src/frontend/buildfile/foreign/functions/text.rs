//! Functions with a little language of their own: formats, patterns, versions.

use std::collections::BTreeMap;

use regex_lite::{Captures, Regex, RegexBuilder};

use super::strings::bounded;
use super::{Answer, Arguments, MANY, Problem, Row};
use crate::frontend::buildfile::foreign::types::to_json;
use crate::frontend::buildfile::foreign::value::{Value, number_text};

pub(super) const ROWS: &[Row] = &[
    ("format", 1, MANY, |a| Ok(Value::text(format(&a.text(0)?, &a.values[1..])?))),
    ("formatlist", 1, MANY, format_list),
    ("regex", 2, 2, |a| {
        let (pattern, text) = (pattern(a, 0)?, a.text(1)?);
        let found = pattern.captures(&text).ok_or_else(|| Problem::new("the pattern does not match"))?;
        Ok(captured(&pattern, &found))
    }),
    ("regex_replace", 3, 3, |a| {
        let (pattern, text, with) = (pattern(a, 1)?, a.text(0)?, a.text(2)?);
        // Each `$1` in the new text may stand for all of the old one.
        let most = with.matches('$').count().saturating_mul(text.len()).saturating_add(with.len());
        if pattern.find_iter(&text).count().saturating_mul(most) > MOST {
            return Err(Problem::new("the result may be too long"));
        }
        Ok(Value::text(bounded(pattern.replace_all(&text, with.as_str()).into_owned())?))
    }),
    ("regexall", 2, 2, |a| {
        let (pattern, text) = (pattern(a, 0)?, a.text(1)?);
        Ok(Value::List(pattern.captures_iter(&text).map(|found| captured(&pattern, &found)).collect()))
    }),
    ("semvercmp", 2, 2, semvercmp),
];

/// The most bytes that a function may make before they are counted.
const MOST: usize = 1 << 24;

fn pattern(arguments: &Arguments<'_>, number: usize) -> Result<Regex, Problem> {
    let built = RegexBuilder::new(&arguments.text(number)?).size_limit(1 << 20).build();
    built.map_err(|error| Problem::at(number, format!("this is no pattern: {error}")))
}

/// The whole match, the groups as a list, or the named groups as a map.
fn captured(pattern: &Regex, found: &Captures<'_>) -> Value {
    let group = |number: usize| found.get(number).map_or(Value::Null, |part| Value::text(part.as_str()));
    let names: Vec<Option<&str>> = pattern.capture_names().collect();
    if names.iter().any(Option::is_some) {
        let named = names.iter().enumerate().filter_map(|(number, name)| Some(((*name)?.to_owned(), group(number))));
        return Value::Map(named.collect::<BTreeMap<_, _>>());
    }
    match names.len() {
        1 => group(0),
        count => Value::List((1..count).map(group).collect()),
    }
}

/// `%s`, `%d`, `%v`, `%q`, `%t`, `%x`, `%f` and so on, with flags, width, precision and `%[1]s`.
fn format(pattern: &str, values: &[Value]) -> Result<String, Problem> {
    let mut text = String::new();
    let mut rest = pattern;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(|| Problem::at(0, "`%` without a verb"))?;
        let (mut options, verb) = (&rest[..end], rest.as_bytes()[end]);
        if let Some(open) = options.find('[') {
            let number = options[open + 1..].strip_suffix(']').and_then(|number| number.parse::<usize>().ok());
            next = number
                .and_then(|number| number.checked_sub(1))
                .ok_or_else(|| Problem::at(0, "`%[` without a number"))?;
            options = &options[..open];
        }
        let value =
            values.get(next).ok_or_else(|| Problem::at(0, format!("there is no argument for `%{}`", &rest[..=end])))?;
        next += 1;
        text.push_str(&verbalised(options, verb, value).map_err(|message| Problem::at(next, message))?);
        rest = &rest[end + 1..];
        text = bounded(text)?;
    }
    text.push_str(rest);
    bounded(text)
}

fn verbalised(options: &str, verb: u8, value: &Value) -> Result<String, String> {
    let flags: String = options.chars().take_while(|c| "-+ 0#".contains(*c)).collect();
    let (width, precision) = options[flags.len()..].split_once('.').unwrap_or((&options[flags.len()..], ""));
    let width: usize = width.parse().unwrap_or(0).min(1000);
    let precision: Option<usize> = precision.parse().ok().map(|digits: usize| digits.min(100));
    let misfit = |wanted: &str| format!("{wanted} is needed for `%{}`, not {}", char::from(verb), value.kind());
    let string = || value.to_str().map(|text| text.text().to_owned()).ok_or_else(|| misfit("a string"));
    let number = || value.to_number().ok_or_else(|| misfit("a number"));
    let signed = |text: String| if flags.contains('+') && !text.starts_with('-') { format!("+{text}") } else { text };
    let text = match verb {
        b's' => string()?.chars().take(precision.unwrap_or(usize::MAX)).collect(),
        b'q' => to_json(&Value::text(string()?)).to_string(),
        b't' => value.to_bool().ok_or_else(|| misfit("true or false"))?.to_string(),
        b'd' => signed(number_text(number()?.trunc())),
        b'b' => format!("{:b}", number()? as i64),
        b'o' => format!("{:o}", number()? as i64),
        b'x' if matches!(value, Value::Number(_)) => format!("{:x}", number()? as i64),
        b'X' if matches!(value, Value::Number(_)) => format!("{:X}", number()? as i64),
        b'x' => string()?.bytes().map(|byte| format!("{byte:02x}")).collect(),
        b'X' => string()?.bytes().map(|byte| format!("{byte:02X}")).collect(),
        b'f' | b'F' => signed(format!("{:.*}", precision.unwrap_or(6), number()?)),
        b'g' | b'G' => signed(number_text(number()?)),
        b'v' if flags.contains('#') => to_json(value).to_string(),
        b'v' => match value.to_str() {
            Some(text) => text.text().to_owned(),
            None => to_json(value).to_string(),
        },
        other => return Err(format!("`%{}` is not known", char::from(other))),
    };
    let missing = width.saturating_sub(text.chars().count());
    Ok(match flags.as_str() {
        flags if flags.contains('-') => text + &" ".repeat(missing),
        flags if flags.contains('0') && b"dfFbox".contains(&verb) => {
            let (sign, digits) = text.split_at(text.find(|c: char| c != '-' && c != '+').unwrap_or(0));
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
        _ => " ".repeat(missing) + &text,
    })
}

/// Once for each item of the lists among the arguments.
fn format_list(arguments: &Arguments<'_>) -> Answer {
    let pattern = arguments.text(0)?;
    let values = &arguments.values[1..];
    let mut lengths =
        values.iter().filter_map(|value| if let Value::List(items) = value { Some(items.len()) } else { None });
    let length = lengths.next().unwrap_or(1);
    if lengths.any(|other| other != length) {
        return Err(Problem::new("the lists have different lengths"));
    }
    let mut total = 0;
    let mut row = |at: usize| {
        let item = |value: &Value| match value {
            Value::List(items) => items[at].clone(),
            value => value.clone(),
        };
        let text = format(&pattern, &values.iter().map(item).collect::<Vec<_>>())?;
        total += text.len();
        if total > MOST { Err(Problem::new("the result is too long")) } else { Ok(Value::text(text)) }
    };
    (0..length).map(&mut row).collect::<Result<_, _>>().map(Value::List)
}

/// Major, minor, patch, and what comes after a `-`.
type Version = ([u64; 3], String);

/// A version, and how many of its numbers were given. `x` and `*` end it.
fn version(text: &str) -> Option<(Version, usize)> {
    let text = text.trim().trim_start_matches('v');
    let text = text.split('+').next().unwrap_or(text);
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
    let mut found = [0; 3];
    let mut given = 0;
    for part in numbers.split('.') {
        if ["x", "X", "*"].contains(&part) {
            return Some(((found, String::new()), given));
        }
        *found.get_mut(given)? = part.parse().ok()?;
        given += 1;
    }
    Some(((found, suffix.to_owned()), given))
}

/// What comes before a release sorts before it; its parts are compared as numbers where they are some.
fn ordered(one: &Version, other: &Version) -> std::cmp::Ordering {
    let parts = |version: &Version| -> Vec<(u8, u64, String)> {
        let part = |part: &str| match part.parse() {
            Ok(number) => (0, number, String::new()),
            Err(_) => (1, 0, part.to_owned()),
        };
        version.1.split('.').map(part).collect()
    };
    one.0.cmp(&other.0).then_with(|| match (one.1.is_empty(), other.1.is_empty()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        (false, false) => parts(one).cmp(&parts(other)),
    })
}

/// Whether a version fits: `>=1.2, <2 || ~3.1`.
fn semvercmp(arguments: &Arguments<'_>) -> Answer {
    let mine = version(&arguments.text(0)?).filter(|(_, given)| *given > 0);
    let (mine, _) = mine.ok_or_else(|| Problem::at(0, "this is no version"))?;
    let constraint = arguments.text(1)?;
    let mut fits = false;
    for choice in constraint.split("||") {
        let mut all = true;
        for one in choice.split([',']).flat_map(joined) {
            all &= one_fits(&mine, &one).ok_or_else(|| Problem::at(1, format!("`{one}` is no constraint")))?;
        }
        fits |= all;
    }
    Ok(Value::Bool(fits))
}

/// The constraints in a text with spaces between them; `>= 1.2` is one.
fn joined(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match found.last_mut() {
            Some(last) if !last.contains(|c: char| c.is_ascii_digit() || "xX*".contains(c)) => last.push_str(word),
            _ => found.push(word.to_owned()),
        }
    }
    found
}

fn one_fits(mine: &Version, text: &str) -> Option<bool> {
    let length = text.find(|c: char| !"=!<>~^".contains(c))?;
    let (operator, wanted) = text.split_at(length);
    let (wanted, given) = version(wanted)?;
    let order = ordered(mine, &wanted);
    // The first version that is too new, if `kept` of the numbers must stay.
    let below = |kept: usize| {
        let mut limit = [0; 3];
        limit[..kept].copy_from_slice(&wanted.0[..kept]);
        match kept.checked_sub(1) {
            Some(last) => limit[last] = limit[last].saturating_add(1),
            None => return true,
        }
        mine.0 < limit
    };
    // A version before a release fits only where one is asked for.
    if !mine.1.is_empty() && wanted.1.is_empty() && operator != "!=" {
        return Some(false);
    }
    Some(match operator {
        "" | "=" | "==" if given < 3 => order.is_ge() && below(given),
        "" | "=" | "==" => order.is_eq(),
        "!=" if given < 3 => !(order.is_ge() && below(given)),
        "!=" => order.is_ne(),
        ">" if given < 3 => !below(given),
        ">" => order.is_gt(),
        ">=" | "=>" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" | "=<" if given < 3 => below(given),
        "<=" | "=<" => order.is_le(),
        "~" | "~>" => order.is_ge() && below(given.min(2)),
        "^" => {
            let first = wanted.0[..given].iter().position(|number| *number != 0);
            order.is_ge() && below(first.map_or(given, |first| first + 1))
        }
        _ => return None,
    })
}
