//! The `build` section of a service: from a tree to the values of a target.

use std::collections::BTreeMap;

use super::super::super::keys::{Key, KeyInfo, Kind as KeyKind};
use super::super::super::model::{Declaration, Entry, Text, Value, Values};
use super::super::super::suggest::did_you_mean;
use super::super::RULE;
use super::super::bake::{bad_name, is_plain};
use super::super::eval::{Found, wrong};
use super::super::keys::named;
use super::super::value::Str;
use super::super::yaml::{Kind, Node};
use super::{Reader, place};
use crate::frontend::diagnostic::Diagnostic;

/// The keys of a `build` section, and what each is called in a bake file.
const KEYS: &[(&str, &str)] = &[
    ("additional_contexts", "contexts"),
    ("args", "args"),
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("context", "context"),
    ("dockerfile", "dockerfile"),
    ("dockerfile_inline", "dockerfile-inline"),
    ("entitlements", "entitlements"),
    ("extra_hosts", "extra-hosts"),
    ("labels", "labels"),
    ("network", "network"),
    ("no_cache", "no-cache"),
    ("no_cache_filter", "no-cache-filter"),
    ("platforms", "platforms"),
    ("provenance", "attest"),
    ("pull", "pull"),
    ("sbom", "attest"),
    ("secrets", "secret"),
    ("shm_size", "shm-size"),
    ("ssh", "ssh"),
    ("tags", "tags"),
    ("target", "target"),
    ("ulimits", "ulimits"),
];

/// The keys of `x-bake`, which are called as in a bake file.
const EXTENSION: &[&str] = &[
    "cache-from",
    "cache-to",
    "contexts",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "pull",
    "secret",
    "ssh",
    "tags",
];

/// Keys without a meaning for an image.
const WITHOUT_EFFECT: &[&str] = &["isolation", "privileged"];

impl Reader<'_, '_> {
    /// A secret of the file.
    pub(super) fn secret(&mut self, name: &str, node: &Node) -> Found<()> {
        for (key, attribute) in [("file", "src"), ("environment", "env")] {
            if let Some(value) = node.get(key) {
                let text = self.text(value)?;
                self.secrets.insert(name.to_owned(), (attribute, text));
                return Ok(());
            }
        }
        // What is kept elsewhere only matters if a build uses it.
        Ok(())
    }

    /// The target of a service; none if nothing is built for it.
    pub(super) fn service(&mut self, name: &Node, service: &Node) -> Result<Option<Declaration>, Vec<Diagnostic>> {
        let Some(build) = service.get("build").filter(|build| !build.is_null()) else { return Ok(None) };
        let written = name.scalar().unwrap_or_default();
        let plain = written.replace('.', "_");
        if !is_plain(&plain) {
            return Err(vec![bad_name(written, &name.span, "a target")]);
        }
        let Kind::Map(pairs) = &build.kind else {
            return Err(vec![Diagnostic::error(build.span.clone(), "`build` must be a folder or a map")]);
        };
        let mut values = Values::new();
        let mut mistakes = Vec::new();
        let mut extension = None;
        for (key, value) in pairs {
            let key_name = key.scalar().unwrap_or_default();
            if key_name == "x-bake" {
                extension = Some(value);
            } else if !key_name.starts_with("x-")
                && let Err(error) = self.key(key, key_name, value, service, &mut values)
            {
                mistakes.push(*error);
            }
        }
        if values.contains_key(&Key::Dockerfile) && values.contains_key(&Key::DockerfileInline) {
            let message = "`dockerfile` and `dockerfile_inline` exclude each other";
            mistakes.push(Diagnostic::error(build.span.clone(), message));
        }
        for (key, value) in extension.map(Node::pairs).unwrap_or_default() {
            if let Err(error) = self.extension(key, value, &mut values) {
                mistakes.push(*error);
            }
        }
        let tagged = matches!(values.get(&Key::Tags), Some(Value::Texts(tags)) if !tags.is_empty());
        if let Some(image) = service.get("image").filter(|image| !tagged && !image.is_null()) {
            match self.filled_text(image) {
                Ok(text) => values.extend(text.map(|text| (Key::Tags, Value::Texts(vec![text])))),
                Err(error) => mistakes.push(*error),
            }
        }
        let target = Declaration { name: plain, span: name.span.clone(), inherits: Vec::new(), values, matrix: None };
        if mistakes.is_empty() { Ok(Some(target)) } else { Err(mistakes) }
    }

