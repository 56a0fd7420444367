//! Functions of numbers and truth values.

use super::{Answer, Arguments, MANY, Problem, Row};
use crate::frontend::buildfile::foreign::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("absolute", 1, 1, |a| number(a.number(0)?.abs())),
    ("add", 2, 2, |a| number(a.number(0)? + a.number(1)?)),
    ("and", 2, 2, |a| Ok(Value::Bool(a.flag(0)? & a.flag(1)?))),
    ("ceil", 1, 1, |a| number(a.number(0)?.ceil())),
    ("divide", 2, 2, |a| number(a.number(0)? / a.number(1)?)),
    ("equal", 2, 2, |a| Ok(Value::Bool(a.value(0).same(a.value(1))))),
    ("floor", 1, 1, |a| number(a.number(0)?.floor())),
    ("greaterthan", 2, 2, |a| Ok(Value::Bool(a.number(0)? > a.number(1)?))),
    ("greaterthanorequalto", 2, 2, |a| Ok(Value::Bool(a.number(0)? >= a.number(1)?))),
    ("int", 1, 1, |a| number(a.number(0)?.trunc())),
    ("lessthan", 2, 2, |a| Ok(Value::Bool(a.number(0)? < a.number(1)?))),
    ("lessthanorequalto", 2, 2, |a| Ok(Value::Bool(a.number(0)? <= a.number(1)?))),
    ("log", 2, 2, |a| number(a.number(0)?.ln() / a.number(1)?.ln())),
    ("max", 1, MANY, |a| fold(a, f64::max)),
    ("min", 1, MANY, |a| fold(a, f64::min)),
    ("modulo", 2, 2, |a| number(a.number(0)? % a.number(1)?)),
    ("multiply", 2, 2, |a| number(a.number(0)? * a.number(1)?)),
    ("negate", 1, 1, |a| number(-a.number(0)?)),
    ("not", 1, 1, |a| Ok(Value::Bool(!a.flag(0)?))),
    ("notequal", 2, 2, |a| Ok(Value::Bool(!a.value(0).same(a.value(1))))),
    ("or", 2, 2, |a| Ok(Value::Bool(a.flag(0)? | a.flag(1)?))),
    ("parseint", 2, 2, |a| {
        let base = u32::try_from(a.whole(1)?).ok().filter(|base| (2..=36).contains(base));
        let base = base.ok_or_else(|| Problem::at(1, "a base is a number from 2 to 36"))?;
        let text = a.text(0)?;
        let parsed = i64::from_str_radix(&text, base);
        parsed
            .map(|whole| Value::Number(whole as f64))
            .map_err(|_| Problem::at(0, format!("`{text}` is no number of base {base}")))
    }),
    ("pow", 2, 2, |a| number(a.number(0)?.powf(a.number(1)?))),
    ("signum", 1, 1, |a| {
        let value = a.number(0)?;
        number(if value == 0.0 { 0.0 } else { value.signum() })
    }),
    ("subtract", 2, 2, |a| number(a.number(0)? - a.number(1)?)),
];

fn number(value: f64) -> Answer {
    if value.is_finite() {
        Ok(Value::Number(value))
    } else {
        Err(Problem::new("this is no number, or too large a one"))
    }
}

fn fold(arguments: &Arguments<'_>, choose: fn(f64, f64) -> f64) -> Answer {
    let mut found = arguments.number(0)?;
    for other in 1..arguments.values.len() {
        found = choose(found, arguments.number(other)?);
    }
    number(found)
}
