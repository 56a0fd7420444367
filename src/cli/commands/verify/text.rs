//! What `verify` found, for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cli::commands::differences::{self, cut};
use crate::cli::human::count;
use crate::cli::progress::clean;
use crate::digest::Digest;
use crate::fstree::compare::{Change, Spot};
use crate::oci::compare::FieldDifference;
use crate::ops::verify::{Expectation, FileFinding, Finding, LayerFinding, Part, VerifiedImage, VerifyReport};

/// How many files of one layer are listed.
const MOST: usize = 50;

/// All of it.
pub fn render(report: &VerifyReport) -> String {
    let mut out = String::new();
    for image in &report.images {
        one(report.expectation, image, &mut out);
    }
    out
}

fn one(expectation: Expectation, image: &VerifiedImage, out: &mut String) {
    let name = match image.target.is_empty() {
        true => image.platform.to_string(),
        false => format!("{} ({})", image.target, image.platform),
    };
    let (same, other) = match expectation {
        Expectation::Recorded => ("as recorded", "recorded was"),
        Expectation::SecondBuild => ("the same twice", "the first build made"),
    };
    if image.was == image.is {
        let _ = writeln!(out, "{name}: {same}, {}", image.is);
        return;
    }
    let _ = writeln!(out, "{name}: differs: {}, {other} {}", short(&image.is), short(&image.was));
    if image.definition_changed {
        let _ = writeln!(
            out,
            "  its definition is another one than it was recorded with, in the files or by flags and variables"
        );
    }
    for finding in &image.findings {
        match finding {
            Finding::Layers(was, is) => {
                let _ = writeln!(out, "  {} instead of {was}", count(*is, "layer"));
            }
            Finding::Layer(layer) => one_layer(layer, out),
            Finding::Compression { part, was, is } => {
                let _ = writeln!(out, "  {}", heading(part));
                let _ = writeln!(out, "    compression: the same layer as {}, was {}", short(is), short(was));
            }
            Finding::Config(field) => one_field("configuration", field, out),
            Finding::History(field) => one_field("configuration", field, out),
            Finding::Manifest(field) => one_field("manifest", field, out),
            Finding::OnlyDigest => {
                let _ = writeln!(out, "  the layers are the same; of the rest only the digest is known");
            }
        }
    }
    let files = image.findings.iter().filter_map(|finding| match finding {
        Finding::Layer(layer) => layer.files.as_ref(),
        _ => None,
    });
    let helped: Vec<&str> = files.flatten().filter_map(|file| Some(file.scrub?.name())).collect();
    let names: BTreeSet<&str> = helped.iter().copied().collect();
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        let of = count(helped.len(), "difference");
        let _ = writeln!(out, "  help: --scrub {} would take {of} away", names.join(","));
    }
}

fn one_layer(layer: &LayerFinding, out: &mut String) {
    let _ = writeln!(out, "  {}", heading(&layer.part));
    let Some(files) = &layer.files else {
        let _ = writeln!(
            out,
            "    was {}, is {}: the store has it no more, so only its digest is known",
            layer.was, layer.is
        );
        return;
    };
    for file in files.iter().take(MOST) {
        let _ = writeln!(out, "    {}", one_file(file));
    }
    if files.len() > MOST {
        let _ = writeln!(out, "    … and {} more; --format json lists all", files.len() - MOST);
    }
}

/// Such as `layer 2, RUN make (Dockerfile:4)`.
fn heading(part: &Part) -> String {
    let words: Vec<&str> = part.instruction.split_whitespace().filter(|word| *word != "\\").collect();
    let instruction = cut(&clean(words.join(" ").as_bytes(), false));
    let place = part.place.as_ref().map(|(file, line)| format!(" ({file}:{line})")).unwrap_or_default();
    format!("layer {}, {instruction}{place}", part.number)
}

fn one_file(file: &FileFinding) -> String {
    let path = clean(file.difference.path.to_string().as_bytes(), false);
    match &file.difference.change {
        Change::Content(was, is) => format!("{path}: content: {}", content(*was, *is, file.spot.as_ref())),
        Change::Order if file.difference.path.is_root() => "order: the same entries, written in another way".to_owned(),
        change => format!("{path}: {}", differences::words(change)),
    }
}

