//! Differences between layers and documents in words and as data: the same for `verify` and `diff`.

use serde_json::{Value, json};

use crate::cli::progress::clean;
use crate::export::rfc3339;
use crate::fstree::TreePath;
use crate::fstree::compare::Change;
use crate::oci::compare::FieldDifference;

/// How much of a value is shown, in characters.
const VALUE: usize = 120;

/// What differs at a path, such as `mode: 4755, was 0644`.
pub(super) fn words(change: &Change) -> String {
    let bytes = |value: &[u8]| clean(String::from_utf8_lossy(value).as_bytes(), false);
    let value = |value: &Option<Vec<u8>>| match value {
        None => "none".to_owned(),
        Some(value) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    match change {
        Change::Added => "added".to_owned(),
        Change::Removed => "removed".to_owned(),
        Change::Kind(was, is) => format!("kind: a {is}, was a {was}"),
        Change::Content(was, is) if was == is => format!("content: {is} bytes, as before"),
        Change::Content(was, is) => format!("content: {is} bytes, was {was}"),
        Change::Mode(was, is) => format!("mode: {is:04o}, was {was:04o}"),
        Change::Owner(was, is) => format!("owner: {}:{}, was {}:{}", is.0, is.1, was.0, was.1),
        Change::Time(was, is) => format!("time: {}, was {}", rfc3339(*is), rfc3339(*was)),
        Change::Xattr(name, was, is) => format!("xattr {}: {}, was {}", bytes(name), value(is), value(was)),
        Change::Target(was, is) => format!("link target: {}, was {}", bytes(is), bytes(was)),
        Change::Device(was, is) => format!("device: {}:{}, was {}:{}", is.0, is.1, was.0, was.1),
        Change::Hardlink(was, is) => {
            let name = |first: &Option<TreePath>| match first {
                Some(first) => format!("another name of {}", clean(first.to_string().as_bytes(), false)),
                None => "a file of its own".to_owned(),
            };
            format!("hard link: {}, was {}", name(is), name(was))
        }
        Change::Opaque(_, true) => "hides what is below it".to_owned(),
        Change::Opaque(_, false) => "does not hide what is below it any more".to_owned(),
        Change::Order => "order: it comes at another place in the layer".to_owned(),
    }
}

/// The same for programs: `kind`, and what it was and is.
pub(super) fn value(change: &Change) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let hex = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let mut value = json!({"kind": change.word().replace(' ', "-")});
    let (was, is) = match change {
        Change::Added | Change::Removed | Change::Order => return value,
        Change::Kind(was, is) => (json!(was), json!(is)),
        Change::Content(was, is) => (json!({"size": was}), json!({"size": is})),
        Change::Mode(was, is) => (json!(format!("{was:04o}")), json!(format!("{is:04o}"))),
        Change::Owner(was, is) | Change::Device(was, is) => {
            (json!(format!("{}:{}", was.0, was.1)), json!(format!("{}:{}", is.0, is.1)))
        }
        Change::Time(was, is) => (json!(was), json!(is)),
        Change::Xattr(name, was, is) => {
            value["name"] = json!(text(name));
            (json!(hex(was)), json!(hex(is)))
        }
        Change::Target(was, is) => (json!(text(was)), json!(text(is))),
        Change::Hardlink(was, is) => {
            (json!(was.as_ref().map(ToString::to_string)), json!(is.as_ref().map(ToString::to_string)))
        }
        Change::Opaque(was, is) => (json!(was), json!(is)),
    };
    value["was"] = was;
    value["is"] = is;
    value
}

/// A field that differs, such as `config.User: "app", was not there`.
pub(super) fn field(field: &FieldDifference) -> String {
    let value = |value: &Option<Value>| match value {
        None => "not there".to_owned(),
        Some(value) => cut(&value.to_string()),
    };
    format!("{}: {}, was {}", clean(field.path.as_bytes(), false), value(&field.is), value(&field.was))
}

/// The start of a long text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
