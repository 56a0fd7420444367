//! `--format` of `inspect` and of lists: paths into a JSON document, in the notation of Docker's templates.
//!
//! Understood are `{{.A.B}}`, `{{json .A.B}}` and `{{index .A "B" 0}}`, among any other text; of Go's template language nothing else is. A part of a
//! path names a key in any case, or a place in a list by its number. What is no text is printed as JSON.

use serde_json::Value;

/// A format, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path {
        keys: Vec<String>,
        json: bool,
    },
    /// A path, and keys behind it that may not be there.
    Index {
        keys: Vec<String>,
        behind: Vec<String>,
    },
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            let (inside, after) =
                rest[start + 2..].split_once("}}").ok_or_else(|| format!("{text:?}: a {{{{ is not closed by }}}}"))?;
            pieces.push(path(inside.trim())?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// As a table for people.
    #[default]
    Table,
    /// One JSON object on each line.
    Json,
    /// A line of this for each, with the keys of the JSON.
    Lines(Template),
    /// The same as a table with a head, whose columns tabs separate.
    Columns(Template),
}

impl std::str::FromStr for ListFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ if text.contains("{{") => {
                let template = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n").parse();
                match text.strip_prefix("table ") {
                    Some(columns) => template(columns.trim_start()).map(Self::Columns),
                    None => template(text).map(Self::Lines),
                }
            }
            _ => Err("allowed are table, json, and templates with the keys of the JSON, such as '{{.ID}} {{.Size}}' \
                      or 'table {{.ID}}\\t{{.Size}}'"
                .into()),
        }
    }
}

fn path(text: &str) -> Result<Piece, String> {
    if let Some((keys, behind)) = text.strip_prefix("index ").and_then(|rest| rest.trim().split_once(' ')) {
        return Ok(Piece::Index { keys: keys_of(keys, text)?, behind: words(behind).ok_or_else(|| unknown(text))? });
    }
    let (json, path) = match text.strip_prefix("json ") {
        Some(path) => (true, path.trim()),
        None => (false, text),
    };
    Ok(Piece::Path { keys: keys_of(path, text)?, json })
}

fn keys_of(path: &str, text: &str) -> Result<Vec<String>, String> {
    let keys = path.strip_prefix('.').filter(|path| !path.contains(|c: char| c.is_whitespace() || "()|\"".contains(c)));
    let keys = keys.ok_or_else(|| unknown(text))?;
    Ok(keys.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect())
}

/// Numbers, and strings in quotes.
fn words(mut text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    loop {
        text = text.trim_start();
        let word = match text.chars().next() {
            None => return Some(words),
            Some(quote @ ('"' | '`')) => {
                let (word, rest) = text[1..].split_once(quote).filter(|(word, _)| !word.contains('\\'))?;
                text = rest;
                word
            }
            Some(_) => {
                let end = text.find(char::is_whitespace).unwrap_or(text.len());
                let (word, rest) = text.split_at(end);
                text = rest;
                word.parse::<usize>().ok().map(|_| word)?
            }
        };
        words.push(word.to_owned());
    }
}

fn unknown(text: &str) -> String {
    format!(
        "{{{{{text}}}}} is not understood: allowed are {{{{.A.B}}}}, {{{{json .A.B}}}} and {{{{index .A \"B\"}}}}, where A and B are keys of the JSON"
    )
}

impl Template {
    /// What stands at the head of a table of such lines: the names of the keys.
    pub fn head(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Index { behind, .. } => behind.last().map(|key| key.to_uppercase()).unwrap_or_default(),
            Piece::Path { keys, .. } => keys.last().map(|key| key.to_uppercase()).unwrap_or_default(),
        };
        self.0.iter().map(piece).collect()
    }

    /// The text for a document.
    pub fn render(&self, document: &Value) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text += piece,
                Piece::Index { keys, behind } => match behind.iter().try_fold(find(document, keys)?, part) {
                    Some(Value::String(value)) => text += value,
                    Some(Value::Null) | None => {}
                    Some(value) => text += &value.to_string(),
                },
                Piece::Path { keys, json } => match (find(document, keys)?, json) {
                    (Value::String(value), false) => text += value,
                    (Value::Null, false) => text += "<no value>",
                    (value, _) => text += &value.to_string(),
                },
            }
        }
        Ok(text)
    }
}

