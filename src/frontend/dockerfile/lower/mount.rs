//! The fields of `RUN --mount`, from left to right: what a key means may depend on the type named before it.

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::Word;
use crate::frontend::dockerfile::parse::fields;
use crate::frontend::dockerfile::suggest::nearest;
use crate::graph::Sharing;

/// The kinds of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum MountType {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

const TYPES: [(&str, MountType); 5] = [
    ("bind", MountType::Bind),
    ("cache", MountType::Cache),
    ("tmpfs", MountType::Tmpfs),
    ("secret", MountType::Secret),
    ("ssh", MountType::Ssh),
];

const SHARING: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

/// A mount as it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MountSpec {
    pub kind: MountType,
    pub from: String,
    pub source: String,
    pub target: String,
    pub readonly: bool,
    pub size: Option<u64>,
    pub id: String,
    pub sharing: Option<Sharing>,
    pub required: bool,
    pub env: Option<String>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Who may do what with what is mounted, where it was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Access {
    /// Whether anything was said.
    pub(super) fn any(&self) -> bool {
        self.mode.or(self.uid).or(self.gid).is_some()
    }
}

/// Reads a mount; `expand` gives variables in values.
pub(super) fn parse(
    word: &Word,
    expand: &mut dyn FnMut(&str) -> Result<String, Diagnostic>,
) -> Result<MountSpec, Diagnostic> {
    let error = |message: String| Diagnostic::error(word.span.clone(), message);
    let mut spec = MountSpec::default();
    let mut readonly = None;
    for field in fields(&word.value).map_err(|reason| error(format!("`--mount` cannot be read: {reason}")))? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(expand(value)?)),
            None => (field.to_lowercase(), None),
        };
        let flag = matches!(key.as_str(), "readonly" | "ro" | "readwrite" | "rw" | "required");
        let value = match value {
            Some(value) => value,
            None if flag => "true".into(),
            None => {
                let error = error(format!("`{field}` of a mount is no key=value pair"));
                return Err(match nearest(&key, KEYS) {
                    Some(meant) => error.help(format!("did you mean `{meant}=…`?")),
                    None => error,
                });
            }
        };
        let bad = |what: &str| error(format!("`{value}` is no {what}, in `{field}` of a mount"));
        let misplaced = || {
            let kind = TYPES.iter().find(|(_, kind)| *kind == spec.kind).map_or("", |(name, _)| name);
            error(format!("a mount of type `{kind}` has no `{key}`")).help("name the type first: `type=…`")
        };
        match key.as_str() {
            "type" => {
                let lower = value.to_lowercase();
                let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == lower) else {
                    let names = TYPES.map(|(name, _)| name);
                    return Err(choice(bad("type of mounts"), &lower, &names));
                };
                spec.kind = *kind;
            }
            "from" => spec.from = value,
            "source" | "src" => spec.source = value,
            "target" | "dst" | "destination" => spec.target = value,
            "readonly" | "ro" => readonly = Some(boolean(&value).ok_or_else(|| bad("boolean"))?),
            "readwrite" | "rw" => readonly = Some(!boolean(&value).ok_or_else(|| bad("boolean"))?),
            "required" if matches!(spec.kind, MountType::Secret | MountType::Ssh) => {
                spec.required = boolean(&value).ok_or_else(|| bad("boolean"))?;
            }
            "size" if spec.kind == MountType::Tmpfs => {
                spec.size = Some(bytes(&value).ok_or_else(|| bad("size").help("write bytes, or 64m or 1g"))?);
            }
            "required" | "size" => return Err(misplaced()),
            "id" => spec.id = value,
            "sharing" => {
                let lower = value.to_lowercase();
                let Some((_, sharing)) = SHARING.iter().find(|(name, _)| *name == lower) else {
                    return Err(choice(bad("way to share"), &lower, &SHARING.map(|(name, _)| name)));
                };
                spec.sharing = Some(*sharing);
            }
            "mode" => spec.mode = Some(number(&value, 8).ok_or_else(|| bad("mode").help("write octal digits"))?),
            "uid" => spec.uid = Some(number(&value, 10).ok_or_else(|| bad("user").help("write the user's number"))?),
            "gid" => spec.gid = Some(number(&value, 10).ok_or_else(|| bad("group").help("write the group's number"))?),
            "env" => spec.env = Some(value),
            _ => return Err(choice(error(format!("`{key}` is no key of a mount")), &key, &KEYS)),
        }
    }
    spec.readonly = readonly.unwrap_or(!matches!(spec.kind, MountType::Cache | MountType::Tmpfs));
    check(&spec).map_err(error)?;
    Ok(spec)
}

