//! `--change`: instructions of a Dockerfile that change only the configuration.
//!
//! They are what would stand below `FROM scratch`, so the front end reads them. Messages point into the instructions as
//! they were given, one after the other on lines of their own.

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::{self, CheckOptions, Kind, Lowered, Options, Resolved};
use crate::graph::Graph;
use crate::oci::{ImageConfig, Platform};
use crate::ops::error::Diagnostics;

/// What the instructions stand below.
const START: &str = "FROM scratch\n";
/// What may be changed.
const ALLOWED: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR";

/// The configuration that these instructions give.
pub(super) fn apply(changes: &[String], platform: &Platform) -> Result<ImageConfig, Diagnostics> {
    let text = changes.join("\n");
    lower(&format!("{START}{text}\n"), platform).map_err(|mut list| {
        for annotation in list.iter_mut().flat_map(|diagnostic| &mut diagnostic.annotations) {
            let place = |at: usize| at.saturating_sub(START.len()).min(text.len());
            annotation.span = place(annotation.span.start)..place(annotation.span.end);
        }
        Diagnostics { name: "--change".into(), text, list }
    })
}

fn lower(text: &str, platform: &Platform) -> Result<ImageConfig, Vec<Diagnostic>> {
    let parsed = dockerfile::parse(text);
    let Some(file) = parsed.dockerfile else { return Err(parsed.diagnostics) };
    let stages = file.stages.iter().skip(1).map(|stage| &stage.head);
    let others = file.stages.iter().flat_map(|stage| &stage.instructions);
    let heads = stages.chain(others.filter(|instruction| !is_allowed(&instruction.kind)).map(|other| &other.head));
    let refused: Vec<Diagnostic> = heads
        .map(|head| {
            let keyword = head.keyword.value.to_uppercase();
            Diagnostic::error(head.keyword.span.clone(), format!("`{keyword}` cannot change an image that is imported"))
                .help(format!("allowed are {ALLOWED}"))
        })
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let options = Options {
        platform: Some(platform.clone()),
        check: Some(CheckOptions { skip_all: true, ..CheckOptions::default() }),
        ..Options::new("--change", platform.clone())
    };
    match dockerfile::lower(&file, &options, &Resolved::default(), &mut Graph::default())? {
        Lowered::Done(build) => Ok(build.config),
        // Nothing that is allowed refers to anything.
        Lowered::Needs(_) => Err(vec![Diagnostic::error(0..0, "a change cannot refer to an image or a URL")]),
    }
}

fn is_allowed(kind: &Kind) -> bool {
    match kind {
        Kind::Cmd(_)
        | Kind::Entrypoint(_)
        | Kind::Env(_)
        | Kind::Expose(_)
        | Kind::Healthcheck(_)
        | Kind::Label(_)
        | Kind::Onbuild(_)
        | Kind::Stopsignal(_)
        | Kind::User(_)
        | Kind::Volume(_)
        | Kind::Workdir(_) => true,
        _ => false,
    }
}
