//! Functions of lists and maps.

use std::collections::BTreeMap;

use super::{Answer, Arguments, MANY, Problem, Row};
use crate::frontend::buildfile::attributes;
use crate::frontend::buildfile::foreign::types::set;
use crate::frontend::buildfile::foreign::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("chunklist", 2, 2, |a| {
        let size = a.count(1)?;
        let size = if size == 0 { usize::MAX } else { size };
        Ok(Value::List(a.list(0)?.chunks(size).map(|chunk| Value::List(chunk.to_vec())).collect()))
    }),
    ("coalesce", 1, MANY, |a| {
        let found = a.values.iter().find(|value| **value != Value::Null);
        found.cloned().ok_or_else(|| Problem::new("all arguments are null"))
    }),
    ("coalescelist", 1, MANY, |a| {
        let full = |value: &&Value| matches!(value, Value::List(items) if !items.is_empty());
        let found = a.values.iter().find(full);
        found.cloned().ok_or_else(|| Problem::new("all lists are empty"))
    }),
    ("compact", 1, 1, |a| {
        let items = a.list(0)?.iter();
        let empty =
            |value: &&Value| !matches!(value, Value::String(text) if text.text().is_empty()) && **value != Value::Null;
        Ok(Value::List(items.filter(empty).cloned().collect()))
    }),
    ("concat", 1, MANY, |a| {
        let mut all = Vec::new();
        for number in 0..a.values.len() {
            all.extend_from_slice(a.list(number)?);
        }
        Ok(Value::List(all))
    }),
    ("contains", 2, 2, |a| Ok(Value::Bool(has(a.list(0)?, a.value(1))))),
    ("csvdecode", 1, 1, csv_decode),
    ("distinct", 1, 1, |a| {
        let mut found: Vec<Value> = Vec::new();
        for item in a.list(0)? {
            if !has(&found, item) {
                found.push(item.clone());
            }
        }
        Ok(Value::List(found))
    }),
    ("element", 2, 2, |a| {
        let items = a.list(0)?;
        let at = a.count(1)?.checked_rem(items.len());
        at.map(|at| items[at].clone()).ok_or_else(|| Problem::at(0, "the list is empty"))
    }),
    ("flatten", 1, 1, |a| {
        let mut found = Vec::new();
        flatten(a.list(0)?, &mut found);
        Ok(Value::List(found))
    }),
    ("hasindex", 2, 2, |a| {
        Ok(Value::Bool(match a.value(0) {
            Value::List(items) => a.number(1).is_ok_and(|at| at.fract() == 0.0 && at >= 0.0 && at < items.len() as f64),
            Value::Map(map) => map.contains_key(&a.text(1)?),
            _ => return a.misfit(0, "a list or a map"),
        }))
    }),
    ("index", 2, 2, |a| match (a.value(0), a.value(1)) {
        (Value::List(items), _) => {
            let at = a.count(1)?;
            items.get(at).cloned().ok_or_else(|| Problem::at(1, format!("a list of {} has no such item", items.len())))
        }
        (Value::Map(map), _) => {
            let key = a.text(1)?;
            map.get(&key).cloned().ok_or_else(|| Problem::at(1, format!("there is no `{key}` in it")))
        }
        _ => a.misfit(0, "a list or a map"),
    }),
    ("indexof", 2, 2, |a| {
        let at = a.list(0)?.iter().position(|item| item.same(a.value(1)));
        at.map(|at| Value::Number(at as f64)).ok_or_else(|| Problem::at(1, "the list has no such item"))
    }),
    ("keys", 1, 1, |a| Ok(Value::List(a.map(0)?.keys().map(Value::text).collect()))),
    ("length", 1, 1, |a| match a.value(0) {
        Value::List(items) => Ok(Value::Number(items.len() as f64)),
        Value::Map(map) => Ok(Value::Number(map.len() as f64)),
        _ => a.misfit(0, "a list or a map"),
    }),
    ("lookup", 2, 3, |a| match (a.map(0)?.get(&a.text(1)?), a.values.get(2)) {
        (Some(value), _) | (None, Some(value)) => Ok(value.clone()),
        (None, None) => Err(Problem::at(1, format!("there is no `{}` in it", a.text(1)?))),
    }),
    ("merge", 0, MANY, |a| {
        let mut all = BTreeMap::new();
        for number in 0..a.values.len() {
            if *a.value(number) != Value::Null {
                all.extend(a.map(number)?.clone());
            }
        }
        Ok(Value::Map(all))
    }),
    ("range", 1, 3, range),
    ("reverselist", 1, 1, |a| Ok(Value::List(a.list(0)?.iter().rev().cloned().collect()))),
    ("sethaselement", 2, 2, |a| Ok(Value::Bool(has(a.list(0)?, a.value(1))))),
    ("setintersection", 1, MANY, |a| sets(a, |found, other| found.retain(|item| has(other, item)))),
    ("setproduct", 1, MANY, product),
    ("setsubtract", 2, 2, |a| sets(a, |found, other| found.retain(|item| !has(other, item)))),
    ("setsymmetricdifference", 1, MANY, |a| {
        sets(a, |found, other| {
            let new: Vec<Value> = other.iter().filter(|item| !has(found, item)).cloned().collect();
            found.retain(|item| !has(other, item));
            found.extend(new);
        })
    }),
    ("setunion", 1, MANY, |a| sets(a, |found, other| found.extend_from_slice(other))),
    ("slice", 3, 3, |a| {
        let items = a.list(0)?;
        let part = items.get(a.count(1)?..a.count(2)?);
        part.map(|part| Value::List(part.to_vec()))
            .ok_or_else(|| Problem::new(format!("a list of {} has no such part", items.len())))
    }),
    ("sort", 1, 1, |a| {
        let mut texts: Vec<String> = a.strings(0)?.iter().map(|text| text.text().to_owned()).collect();
        texts.sort();
        Ok(Value::List(texts.into_iter().map(Value::text).collect()))
    }),
    ("values", 1, 1, |a| Ok(Value::List(a.map(0)?.values().cloned().collect()))),
    ("zipmap", 2, 2, |a| {
        let (keys, values) = (a.strings(0)?, a.list(1)?);
        if keys.len() != values.len() {
            return Err(Problem::new(format!("{} keys, but {} values", keys.len(), values.len())));
        }
        Ok(Value::Map(keys.iter().map(|key| key.text().to_owned()).zip(values.iter().cloned()).collect()))
    }),
];

