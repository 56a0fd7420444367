//! How two images differ, for people and for programs.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Args;
use crate::cli::commands::{Format, differences, json_pretty};
use crate::cli::human;
use crate::cli::library::network;
use crate::cli::progress::clean;
use crate::cli::{Session, error};
use crate::event::Silent;
use crate::fstree::compare::Change;
use crate::oci::Platform;
use crate::oci::compare::FieldDifference;
use crate::ops::diff::{DiffSide, FileDifference, ImageDiff, diff};
use crate::ops::{Error, ImageName, OpenedImage};

/// Compares and prints.
pub(super) fn run(args: &Args, second: &str, session: &Session) -> Result<u8, Error> {
    let store = Arc::new(session.open_store()?);
    let registries = Arc::new(network::registries(session)?);
    let open = |text: &str| {
        let name: ImageName = text.parse().map_err(Error::Usage)?;
        OpenedImage::open(&store, &registries, &name, args.platform.as_ref(), &Silent)
    };
    let (was, is) = (open(&args.first)?, open(second)?);
    let found = diff(&was, &is, &args.ignore.iter().map(|ignore| (*ignore).into()).collect())?;
    session.print(match args.format {
        Format::Table => text(&found, (&args.first, second)),
        Format::Json => json_pretty(&document(&found))?,
    })?;
    Ok(if args.exit_code && !found.is_empty() { error::BUILD_FAILED } else { error::OK })
}

/// The letter of a difference, as `diff` has it for containers.
fn letter(found: &FileDifference) -> char {
    match found.changes[..] {
        [Change::Added, ..] => 'A',
        [Change::Removed, ..] => 'D',
        _ => 'C',
    }
}

fn text(found: &ImageDiff, (was_name, is_name): (&str, &str)) -> String {
    let mut out = String::new();
    let ImageDiff { was, is, .. } = found;
    for (sign, name, side) in [('-', was_name, was), ('+', is_name, is)] {
        let name = clean(name.as_bytes(), false);
        let layers = human::count(side.layers.len(), "layer");
        let (files, stored) = (human::size(side.files), human::size(side.stored));
        let (id, platform) = (side.id.short(), &side.platform);
        let _ = writeln!(out, "{sign} {name} {id} {platform}: {layers}, {stored} stored, {files} of files");
    }
    if was.id == is.id {
        out += "These are the same image.\n";
    } else {
        let shared = found.shared_layers();
        let sizes = [("stored", was.stored, is.stored), ("of files", was.files, is.files)];
        let sizes = sizes.map(|(what, was, is)| format!("{} {what}", change_of_size(was, is))).join(", ");
        let _ = writeln!(out, "  {} shared; {sizes}", human::count(shared, "layer"));
    }
    let (new, gone) = found.platforms();
    for (platform, letter) in new.into_iter().map(|new| (new, 'A')).chain(gone.into_iter().map(|gone| (gone, 'D'))) {
        let _ = writeln!(out, "{letter} platform {platform}");
    }
    let parts = [("configuration", &found.config), ("configuration", &found.history), ("manifest", &found.annotations)];
    for (of, fields) in parts {
        for field in fields {
            let _ = writeln!(out, "C {of}: {}", differences::field(field));
        }
    }
    for file in &found.files {
        let path = clean(file.path.to_string().as_bytes(), false);
        let _ = match (letter(file), file.is.or(file.was)) {
            ('C', _) => {
                let words: Vec<String> = file.changes.iter().map(differences::words).collect();
                writeln!(out, "C {path}  {}", words.join("; "))
            }
            (letter, Some(size)) => writeln!(out, "{letter} {path}  {}", human::size(size)),
            (letter, None) => writeln!(out, "{letter} {path}"),
        };
    }
    let count = |wanted: char| found.files.iter().filter(|file| letter(file) == wanted).count();
    match found.is_empty() {
        true if was.id != is.id => out += "No differences: a container would see the same.\n",
        true => {}
        false => {
            let (added, changed, deleted) = (count('A'), count('C'), count('D'));
            let fields = found.config.len() + found.history.len() + found.annotations.len();
            let _ = writeln!(out, "Files: {added} added, {changed} changed, {deleted} deleted. Fields: {fields}.");
        }
    }
    out
}