/// A part of a value, if it has it: keys are taken as they are written.
fn part<'a>(value: &'a Value, key: &String) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key),
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn find<'a>(document: &'a Value, keys: &[String]) -> Result<&'a Value, String> {
    let mut at = document;
    for key in keys {
        at = match at {
            Value::Object(map) => match map.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
                Some((_, value)) => value,
                None => {
                    let known: Vec<&str> = map.keys().map(String::as_str).collect();
                    return Err(format!("there is no {key:?} in .{}: there are {}", keys.join("."), known.join(", ")));
                }
            },
            Value::Array(list) => {
                let value = key.parse::<usize>().ok().and_then(|place| list.get(place));
                value.ok_or_else(|| {
                    format!("there is no {key:?} in .{}: a number below {} is meant", keys.join("."), list.len())
                })?
            }
            Value::Null => at,
            _ => return Err(format!("there is no {key:?} in .{}: it has no parts", keys.join("."))),
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, String> {
        let document = serde_json::json!({
            "Id": "sha256:1", "Config": {"Cmd": ["a", "b"], "User": null}, "RootFS": {"Layers": ["x", "y"]}, "Size": 7
        });
        template.parse::<Template>()?.render(&document)
    }

    #[test]
    fn renders_paths() {
        let check =
            |template: &str, expected: &str| assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
        check("{{.Id}}", "sha256:1");
        check("{{ .Id }} {{.Size}}!", "sha256:1 7!");
        check("{{.Config.Cmd}}", r#"["a","b"]"#);
        check("{{json .Id}}", r#""sha256:1""#);
        check("{{.RootFS.Layers.1}}", "y");
        check("{{.rootfs.layers.0}}", "x");
        check("{{.Config.User}}", "<no value>");
        check("{{json .Config.User}}", "null");
        check("plain", "plain");
        check("{{index .Config.Cmd 1}}|{{ index .RootFS \"Layers\" 0 }}|{{index .RootFS `No`}}", "b|x|");
        check("{{json .}}", &render("{{.}}").unwrap());
    }

    #[test]
    fn lists_are_tables_json_or_templates() {
        let check = |text: &str, expected: Option<ListFormat>| assert_eq!(text.parse().ok(), expected, "{text}");
        check("table", Some(ListFormat::Table));
        check("json", Some(ListFormat::Json));
        check("{{.ID}}", Some(ListFormat::Lines("{{.ID}}".parse().unwrap())));
        check("table {{.ID}}\\t{{.Tag}}", Some(ListFormat::Columns("{{.ID}}\t{{.Tag}}".parse().unwrap())));
        assert_eq!("{{.Id}}\t{{json .Config.User}}".parse::<Template>().unwrap().head(), "ID\tUSER");
        for bad in ["", "yaml", "table x", "table {{.ID", "{{.ID"] {
            check(bad, None);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |template: &str, expected: &str| {
            let error = render(template).unwrap_err();
            assert!(error.contains(expected), "{template}: {error}");
        };
        check("{{.Id", "not closed");
        check("{{range .Config.Cmd}}", "is not understood");
        check("{{.Config.Cmd | len}}", "is not understood");
        check("{{index .Config.Cmd x}}", "is not understood");
        check("{{index .Nope 1}}", "there are Config");
        check("{{.Nope}}", "there are Config, Id, RootFS, Size");
        check("{{.RootFS.Layers.2}}", "a number below 2");
        check("{{.Id.x}}", "has no parts");
    }
}
