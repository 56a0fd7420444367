//! Values as TOML text. Our own few lines, because the order of keys and the look of steps matter here.

use crate::frontend::steps::{Shape, Stage, shape_of, shape_of_base};
use crate::frontend::toml::{key, string};

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