fn content(was: u64, is: u64, spot: Option<&Spot>) -> String {
    let size = if was == is { String::new() } else { format!("{is} bytes, was {was}; ") };
    match spot {
        None => format!("{size}differs"),
        Some(Spot { offset, line: None }) => format!("{size}differs from byte {offset} on"),
        Some(Spot { offset, line: Some((line, was, is)) }) => {
            format!("{size}line {line} (byte {offset}) is {:?}, was {:?}", cut(is), cut(was))
        }
    }
}

fn one_field(of: &str, field: &FieldDifference, out: &mut String) {
    let _ = writeln!(out, "  {of}: {}", differences::field(field));
}

fn short(digest: &Digest) -> String {
    format!("{}{}…", Digest::PREFIX, digest.short())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::DiffId;
    use crate::fstree::TreePath;
    use crate::fstree::compare::Difference;

    fn file(path: &str, change: Change, spot: Option<Spot>) -> FileFinding {
        FileFinding { difference: Difference { path: TreePath::clean(path), change }, spot, scrub: None }
    }

    #[test]
    fn says_what_differs() {
        let spot = |line| Some(Spot { offset: 7, line });
        let files = vec![
            file("a", Change::Content(8, 9), spot(Some((2, "old".into(), "n\u{1b}w".into())))),
            file("b", Change::Content(8, 8), spot(None)),
            file("c", Change::Mode(0o644, 0o4755), None),
            file("d", Change::Time(0, 315_532_800), None),
            file("e", Change::Xattr(b"user.x".to_vec(), None, Some(vec![1, 255])), None),
            file("f", Change::Hardlink(None, Some(TreePath::clean("a"))), None),
        ];
        let part = |number| Part { number, instruction: "RUN a \\\n  b".into(), place: Some(("Dockerfile".into(), 3)) };
        let [was, is] = [1, 2].map(|byte| DiffId::from_bytes([byte; 32]));
        let field = FieldDifference { path: "config.Env[1]".into(), was: None, is: Some(json!("A=1")) };
        let [old, new] = [Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32])];
        let image = |findings| VerifiedImage {
            target: "web".into(),
            platform: "linux/amd64".parse().unwrap(),
            was: old,
            is: new,
            definition_changed: false,
            findings,
        };
        let report = VerifyReport {
            expectation: Expectation::Recorded,
            images: vec![
                VerifiedImage { was: new, target: String::new(), ..image(Vec::new()) },
                image(vec![
                    Finding::Layer(LayerFinding { part: part(2), was, is, files: Some(files) }),
                    Finding::Layer(LayerFinding { part: part(3), was, is, files: None }),
                    Finding::Compression { part: part(4), was: old, is: new },
                    Finding::Config(field),
                ]),
            ],
        };
        let [ones, twos] = ["01", "02"].map(|byte| byte.repeat(32));
        let expected = format!(
            r#"linux/amd64: as recorded, sha256:{twos}
web (linux/amd64): differs: sha256:020202020202…, recorded was sha256:010101010101…
  layer 2, RUN a b (Dockerfile:3)
    /a: content: 9 bytes, was 8; line 2 (byte 7) is "n\u{{1b}}w", was "old"
    /b: content: differs from byte 7 on
    /c: mode: 4755, was 0644
    /d: time: 1980-01-01T00:00:00Z, was 1970-01-01T00:00:00Z
    /e: xattr user.x: 01ff, was none
    /f: hard link: another name of /a, was a file of its own
  layer 3, RUN a b (Dockerfile:3)
    was sha256:{ones}, is sha256:{twos}: the store has it no more, so only its digest is known
  layer 4, RUN a b (Dockerfile:3)
    compression: the same layer as sha256:020202020202…, was sha256:010101010101…
  configuration: config.Env[1]: "A=1", was not there
"#
        );
        assert_eq!(render(&report), expected);
    }
}
