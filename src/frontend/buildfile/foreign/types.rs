//! Types of variables, and how text from the environment becomes a value of one.

use std::collections::BTreeMap;

use super::super::attributes;
use super::ast::{Call, Expr, ExprKind};
use super::eval::{Found, wrong};
use super::value::{Value, parse_number};

/// A type constraint.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Any,
    String,
    Number,
    Bool,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    Tuple(Vec<Type>),
    /// Each attribute, and whether it may be missing.
    Object(BTreeMap<String, (Type, bool)>),
}

impl Type {
    /// `string`, `list(number)`, `object({…})`.
    pub(super) fn parse(expr: &Expr) -> Found<Self> {
        match &expr.kind {
            ExprKind::Variable(name) => match name.as_str() {
                "any" => Ok(Self::Any),
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "list" | "set" | "map" => {
                    wrong(&expr.span, format!("`{name}` needs the type of its items, such as `{name}(string)`"))
                }
                other => wrong(
                    &expr.span,
                    format!(
                        "`{other}` is no type: use `string`, `number`, `bool`, `any`, `list(…)`, `set(…)`, `map(…)`, `tuple([…])` or `object({{…}})`"
                    ),
                ),
            },
            ExprKind::Call(call) => Self::call(call, expr),
            _ => wrong(&expr.span, "this is no type"),
        }
    }

    fn call(call: &Call, expr: &Expr) -> Found<Self> {
        let [argument] = call.arguments.as_slice() else {
            return wrong(&expr.span, format!("`{}` needs one argument", call.name));
        };
        let inner = || Self::parse(argument).map(Box::new);
        match (call.name.as_str(), &argument.kind) {
            ("list", _) => Ok(Self::List(inner()?)),
            ("set", _) => Ok(Self::Set(inner()?)),
            ("map", _) => Ok(Self::Map(inner()?)),
            ("tuple", ExprKind::List(items)) => items.iter().map(Self::parse).collect::<Found<_>>().map(Self::Tuple),
            ("object", ExprKind::Object(pairs)) => {
                let mut fields = BTreeMap::new();
                for (key, field) in pairs {
                    let ExprKind::Literal(Value::String(name)) = &key.kind else {
                        return wrong(&key.span, "the name of an attribute is needed here");
                    };
                    let (field, optional) = match &field.kind {
                        ExprKind::Call(call) if call.name == "optional" => match call.arguments.first() {
                            Some(inner) => (inner, true),
                            None => return wrong(&field.span, "`optional` needs a type"),
                        },
                        _ => (field, false),
                    };
                    fields.insert(name.text().to_owned(), (Self::parse(field)?, optional));
                }
                Ok(Self::Object(fields))
            }
            _ => wrong(&expr.span, format!("`{}` is no type", call.name)),
        }
    }