/// The most items of a list that a function makes.
const MOST: usize = 4096;

/// The most [weight](Value::weight) of such a list.
const HEAVIEST: usize = 1_000_000;

fn has(items: &[Value], wanted: &Value) -> bool {
    items.iter().any(|item| item.same(wanted))
}

fn flatten(items: &[Value], found: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::List(inner) => flatten(inner, found),
            other => found.push(other.clone()),
        }
    }
}

fn sets(arguments: &Arguments<'_>, combine: fn(&mut Vec<Value>, &[Value])) -> Answer {
    let mut found = set(arguments.list(0)?.to_vec());
    for number in 1..arguments.values.len() {
        combine(&mut found, arguments.list(number)?);
        found = set(found);
    }
    Ok(Value::List(found))
}

fn product(arguments: &Arguments<'_>) -> Answer {
    let mut found: Vec<Vec<Value>> = vec![Vec::new()];
    for number in 0..arguments.values.len() {
        let items = arguments.list(number)?;
        if found.len() * items.len() > MOST {
            return Err(Problem::new(format!("more than {MOST} combinations")));
        }
        let of = |values: &[Value]| values.iter().map(Value::weight).sum::<usize>();
        let weight = found.iter().map(|one| of(one)).sum::<usize>() * items.len() + of(items) * found.len();
        if weight > HEAVIEST {
            return Err(Problem::new("the combinations are too large"));
        }
        found = found
            .iter()
            .flat_map(|one| items.iter().map(|item| [one.as_slice(), std::slice::from_ref(item)].concat()))
            .collect();
    }
    Ok(Value::List(found.into_iter().map(Value::List).collect()))
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`.
fn range(arguments: &Arguments<'_>) -> Answer {
    let number = |at: usize| arguments.number(at);
    let (start, end, step) = match arguments.values.len() {
        1 => (0.0, number(0)?, None),
        2 => (number(0)?, number(1)?, None),
        _ => (number(0)?, number(1)?, Some(number(2)?)),
    };
    let step = step.unwrap_or(if end < start { -1.0 } else { 1.0 });
    if step == 0.0 || (step > 0.0) != (end >= start) && end != start {
        return Err(Problem::new("the step does not lead from the start to the end"));
    }
    let mut found = Vec::new();
    let mut at = start;
    while if step > 0.0 { at < end } else { at > end } {
        if found.len() == MOST {
            return Err(Problem::new(format!("more than {MOST} numbers")));
        }
        found.push(Value::Number(at));
        at += step;
    }
    Ok(Value::List(found))
}

/// Each line a map, by the names in the first line.
fn csv_decode(arguments: &Arguments<'_>) -> Answer {
    let text = arguments.text(0)?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let fields = |line: &str| attributes::fields(line).map_err(|problem| Problem::at(0, problem));
    let names = lines.next().map(fields).transpose()?.unwrap_or_default();
    let row = |line: &str| {
        let fields = fields(line)?;
        if fields.len() != names.len() {
            return Err(Problem::at(0, format!("a line of {} fields under {} names", fields.len(), names.len())));
        }
        Ok(Value::Map(names.iter().cloned().zip(fields.into_iter().map(Value::text)).collect()))
    };
    lines.map(row).collect::<Result<_, _>>().map(Value::List)
}