    fn key(&mut self, key: &Node, name: &str, value: &Node, service: &Node, values: &mut Values) -> Found<()> {
        if WITHOUT_EFFECT.contains(&name) {
            let note = Diagnostic::warning(RULE, key.span.clone(), format!("`{name}` has no effect"));
            self.read.notes.push(note);
            return Ok(());
        }
        let Some((_, bake)) = KEYS.iter().find(|(known, _)| *known == name) else {
            let mut error = Diagnostic::error(key.span.clone(), format!("unknown key `{name}` in `build`"));
            error.help.extend(did_you_mean(name, KEYS.iter().map(|(known, _)| *known)));
            return Err(Box::new(error));
        };
        if value.is_null() {
            return Ok(());
        }
        let Some(info) = named(bake) else {
            return wrong(&key.span, format!("`{name}` is not supported yet"));
        };
        let found = match name {
            // Empty is as good as not there.
            "context" | "dockerfile" => match self.filled_text(value)? {
                Some(text) => Value::Text(text),
                None => return Ok(()),
            },
            "args" => Value::Map(self.arguments(value, service)?),
            "additional_contexts" => Value::Map(self.contexts(value)?),
            "secrets" => Value::Entries(self.secrets_of(value)?),
            "ssh" => Value::Entries(self.agents(value)?),
            "ulimits" => self.limits(info, value)?,
            "provenance" | "sbom" => {
                let attested = self.attest(name, value)?;
                match values.remove(&info.key) {
                    Some(Value::Entries(mut others)) => {
                        others.push(attested);
                        Value::Entries(others)
                    }
                    _ => Value::Entries(vec![attested]),
                }
            }
            _ => self.value(info, name, value)?,
        };
        values.insert(info.key, found);
        Ok(())
    }

    fn extension(&mut self, key: &Node, value: &Node, values: &mut Values) -> Found<()> {
        let name = key.scalar().unwrap_or_default();
        if !EXTENSION.contains(&name) {
            let mut error = Diagnostic::error(key.span.clone(), format!("unknown key `{name}` in `x-bake`"));
            error.help.extend(did_you_mean(name, EXTENSION.iter().copied()));
            return Err(Box::new(error));
        }
        let Some(info) = named(name) else {
            return wrong(&key.span, format!("`{name}` is not supported yet"));
        };
        // A string stands for a list of its words.
        let words: Option<Vec<Node>> = match (&value.kind, info.kind) {
            (Kind::Scalar { text, .. }, KeyKind::Texts | KeyKind::Entries | KeyKind::Identified) => {
                let word = |word: &str| Node::new(value.span.clone(), Kind::Scalar { text: word.into(), plain: false });
                Some(text.split_whitespace().map(word).collect())
            }
            _ => None,
        };
        let list = words.map(|words| Node::new(value.span.clone(), Kind::List(words)));
        let value = list.as_ref().unwrap_or(value);
        let found = if name == "contexts" { Value::Map(self.contexts(value)?) } else { self.value(info, name, value)? };
        match (values.get_mut(&info.key), found) {
            // What `build` says of a context counts.
            (Some(Value::Map(own)), Value::Map(more)) => {
                for (name, text) in more {
                    own.entry(name).or_insert(text);
                }
            }
            (Some(own), found) => own.merge(found, true),
            (None, found) => drop(values.insert(info.key, found)),
        }
        Ok(())
    }

