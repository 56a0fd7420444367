//! Variables: how they are written, and what their values may be.
//!
//! A value comes from the environment or from the file, and passes the same checks either way. A message says which of
//! the two it was, as the one is mended in the shell and the other here.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::attributes;
use super::expand::Fault;
use super::expression::is_variable_name;
use super::functions::Value;
use super::glob;
use super::model::{Place, Text};
use super::parse::{Item, Parser};
use super::suggest::did_you_mean;

/// A variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name, also in the environment.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What its values are; what they happen to be if it says nothing.
    pub kind: Option<Type>,
    /// Whether nothing can be built without it.
    pub required: bool,
    pub(super) span: Range<usize>,
    pub(super) default: Option<Default>,
    /// All values that it may have; any if empty.
    pub(super) values: Vec<Text>,
    /// What its values look like.
    pub(super) pattern: Option<Text>,
    /// What must be true.
    pub(super) condition: Option<Text>,
    /// What is said if it is not.
    pub(super) message: Option<String>,
}

/// The type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// `true` or `false`; the environment may also say 1 or 0.
    Bool,
    /// Several texts; in the environment, separated by commas.
    List,
}

/// The types by name.
pub(super) const TYPES: &[(&str, Type)] =
    &[("string", Type::String), ("int", Type::Int), ("bool", Type::Bool), ("list", Type::List)];

/// The keys of a variable.
pub(super) const VARIABLE: &[&str] =
    &["default", "description", "type", "required", "values", "pattern", "condition", "message"];

/// A default as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Default {
    One(Text),
    List(Vec<Text>, Range<usize>),
}

impl Parser<'_> {
    pub(super) fn variable(&mut self, (name, value): Item<'_>) -> Option<Variable> {
        if !is_variable_name(name.get_ref()) {
            let help = "names are letters, digits and `_`, and do not start with a digit";
            let message = format!("`{}` cannot be the name of a variable", name.get_ref());
            self.error(self.at(name), message, Some(help.into()));
            return None;
        }
        let mut variable = Variable {
            name: name.get_ref().to_string(),
            description: None,
            kind: None,
            required: false,
            span: self.at(name),
            default: None,
            values: Vec::new(),
            pattern: None,
            condition: None,
            message: None,
        };
        if !value.get_ref().is_table() {
            variable.default = self.default(value, "a variable");
            variable.kind = variable.implied();
            return Some(variable);
        }
        let (mut kind, mut message) = (None, None);
        for (key, value) in self.table(value, "a variable") {
            let what = format!("`{}`", key.get_ref());
            match key.get_ref().as_ref() {
                "default" => variable.default = self.default(value, &what),
                "description" => variable.description = self.string(value, &what).map(|text| text.text),
                "type" => kind = self.type_of(value),
                "required" => match value.get_ref().as_bool() {
                    Some(required) => variable.required = required,
                    None => self.wrong_type(value, &what, "true or false"),
                },
                "values" => match value.get_ref() {
                    DeValue::Array(items) => {
                        let one = |item| self.scalar(item, "an item of `values`");
                        variable.values = items.iter().filter_map(one).collect();
                    }
                    _ => self.wrong_type(value, &what, "a list"),
                },
                "pattern" => variable.pattern = self.string(value, &what),
                "condition" => variable.condition = self.string(value, &what),
                "message" => {
                    variable.message = self.string(value, &what).map(|text| text.text);
                    message = Some(self.at(key));
                }
                other => self.unknown(self.at(key), other, "a variable", VARIABLE, &[]),
            }
        }
        if let Some(span) = message
            && variable.condition.is_none()
            && variable.pattern.is_none()
        {
            self.error(span, "`message` is for a variable with a `condition` or a `pattern`", None);
        }
        variable.kind = kind.or_else(|| variable.implied());
        Some(variable)
    }

    fn default(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Default> {
        let DeValue::Array(items) = value.get_ref() else { return self.scalar(value, what).map(Default::One) };
        let items = items.iter().filter_map(|item| self.scalar(item, &format!("an item of {what}"))).collect();
        Some(Default::List(items, self.at(value)))
    }

    fn type_of(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Type> {
        let name = self.string(value, "`type`")?.text;
        let found = TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        if found.is_none() {
            let names = TYPES.iter().map(|(name, _)| *name);
            let help = did_you_mean(&name, names.clone());
            let help = help.unwrap_or_else(|| format!("the types are {}", names.collect::<Vec<_>>().join(", ")));
            self.error(self.at(value), format!("no type is called `{name}`"), Some(help));
        }
        found
    }
}

impl Type {
    /// As it is written.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("string", |(name, _)| name)
    }

    /// A value as this type has it, or what it is not.
    pub(super) fn convert(self, value: Value) -> Result<Value, String> {
        let text = match (self, value) {
            (Self::List, Value::List(items)) => return Ok(Value::List(items)),
            (_, Value::List(_)) => return Err("is a list".into()),
            (_, value) => value.to_text().unwrap_or_default(),
        };
        match self {
            Self::String => Ok(Value::Text(text)),
            Self::Int => text.parse().map(Value::Int).map_err(|_| "is not a whole number".into()),
            Self::Bool => match text.as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err("is neither `true` nor `false`".into()),
            },
            Self::List if text.is_empty() => Ok(Value::List(Vec::new())),
            Self::List => {
                attributes::fields(&text).map(Value::List).map_err(|problem| format!("is no list: {problem}"))
            }
        }
    }
}

