//! The text of a lockfile. Reading goes through serde, for its positions in errors; writing is our own, for its order.
//!
//! [`Lockfile::rows`] is the one list of what an entry consists of: what is written and what is compared come from it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{LockError, LockKey, LockedHttp, LockedImage, LockedOutput, Lockfile, VERSION, time};
use crate::digest::{DiffId, Digest};
use crate::graph::DefinitionDigest;
use crate::oci::Platform;

const HEADER: &str = "\
# What the build takes from outside, pinned so that it comes out the same every time.
# Written by imgbuild. Commit this file; renew what is pinned with `imgbuild update`.
";

/// An entry as it is written: what it is about, and its fields.
pub(super) struct Row {
    pub(super) key: LockKey,
    pub(super) fields: Vec<(&'static str, Field)>,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Text(String),
    Number(u64),
    Time(i64),
    List(Vec<String>),
}

impl Lockfile {
    /// All entries, in the order of the file.
    pub(super) fn rows(&self) -> Vec<Row> {
        let text = |value: &dyn fmt::Display| Field::Text(value.to_string());
        let mut rows = Vec::new();
        for ((reference, platform), image) in &self.images {
            let LockedImage { index, manifest, config } = image;
            let mut fields = Vec::new();
            fields.extend(index.map(|index| ("index", text(&index))));
            fields.extend([("manifest", text(manifest)), ("config", text(config))]);
            let key = LockKey::Image { reference: reference.clone(), platform: platform.clone() };
            rows.push(Row { key, fields });
        }
        for (url, file) in &self.http {
            let LockedHttp { sha256, size, last_modified } = file;
            let mut fields = vec![("sha256", Field::Text(sha256.hex())), ("size", Field::Number(*size))];
            fields.extend(last_modified.map(|time| ("last-modified", Field::Time(time))));
            rows.push(Row { key: LockKey::Http { url: url.clone() }, fields });
        }
        for ((url, reference), commit) in &self.git {
            let key = LockKey::Git { url: url.clone(), reference: reference.clone() };
            rows.push(Row { key, fields: vec![("commit", text(commit))] });
        }
        for ((name, platform), definition) in &self.targets {
            let key = LockKey::Target { name: name.clone(), platform: platform.clone() };
            rows.push(Row { key, fields: vec![("definition", text(definition))] });
        }
        for ((target, platform), output) in &self.outputs {
            let LockedOutput { manifest, layers, definition } = output;
            let layers = Field::List(layers.iter().map(ToString::to_string).collect());
            let key = LockKey::Output { target: target.clone(), platform: platform.clone() };
            let mut fields: Vec<_> = definition.iter().map(|definition| ("definition", text(definition))).collect();
            fields.extend([("manifest", text(manifest)), ("layers", layers)]);
            rows.push(Row { key, fields });
        }
        rows
    }
}

/// The name of a key's table, and the fields that make the key.
fn head(key: &LockKey) -> (&'static str, [(&'static str, Option<String>); 2]) {
    let some = |text: &dyn fmt::Display| Some(text.to_string());
    // The only target of a Dockerfile has no name, and none is made up for it.
    let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
    match key {
        LockKey::Image { reference, platform } => {
            ("image", [("reference", some(reference)), ("platform", some(platform))])
        }
        LockKey::Http { url } => ("http", [("url", some(url)), ("", None)]),
        LockKey::Git { url, reference } => ("git", [("url", some(url)), ("ref", some(reference))]),
        LockKey::Target { name, platform } => ("target", [("name", named(name)), ("platform", some(platform))]),
        LockKey::Output { target, platform } => ("output", [("target", named(target)), ("platform", some(platform))]),
    }
}

pub(super) fn write(lock: &Lockfile, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "{HEADER}\nversion = {VERSION}\n")?;
    for Row { key, fields } in lock.rows() {
        let (table, head) = head(&key);
        write!(out, "\n[[{table}]]\n")?;
        let head = head.into_iter().filter_map(|(name, value)| Some((name, Field::Text(value?))));
        for (name, value) in head.chain(fields) {
            writeln!(out, "{name} = {value}")?;
        }
    }
    Ok(())
}

