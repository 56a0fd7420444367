//! `docker-bake.hcl` and `docker-bake.json`: from blocks to the model.

use std::collections::BTreeMap;

use super::super::expression::is_variable_name;
use super::super::model::{Group, Place, Text};
use super::super::suggest::did_you_mean;
use super::ast::{Attribute, Block, Definition, Span};
use super::eval::{Found, Locals, wrong};
use super::scope::{Instance, Scope};
use super::types::to_json;
use super::value::{Value, escape};
use super::{Format, Read, Source, Surroundings, add_group, add_target, add_variable, hcl, json};
use crate::frontend::diagnostic::Diagnostic;

/// The most targets that a matrix makes.
const MOST: usize = 1000;

/// The most targets of all files.
const MOST_TARGETS: usize = 10_000;

/// Reads the files, which begin at these places of all texts, and adds what they say to the model.
pub(super) fn read(
    sources: &[(usize, &Source)],
    surroundings: &Surroundings<'_>,
    read: &mut Read,
) -> Result<(), Vec<Diagnostic>> {
    let mut definition = Definition::default();
    let mut mistakes = Vec::new();
    for (start, source) in sources {
        let parsed = match Format::of(&source.name) {
            Some(Format::Json) => json::read(&source.text, *start, &mut definition),
            _ => hcl::read(&source.text, *start, &mut definition),
        };
        mistakes.extend(parsed.err().into_iter().flatten());
    }
    if mistakes.is_empty() {
        mistakes = shape(&definition);
    }
    failed(&mut mistakes)?;
    let mut scope = Scope::new(&definition, surroundings);
    let (mistakes, notes) = scope.functions();
    read.notes.extend(notes);
    failed(&mut { mistakes })?;
    failed(&mut scope.variables())?;
    let groups = targets(&mut scope)?;
    decode(&mut scope, read)?;
    read.notes.append(&mut scope.notes);
    for group in groups {
        add_group(&mut read.file, group);
    }
    variables(&mut scope, read);
    Ok(())
}

fn failed(mistakes: &mut Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
    if mistakes.is_empty() { Ok(()) } else { Err(std::mem::take(mistakes)) }
}

/// What is wrong whatever the values are: kinds of blocks, names, keys that nothing has.
fn shape(definition: &Definition) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for block in &definition.blocks {
        let known: &[&str] = match block.kind.as_str() {
            "target" => &[],
            "group" => &["description", "targets"],
            "variable" => &["default", "description", "type"],
            "function" => &["params", "result", "variadic_params"],
            other => {
                let error = Diagnostic::error(block.span.clone(), format!("`{other}` is no block of a bake file"));
                found.push(error.help("there are `target`, `group`, `variable` and `function`"));
                continue;
            }
        };
        let what = format!("a {}", block.kind);
        match &block.label {
            None => found.push(Diagnostic::error(block.span.clone(), format!("{what} without a name"))),
            Some(name) => {
                let fits = match block.kind.as_str() {
                    "target" | "group" => is_plain(name),
                    _ => is_variable_name(name),
                };
                if !fits {
                    found.push(bad_name(name, &block.span, &what));
                }
            }
        }
        for inner in &block.blocks {
            match (block.kind.as_str(), inner.kind.as_str()) {
                ("variable", "validation") => {
                    found.extend(unknown(&inner.attributes, &["condition", "error_message"], "a validation"));
                }
                _ => {
                    let error =
                        Diagnostic::error(inner.span.clone(), format!("`{}` is no block of {what}", inner.kind));
                    found.push(error.help(format!("write `{} = …` if a value is meant", inner.kind)));
                }
            }
        }
        if !known.is_empty() {
            found.extend(unknown(&block.attributes, known, &what));
        }
    }
    found
}

fn unknown(attributes: &[Attribute], known: &[&str], what: &str) -> Vec<Diagnostic> {
    let others = attributes.iter().filter(|attribute| !known.contains(&attribute.name.as_str()));
    let message = |attribute: &Attribute| {
        let mut error =
            Diagnostic::error(attribute.span.clone(), format!("unknown key `{}` in {what}", attribute.name));
        error.help.extend(did_you_mean(&attribute.name, known.iter().copied()));
        error
    };
    others.map(message).collect()
}

/// Whether a target can be called so.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with('-')
}

pub(super) fn bad_name(name: &str, span: &Span, what: &str) -> Diagnostic {
    let error = Diagnostic::error(span.clone(), format!("`{name}` cannot be the name of {what}"));
    error.help("names are letters, digits, `_` and `-`, and do not start with `-`")
}

