//! Values as TOML text. Our own few lines, because the order of keys and the look of steps matter here.

use crate::frontend::steps::{Shape, Stage, shape_of, shape_of_base};

/// A stage as the keys of a table.
pub(super) fn stage(stage: &Stage) -> String {
    let mut text = format!("from = {}\n", value(&shape_of_base(&stage.base)));
    if !stage.steps.is_empty() {
        text.push_str("steps = [\n");
        for step in &stage.steps {
            text.push_str(&format!("    {},\n", value(&shape_of(&step.instruction))));
        }
        text.push_str("]\n");
    }
    text
}

/// A value on one line. A `${` is one of the image and not of the build file.
pub(super) fn value(shape: &Shape) -> String {
    match shape {
        Shape::Text(text) => string(&text.replace("${", "$${")),
        Shape::Flag(flag) => flag.to_string(),
        Shape::List(list) => format!("[{}]", list.iter().map(value).collect::<Vec<_>>().join(", ")),
        Shape::Table(table) => {
            let pairs: Vec<String> =
                table.iter().map(|(name, shape)| format!("{} = {}", key(name), value(shape))).collect();
            if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
    }
}

/// A key, in quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { string(name) }
}

/// A basic string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