/// As TOML.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quote(text, f),
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(seconds) => f.write_str(&time::format(*seconds)),
            Self::List(items) if items.is_empty() => f.write_str("[]"),
            Self::List(items) => {
                f.write_str("[\n")?;
                for item in items {
                    f.write_str("    ")?;
                    quote(item, f)?;
                    f.write_str(",\n")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Writes a basic string (TOML 1.0, "String").
fn quote(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() => write!(out, "\\u{:04X}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

#[derive(Deserialize)]
struct AnyVersion {
    version: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: i64,
    #[serde(default)]
    image: Vec<Image>,
    #[serde(default)]
    http: Vec<Http>,
    #[serde(default)]
    git: Vec<Git>,
    #[serde(default)]
    target: Vec<Target>,
    #[serde(default)]
    output: Vec<Output>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Image {
    #[schemars(with = "String")]
    reference: Spanned<String>,
    #[schemars(with = "String")]
    platform: Spanned<String>,
    #[schemars(with = "Option<String>")]
    index: Option<Digest>,
    #[schemars(with = "String")]
    manifest: Digest,
    #[schemars(with = "String")]
    config: Digest,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Http {
    #[schemars(with = "String")]
    url: Spanned<String>,
    #[schemars(with = "String")]
    sha256: Spanned<String>,
    size: u64,
    #[schemars(with = "Option<String>")]
    last_modified: Option<Spanned<toml::value::Datetime>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Git {
    #[schemars(with = "String")]
    url: Spanned<String>,
    r#ref: String,
    #[schemars(with = "String")]
    commit: Spanned<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Target {
    #[schemars(with = "Option<String>")]
    name: Option<Spanned<String>>,
    #[schemars(with = "String")]
    platform: Spanned<String>,
    #[schemars(with = "String")]
    definition: DefinitionDigest,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Output {
    #[schemars(with = "Option<String>")]
    target: Option<Spanned<String>>,
    #[schemars(with = "String")]
    platform: Spanned<String>,
    #[schemars(with = "Option<String>")]
    definition: Option<DefinitionDigest>,
    #[schemars(with = "String")]
    manifest: Digest,
    #[schemars(with = "Vec<String>")]
    layers: Vec<DiffId>,
}

/// The JSON Schema of the file.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(File)
}

pub(super) fn parse(text: &str) -> Result<Lockfile, LockError> {
    let reader = Reader { text };
    if let Some(at) = conflict(text) {
        let help = "it has conflict markers of a merge: delete the markers and, of what is between them, one side or what is double, then run `imgbuild lock`";
        return Err(reader.error(at, help));
    }
    // The version first: what else a newer format has cannot be judged.
    let found: AnyVersion = toml::from_str(text).map_err(|error| reader.toml(&error))?;
    let Some(version) = found.version else {
        return Err(reader.error(0..0, format!("it has no version; this imgbuild writes version = {VERSION}")));
    };
    if version.get_ref().as_integer() != Some(VERSION) {
        let message = format!(
            "it has version {}, but this imgbuild knows version {VERSION} only; use a newer imgbuild, or delete the file and lock again",
            version.get_ref()
        );
        return Err(reader.error(version.span(), message));
    }
    let file: File = toml::from_str(text).map_err(|error| reader.toml(&error))?;
    reader.lockfile(file)
}

/// Turns what serde read into a lockfile, with positions for errors.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn lockfile(&self, file: File) -> Result<Lockfile, LockError> {
        let mut lock = Lockfile::default();
        for Image { reference, platform, index, manifest, config } in file.image {
            let key = (reference.get_ref().clone(), self.platform(&platform)?);
            let image = LockedImage { index, manifest, config };
            self.insert(&mut lock.images, key, image, reference.span())?;
        }
        for Http { url, sha256, size, last_modified } in file.http {
            let digest =
                Digest::from_hex(sha256.get_ref()).map_err(|error| self.error(sha256.span(), error.to_string()))?;
            let time = |time: Spanned<toml::value::Datetime>| {
                let help = "it must be a time in UTC with whole seconds, such as 1980-01-01T00:00:00Z";
                time::parse(time.get_ref()).ok_or_else(|| self.error(time.span(), help))
            };
            let last_modified = last_modified.map(time).transpose()?;
            let file = LockedHttp { sha256: digest, size, last_modified };
            self.insert(&mut lock.http, url.get_ref().clone(), file, url.span())?;
        }
        for Git { url, r#ref, commit } in file.git {
            let text = commit.get_ref();
            let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !hex || !matches!(text.len(), 40 | 64) {
                return Err(self.error(commit.span(), "a commit has 40 or 64 digits, 0-9 and a-f"));
            }
            self.insert(&mut lock.git, (url.get_ref().clone(), r#ref), commit.get_ref().clone(), url.span())?;
        }
        for Target { name, platform, definition } in file.target {
            let span = name.as_ref().map_or_else(|| platform.span(), Spanned::span);
            let key = (name.map(Spanned::into_inner).unwrap_or_default(), self.platform(&platform)?);
            self.insert(&mut lock.targets, key, definition, span)?;
        }
        for Output { target, platform, definition, manifest, layers } in file.output {
            let span = target.as_ref().map_or_else(|| platform.span(), Spanned::span);
            let key = (target.map(Spanned::into_inner).unwrap_or_default(), self.platform(&platform)?);
            self.insert(&mut lock.outputs, key, LockedOutput { manifest, layers, definition }, span)?;
        }
        Ok(lock)
    }

    fn platform(&self, text: &Spanned<String>) -> Result<Platform, LockError> {
        text.get_ref()
            .parse()
            .map_err(|error: crate::oci::ParsePlatformError| self.error(text.span(), error.to_string()))
    }

    fn insert<K: Ord, V>(
        &self,
        map: &mut BTreeMap<K, V>,
        key: K,
        value: V,
        span: Range<usize>,
    ) -> Result<(), LockError> {
        match map.insert(key, value) {
            None => Ok(()),
            Some(_) => {
                let what = self.text.get(span.clone()).unwrap_or_default();
                Err(self.error(span, format!("{what} is pinned twice; delete one of the entries")))
            }
        }
    }

    fn toml(&self, error: &toml::de::Error) -> LockError {
        self.error(error.span().unwrap_or_default(), error.message().trim_end())
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> LockError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        LockError { message: message.into(), line: before.matches('\n').count() + 1, span }
    }
}

/// The first conflict marker that a merge left.
fn conflict(text: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("<<<<<<< ") {
            return Some(start..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}
