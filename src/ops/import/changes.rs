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
        Diagnostics::new("--change", text, list)
    })
}

fn lower(text: &str, platform: &Platform) -> Result<ImageConfig, Vec<Diagnostic>> {
    let parsed = dockerfile::parse(text);
    let Some(file) = parsed.dockerfile else { return Err(parsed.diagnostics) };
    let stages = file.stages.iter().skip(1).map(|stage| &stage.head);
    let others = file.stages.iter().flat_map(|stage| &stage.instructions);
    let heads = stages.chain(others.filter(|instruction| !is_allowed(&instruction.kind)).map(|other| &other.head));
    let mut refused: Vec<Diagnostic> = heads
        .map(|head| {
            let keyword = head.keyword().to_uppercase();
            Diagnostic::error(head.keyword_span(), format!("`{keyword}` cannot change an image that is imported"))
                .help(format!("allowed are {ALLOWED}"))
        })
        .collect();
    if !refused.is_empty() {
        refused.sort_by_key(|diagnostic| diagnostic.annotations[0].span.start);
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
    matches!(
        kind,
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
            | Kind::Workdir(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ImageConfig, Diagnostics> {
        let changes: Vec<String> = changes.iter().map(|&change| change.into()).collect();
        apply(&changes, &"linux/arm64".parse().unwrap())
    }

    #[test]
    fn changes_everything_that_is_allowed() {
        let config = changed(&[
            "ENTRYPOINT [\"/bin/app\"]",
            "CMD serve",
            "env A=\"b c\"",
            "ENV D=${A}d",
            "EXPOSE 80 53/udp",
            "LABEL x.y=z",
            "USER nobody",
            "VOLUME /data",
            "WORKDIR /srv",
            "WORKDIR www",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --retries=3 CMD true",
            "ONBUILD RUN make",
            "# a remark",
        ])
        .unwrap();
        assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", "arm64"));
        let expected = serde_json::json!({
            "User": "nobody",
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b c", "D=b cd"],
            "Entrypoint": ["/bin/app"],
            "Cmd": ["/bin/sh", "-c", "serve"],
            "Volumes": {"/data": {}},
            "WorkingDir": "/srv/www",
            "Labels": {"x.y": "z"},
            "StopSignal": "SIGINT",
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Retries": 3},
            "OnBuild": ["RUN make"],
        });
        assert_eq!(serde_json::to_value(&config.config).unwrap(), expected);
    }

    #[test]
    fn points_into_the_changes() {
        let check = |changes: &[&str], place: &str, message: &str| {
            let found = changed(changes).unwrap_err();
            let diagnostic = &found.list[0];
            assert_eq!(&found.text[diagnostic.annotations[0].span.clone()], place);
            assert!(diagnostic.message.contains(message), "{}", diagnostic.message);
        };
        check(&["CMD sh", "RUN make"], "RUN", "`RUN` cannot change");
        check(&["FROM busybox AS x", "COPY a b"], "FROM", "`FROM` cannot change");
        check(&["ARG A", "ENV B"], "B", "ENV");
        check(&["CMD sh", "FORM x"], "FORM", "FORM");
        check(&["STOPSIGNAL nothing"], "nothing", "signal");
        check(&["EXPOSE 1000000"], "1000000", "1000000");
    }
}