    /// A value by the kind of its key.
    fn value(&mut self, info: &KeyInfo, name: &str, node: &Node) -> Found<Value> {
        Ok(match info.kind {
            KeyKind::Texts => Value::Texts(self.texts(node, name)?),
            KeyKind::Entries | KeyKind::Identified => {
                Value::Entries(self.texts(node, name)?.into_iter().map(Entry::Written).collect())
            }
            KeyKind::Map => Value::Map(self.map(node, name)?),
            KeyKind::Verbatim => {
                let text = self.expanded(node)?;
                text.names().for_each(|variable| self.interpolation.freeze(variable));
                Value::Text(Text { text: text.text().to_owned(), place: place(&node.span) })
            }
            _ => Value::Text(self.text(node)?),
        })
    }

    fn expanded(&mut self, node: &Node) -> Found<Str> {
        match node.scalar() {
            Some(text) => self.interpolation.expand(text, &node.span),
            None => wrong(&node.span, format!("a single value is needed here, not {}", node.describe())),
        }
    }

    fn text(&mut self, node: &Node) -> Found<Text> {
        Ok(Text { text: self.expanded(node)?.template(), place: place(&node.span) })
    }

    /// The text of a value; none if it comes to nothing.
    fn filled_text(&mut self, node: &Node) -> Found<Option<Text>> {
        let text = self.expanded(node)?;
        if !text.text().is_empty() {
            return Ok(Some(Text { text: text.template(), place: place(&node.span) }));
        }
        text.names().for_each(|variable| self.interpolation.freeze(variable));
        Ok(None)
    }

