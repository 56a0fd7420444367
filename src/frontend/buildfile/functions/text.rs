//! What functions make of texts.

use super::{Bounded, Problem, Value, at, is_plain, number, text};

pub(super) fn trim(arguments: &[Value]) -> Result<Value, Problem> {
    let value = text(arguments, 0)?;
    if arguments.len() == 1 {
        return Ok(Value::Text(value.trim().to_owned()));
    }
    let letters: Vec<char> = text(arguments, 1)?.chars().collect();
    Ok(Value::Text(value.trim_matches(&letters[..]).to_owned()))
}

pub(super) fn replace(arguments: &[Value]) -> Result<Value, Problem> {
    let (text, old, new) = (text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?);
    if old.is_empty() {
        return Err(at(1, "nothing cannot be replaced: this is empty"));
    }
    let mut result = Bounded::default();
    for (index, part) in text.split(&old).enumerate() {
        if index > 0 {
            result.push(&new)?;
        }
        result.push(part)?;
    }
    Ok(Value::Text(result.0))
}

pub(super) fn tag(arguments: &[Value]) -> Result<Value, Problem> {
    let text = text(arguments, 0)?;
    let plain = text.chars().map(|c| if is_plain(c) || c == '.' { c } else { '-' });
    let tag: String = plain.skip_while(|c| matches!(c, '.' | '-')).take(128).collect();
    if tag.is_empty() { Err(at(0, format!("nothing of `{text}` can stand in a tag"))) } else { Ok(Value::Text(tag)) }
}

pub(super) fn substr(arguments: &[Value]) -> Result<Value, Problem> {
    let (text, from, most) = (text(arguments, 0)?, number(arguments, 1)?, number(arguments, 2)?);
    if most < -1 {
        return Err(at(2, format!("`{most}` letters: use -1 for all that are left")));
    }
    let total = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let from = if from < 0 { total.saturating_add(from).max(0) } else { from };
    let letters = text.chars().skip(usize::try_from(from).unwrap_or(usize::MAX));
    Ok(Value::Text(letters.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()))
}

/// `first` is the number of the first of the values among the arguments.
pub(super) fn format(pattern: &str, values: &[Value], first: usize) -> Result<String, Problem> {
    let mut result = Bounded::default();
    let mut used = 0;
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        result.push(before)?;
        rest = match after.chars().next() {
            Some('%') => {
                result.push("%")?;
                &after[1..]
            }
            Some('s' | 'd' | 'v') => {
                if used == values.len() {
                    return Err(at(0, "more `%s` than values"));
                }
                let value = text(values, used).map_err(|problem| at(first + used, problem.message))?;
                used += 1;
                result.push(&value)?;
                &after[1..]
            }
            _ => return Err(at(0, "only `%s` and `%%` are known here")),
        };
    }
    result.push(rest)?;
    if used < values.len() {
        return Err(at(first + used, "there is no `%s` for this value"));
    }
    Ok(result.0)
}
