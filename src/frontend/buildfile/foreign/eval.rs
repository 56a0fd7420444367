//! The value of an expression.
//!
//! Names are looked up in the [scope](super::scope); this file knows what operators, templates and comprehensions do. Work,
//! depth and the length of strings are bounded: a bake file can ask for more than there is memory with a few lines.

use std::collections::BTreeMap;

use super::ast::{Call, Expr, ExprKind, For, Operator, Part, Span, Step, TemplateFor};
use super::functions;
use super::scope::Scope;
use super::value::{Str, Value};
use crate::frontend::diagnostic::Diagnostic;

/// What went wrong, and where.
pub(super) type Found<T> = Result<T, Box<Diagnostic>>;

/// The deepest chain of expressions and of what they refer to.
const DEEPEST: usize = 200;

/// The most steps of an evaluation. A large file of a large repository takes a hundredth of them.
const MOST_STEPS: usize = 1_000_000;

/// The longest string.
const LONGEST: usize = 1 << 20;

/// An error at these bytes.
pub(super) fn wrong<T>(span: &Span, message: impl Into<String>) -> Found<T> {
    Err(Box::new(Diagnostic::error(span.clone(), message)))
}

/// Names that are only known in a part of the file: of a matrix, a comprehension, a function.
pub(super) struct Locals<'l> {
    pub(super) values: Vec<(String, Value)>,
    pub(super) outer: Option<&'l Locals<'l>>,
}

impl Locals<'_> {
    /// None.
    pub(super) const NONE: &'static Locals<'static> = &Locals { values: Vec::new(), outer: None };

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let here = self.values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        here.or_else(|| self.outer?.get(name))
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let outer = self.outer.map(Locals::names).unwrap_or_default();
        self.values.iter().map(|(name, _)| name.as_str()).chain(outer).collect()
    }
}

/// What bounds an evaluation.
#[derive(Debug, Default)]
pub(super) struct Limits {
    steps: usize,
    depth: usize,
}

impl Limits {
    pub(super) fn spend(&mut self, steps: usize, span: &Span) -> Found<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MOST_STEPS { wrong(span, "this file asks for too much work") } else { Ok(()) }
    }
}

