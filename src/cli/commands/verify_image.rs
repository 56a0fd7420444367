//! `imgbuild verify-image`: who signed an image, and whether it is whole.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::{TextFormat, json_pretty, with_progress};
use crate::cli::args::progress::ProgressArgs;
use crate::cli::library::{network, trust};
use crate::cli::{Session, error};
use crate::digest::Digest;
use crate::ops::verify_image::{Checked, CheckedKind, Outcome, Verdict, VerifyImage, verify_image};
use crate::ops::{Error, ImageName};
use crate::trust::Identity;

/// Look who signed an image, and whether it is whole
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild verify-image --key release.pub registry.example/app:1.0
      an image of the store; its signatures are in the store or in its registry
  imgbuild verify-image --key release.pub --deep docker://registry.example/app:1.0
      an image in a registry, with all that it holds
  imgbuild verify-image --key debian.pub --signed-as docker.io/library/debian docker://mirror.example/debian:12
      a copy, which is signed as what it was copied from

Images are named as in the store, or by a place: docker://NAME, oci:FOLDER, oci-archive:FILE, docker-archive:FILE.
Exit codes: 0 signed and whole, 1 it is not.")]
pub struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The file of a public key that may have signed it
    #[arg(short, long = "key", value_name = "FILE", required = true)]
    pub keys: Vec<PathBuf>,
    /// The repository that the signature must name, or any [default: the image's own]
    #[arg(long, value_name = "NAME", value_parser = Identity::parse)]
    pub signed_as: Option<Identity>,
    /// Fetch layers that are not here, to see whether they are what they should be
    #[arg(long)]
    pub deep: bool,
    /// Ask no registry
    #[arg(long)]
    pub offline: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: TextFormat,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Verifies, and says what was found.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let image: ImageName = args.image.parse().map_err(Error::Usage)?;
    if args.offline && matches!(image, ImageName::Elsewhere(crate::ops::Place::Registry(_), _)) {
        return Err(Error::Usage("--offline forbids to look at an image in a registry".into()));
    }
    let keys = args.keys.iter().map(|path| trust::public_key(path)).collect::<Result<Vec<_>, _>>()?;
    let verified = with_progress(args.progress, session, true, |progress| {
        let store = Arc::new(session.open_store()?);
        let registries = network::registries(session)?;
        let identity = args.signed_as.clone().unwrap_or_default();
        let request =
            VerifyImage { image: &image, keys: &keys, identity: &identity, deep: args.deep, offline: args.offline };
        verify_image(&store, &registries, request, &*progress.reporter())
    });
    let found = match verified {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    session.print(match args.format {
        TextFormat::Text => text(&args.image, &found),
        TextFormat::Json => json_pretty(&Document::of(&args.image, &found))?,
    })?;
    Ok(if found.holds() { error::OK } else { error::BUILD_FAILED })
}

const KINDS: [(CheckedKind, &str); 5] = [
    (CheckedKind::Signature, "signature"),
    (CheckedKind::Manifest, "manifest"),
    (CheckedKind::Config, "config"),
    (CheckedKind::Layer, "layer"),
    (CheckedKind::Statement, "statement"),
];

fn name_of(kind: CheckedKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

/// A line for each kind of thing that is all right; each thing that is not has a line of its own.
fn text(image: &str, found: &Verdict) -> String {
    let mut out = format!("{image}  {}\n", found.digest);
    for (kind, name) in KINDS {
        let checks: Vec<&Checked> = found.checks.iter().filter(|check| check.kind == kind).collect();
        let quiet = checks.iter().filter(|check| check.outcome == Outcome::Verified(String::new())).count();
        if quiet > 0 {
            let noun = if quiet == 1 { "is what its digest says" } else { "are what their digests say" };
            out += &format!("  {name:<11}{quiet} {noun}\n");
        }
        for check in checks {
            out += &match &check.outcome {
                Outcome::Verified(detail) if detail.is_empty() => continue,
                Outcome::Verified(detail) => format!("  {name:<11}{detail}\n"),
                Outcome::Failed(reason) => format!("  {name:<11}WRONG: {} {reason}\n", check.digest.short()),
                Outcome::Skipped(reason) => format!("  {name:<11}{} not looked at: {reason}\n", check.digest.short()),
            };
        }
    }
    out += if found.holds() { "verified\n" } else { "NOT verified\n" };
    // What others wrote must not write to the terminal.
    out.replace(|c: char| c.is_control() && c != '\n', "?")
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    digest: Digest,
    verified: bool,
    checks: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    check: &'static str,
    digest: Digest,
    /// `verified`, `failed` or `skipped`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl<'a> Document<'a> {
    fn of(image: &'a str, found: &'a Verdict) -> Self {
        let row = |check: &'a Checked| {
            let (outcome, detail) = match &check.outcome {
                Outcome::Verified(detail) => ("verified", detail.as_str()),
                Outcome::Failed(reason) => ("failed", reason.as_str()),
                Outcome::Skipped(reason) => ("skipped", *reason),
            };
            Row { check: name_of(check.kind), digest: check.digest, outcome, detail }
        };
        Self { image, digest: found.digest, verified: found.holds(), checks: found.checks.iter().map(row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_found() {
        let digest = Digest::of(b"x");
        let checked = |kind, outcome| Checked { kind, digest, outcome };
        let fine = || Outcome::Verified(String::new());
        let mut found = Verdict {
            digest,
            checks: vec![
                checked(CheckedKind::Signature, Outcome::Verified("by a.pub, as h.x/a:1".into())),
                checked(CheckedKind::Manifest, fine()),
                checked(CheckedKind::Layer, fine()),
                checked(CheckedKind::Layer, fine()),
                checked(CheckedKind::Layer, Outcome::Skipped("--deep fetches it to see")),
            ],
        };
        let expected = format!(
            "a  {digest}\n  signature  by a.pub, as h.x/a:1\n  manifest   1 is what its digest says\n  \
             layer      2 are what their digests say\n  layer      {} not looked at: --deep fetches it to see\nverified\n",
            digest.short()
        );
        assert_eq!(text("a", &found), expected);
        found.checks.push(checked(CheckedKind::Statement, Outcome::Failed("it lies\x1b".into())));
        let said = text("a", &found);
        let expected = format!("  statement  WRONG: {} it lies?\nNOT verified\n", digest.short());
        assert!(said.ends_with(&expected), "{said}");
        let json = serde_json::to_value(Document::of("a", &found)).unwrap();
        assert_eq!(json["verified"], false);
        assert_eq!(
            json["checks"][1],
            serde_json::json!({"check": "manifest", "digest": digest, "outcome": "verified"})
        );
    }
}