impl Variable {
    /// The type that a default implies.
    fn implied(&self) -> Option<Type> {
        matches!(self.default, Some(Default::List(..))).then_some(Type::List)
    }

    /// Its default as written.
    pub(super) fn default_texts(&self) -> &[Text] {
        match &self.default {
            Some(Default::One(text)) => std::slice::from_ref(text),
            Some(Default::List(items, _)) => items,
            None => &[],
        }
    }

    /// The value in its type, if it is one that the variable may have.
    pub(super) fn check(&self, value: Value, from_environment: bool) -> Result<Value, Fault> {
        let shown = match &value {
            Value::List(items) => items.join(","),
            other => other.to_text().unwrap_or_default(),
        };
        let fault = |problem: String| self.fault(&shown, &problem, from_environment);
        let value = match self.kind {
            Some(kind) => kind.convert(value).map_err(fault)?,
            None => value,
        };
        let parts = match &value {
            Value::List(items) => items.clone(),
            other => other.to_text().into_iter().collect(),
        };
        if self.required && shown.is_empty() {
            return Err(fault("is empty, and it is required".into()));
        }
        for part in parts {
            if !self.values.is_empty() && !self.values.iter().any(|known| known.text == part) {
                let known: Vec<String> = self.values.iter().map(|known| format!("`{}`", known.text)).collect();
                let hint = did_you_mean(&part, self.values.iter().map(|known| known.text.as_str()));
                let mut fault = fault(format!("is none of {}", known.join(", ")));
                fault.help = hint.or(fault.help);
                return Err(fault);
            }
            if let Some(pattern) = &self.pattern
                && !glob::matches(&pattern.text, &part)
            {
                let message = self.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                return Err(fault(format!("does not fit `{}`{message}", pattern.text)));
            }
        }
        Ok(value)
    }

    /// What is said if the value is not as it must be.
    pub(super) fn fault(&self, shown: &str, problem: &str, from_environment: bool) -> Fault {
        let name = &self.name;
        let (message, place, help) = if from_environment {
            let help = format!("change {name} in the environment, or leave it out there");
            (format!("{name}=`{shown}` of the environment {problem}"), self.place(), Some(help))
        } else {
            let place = match &self.default {
                Some(Default::One(text)) => text.place.clone(),
                Some(Default::List(_, span)) => Place::File { span: span.clone(), content: None },
                None => self.place(),
            };
            (format!("`{shown}`, the default of `{name}`, {problem}"), place, None)
        };
        Fault { place, part: None, message, help }
    }

    /// What is said if there must be a value and there is none.
    pub(super) fn missing(&self) -> Fault {
        let about = self.description.as_ref().map(|about| format!(" ({about})")).unwrap_or_default();
        let message = format!("the variable `{}` is required and has no value", self.name);
        let help = Some(format!("set it in the environment: {}=…{about}", self.name));
        Fault { place: self.place(), part: None, message, help }
    }

    fn place(&self) -> Place {
        Place::File { span: self.span.clone(), content: None }
    }
}