    fn texts(&mut self, node: &Node, name: &str) -> Found<Vec<Text>> {
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| self.text(item)).collect(),
            _ => wrong(&node.span, format!("`{name}` must be a list, not {}", node.describe())),
        }
    }

    fn map(&mut self, node: &Node, name: &str) -> Found<BTreeMap<String, Text>> {
        let Kind::Map(pairs) = &node.kind else {
            return wrong(&node.span, format!("`{name}` must be a map or a list, not {}", node.describe()));
        };
        let mut found = BTreeMap::new();
        for (key, value) in pairs {
            self.filled(key, name)?;
            let text = match &value.kind {
                Kind::List(items) => {
                    let items = items.iter().map(|item| self.text(item)).collect::<Found<Vec<_>>>()?;
                    let joined = items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(",");
                    Text { text: joined, place: place(&value.span) }
                }
                _ => self.text(value)?,
            };
            found.insert(key.scalar().unwrap_or_default().to_owned(), text);
        }
        Ok(found)
    }

    /// Fails for a name that is none.
    fn filled(&self, key: &Node, list: &str) -> Found<()> {
        match key.scalar() {
            Some("") | None => wrong(&key.span, format!("a name in `{list}` is empty")),
            Some(_) => Ok(()),
        }
    }

    /// Arguments. One without a value has that of the service's or the command's environment, or is not there.
    fn arguments(&mut self, node: &Node, service: &Node) -> Found<BTreeMap<String, Text>> {
        let Kind::Map(pairs) = &node.kind else {
            return wrong(&node.span, format!("`args` must be a map or a list, not {}", node.describe()));
        };
        let mut found = BTreeMap::new();
        for (key, value) in pairs {
            self.filled(key, "args")?;
            let name = key.scalar().unwrap_or_default();
            if !value.is_null() {
                found.insert(name.to_owned(), self.text(value)?);
                continue;
            }
            let own = service.get("environment").and_then(|environment| environment_of(environment, name));
            let value = match own {
                Some(node) => Some(self.text(&node)?.text),
                None => {
                    self.interpolation.freeze(name);
                    self.interpolation.lookup(name).map(|value| Str::from(value).template())
                }
            };
            found.extend(value.map(|text| (name.to_owned(), Text { text, place: place(&key.span) })));
        }
        Ok(found)
    }

    fn contexts(&mut self, node: &Node) -> Found<BTreeMap<String, Text>> {
        let mut found = self.map(node, "additional_contexts")?;
        for text in found.values_mut() {
            if let Some((_, name)) = text.text.split_once(':').filter(|(kind, _)| ["service", "target"].contains(kind))
            {
                text.text = format!("target:{}", name.replace('.', "_"));
            }
        }
        Ok(found)
    }

    fn secrets_of(&mut self, node: &Node) -> Found<Vec<Entry>> {
        let Kind::List(items) = &node.kind else {
            return wrong(&node.span, format!("`secrets` must be a list, not {}", node.describe()));
        };
        let mut found = Vec::new();
        for item in items {
            let source = item.get("source").unwrap_or(item);
            let id = self.text(source)?;
            let Some((attribute, value)) = self.secrets.get(&id.text) else {
                let error = Diagnostic::error(
                    source.span.clone(),
                    format!("the secret `{}` is neither a file nor a variable", id.text),
                );
                let help =
                    format!("declare it: `secrets: {{ {}: {{ file: PATH }} }}`, or with `environment: NAME`", id.text);
                return Err(Box::new(error.help(help)));
            };
            let fields = BTreeMap::from([("id".to_owned(), vec![id]), ((*attribute).to_owned(), vec![value.clone()])]);
            found.push(Entry::Table(fields, place(&item.span)));
        }
        Ok(found)
    }

    fn agents(&mut self, node: &Node) -> Found<Vec<Entry>> {
        match &node.kind {
            Kind::Map(pairs) => {
                let mut found = Vec::new();
                for (key, value) in pairs {
                    let id = Text { text: key.scalar().unwrap_or_default().to_owned(), place: place(&key.span) };
                    let mut fields = BTreeMap::from([("id".to_owned(), vec![id])]);
                    if !value.is_null() {
                        fields.insert("paths".to_owned(), vec![self.text(value)?]);
                    }
                    found.push(Entry::Table(fields, place(&key.span)));
                }
                Ok(found)
            }
            _ => Ok(self.texts(node, "ssh")?.into_iter().map(Entry::Written).collect()),
        }
    }

    /// `name: number`, or with `soft` and `hard`: `name=soft:hard`.
    fn limits(&mut self, info: &KeyInfo, node: &Node) -> Found<Value> {
        let mut found = Vec::new();
        for (key, value) in node.pairs() {
            let (soft, hard) = match (value.get("soft"), value.get("hard")) {
                (Some(soft), Some(hard)) => (self.text(soft)?.text, self.text(hard)?.text),
                _ => (self.text(value)?.text, self.text(value)?.text),
            };
            let text = format!("{}={soft}:{hard}", key.scalar().unwrap_or_default());
            found.push(Text { text, place: place(&key.span) });
        }
        Ok(match info.kind {
            KeyKind::Map => {
                let pair = |text: Text| {
                    let (name, limit) = text.text.split_once('=').unwrap_or((&text.text, ""));
                    (name.to_owned(), Text { text: limit.to_owned(), place: text.place.clone() })
                };
                Value::Map(found.into_iter().map(pair).collect())
            }
            KeyKind::Entries | KeyKind::Identified => Value::Entries(found.into_iter().map(Entry::Written).collect()),
            _ => Value::Texts(found),
        })
    }

    /// `true`, `false`, or attributes.
    fn attest(&mut self, kind: &str, node: &Node) -> Found<Entry> {
        let mut text = self.text(node)?;
        text.text = match text.text.as_str() {
            "true" => format!("type={kind}"),
            "false" => format!("type={kind},disabled=true"),
            attributes => format!("type={kind},{attributes}"),
        };
        Ok(Entry::Written(text))
    }
}

/// A variable of a service's `environment`, which is a map or a list; none if it has no value.
fn environment_of(environment: &Node, name: &str) -> Option<Node> {
    if let Kind::List(items) = &environment.kind {
        let found = items.iter().find_map(|item| Some((item, item.scalar()?.strip_prefix(name)?.strip_prefix('=')?)));
        let (item, value) = found?;
        return Some(Node::new(item.span.clone(), Kind::Scalar { text: value.to_owned(), plain: false }));
    }
    environment.get(name).filter(|value| !value.is_null()).cloned()
}
