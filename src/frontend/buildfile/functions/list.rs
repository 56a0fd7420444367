//! What functions make of lists.

use super::text::format;
use super::{Bounded, LONGEST, Problem, Value, at, count, list, text, whole};

pub(super) fn split(arguments: &[Value]) -> Result<Value, Problem> {
    let (separator, text) = (text(arguments, 0)?, text(arguments, 1)?);
    if separator.is_empty() {
        return Err(at(0, "the separator is empty"));
    }
    let parts = text.split(&separator).map(str::to_owned);
    Ok(Value::List(if text.is_empty() { Vec::new() } else { parts.collect() }))
}

pub(super) fn join(arguments: &[Value]) -> Result<Value, Problem> {
    let separator = text(arguments, 0)?;
    let mut result = Bounded::default();
    for (index, item) in list(arguments, 1)?.iter().enumerate() {
        if index > 0 {
            result.push(&separator)?;
        }
        result.push(item)?;
    }
    Ok(Value::Text(result.0))
}

pub(super) fn formatlist(arguments: &[Value]) -> Result<Value, Problem> {
    let pattern = text(arguments, 0)?;
    let values = &arguments[1..];
    let mut length = None;
    for (index, value) in values.iter().enumerate() {
        let Value::List(items) = value else { continue };
        if length.is_some_and(|length| length != items.len()) {
            return Err(at(index + 1, "this list has another length than the one before"));
        }
        length = Some(items.len());
    }
    let mut size = 0;
    let mut all = Vec::new();
    for index in 0..length.unwrap_or(1) {
        let one = |value: &Value| match value {
            Value::List(items) => Value::Text(items[index].clone()),
            other => other.clone(),
        };
        let item = format(&pattern, &values.iter().map(one).collect::<Vec<_>>(), 1)?;
        size += item.len();
        if size > LONGEST {
            return Err(whole("the result is longer than a mebibyte"));
        }
        all.push(item);
    }
    Ok(Value::List(all))
}

pub(super) fn concat(arguments: &[Value]) -> Result<Value, Problem> {
    let mut size = 0;
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        let items = list(arguments, index)?;
        size += items.iter().map(|item| item.len() + 1).sum::<usize>();
        if size > LONGEST {
            return Err(whole("the result is longer than a mebibyte"));
        }
        all.extend_from_slice(items);
    }
    Ok(Value::List(all))
}

pub(super) fn distinct(arguments: &[Value]) -> Result<Value, Problem> {
    let mut seen = std::collections::BTreeSet::new();
    let items = list(arguments, 0)?.iter().filter(|item| seen.insert(item.as_str()));
    Ok(Value::List(items.cloned().collect()))
}

pub(super) fn element(arguments: &[Value]) -> Result<Value, Problem> {
    let (items, index) = (list(arguments, 0)?, count(arguments, 1)?);
    let item =
        items.get(index).ok_or_else(|| at(1, format!("there is no item {index} in a list of {}", items.len())))?;
    Ok(Value::Text(item.clone()))
}

pub(super) fn length(arguments: &[Value]) -> Result<Value, Problem> {
    let length = match &arguments[0] {
        Value::List(items) => items.len(),
        _ => text(arguments, 0)?.chars().count(),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

pub(super) fn contains(arguments: &[Value]) -> Result<Value, Problem> {
    let wanted = text(arguments, 1)?;
    Ok(Value::Bool(match &arguments[0] {
        Value::List(items) => items.contains(&wanted),
        _ => text(arguments, 0)?.contains(&wanted),
    }))
}