/// Finds the targets, and multiplies those with a matrix. Returns the groups of the latter.
fn targets(scope: &mut Scope<'_>) -> Result<Vec<Group>, Vec<Diagnostic>> {
    let definition = scope.definition;
    let (mut targets, mut groups, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
    for block in definition.blocks.iter().filter(|block| block.kind == "target") {
        match instances(scope, block) {
            Err(error) => mistakes.push(*error),
            Ok(found) => {
                if block.attribute("matrix").is_some() {
                    let text = |one: &Instance<'_>| Text { text: one.name.clone(), place: place(&block.span) };
                    let members = found.iter().map(text).collect();
                    let name = block.label().to_owned();
                    groups.push(Group { name, description: None, members, span: block.span.clone() });
                }
                targets.extend(found);
                if targets.len() > MOST_TARGETS {
                    let error = Diagnostic::error(block.span.clone(), format!("more than {MOST_TARGETS} targets"));
                    return Err(vec![error]);
                }
            }
        }
    }
    scope.targets = targets;
    if mistakes.is_empty() { Ok(groups) } else { Err(mistakes) }
}

fn instances<'a>(scope: &mut Scope<'a>, block: &'a Block) -> Found<Vec<Instance<'a>>> {
    let Some(matrix) = block.attribute("matrix") else {
        if let Some(name) = block.attribute("name") {
            return wrong(&name.span, "`name` is for targets with a `matrix`");
        }
        let locals = Locals { values: Vec::new(), outer: None };
        return Ok(vec![Instance { name: block.label().to_owned(), block, locals }]);
    };
    let value = scope.eval(&matrix.value, Locals::NONE)?;
    let Value::Map(axes) = scope.looked_at(value) else {
        return wrong(&matrix.value.span, "`matrix` must be a map of lists");
    };
    let mut combinations: Vec<Vec<(String, Value)>> = vec![Vec::new()];
    for (axis, values) in axes {
        let Value::List(values) = values else {
            return wrong(&matrix.value.span, format!("`{axis}` in `matrix` must be a list, not {}", values.kind()));
        };
        if combinations.len() * values.len() > MOST {
            return wrong(&matrix.value.span, format!("a matrix of more than {MOST} targets"));
        }
        let with =
            |one: &Vec<(String, Value)>, value: &Value| [one.clone(), vec![(axis.clone(), value.clone())]].concat();
        combinations = combinations.iter().flat_map(|one| values.iter().map(|value| with(one, value))).collect();
    }
    if combinations.is_empty() {
        return wrong(&matrix.value.span, "a matrix of no targets");
    }
    let mut found: Vec<Instance<'a>> = Vec::new();
    for values in combinations {
        let locals = Locals { values, outer: None };
        let (name, span) = match block.attribute("name") {
            Some(written) => {
                let value = scope.eval(&written.value, &locals)?;
                let value = scope.looked_at(value).to_str();
                (value.map(|text| text.text().to_owned()).unwrap_or_default(), &written.value.span)
            }
            None => (block.label().to_owned(), &block.span),
        };
        if !is_plain(&name) {
            return Err(Box::new(bad_name(&name, span, "a target")));
        }
        if found.iter().any(|other| other.name == name) {
            let error = Diagnostic::error(span.clone(), format!("two targets are called `{name}`"));
            return Err(Box::new(error.help("put every axis of the `matrix` into the `name`")));
        }
        found.push(Instance { name, block, locals });
    }
    Ok(found)
}

fn place(span: &Span) -> Place {
    Place::File { span: span.clone(), content: None }
}

/// Targets and groups with their values.
fn decode(scope: &mut Scope<'_>, read: &mut Read) -> Result<(), Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    for number in 0..scope.targets.len() {
        match scope.target(number) {
            Ok(target) => add_target(&mut read.file, target),
            Err(found) => {
                // What all targets of a matrix have is wrong once.
                mistakes.extend(found);
                mistakes.dedup();
            }
        }
    }
    let definition = scope.definition;
    for block in definition.blocks.iter().filter(|block| block.kind == "group") {
        match scope.group(block) {
            Ok(group) => add_group(&mut read.file, group),
            Err(found) => mistakes.extend(found),
        }
    }
    failed(&mut mistakes)
}

/// The variables, for lists and for what stays variable.
fn variables(scope: &mut Scope<'_>, read: &mut Read) {
    let definition = scope.definition;
    let mut seen = BTreeMap::new();
    for block in definition.blocks.iter().filter(|block| block.kind == "variable") {
        seen.insert(block.label(), block);
    }
    let blocks = definition.blocks.iter().filter(|block| {
        block.kind == "variable" && seen.get(block.label()).is_some_and(|last| std::ptr::eq(*last, *block))
    });
    for block in blocks {
        let name = block.label();
        let description =
            block.attribute("description").and_then(|attribute| scope.eval(&attribute.value, Locals::NONE).ok());
        let default = match scope.defaults.get(name) {
            Some(Value::String(text)) => Some(text.template()),
            Some(Value::Null) | None => None,
            Some(value) => {
                Some(escape(&value.to_str().map_or_else(|| to_json(value).to_string(), |text| text.text().to_owned())))
            }
        };
        let description = description.and_then(|value| value.to_str()).map(|text| text.text().to_owned());
        let default = default.map(|text| Text { text, place: place(&block.span) });
        add_variable(&mut read.file, name, description, default, block.span.clone());
        if scope.frozen.contains(name)
            && let Ok(value) = scope.global(name, &block.span, Locals::NONE)
        {
            let value = value.to_str().map_or_else(|| to_json(&value).to_string(), |text| text.text().to_owned());
            read.frozen.insert(name.to_owned(), value);
        }
    }
}
