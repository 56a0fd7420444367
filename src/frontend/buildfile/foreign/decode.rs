//! From the values of a target in a bake file to those of the model, each with the place that it comes from.

use std::collections::BTreeMap;

use super::super::keys::{Key, KeyInfo, Kind};
use super::super::model::{Declaration, Entry, Group, Place, Text, Value as Written, Values};
use super::super::suggest::did_you_mean;
use super::ast::{Attribute, Block, Expr, ExprKind, Span};
use super::eval::{Found, Locals, wrong};
use super::keys;
use super::scope::Scope;
use super::value::{Str, Value};
use crate::frontend::diagnostic::Diagnostic;

/// A value and where it is written.
type Item = (Value, Span);

fn place(span: &Span) -> Place {
    Place::File { span: span.clone(), content: None }
}

fn text(value: &Str, span: &Span) -> Text {
    Text { text: value.template(), place: place(span) }
}

impl Scope<'_> {
    /// A target; all that is wrong with it otherwise.
    pub(super) fn target(&mut self, number: usize) -> Result<Declaration, Vec<Diagnostic>> {
        let (block, name) = (self.targets[number].block, self.targets[number].name.clone());
        let locals = Locals { values: self.targets[number].locals.values.clone(), outer: None };
        let mut target =
            Declaration { name, span: block.span.clone(), inherits: Vec::new(), values: Values::new(), matrix: None };
        let mut mistakes = Vec::new();
        for attribute in &block.attributes {
            if let Err(error) = self.attribute(attribute, &locals, &mut target) {
                mistakes.push(*error);
            }
        }
        if let Err(error) = local_dockerfile(&mut target.values) {
            mistakes.push(*error);
        }
        // Both may be there in docker, and then the text counts.
        if target.values.contains_key(&Key::DockerfileInline) {
            target.values.remove(&Key::Dockerfile);
        }
        if mistakes.is_empty() { Ok(target) } else { Err(mistakes) }
    }

    fn attribute(&mut self, attribute: &Attribute, locals: &Locals<'_>, target: &mut Declaration) -> Found<()> {
        let (name, span) = (attribute.name.as_str(), &attribute.span);
        match name {
            "matrix" | "name" => return Ok(()),
            "inherits" => {
                target.inherits = self.names(&attribute.value, locals)?;
                return Ok(());
            }
            _ => {}
        }
        if let Some((_, why)) = keys::REFUSED.iter().find(|(key, _)| *key == name) {
            return Err(Box::new(Diagnostic::error(span.clone(), format!("`{name}` is not supported")).help(*why)));
        }
        let Some(info) = keys::named(name) else {
            // So it is in docker, which says nothing.
            let message = format!("unknown key `{name}` in a target: it has no effect");
            let mut note = Diagnostic::warning(super::RULE, span.clone(), message);
            note.help.extend(did_you_mean(name, keys::names()));
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(());
        };
        if let Some(value) = self.written(info, name, &attribute.value, locals)? {
            target.values.insert(info.key, value);
        }
        Ok(())
    }

    fn written(&mut self, info: &KeyInfo, name: &str, expr: &Expr, locals: &Locals<'_>) -> Found<Option<Written>> {
        let what = format!("`{name}`");
        Ok(Some(match info.kind {
            Kind::Texts => {
                let items = self.items_of(expr, locals)?;
                Written::Texts(self.texts(items, &what)?)
            }
            Kind::Entries | Kind::Identified => {
                let mut entries = Vec::new();
                for (item, span) in self.items_of(expr, locals)? {
                    entries.extend(self.entry(info.key, item, &span, &what)?);
                }
                Written::Entries(entries)
            }
            Kind::Map if info.key == Key::Annotations => {
                let items = self.items_of(expr, locals)?;
                Written::Map(self.annotations(items)?)
            }
            Kind::Map => match self.pairs(expr, locals, &what)? {
                Some(pairs) => Written::Map(self.map(pairs, info.key, &what)?),
                None => return Ok(None),
            },
            _ => {
                let value = self.eval(expr, locals)?;
                match self.single(info, value, &expr.span, &what)? {
                    Some(text) => Written::Text(text),
                    None => return Ok(None),
                }
            }
        }))
    }

    /// The value of a key that has one; none if it is null or says as much as if it were not there.
    fn single(&mut self, info: &KeyInfo, value: Value, span: &Span, what: &str) -> Found<Option<Text>> {
        let value = match (info.kind, value) {
            (_, Value::Null) => return Ok(None),
            (Kind::Flag, Value::String(text)) => Value::String(text),
            (Kind::Flag, value) => match value.to_bool() {
                Some(flag) => Value::Bool(flag),
                None => return wrong(span, format!("{what} must be true or false, not {}", value.kind())),
            },
            (Kind::Verbatim, value) => self.looked_at(value),
            (_, value) => value,
        };
        let Some(mut found) = value.to_str() else {
            return wrong(span, format!("{what} must be a string, not {}", value.kind()));
        };
        if info.kind == Kind::Verbatim {
            return Ok(Some(Text { text: found.text().to_owned(), place: place(span) }));
        }
        if info.key == Key::Context {
            found = local(found);
        }
        let empty = found.text().is_empty();
        if empty {
            self.looked_at(Value::String(found.clone()));
        }
        Ok((!empty).then(|| text(&found, span)))
    }

    /// The items of a list: each with its own place, if the list is written out.
    fn items_of(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<Vec<Item>> {
        if let ExprKind::List(items) = &expr.kind {
            return items.iter().map(|item| Ok((self.eval(item, locals)?, item.span.clone()))).collect();
        }
        match self.eval(expr, locals)? {
            Value::List(items) => Ok(items.into_iter().map(|item| (item, expr.span.clone())).collect()),
            Value::Null => Ok(Vec::new()),
            other => wrong(&expr.span, format!("a list is needed here, not {}", other.kind())),
        }
    }

    fn texts(&mut self, items: Vec<Item>, what: &str) -> Found<Vec<Text>> {
        let mut found = Vec::new();
        for (item, span) in items {
            let Some(value) = item.to_str() else {
                return wrong(&span, format!("an item of {what} must be a string, not {}", item.kind()));
            };
            // Empty ones are how conditions leave something out.
            if value.text().is_empty() {
                self.looked_at(item);
            } else {
                found.push(text(&value, &span));
            }
        }
        Ok(found)
    }

    /// Names of targets, which cannot depend on variables in a build file.
    fn names(&mut self, expr: &Expr, locals: &Locals<'_>) -> Found<Vec<Text>> {
        let items = self.items_of(expr, locals)?;
        let items = items.into_iter().map(|(item, span)| (self.looked_at(item), span)).collect();
        self.texts(items, "a list of names")
    }

    fn pairs(&mut self, expr: &Expr, locals: &Locals<'_>, what: &str) -> Found<Option<Vec<(String, Item)>>> {
        let mut found: BTreeMap<String, Item> = BTreeMap::new();
        if let ExprKind::Object(pairs) = &expr.kind {
            for (key, value) in pairs {
                let name = self.eval(key, locals)?;
                let Some(name) = self.looked_at(name).to_str() else {
                    return wrong(&key.span, format!("a name in {what} must be a string"));
                };
                found.insert(name.text().to_owned(), (self.eval(value, locals)?, value.span.clone()));
            }
        } else {
            match self.eval(expr, locals)? {
                Value::Null => return Ok(None),
                Value::Map(map) => {
                    found.extend(map.into_iter().map(|(name, value)| (name, (value, expr.span.clone()))));
                }
                other => return wrong(&expr.span, format!("{what} must be a map, not {}", other.kind())),
            }
        }
        Ok(Some(found.into_iter().collect()))
    }

    fn map(&mut self, pairs: Vec<(String, Item)>, key: Key, what: &str) -> Found<BTreeMap<String, Text>> {
        let mut map = BTreeMap::new();
        for (name, (value, span)) in pairs {
            if name.is_empty() {
                return wrong(&span, format!("a name in {what} is empty"));
            }
            // What is null is not there.
            if value == Value::Null {
                continue;
            }
            let Some(mut value) = value.to_str() else {
                return wrong(&span, format!("`{name}` in {what} must be a string, not {}", value.kind()));
            };
            if key == Key::Contexts {
                if value.text().is_empty() {
                    continue;
                }
                value = local(value);
            }
            map.insert(name, text(&value, &span));
        }
        Ok(map)
    }

    /// `name=value`, with what it is an annotation of before the name.
    fn annotations(&mut self, items: Vec<Item>) -> Found<BTreeMap<String, Text>> {
        let mut map = BTreeMap::new();
        for (item, span) in items {
            let Some(written) = item.to_str() else {
                return wrong(&span, format!("an annotation must be a string, not {}", item.kind()));
            };
            if written.text().is_empty() {
                continue;
            }
            let Some(at) = written.text().find('=') else {
                return wrong(&span, "write an annotation as `name=value`");
            };
            let (name, value) = match written.split_at(at) {
                Some(sides) => sides,
                None => {
                    self.looked_at(Value::String(written.clone()));
                    (Str::from(&written.text()[..at]), Str::from(&written.text()[at + 1..]))
                }
            };
            self.looked_at(Value::String(name.clone()));
            if name.text().is_empty() {
                return wrong(&span, "an annotation without a name");
            }
            map.insert(name.text().to_owned(), text(&value, &span));
        }
        Ok(map)
    }

    fn entry(&mut self, key: Key, item: Value, span: &Span, what: &str) -> Found<Option<Entry>> {
        let Value::Map(fields) = item else {
            return Ok(self.texts(vec![(item, span.clone())], what)?.pop().map(Entry::Written));
        };
        let known: &[&str] = match key {
            Key::Secrets => &["id", "type", "src", "source", "env"],
            Key::Ssh => &["id", "paths"],
            _ => &[],
        };
        if let Some(other) = fields.keys().find(|name| !known.is_empty() && !known.contains(&name.as_str())) {
            let mut error = Diagnostic::error(span.clone(), format!("unknown key `{other}` in {what}"));
            error.help.extend(did_you_mean(other, known.iter().copied()));
            return Err(Box::new(error));
        }
        if key == Key::Ssh && !fields.contains_key("id") {
            return wrong(span, "an agent without an `id`");
        }
        let mut table = BTreeMap::new();
        for (name, value) in fields {
            let values = match value {
                Value::Null => continue,
                Value::List(items) => items,
                one => vec![one],
            };
            let values = values.into_iter().map(|value| (value, span.clone())).collect();
            let values = self.texts(values, what)?;
            if !values.is_empty() {
                table.insert(name, values);
            }
        }
        if key == Key::Secrets {
            plain_secret(&mut table);
        }
        Ok(Some(Entry::Table(table, place(span))))
    }

    /// A group; all that is wrong with it otherwise.
    pub(super) fn group(&mut self, block: &Block) -> Result<Group, Vec<Diagnostic>> {
        let fail = |error: Box<Diagnostic>| vec![*error];
        let members = match block.attribute("targets") {
            Some(targets) => self.names(&targets.value, Locals::NONE).map_err(fail)?,
            None => {
                let message = format!("the group `{}` has no `targets`", block.label());
                return Err(vec![Diagnostic::error(block.span.clone(), message)]);
            }
        };
        let description = match block.attribute("description") {
            Some(attribute) => self.eval(&attribute.value, Locals::NONE).map_err(fail)?.to_str(),
            None => None,
        };
        let description = description.map(|text| text.text().to_owned());
        Ok(Group { name: block.label().to_owned(), description, members, span: block.span.clone() })
    }
}

