//! What the names in a bake file stand for: variables with the values of the environment, attributes of the file,
//! functions of the file, and values of other targets (`target.NAME.KEY`).
//!
//! Everything is evaluated when it is first needed; what needs its own value is an error that names the circle.

use std::collections::{BTreeMap, BTreeSet};

use super::super::suggest::did_you_mean;
use super::Surroundings;
use super::ast::{Attribute, Block, Call, Definition, Expr, ExprKind, Span};
use super::eval::{Found, Limits, Locals, wrong};
use super::functions;
use super::types::Type;
use super::value::{Str, Value};
use crate::frontend::diagnostic::Diagnostic;

/// The files, and what is known of their values so far.
pub(super) struct Scope<'a> {
    pub(super) definition: &'a Definition,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) limits: Limits,
    /// The variables of which something was made that only fits their present values.
    pub(super) frozen: BTreeSet<String>,
    /// What is there and has no effect.
    pub(super) notes: Vec<Diagnostic>,
    /// The targets, each with the values of its matrix.
    pub(super) targets: Vec<Instance<'a>>,
    globals: BTreeMap<String, Value>,
    /// What variables are if the environment says nothing.
    pub(super) defaults: BTreeMap<String, Value>,
    values: BTreeMap<(usize, &'a str), Value>,
    /// What is being evaluated, outermost first.
    open: Vec<String>,
}

/// A target: a block, and for a block with a matrix one combination of its values.
pub(super) struct Instance<'a> {
    pub(super) name: String,
    pub(super) block: &'a Block,
    pub(super) locals: Locals<'static>,
}

/// Variables that docker sets.
const BUILT_IN: &[&str] = &["BAKE_CMD_CONTEXT", "BAKE_LOCAL_PLATFORM"];

/// What the name of a variable ends with that has its value as JSON.
const JSON: &str = "_JSON";

impl<'a> Scope<'a> {
    pub(super) fn new(definition: &'a Definition, surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            definition,
            surroundings,
            limits: Limits::default(),
            frozen: BTreeSet::new(),
            notes: Vec::new(),
            targets: Vec::new(),
            globals: BTreeMap::new(),
            defaults: BTreeMap::new(),
            values: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// The block of a kind and name that counts: the last one.
    pub(super) fn block(&self, kind: &str, name: &str) -> Option<&'a Block> {
        self.definition.blocks.iter().rev().find(|block| block.kind == kind && block.label() == name)
    }

