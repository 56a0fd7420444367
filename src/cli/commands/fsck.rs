//! `imgbuild fsck`: whether everything in the store is whole.

use std::path::Path;

use serde::Serialize;

use super::{Format, json_line};
use crate::cli::{Session, error, human};
use crate::oci::Reference;
use crate::ops::Error;
use crate::ops::fsck::{Checked, Finding, Subject, fsck, repair};
use crate::store::StoreError;

/// Look whether everything in the store is whole, and remove what is not
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild fsck                         compare sizes, read manifests, configurations and records
  imgbuild fsck --deep                  hash every blob and every file of unpacked layers as well
  imgbuild fsck --deep --repair         remove what is broken, so that the next build makes it again
  imgbuild fsck --format json           one JSON object on each line

Exit code 1 says that something was found and not removed.")]
pub struct Args {
    /// Hash everything
    #[arg(long)]
    pub deep: bool,
    /// Remove what is broken; an image that is whole stays, and what a running container needs
    #[arg(long)]
    pub repair: bool,
    /// With --repair: wait until no other imgbuild uses the store
    #[arg(long, requires = "repair")]
    pub wait: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    kind: &'static str,
    name: String,
    problem: String,
    removed: bool,
    in_use: bool,
    lost: Option<&'static str>,
}

/// Looks, with `--repair` removes, and says what.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let mut store = session.open_store()?;
    let checked = if args.repair {
        repair(&mut store, args.deep, args.wait).map_err(|error| match error {
            StoreError::Busy { .. } => Error::from(error).help("--wait waits for it; nothing was removed"),
            error => error.into(),
        })?
    } else {
        fsck(&store, args.deep)?
    };
    session.print(match args.format {
        Format::Json => {
            let lines = checked.findings.iter().map(|finding| json_line(&line(&checked, finding, args.repair)));
            lines.collect::<Result<String, Error>>()?
        }
        Format::Table => render(&checked, args.repair),
    })?;
    let left = if args.repair { checked.in_use.len() } else { checked.findings.len() };
    Ok(if left == 0 { error::OK } else { error::BUILD_FAILED })
}

fn line(checked: &Checked, finding: &Finding, repaired: bool) -> Line {
    let (kind, name) = match &finding.subject {
        Subject::Index => ("index", "index.json".into()),
        Subject::Image(names, digest) if names.is_empty() => ("image", digest.to_string()),
        Subject::Image(names, _) => ("image", names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ")),
        Subject::Blob(digest) => ("blob", digest.to_string()),
        Subject::Record(key) => ("record", key.hex()),
        Subject::Layer(id) => ("layer", id.to_string()),
        Subject::Container(folder) => ("container", name_of(folder)),
        Subject::Scene(folder) => ("failed step", name_of(folder)),
        Subject::Mount(path) => ("cache mount", path.display().to_string()),
        Subject::Context(path) => ("context", name_of(path)),
        Subject::Build(name) => ("build record", name.clone()),
        Subject::BuildObject(key) => ("build record", key.hex()),
        Subject::Temporary(path) => ("leftover", path.display().to_string()),
    };
    let in_use = checked.in_use.contains(&finding.subject);
    Line { kind, name, problem: finding.flaw.to_string(), removed: repaired && !in_use, in_use, lost: finding.lost() }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn render(checked: &Checked, repaired: bool) -> String {
    let mut text = String::new();
    for finding in &checked.findings {
        let Line { kind, name, problem, lost, removed, in_use } = line(checked, finding, repaired);
        text += &format!("{kind} {name}: {problem}\n");
        if in_use {
            text += "  left: it is in use; end the container or shell, and repair again\n";
        }
        if let (Some(lost), true) = (lost, removed) {
            text += &format!("  lost: {lost}\n");
        }
    }
    let counts = [
        (checked.images, "image"),
        (checked.blobs, "blob"),
        (checked.records, "record"),
        (checked.layers, "unpacked layer"),
        (checked.containers, "container"),
        (checked.scenes, "failed step"),
        (checked.mounts, "cache mount"),
        (checked.contexts, "context"),
        (checked.builds, "build record"),
    ];
    // Of what is rare, only what there is.
    let counts: Vec<String> = (0..)
        .zip(counts)
        .filter(|(place, (number, _))| *place < 4 || *number > 0)
        .map(|(_, (number, word))| human::count(number, word))
        .collect();
    let counts = counts.join(", ");
    let left = checked.in_use.len();
    let found = match (checked.findings.len(), repaired) {
        (0, _) => "nothing is wrong".into(),
        (number, true) if left > 0 => {
            format!("{} removed, {left} left, since something uses it", human::count(number - left, "problem"))
        }
        (number, true) => format!("{} removed", human::count(number, "problem")),
        (number, false) => {
            format!("{}; `imgbuild fsck --repair` removes what is broken", human::count(number, "problem"))
        }
    };
    text + &format!("Checked {counts}: {found}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{CacheKey, Digest};
    use crate::store::Flaw;

    #[test]
    fn says_what_was_found() {
        let digest = Digest::of(b"x");
        let needs = Flaw::Needs { digest, flaw: Box::new(Flaw::Missing) };
        let findings = vec![
            Finding { subject: Subject::Image(vec!["a".parse().unwrap()], digest), flaw: needs },
            Finding { subject: Subject::Record(CacheKey::from_bytes([0; 32])), flaw: Flaw::Content },
        ];
        let mut checked = Checked { images: 1, blobs: 2, records: 1, findings, ..Checked::default() };
        let zeros = "0".repeat(64);
        let found = format!(
            "image a:latest: it needs {digest}: it is missing\nrecord {zeros}: its content is not what its name says\n\
             Checked 1 image, 2 blobs, 1 record, 0 unpacked layers: 2 problems; `imgbuild fsck --repair` removes what is broken\n"
        );
        assert_eq!(render(&checked, false), found);
        assert!(render(&checked, true).contains("  lost: the image; build, pull or load it again\n"));
        checked.in_use.push(checked.findings[0].subject.clone());
        let said = render(&checked, true);
        assert!(said.contains("  left: it is in use;") && !said.contains("lost:"), "{said}");
        assert!(said.ends_with(": 1 problem removed, 1 left, since something uses it\n"), "{said}");
        (checked.findings, checked.in_use) = (Vec::new(), Vec::new());
        checked.containers = 2;
        let found = "Checked 1 image, 2 blobs, 1 record, 0 unpacked layers, 2 containers: nothing is wrong\n";
        assert_eq!(render(&checked, true), found);
    }
}