    /// What it is called in messages.
    fn describe(&self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::List(_) | Self::Set(_) => "a list",
            Self::Map(_) => "a map",
            Self::Tuple(_) => "a list of a fixed length",
            Self::Object(_) => "an object",
        }
    }

    /// The value as one of this type; what is wrong otherwise.
    pub(super) fn convert(&self, value: Value) -> Result<Value, String> {
        let misfit = |value: &Value| Err(format!("{} is needed, not {}", self.describe(), value.kind()));
        match (self, value) {
            (Self::Any, value) => Ok(value),
            (_, Value::Null) => Ok(Value::Null),
            (Self::String, value) => value.to_str().map(Value::String).map_or_else(|| misfit(&value), Ok),
            (Self::Number, value) => value.to_number().map(Value::Number).map_or_else(|| misfit(&value), Ok),
            (Self::Bool, value) => value.to_bool().map(Value::Bool).map_or_else(|| misfit(&value), Ok),
            (Self::List(inner), Value::List(items)) => {
                items.into_iter().map(|item| inner.convert(item)).collect::<Result<_, _>>().map(Value::List)
            }
            (Self::Set(inner), Value::List(items)) => {
                let items: Vec<Value> = items.into_iter().map(|item| inner.convert(item)).collect::<Result<_, _>>()?;
                Ok(Value::List(set(items)))
            }
            (Self::Map(inner), Value::Map(map)) => map
                .into_iter()
                .map(|(key, item)| Ok((key, inner.convert(item)?)))
                .collect::<Result<_, String>>()
                .map(Value::Map),
            (Self::Tuple(types), Value::List(items)) => {
                if types.len() != items.len() {
                    return Err(format!("{} items are needed, not {}", types.len(), items.len()));
                }
                let pairs = types.iter().zip(items);
                pairs.map(|(inner, item)| inner.convert(item)).collect::<Result<_, _>>().map(Value::List)
            }
            (Self::Object(fields), Value::Map(mut map)) => {
                let mut found = BTreeMap::new();
                for (name, (inner, optional)) in fields {
                    match map.remove(name) {
                        Some(value) => found.insert(name.clone(), inner.convert(value)?),
                        None if *optional => found.insert(name.clone(), Value::Null),
                        None => return Err(format!("`{name}` is missing")),
                    };
                }
                Ok(Value::Map(found))
            }
            (_, value) => misfit(&value),
        }
    }

    /// A value from the environment, where lists are one line of CSV and maps have `key:value` in it.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let fields = || attributes::fields(text).map_err(str::to_owned);
        match self {
            Self::Any | Self::String => Ok(Value::text(text)),
            Self::Number => parse_number(text).map(Value::Number).ok_or_else(|| format!("`{text}` is not a number")),
            Self::Bool => match text {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
                _ => Err(format!("`{text}` is neither `true` nor `false`")),
            },
            Self::List(inner) => {
                fields()?.iter().map(|field| inner.read_simple(field)).collect::<Result<_, _>>().map(Value::List)
            }
            Self::Set(inner) => {
                let items = fields()?.iter().map(|field| inner.read_simple(field)).collect::<Result<_, _>>()?;
                Ok(Value::List(set(items)))
            }
            Self::Tuple(types) => {
                let fields = fields()?;
                if fields.len() != types.len() {
                    return Err(format!("{} items are needed, not {}", types.len(), fields.len()));
                }
                let pairs = types.iter().zip(&fields);
                pairs.map(|(inner, field)| inner.read_simple(field)).collect::<Result<_, _>>().map(Value::List)
            }
            Self::Map(inner) => {
                let pair = |field: &String| match field.split_once(':') {
                    Some((key, value)) => Ok((key.to_owned(), inner.read_simple(value)?)),
                    None => Err(format!("`{field}` is not `key:value`")),
                };
                fields()?.iter().map(pair).collect::<Result<_, String>>().map(Value::Map)
            }
            Self::Object(_) => Err("an object is set as JSON, in the variable of the same name with `_JSON`".into()),
        }
    }

    fn read_simple(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Any | Self::String | Self::Number | Self::Bool => self.read(text),
            _ => Err("lists of lists are set as JSON, in the variable of the same name with `_JSON`".into()),
        }
    }

    /// A value from JSON text.
    pub(super) fn read_json(&self, text: &str) -> Result<Value, String> {
        let json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        self.convert(from_json(json))
    }
}

/// Each item once, in order.
pub(super) fn set(items: Vec<Value>) -> Vec<Value> {
    let mut keyed: BTreeMap<String, Value> = BTreeMap::new();
    for item in items {
        keyed.entry(to_json(&item).to_string()).or_insert(item);
    }
    let mut items: Vec<Value> = keyed.into_values().collect();
    if items.iter().all(|item| matches!(item, Value::Number(_))) {
        items
            .sort_by(|one, other| one.to_number().partial_cmp(&other.to_number()).unwrap_or(std::cmp::Ordering::Equal));
    }
    items
}

/// A JSON value as one of ours.
pub(super) fn from_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(map) => {
            Value::Map(map.into_iter().map(|(key, value)| (key, from_json(value))).collect())
        }
    }
}

/// A value as JSON.
pub(super) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.text().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            serde_json::Value::Object(map.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}
