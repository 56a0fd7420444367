//! Secrets, agents, outputs and what else is a list of things with attributes: from the attributes to the thing.

use std::collections::BTreeMap;

use super::attributes;
use super::target::{Output, Secret, Ssh};

/// The attributes of an entry, expanded.
pub(super) type Fields = BTreeMap<String, Vec<String>>;

/// Makes a path of the file that an entry is in one from the folder of the first file.
pub(super) type Locate<'a> = dyn Fn(String) -> String + 'a;

/// Takes one attribute with one value.
fn take(fields: &mut Fields, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name).as_deref() {
        None => Ok(None),
        Some([value]) => Ok(Some(value.clone())),
        Some(_) => Err(format!("`{name}` is there more than once")),
    }
}

/// Fails if attributes are left.
fn nothing_else(fields: &Fields, known: &str) -> Result<(), String> {
    fields.keys().next().map_or(Ok(()), |other| Err(format!("`{other}` is not known here: use {known}")))
}

pub(super) fn secret(mut fields: Fields, locate: &Locate<'_>) -> Result<Secret, String> {
    let source = take(&mut fields, "source")?;
    let kind = take(&mut fields, "type")?;
    let mut secret = Secret {
        id: take(&mut fields, "id")?.filter(|id| !id.is_empty()).ok_or("a secret without an `id`")?,
        src: take(&mut fields, "src")?.or(source),
        env: take(&mut fields, "env")?,
    };
    nothing_else(&fields, "`id`, `src` and `env`")?;
    match kind.as_deref() {
        None | Some("file") => {}
        Some("env") => secret.env = secret.env.take().or_else(|| secret.src.take()),
        Some(other) => return Err(format!("`{other}` is no type of secret: use `file` or `env`")),
    }
    if secret.src.is_some() && secret.env.is_some() {
        return Err(format!("the secret `{}` has both `src` and `env`", secret.id));
    }
    secret.src = secret.src.map(locate);
    Ok(secret)
}

/// As a table, or as on the command line: `default`, `id=path` or `id=path,path`.
pub(super) fn ssh(mut fields: Fields, locate: &Locate<'_>) -> Result<Ssh, String> {
    let locate = |paths: Vec<String>| paths.into_iter().map(locate).collect();
    if let Some(id) = take(&mut fields, "id")? {
        let paths = fields.remove("paths").unwrap_or_default();
        nothing_else(&fields, "`id` and `paths`")?;
        return if id.is_empty() {
            Err("an agent without an `id`".into())
        } else {
            Ok(Ssh { id, paths: locate(paths) })
        };
    }
    let more = fields.remove("").unwrap_or_default();
    let mut named = fields.into_iter();
    match (named.next(), named.next()) {
        (Some((id, mut paths)), None) => {
            paths.extend(more);
            Ok(Ssh { id, paths: locate(paths) })
        }
        (None, None) if more.len() == 1 => Ok(Ssh { id: more.concat(), paths: Vec::new() }),
        _ => Err("write an agent as `default`, `id=socket` or `id=key,key`".into()),
    }
}

/// The attributes of a line. Fields without a name are under the empty one.
pub(super) fn written(line: &str) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for field in attributes::fields(line)? {
        let (name, value) = field.split_once('=').unwrap_or(("", &field));
        fields.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(fields)
}

/// A path alone is a folder to write to; `-` is standard output.
pub(super) fn output(mut fields: Fields, locate: &Locate<'_>) -> Result<Output, String> {
    if let Some(mut paths) = fields.remove("") {
        return match (paths.pop(), paths.is_empty() && fields.is_empty()) {
            (Some(path), true) if !path.is_empty() => {
                let (kind, path) = if path == "-" { ("tar", path) } else { ("local", locate(path)) };
                Ok(Output { attributes: [("type".into(), kind.into()), ("dest".into(), path)].into() })
            }
            _ => Err("write an output as `type=NAME,dest=PATH`, or as one path".into()),
        };
    }
    let mut output = plain(fields, "an output")?;
    if let Some(path) = output.attributes.get_mut("dest")
        && !matches!(path.as_str(), "" | "-")
    {
        *path = locate(std::mem::take(path));
    }
    Ok(output)
}

/// An image alone is a cache in a registry.
pub(super) fn cache(mut fields: Fields, locate: &Locate<'_>) -> Result<Output, String> {
    if let Some(references) = fields.remove("") {
        return match (references.as_slice(), fields.is_empty()) {
            ([reference], true) if !reference.is_empty() => {
                let attributes = [("type", "registry"), ("ref", reference)];
                Ok(Output { attributes: attributes.map(|(name, value)| (name.into(), value.to_owned())).into() })
            }
            _ => Err("write a cache as `type=registry,ref=NAME`, or as one name of an image".into()),
        };
    }
    let mut cache = plain(fields, "a cache")?;
    for name in ["src", "dest"] {
        if let Some(path) = cache.attributes.get_mut(name) {
            *path = locate(std::mem::take(path));
        }
    }
    Ok(cache)
}

/// An attestation.
pub(super) fn attestation(fields: Fields, _: &Locate<'_>) -> Result<Output, String> {
    let attestation = plain(fields, "an attestation")?;
    match attestation.attributes["type"].as_str() {
        "provenance" | "sbom" => Ok(attestation),
        other => Err(format!("`{other}` is no attestation: use `provenance` or `sbom`")),
    }
}

/// Attributes of which one is the `type`.
fn plain(mut fields: Fields, what: &str) -> Result<Output, String> {
    let mut attributes = BTreeMap::new();
    for name in fields.keys().cloned().collect::<Vec<_>>() {
        attributes.extend(take(&mut fields, &name)?.map(|value| (name, value)));
    }
    if attributes.get("type").is_none_or(String::is_empty) {
        return Err(format!("{what} without a `type`"));
    }
    Ok(Output { attributes })
}