fn check(spec: &MountSpec) -> Result<(), String> {
    if matches!(spec.kind, MountType::Bind | MountType::Tmpfs) {
        for (key, given) in [("mode", spec.mode.is_some()), ("uid", spec.uid.is_some()), ("gid", spec.gid.is_some())] {
            if given {
                return Err(format!("`{key}` is for mounts of type cache, secret and ssh"));
            }
        }
    }
    if spec.sharing.is_some() && spec.kind != MountType::Cache {
        return Err("`sharing` is for mounts of type cache".into());
    }
    if spec.kind == MountType::Secret {
        if !spec.from.is_empty() {
            return Err("a secret does not come `from` a stage".into());
        }
        if spec.source.is_empty() && spec.target.is_empty() && spec.id.is_empty() {
            return Err("a secret needs an `id` or a `target`".into());
        }
        if !spec.source.is_empty() && !spec.id.is_empty() {
            return Err("`source` and `id` of a secret are the same thing: remove one".into());
        }
    }
    Ok(())
}

fn choice(error: Diagnostic, word: &str, options: &[&str]) -> Diagnostic {
    match nearest(word, options.iter().copied()) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error.help(format!("it can be {}", options.join(", "))),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn number(text: &str, radix: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| u32::from_str_radix(text, radix).ok()).flatten()
}

/// A size such as `64m`, `1.5g` or `1024`: units are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let end = lower.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |at| at + 1);
    let (digits, unit) = lower.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let exponent = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    let bytes = value * 1024_f64.powi(exponent);
    // Far above all memory there is, and still exact.
    (bytes < 2_f64.powi(62)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MountSpec, String> {
        let word = Word::new(text.into(), 0..text.len());
        parse(&word, &mut |value| Ok(value.to_owned())).map_err(|error| error.message)
    }

    #[test]
    fn reads_mounts() {
        let bind = read("source=a,target=/b,rw").unwrap();
        assert_eq!((bind.kind, bind.source.as_str(), bind.readonly), (MountType::Bind, "a", false));
        let cache = read("type=cache,dst=/c,sharing=Locked,mode=0700,uid=5").unwrap();
        assert_eq!((cache.sharing, cache.mode, cache.uid), (Some(Sharing::Locked), Some(0o700), Some(5)));
        let secret = read("type=secret,id=x,required,env=Y").unwrap();
        assert!(secret.required && secret.env.as_deref() == Some("Y"));
        assert_eq!(read("type=tmpfs,target=/t,size=1.5k").unwrap().size, Some(1536));
    }

    #[test]
    fn refuses_nonsense() {
        for text in [
            "type=volume,target=/m",
            "tarrget=/m",
            "target",
            "size=1m,type=tmpfs",
            "type=tmpfs,size=lots",
            "type=cache,sharing=public",
            "type=bind,mode=0700",
            "type=secret",
            "type=secret,id=a,from=b",
            "type=secret,id=a,source=b",
            "type=secret,id=a,uid=root",
            "type=secret,id=a,sharing=shared",
            "required,type=secret",
            "rw=maybe",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, expected) in [("0", 0), ("64m", 64 << 20), ("1GiB", 1 << 30), ("2 kb", 2048)] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1e30", "9999999p"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