/// Docker says by a type where a secret is; here it is the name of the attribute.
fn plain_secret(table: &mut BTreeMap<String, Vec<Text>>) {
    let kind = table.remove("type").and_then(|mut kinds| kinds.pop()).map(|kind| kind.text);
    let source = table.remove("source").or_else(|| table.remove("src"));
    let name = if kind.as_deref() == Some("env") { "env" } else { "src" };
    if let Some(source) = source {
        table.entry(name.to_owned()).or_insert(source);
    }
}

/// `cwd://` is the folder in which the command runs, which is where all paths start.
fn local(path: Str) -> Str {
    match path.strip_prefix("cwd://") {
        Some(rest) if rest.text().is_empty() => Str::from("."),
        Some(rest) => rest,
        None => path,
    }
}

/// A Dockerfile that is not in the context, which is possible where both are the same folder.
fn local_dockerfile(values: &mut Values) -> Found<()> {
    let here = match values.get(&Key::Context) {
        Some(Written::Text(text)) => text.text == ".",
        _ => true,
    };
    let Some(Written::Text(path)) = values.get_mut(&Key::Dockerfile) else { return Ok(()) };
    let Some(rest) = path.text.strip_prefix("cwd://") else { return Ok(()) };
    if here {
        path.text = rest.to_owned();
        return Ok(());
    }
    let error = Diagnostic::error(path.place.span(None), "`cwd://` before a Dockerfile needs the context `.`");
    Err(Box::new(error.help("write its path from the context")))
}