    pub(super) fn user_function(&self, name: &str) -> Option<&'a Block> {
        self.block("function", name)
    }

    fn file_attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.definition.attributes.iter().rev().find(|attribute| attribute.name == name)
    }

    /// Evaluates something under a name that it must not need itself.
    fn guarded<T>(&mut self, what: String, span: &Span, run: impl FnOnce(&mut Self) -> Found<T>) -> Found<T> {
        if let Some(at) = self.open.iter().position(|open| *open == what) {
            let chain: Vec<&str> = self.open[at..].iter().chain([&what]).map(String::as_str).collect();
            return wrong(span, format!("this needs its own value: {}", chain.join(" → ")));
        }
        self.open.push(what);
        let found = run(self);
        self.open.pop();
        found
    }

    /// The value of a name that is not local.
    pub(super) fn global(&mut self, name: &str, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        match name {
            "BAKE_CMD_CONTEXT" => return Ok(Value::text("cwd://")),
            "BAKE_LOCAL_PLATFORM" => return Ok(Value::text(&self.surroundings.platform)),
            "target" | "group" => {
                return wrong(span, format!("`{name}` alone is no value: write `{name}.NAME.KEY`"));
            }
            _ => {}
        }
        if !self.globals.contains_key(name) {
            let value = self.guarded(format!("`{name}`"), span, |scope| scope.define(name, span, locals))?;
            self.globals.insert(name.to_owned(), value);
        }
        let value = self.globals.get(name).cloned().unwrap_or(Value::Null);
        if self.block("variable", name).is_some()
            && !matches!(&value, Value::String(text) if text.names().next().is_some())
        {
            self.frozen.insert(name.to_owned());
        }
        Ok(value)
    }

    fn define(&mut self, name: &str, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        let variable = self.block("variable", name);
        let attribute = self.file_attribute(name);
        let declared = variable.filter(|_| attribute.is_none());
        let default = attribute.or_else(|| declared?.attribute("default"));
        if variable.is_none() && attribute.is_none() {
            return self.unknown(name, span, locals);
        }
        let written = declared.and_then(|block| block.attribute("type"));
        let kind = written.map(|attribute| Type::parse(&attribute.value)).transpose()?;
        let mut value = match (default, &kind) {
            (Some(default), kind) => {
                let value = self.eval(&default.value, Locals::NONE)?;
                let converted = kind.as_ref().unwrap_or(&Type::Any).convert(value);
                converted
                    .or_else(|problem| wrong(&default.value.span, format!("the default of `{name}`: {problem}")))?
            }
            (None, Some(_)) => Value::Null,
            (None, None) => Value::text(""),
        };
        self.defaults.insert(name.to_owned(), value.clone());
        let Some(block) = variable else { return Ok(value) };
        let fail = |problem: String| wrong(&block.span, format!("`{name}` in the environment: {problem}"));
        let of_text = matches!(kind, None | Some(Type::String | Type::Any));
        match self.in_environment(name, kind.is_some()) {
            Some((text, true)) if kind.is_some() => {
                return kind.unwrap_or(Type::Any).read_json(&text).or_else(fail);
            }
            Some((text, _)) => {
                let kind = match (kind, &value) {
                    (Some(kind), _) => kind,
                    (None, Value::Bool(_)) => Type::Bool,
                    (None, Value::Number(_)) => Type::Number,
                    (None, Value::Null | Value::String(_)) => Type::String,
                    (None, Value::List(_) | Value::Map(_)) => {
                        return fail("lists and maps need a `type` to be set from outside".into());
                    }
                };
                value = kind.read(&text).or_else(fail)?;
            }
            None => {}
        }
        // What the environment can change with the same effect stays a variable.
        let plain = declared.is_some() && of_text && matches!(self.defaults.get(name), Some(Value::String(_)));
        Ok(match &value {
            Value::String(text) if plain => Value::String(Str::variable(name, text.text())),
            _ => value,
        })
    }

    fn unknown(&self, name: &str, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        let variables = self.definition.blocks.iter().filter(|block| block.kind == "variable").map(Block::label);
        let attributes = self.definition.attributes.iter().map(|attribute| attribute.name.as_str());
        let known = variables.chain(attributes).chain(BUILT_IN.iter().copied()).chain(locals.names());
        let mut error = Diagnostic::error(span.clone(), format!("there is no variable `{name}`"));
        error.help.extend(did_you_mean(name, known));
        Err(Box::new(error))
    }

    /// What the environment says of a variable, and whether it is JSON. JSON goes first for variables with a type.
    fn in_environment(&self, name: &str, prefer_json: bool) -> Option<(String, bool)> {
        let plain = (self.surroundings.variable)(name);
        let json = format!("{name}{JSON}");
        if (plain.is_none() || prefer_json)
            && self.block("variable", &json).is_none()
            && let Some(text) = (self.surroundings.variable)(&json)
        {
            return Some((text, true));
        }
        Some((plain?, false))
    }

    /// All variables, and what their `validation` says of them.
    pub(super) fn variables(&mut self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let blocks: Vec<&Block> = self.definition.blocks.iter().filter(|block| block.kind == "variable").collect();
        for block in &blocks {
            // Asking for it here is no use of it, but its default may use others.
            let used = self.frozen.contains(block.label());
            found.extend(self.global(block.label(), &block.span, Locals::NONE).err().map(|error| *error));
            if !used {
                self.frozen.remove(block.label());
            }
        }
        if !found.is_empty() {
            return found;
        }
        let validations = blocks.iter().flat_map(|block| block.blocks.iter().map(move |inner| (block, inner)));
        for (block, validation) in validations {
            let frozen = self.frozen.clone();
            found.extend(self.validate(block, validation).err().map(|error| *error));
            self.frozen = frozen;
        }
        found
    }

    fn validate(&mut self, block: &Block, validation: &Block) -> Found<()> {
        let Some(condition) = validation.attribute("condition") else {
            return wrong(&validation.span, "a `validation` without a `condition`");
        };
        if self.truth(&condition.value, Locals::NONE)? {
            return Ok(());
        }
        let message = match validation.attribute("error_message") {
            Some(message) => self.eval(&message.value, Locals::NONE)?.to_str(),
            None => None,
        };
        let message = message.map_or_else(|| "its value is not valid".to_owned(), |text| text.text().to_owned());
        let value = self.globals.get(block.label()).and_then(Value::to_str);
        let mut error = Diagnostic::error(condition.value.span.clone(), format!("`{}`: {message}", block.label()));
        error.help.extend(value.map(|value| format!("it is `{}`", value.text())));
        Err(Box::new(error.note(block.span.clone(), "the variable is declared here")))
    }

    /// Calls a function that the file declares.
    pub(super) fn call_user(&mut self, call: &Call, arguments: Vec<Value>, span: &Span) -> Found<Value> {
        let Some(block) = self.user_function(&call.name) else { return Ok(Value::Null) };
        let Some(result) = block.attribute("result") else {
            return wrong(&block.span, format!("the function `{}` has no `result`", call.name));
        };
        let mut parameters = Vec::new();
        if let Some(written) = block.attribute("params") {
            let ExprKind::List(items) = &written.value.kind else {
                return wrong(&written.value.span, "`params` is a list of names");
            };
            for item in items {
                match item.keyword() {
                    Some(name) => parameters.push(name.to_owned()),
                    None => return wrong(&item.span, "a parameter is a name"),
                }
            }
        }
        let variadic = block.attribute("variadic_params").map(|attribute| &attribute.value);
        let fits = arguments.len() >= parameters.len() && (variadic.is_some() || arguments.len() == parameters.len());
        if !fits {
            let message = format!("`{}` takes {} arguments, not {}", call.name, parameters.len(), arguments.len());
            return Err(Box::new(
                Diagnostic::error(span.clone(), message).note(block.span.clone(), "it is declared here"),
            ));
        }
        let mut arguments = arguments.into_iter();
        let mut values: Vec<(String, Value)> = parameters.into_iter().zip(arguments.by_ref()).collect();
        if let Some(name) = variadic {
            let Some(name) = name.keyword() else { return wrong(&name.span, "a parameter is a name") };
            values.push((name.to_owned(), Value::List(arguments.collect())));
        }
        let locals = Locals { values, outer: None };
        self.guarded(format!("`{}()`", call.name), span, |scope| scope.eval(&result.value, &locals))
    }

    /// `convert(value, type)`.
    pub(super) fn convert_call(&mut self, call: &Call, span: &Span, locals: &Locals<'_>) -> Found<Value> {
        let [value, kind] = call.arguments.as_slice() else {
            return wrong(span, "`convert` takes a value and a type");
        };
        let kind = Type::parse(kind)?;
        let value = self.eval(value, locals)?;
        let value = self.looked_at(value);
        kind.convert(value).or_else(|problem| wrong(span, problem))
    }

    /// `target.NAME.KEY` or `target.NAME`, and the same of groups; none if the expression is something else.
    pub(super) fn reference(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<Option<Value>> {
        let ExprKind::Attribute(inner, last) = &expr.kind else { return Ok(None) };
        let root = |expr: &Expr| expr.keyword().filter(|root| ["target", "group"].contains(root)).map(str::to_owned);
        if let Some(kind) = root(inner).filter(|kind| locals.get(kind).is_none()) {
            return self.whole(&kind, last, &expr.span).map(Some);
        }
        let ExprKind::Attribute(first, name) = &inner.kind else { return Ok(None) };
        match root(first).filter(|kind| locals.get(kind).is_none()) {
            Some(kind) => self.one(&kind, name, last, &expr.span).map(Some),
            None => Ok(None),
        }
    }

    /// The blocks of that kind and name, with their numbers and local names.
    fn referred(&self, kind: &str, name: &str, span: &Span) -> Found<Vec<(usize, &'a Block)>> {
        let found: Vec<(usize, &'a Block)> = match kind {
            "target" => {
                let all = self.targets.iter().enumerate().filter(|(_, target)| target.name == name);
                all.map(|(number, target)| (number, target.block)).collect()
            }
            // Numbers after those of all targets.
            _ => {
                let blocks = self.definition.blocks.iter().enumerate();
                let all = blocks.filter(|(_, block)| block.kind == kind && block.label() == name);
                all.map(|(number, block)| (number + self.targets.len(), block)).collect()
            }
        };
        if found.is_empty() {
            let mut error = Diagnostic::error(span.clone(), format!("there is no {kind} `{name}`"));
            error.help.extend(did_you_mean(name, self.targets.iter().map(|target| target.name.as_str())));
            return Err(Box::new(error));
        }
        Ok(found)
    }

    /// The value of a key of a target; null if it has none.
    fn one(&mut self, kind: &str, name: &str, key: &str, span: &Span) -> Found<Value> {
        if key == "name" {
            return Ok(Value::text(name));
        }
        for (number, block) in self.referred(kind, name, span)?.into_iter().rev() {
            let Some(attribute) = block.attribute(key) else { continue };
            return self.guarded(format!("`{kind}.{name}.{key}`"), span, |scope| scope.value_of(number, attribute));
        }
        Ok(Value::Null)
    }

    fn whole(&mut self, kind: &str, name: &str, span: &Span) -> Found<Value> {
        let keys: BTreeSet<&str> = self
            .referred(kind, name, span)?
            .iter()
            .flat_map(|(_, block)| block.attributes.iter().map(|attribute| attribute.name.as_str()))
            .filter(|key| !["matrix", "name"].contains(key))
            .collect();
        let mut map = BTreeMap::from([("name".to_owned(), Value::text(name))]);
        for key in keys {
            map.insert(key.to_owned(), self.one(kind, name, key, span)?);
        }
        Ok(Value::Map(map))
    }

    fn value_of(&mut self, number: usize, attribute: &'a Attribute) -> Found<Value> {
        if let Some(value) = self.values.get(&(number, attribute.name.as_str())) {
            return Ok(value.clone());
        }
        let values = self.targets.get(number).map(|target| target.locals.values.clone()).unwrap_or_default();
        let value = self.eval(&attribute.value, &Locals { values, outer: None })?;
        self.values.insert((number, attribute.name.as_str()), value.clone());
        Ok(value)
    }

    /// What is wrong with the functions of the file, and which of them are never called.
    pub(super) fn functions(&self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut found, mut notes) = (Vec::new(), Vec::new());
        for block in self.definition.blocks.iter().filter(|block| block.kind == "function") {
            for key in ["params", "result"] {
                if block.attribute(key).is_none() {
                    let message = format!("the function `{}` has no `{key}`", block.label());
                    found.push(Diagnostic::error(block.span.clone(), message));
                }
            }
            if functions::exists(block.label()) {
                let message = format!("docker has a function `{}`, which is called instead of this one", block.label());
                notes.push(Diagnostic::warning(super::RULE, block.span.clone(), message).help("give it another name"));
            }
        }
        (found, notes)
    }
}