impl Scope<'_> {
    /// The value of an expression.
    pub(super) fn eval(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<Value> {
        self.limits.spend(1, &expr.span)?;
        if self.limits.depth == DEEPEST {
            return wrong(&expr.span, format!("expressions are more than {DEEPEST} levels deep"));
        }
        self.limits.depth += 1;
        let value = self.kind(expr, locals);
        self.limits.depth -= 1;
        let value = value?;
        self.limits.spend(value.weight(), &expr.span)?;
        Ok(value)
    }

    fn kind(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<Value> {
        match &expr.kind {
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Template(parts) => {
                let mut text = Str::default();
                self.parts(parts, locals, &expr.span, &mut text)?;
                Ok(Value::String(text))
            }
            ExprKind::List(items) => {
                items.iter().map(|item| self.eval(item, locals)).collect::<Found<_>>().map(Value::List)
            }
            ExprKind::Object(pairs) => self.object(pairs, locals),
            ExprKind::Variable(name) => self.variable(name, &expr.span, locals),
            ExprKind::Attribute(inner, name) => match self.reference(expr, locals)? {
                Some(value) => Ok(value),
                None => self.eval(inner, locals).and_then(|value| attribute(&value, name, &expr.span)),
            },
            ExprKind::Index(inner, key) => {
                let value = self.eval(inner, locals)?;
                let key = self.eval(key, locals)?;
                let key = self.looked_at(key);
                index(&value, &key, &expr.span)
            }
            ExprKind::Splat(inner, steps) => self.splat(inner, steps, locals),
            ExprKind::Call(call) => self.call(call, &expr.span, locals),
            ExprKind::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let chosen = if self.truth(condition, locals)? { yes } else { no };
                self.eval(chosen, locals)
            }
            ExprKind::Negate(inner) => Ok(Value::Number(-self.number(inner, locals)?)),
            ExprKind::Not(inner) => Ok(Value::Bool(!self.truth(inner, locals)?)),
            ExprKind::Binary(operator, sides) => self.binary(*operator, sides, &expr.span, locals),
            ExprKind::For(one) => self.comprehension(one, locals),
        }
    }

    /// A value that something depends on: the variables in it are not variable any more.
    pub(super) fn looked_at(&mut self, mut value: Value) -> Value {
        let frozen = &mut self.frozen;
        value.each_string(&mut |text| frozen.extend(text.forget()));
        value
    }

    pub(super) fn truth(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<bool> {
        let value = self.eval(expr, locals)?;
        let value = self.looked_at(value);
        match value.to_bool() {
            Some(flag) => Ok(flag),
            None => wrong(&expr.span, format!("true or false is needed here, not {}", value.kind())),
        }
    }

    fn number(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<f64> {
        let value = self.eval(expr, locals)?;
        let value = self.looked_at(value);
        match value.to_number() {
            Some(number) => Ok(number),
            None => wrong(&expr.span, format!("a number is needed here, not {}", value.kind())),
        }
    }

    fn object(&mut self, pairs: &[(Expr, Expr)], locals: &Locals<'_>) -> Found<Value> {
        let mut map = BTreeMap::new();
        for (key, value) in pairs {
            let name = self.eval(key, locals)?;
            let name = self.looked_at(name);
            let Some(name) = name.to_str() else {
                return wrong(&key.span, format!("a key must be a string, not {}", name.kind()));
            };
            map.insert(name.text().to_owned(), self.eval(value, locals)?);
        }
        Ok(Value::Map(map))
    }

    fn variable(&mut self, name: &str, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        match locals.get(name) {
            Some(value) => Ok(value.clone()),
            None => self.global(name, span, locals),
        }
    }

    fn splat(&mut self, inner: &Expr, steps: &[Step], locals: &Locals<'_>) -> Found<Value> {
        let items = match self.eval(inner, locals)? {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        let mut found = Vec::new();
        for mut value in items {
            for step in steps {
                value = match step {
                    Step::Attribute(name) => attribute(&value, name, &inner.span)?,
                    Step::Index(key) => {
                        let key = self.eval(key, locals)?;
                        index(&value, &key, &inner.span)?
                    }
                };
            }
            self.limits.spend(value.weight(), &inner.span)?;
            found.push(value);
        }
        Ok(Value::List(found))
    }

    fn binary(&mut self, operator: Operator, sides: &[Expr; 2], span: &Span, locals: &Locals<'_>) -> Found<Value> {
        let [left, right] = sides;
        match operator {
            // What is on the right may only make sense because of what is on the left.
            Operator::Or => Ok(Value::Bool(self.truth(left, locals)? || self.truth(right, locals)?)),
            Operator::And => Ok(Value::Bool(self.truth(left, locals)? && self.truth(right, locals)?)),
            Operator::Equal | Operator::NotEqual => {
                let (one, other) = (self.eval(left, locals)?, self.eval(right, locals)?);
                let (one, other) = (self.looked_at(one), self.looked_at(other));
                Ok(Value::Bool(one.same(&other) == (operator == Operator::Equal)))
            }
            _ => {
                let (one, other) = (self.number(left, locals)?, self.number(right, locals)?);
                arithmetic(operator, one, other, span)
            }
        }
    }

    fn call(&mut self, call: &Call, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        match call.name.as_str() {
            "try" => return self.attempt(call, span, locals),
            "can" => return Ok(Value::Bool(self.attempt(call, span, locals).is_ok())),
            "convert" => return self.convert_call(call, span, locals),
            _ => {}
        }
        let mut arguments = Vec::new();
        let mut places = Vec::new();
        for (number, argument) in call.arguments.iter().enumerate() {
            let value = self.eval(argument, locals)?;
            match value {
                Value::List(items) if call.spread && number + 1 == call.arguments.len() => {
                    places.extend(items.iter().map(|_| argument.span.clone()));
                    arguments.extend(items);
                }
                other if call.spread && number + 1 == call.arguments.len() => {
                    return wrong(&argument.span, format!("`...` needs a list before it, not {}", other.kind()));
                }
                value => {
                    places.push(argument.span.clone());
                    arguments.push(value);
                }
            }
        }
        if !functions::exists(&call.name) && self.user_function(&call.name).is_some() {
            return self.call_user(call, arguments, span);
        }
        if !functions::keeps_variables(&call.name) {
            arguments = arguments.into_iter().map(|value| self.looked_at(value)).collect();
        }
        let weight = arguments.iter().fold(1, |sum, value| sum + value.weight());
        self.limits.spend(weight, span)?;
        functions::call(&call.name, arguments, self.surroundings).map_err(|problem| {
            let at = problem.argument.and_then(|number| places.get(number)).unwrap_or(match problem.about_name {
                true => &call.span,
                false => span,
            });
            let mut error = Diagnostic::error(at.clone(), problem.message);
            error.help.extend(problem.help);
            Box::new(error)
        })
    }

    /// `try(…)`: the first that works.
    fn attempt(&mut self, call: &Call, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        let mut last = None;
        for argument in &call.arguments {
            let depth = self.limits.depth;
            match self.eval(argument, locals) {
                Ok(value) => return Ok(value),
                Err(error) => last = Some(error),
            }
            self.limits.depth = depth;
            self.limits.spend(1, span)?;
        }
        last.map_or_else(|| wrong(span, format!("`{}` needs something to try", call.name)), Err)
    }

    /// Takes a collection apart into keys and items.
    fn items(&mut self, collection: &Expr, locals: &Locals<'_>) -> Found<Vec<(Value, Value)>> {
        match self.eval(collection, locals)? {
            Value::List(items) => {
                Ok(items.into_iter().enumerate().map(|(at, item)| (Value::Number(at as f64), item)).collect())
            }
            Value::Map(map) => Ok(map.into_iter().map(|(key, item)| (Value::text(key), item)).collect()),
            other => wrong(&collection.span, format!("a list or a map is needed here, not {}", other.kind())),
        }
    }

    fn comprehension(&mut self, one: &For, locals: &Locals<'_>) -> Found<Value> {
        let mut list = Vec::new();
        let mut map: BTreeMap<String, Value> = BTreeMap::new();
        for (key, item) in self.items(&one.collection, locals)? {
            let inner = bind(one.key.as_deref(), &one.value, key, item, locals);
            if let Some(condition) = &one.condition
                && !self.truth(condition, &inner)?
            {
                continue;
            }
            let result = self.eval(&one.result, &inner)?;
            let Some(key) = &one.result_key else {
                list.push(result);
                continue;
            };
            let name = self.eval(key, &inner)?;
            let name = self.looked_at(name);
            let Some(name) = name.to_str() else {
                return wrong(&key.span, format!("a key must be a string, not {}", name.kind()));
            };
            if one.grouping {
                let group = map.entry(name.text().to_owned()).or_insert_with(|| Value::List(Vec::new()));
                if let Value::List(group) = group {
                    group.push(result);
                }
            } else if map.insert(name.text().to_owned(), result).is_some() {
                return wrong(&key.span, format!("the key `{}` is there twice", name.text()));
            }
        }
        Ok(if one.result_key.is_some() { Value::Map(map) } else { Value::List(list) })
    }

    fn parts(&mut self, parts: &[Part], locals: &Locals<'_>, span: &Span, text: &mut Str) -> Found<()> {
        for part in parts {
            match part {
                Part::Literal(literal) => text.push(&Str::from(literal.as_str())),
                Part::Interpolation(expr) => {
                    let value = self.eval(expr, locals)?;
                    match value.to_str() {
                        Some(value) => text.push(&value),
                        None => {
                            let message = format!("{} cannot be a part of a string", value.kind());
                            return wrong(&expr.span, message);
                        }
                    }
                }
                Part::If(condition, yes, no) => {
                    let chosen = if self.truth(condition, locals)? { yes } else { no };
                    self.parts(chosen, locals, span, text)?;
                }
                Part::For(one) => self.template_for(one, locals, span, text)?,
            }
            self.limits.spend(1, span)?;
            if text.text().len() > LONGEST {
                return wrong(span, "longer than a mebibyte");
            }
        }
        Ok(())
    }

    fn template_for(&mut self, one: &TemplateFor, locals: &Locals<'_>, span: &Span, text: &mut Str) -> Found<()> {
        for (key, item) in self.items(&one.collection, locals)? {
            let inner = bind(one.key.as_deref(), &one.value, key, item, locals);
            self.parts(&one.body, &inner, span, text)?;
        }
        Ok(())
    }
}

fn bind<'l>(key: Option<&str>, name: &str, index: Value, item: Value, outer: &'l Locals<'l>) -> Locals<'l> {
    let mut values = vec![(name.to_owned(), item)];
    values.extend(key.map(|key| (key.to_owned(), index)));
    Locals { values, outer: Some(outer) }
}

fn attribute(value: &Value, name: &str, span: &Span) -> Found<Value> {
    match value {
        Value::Map(map) => match map.get(name) {
            Some(value) => Ok(value.clone()),
            None => wrong(span, format!("there is no `{name}` in it")),
        },
        other => wrong(span, format!("{} has no `{name}`", other.kind())),
    }
}

fn index(value: &Value, key: &Value, span: &Span) -> Found<Value> {
    match value {
        Value::List(items) => {
            let number = key.to_number().filter(|number| number.fract() == 0.0 && *number >= 0.0);
            match number.and_then(|number| items.get(number as usize)) {
                Some(item) => Ok(item.clone()),
                None => wrong(span, format!("a list of {} has no such item", items.len())),
            }
        }
        Value::Map(_) => match key.to_str() {
            Some(name) => attribute(value, name.text(), span),
            None => wrong(span, format!("a key must be a string, not {}", key.kind())),
        },
        other => wrong(span, format!("{} has no items", other.kind())),
    }
}

fn arithmetic(operator: Operator, one: f64, other: f64, span: &Span) -> Found<Value> {
    let number = match operator {
        Operator::Less => return Ok(Value::Bool(one < other)),
        Operator::LessOrEqual => return Ok(Value::Bool(one <= other)),
        Operator::Greater => return Ok(Value::Bool(one > other)),
        Operator::GreaterOrEqual => return Ok(Value::Bool(one >= other)),
        Operator::Add => one + other,
        Operator::Subtract => one - other,
        Operator::Multiply => one * other,
        Operator::Divide => one / other,
        _ => one % other,
    };
    if number.is_finite() { Ok(Value::Number(number)) } else { wrong(span, "this is no number, or too large a one") }
}