/// Such as `+1.2kB`.
fn change_of_size(was: u64, is: u64) -> String {
    match is.checked_sub(was) {
        Some(more) => format!("+{}", human::size(more)),
        None => format!("-{}", human::size(was - is)),
    }
}

fn document(found: &ImageDiff) -> Value {
    let (new, gone) = found.platforms();
    let names = |platforms: Vec<&Platform>| platforms.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "same": found.is_empty(),
        "was": side(&found.was),
        "is": side(&found.is),
        "shared-layers": found.shared_layers(),
        "platforms": {"added": names(new), "removed": names(gone)},
        "config": fields(&found.config),
        "history": fields(&found.history),
        "annotations": fields(&found.annotations),
        "files": found.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn side(side: &DiffSide) -> Value {
    json!({
        "id": side.id,
        "platform": side.platform.to_string(),
        "layers": side.layers,
        "stored-size": side.stored,
        "files-size": side.files,
    })
}

fn fields(fields: &[FieldDifference]) -> Vec<Value> {
    fields.iter().map(|field| json!({"path": field.path, "was": field.was, "is": field.is})).collect()
}

fn file(found: &FileDifference) -> Value {
    json!({
        "change": letter(found).to_string(),
        "path": found.path.to_string(),
        "was-size": found.was,
        "is-size": found.is,
        "differences": found.changes.iter().map(differences::value).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{DiffId, Digest};
    use crate::fstree::TreePath;

    fn image(name: &str, layers: &[&str], stored: u64) -> DiffSide {
        DiffSide {
            id: Digest::of(name.as_bytes()),
            platform: "linux/amd64".parse().unwrap(),
            platforms: vec!["linux/amd64".parse().unwrap()],
            layers: layers.iter().map(|layer| DiffId::from_bytes(*Digest::of(layer.as_bytes()).as_bytes())).collect(),
            stored,
            files: 3000,
        }
    }

    #[test]
    fn says_what_differs() {
        let file = |path: &str, changes: Vec<Change>, was, is| FileDifference {
            path: TreePath::clean(path),
            changes,
            was,
            is,
        };
        let field = FieldDifference { path: "config.User".into(), was: None, is: Some(json!("app")) };
        let mut found = ImageDiff {
            was: image("a", &["1", "2"], 2000),
            is: image("b", &["1", "3", "4"], 1000),
            files: vec![
                file("etc/f\n", vec![Change::Content(1, 2), Change::Mode(0o644, 0o600)], Some(1), Some(2)),
                file("new", vec![Change::Added], None, Some(1200)),
                file("old", vec![Change::Removed], None, None),
            ],
            config: vec![field],
            history: Vec::new(),
            annotations: Vec::new(),
        };
        found.is.platforms.push("linux/arm64".parse().unwrap());
        let (a, b) = (found.was.id.short(), found.is.id.short());
        let expected = format!(
            "\
- a:1 {a} linux/amd64: 2 layers, 2kB stored, 3kB of files
+ a:2 {b} linux/amd64: 3 layers, 1kB stored, 3kB of files
  1 layer shared; -1kB stored, +0B of files
A platform linux/arm64
C configuration: config.User: \"app\", was not there
C /etc/f  content: 2 bytes, was 1; mode: 0600, was 0644
A /new  1.2kB
D /old
Files: 1 added, 1 changed, 1 deleted. Fields: 1.
"
        );
        let shown = text(&found, ("a:1", "a:2"));
        assert_eq!(shown, expected, "\n{shown}");
        let value = document(&found);
        assert_eq!(value["files"][0]["differences"][1], json!({"kind": "mode", "was": "0644", "is": "0600"}));
        assert_eq!((&value["same"], &value["platforms"]["added"][0]), (&json!(false), &json!("linux/arm64")));
    }
}
