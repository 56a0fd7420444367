//! The JSON Schema of a build file, made of the tables that the parser goes by.
//!
//! An editor that knows it completes keys and marks what the parser would refuse for its form. What depends on values and on
//! other parts of the file, such as names that do not exist, only the parser knows.

use serde_json::{Map, Value, json};

use super::keys::{DefinitionForm, KEYS, Key, KeyInfo, Kind};
use super::parse::{SECRET, SSH};
use super::steps::STEPS;
use super::variables::TYPES;

/// A name that stands on command lines and in lists.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_-]*$";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
const STAGE: &str = "^[a-z][a-z0-9_.-]*$";

/// The schema (draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "imgbuild's build.toml",
        "description": "The targets of a repository. docs/build-file.md is the reference.",
        "$defs": { "base": base(), "steps": steps() },
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "include": described(texts(), "more build files, by path or pattern from the folder of this one"),
            "policy": described(policy(), "what images may be built on"),
            "variable": described(named(VARIABLE, variable()), "values that the environment can change"),
            "group": described(named(NAME, group()), "several targets or groups under one name"),
            "target": described(named(NAME, target()), "what can be built"),
        },
    })
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}

/// What stands in several places is written once.
fn shared(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn string() -> Value {
    json!({"type": "string"})
}

/// A string, a number or a truth value.
fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn texts() -> Value {
    list(string())
}

fn one_or_more() -> Value {
    json!({"anyOf": [scalar(), list(scalar())]})
}

/// A string for the shell, or a program and its arguments.
fn command() -> Value {
    json!({"anyOf": [string(), texts()]})
}

fn pairs() -> Value {
    json!({"type": "object", "minProperties": 1, "additionalProperties": scalar()})
}

fn named(pattern: &str, each: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "patternProperties": {pattern: each}})
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn properties<const N: usize>(properties: [(&str, Value); N]) -> Map<String, Value> {
    properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn policy() -> Value {
    let keys = || json!({"type": "array", "items": string(), "minItems": 1});
    let signed_as = described(string(), "the repository that signatures name, or `any`");
    let table = object(properties([("keys", keys()), ("signed-as", signed_as)]), &["keys"]);
    let signers = json!({"type": "object", "additionalProperties": {"anyOf": [keys(), table]}});
    object(
        properties([
            ("allow", described(texts(), "patterns of the only repositories that images may come from")),
            ("deny", described(texts(), "patterns of repositories that they may not come from")),
            (
                "require-digest",
                json!({"type": "boolean", "description": "whether a digest or the lockfile must pin them"}),
            ),
            (
                "require-signature",
                described(signers, "for patterns of repositories, files of the keys that sign there"),
            ),
        ]),
        &[],
    )
}

fn variable() -> Value {
    let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let mut table = object(
        properties([
            (
                "default",
                described(one_or_more(), "its value unless the environment has one; a list makes it one of lists"),
            ),
            ("description", described(string(), "what it is for")),
            ("type", json!({"enum": types, "description": "what its values are"})),
            ("required", json!({"type": "boolean", "description": "whether nothing can be built without it"})),
            ("values", described(list(scalar()), "all values that it may have")),
            ("pattern", described(string(), "what its values look like: `*`, `?`, `[a-z]`")),
            ("condition", described(string(), "an expression that must be true")),
            ("message", described(string(), "what is said if the condition or pattern does not hold")),
        ]),
        &[],
    );
    table["dependentSchemas"] = json!({"message": {"anyOf": [{"required": ["condition"]}, {"required": ["pattern"]}]}});
    json!({"anyOf": [scalar(), list(scalar()), table]})
}

fn group() -> Value {
    let targets = described(texts(), "its members: targets and groups");
    let table = properties([("targets", targets), ("description", described(string(), "what it is"))]);
    json!({"anyOf": [texts(), object(table, &[])]})
}

fn target() -> Value {
    let mut all = properties([
        ("inherits", described(texts(), "targets whose values this one has, later ones over earlier ones")),
        ("matrix", described(named(VARIABLE, list(scalar())), "one target for each combination of these values")),
        ("name", described(string(), "what the targets of the matrix are called")),
    ]);
    for row in KEYS {
        let value = described(of_kind(row), row.about);
        match row.name.split_once('.') {
            Some((table, key)) => {
                let table = all.entry(table).or_insert_with(|| object(Map::new(), &[]));
                table["properties"][key] = value;
            }
            None => drop(all.insert(row.name.to_owned(), value)),
        }
    }
    // docker's name for it.
    all.insert("secret".into(), all["secrets"].clone());
    let mut schema = object(all, &[]);
    schema["dependentRequired"] = json!({"name": ["matrix"]});
    schema["allOf"] = exclusive();
    schema
}

/// The ways to say what a target does exclude each other, as do two names of one key.
fn exclusive() -> Value {
    let of = |form: DefinitionForm| KEYS.iter().filter(move |row| row.key.definition() == Some(form));
    let forms = [DefinitionForm::File, DefinitionForm::Inline, DefinitionForm::Steps];
    let mut excluded = vec![["secret", "secrets"]];
    for (index, form) in forms.iter().enumerate() {
        for other in &forms[index + 1..] {
            for one in of(*form) {
                excluded.extend(of(*other).map(|two| [one.name, two.name]));
            }
        }
    }
    excluded.iter().map(|pair| json!({"not": {"required": pair}})).collect()
}

fn of_kind(row: &KeyInfo) -> Value {
    match row.kind {
        Kind::Text | Kind::Verbatim => string(),
        Kind::Number => json!({"type": ["integer", "string"]}),
        Kind::Flag => json!({"type": ["boolean", "string"]}),
        Kind::Texts => texts(),
        Kind::Map => json!({"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": scalar()}),
        Kind::Entries => list(json!({"anyOf": [string(), {"type": "object", "additionalProperties": scalar()}]})),
        Kind::Identified => {
            let known = if row.key == Key::Ssh { SSH } else { SECRET };
            let value = |name: &str| if name == "paths" { json!({"anyOf": [scalar(), texts()]}) } else { scalar() };
            let table = known.iter().map(|name| ((*name).to_owned(), value(name))).collect();
            list(json!({"anyOf": [string(), object(table, &[])]}))
        }
        Kind::Base => shared("base"),
        Kind::Steps => shared("steps"),
        Kind::Stages => named(STAGE, object(properties([("from", shared("base")), ("steps", shared("steps"))]), &[])),
    }
}

fn base() -> Value {
    let merge = described(json!({"type": "array", "items": string(), "minItems": 1}), "states put together");
    let diff = json!({"type": "array", "items": string(), "minItems": 2, "maxItems": 2});
    let diff = described(diff, "what the second has on top of the first");
    json!({"anyOf": [
        string(),
        object(properties([("merge", merge)]), &["merge"]),
        object(properties([("diff", diff)]), &["diff"]),
    ]})
}

fn steps() -> Value {
    let step = |(name, options): &(&str, &[&str])| {
        let mut fields: Map<String, Value> =
            options.iter().map(|option| ((*option).to_owned(), of_option(option))).collect();
        fields.insert((*name).to_owned(), of_instruction(name));
        match *name {
            "copy" | "add" | "symlink" => object(fields, &[name, "to"]),
            "write" => object(fields, &[name, "content"]),
            name => object(fields, &[name]),
        }
    };
    list(json!({"anyOf": STEPS.iter().map(step).collect::<Vec<_>>()}))
}

fn of_instruction(name: &str) -> Value {
    match name {
        "run" | "entrypoint" | "cmd" | "healthcheck" => command(),
        "copy" | "add" => json!({"anyOf": [scalar(), {"type": "array", "items": scalar(), "minItems": 1}]}),
        "expose" | "volume" | "remove" => one_or_more(),
        "arg" => json!({"anyOf": [string(), pairs(), list(json!({"anyOf": [string(), pairs()]}))]}),
        "env" | "label" => pairs(),
        "shell" => texts(),
        "user" | "stopsignal" => scalar(),
        _ => string(),
    }
}

fn of_option(name: &str) -> Value {
    match name {
        "mounts" => list(json!({"type": "object", "additionalProperties": scalar()})),
        "exclude" => one_or_more(),
        "link" | "parents" | "keep-git-dir" | "unpack" | "expand" | "allow-missing" => json!({"type": "boolean"}),
        _ => scalar(),
    }
}
