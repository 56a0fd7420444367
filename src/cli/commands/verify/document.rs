//! What `verify` found, for programs. The names are part of the interface: `docs/lockfile.md` explains them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::commands::differences;
use crate::ops::verify::{Expectation, FileFinding, Finding, Part, VerifiedImage, VerifyReport};

/// The whole.
#[derive(Serialize)]
pub struct Document {
    reproducible: bool,
    expected: &'static str,
    images: Vec<Image>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    target: String,
    platform: String,
    reproducible: bool,
    was: String,
    is: String,
    definition_changed: bool,
    differences: Vec<Value>,
}

impl Document {
    /// The same as data.
    pub fn of(report: &VerifyReport) -> Self {
        Self {
            reproducible: report.is_good(),
            expected: match report.expectation {
                Expectation::Recorded => "recorded",
                Expectation::SecondBuild => "second-build",
            },
            images: report.images.iter().map(image).collect(),
        }
    }
}

fn image(image: &VerifiedImage) -> Image {
    Image {
        target: image.target.clone(),
        platform: image.platform.to_string(),
        reproducible: image.was == image.is,
        was: image.was.to_string(),
        is: image.is.to_string(),
        definition_changed: image.definition_changed,
        differences: image.findings.iter().map(finding).collect(),
    }
}

fn finding(finding: &Finding) -> Value {
    match finding {
        Finding::Layers(was, is) => json!({"kind": "layers", "was": was, "is": is}),
        Finding::Layer(layer) => json!({
            "kind": "layer",
            "layer": part(&layer.part),
            "was": layer.was,
            "is": layer.is,
            "files": layer.files.as_ref().map(|files| files.iter().map(file).collect::<Vec<_>>()),
        }),
        Finding::Compression { part: of, was, is } => {
            json!({"kind": "compression", "layer": part(of), "was": was, "is": is})
        }
        Finding::Config(field) => json!({"kind": "config", "path": field.path, "was": field.was, "is": field.is}),
        Finding::History(field) => json!({"kind": "history", "path": field.path, "was": field.was, "is": field.is}),
        Finding::Manifest(field) => {
            let kind = if field.path.starts_with("annotations") { "annotation" } else { "manifest" };
            json!({"kind": kind, "path": field.path, "was": field.was, "is": field.is})
        }
        Finding::OnlyDigest => json!({"kind": "unknown"}),
    }
}

fn part(part: &Part) -> Value {
    let (file, line) = part.place.as_ref().map(|(file, line)| (file, line)).unzip();
    json!({"number": part.number, "instruction": part.instruction, "file": file, "line": line})
}

fn file(found: &FileFinding) -> Value {
    let mut value = differences::value(&found.difference.change);
    value["path"] = json!(found.difference.path.to_string());
    if let Some(scrub) = found.scrub {
        value["scrub"] = json!(scrub.name());
    }
    if let Some(spot) = &found.spot {
        value["offset"] = json!(spot.offset);
        if let Some((line, was, is)) = &spot.line {
            value["line"] = json!(line);
            value["was"]["text"] = json!(was);
            value["is"]["text"] = json!(is);
        }
    }
    value
}
