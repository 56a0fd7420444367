//! `--change`: instructions of a Dockerfile that change only the configuration.
//!
//! They are what would stand below `FROM scratch`, so the front end reads them. Messages point into the instructions as
//! they were given, one after the other on lines of their own.

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::{self, CheckOptions, Kind, Lowered, Options, Resolved};
use crate::graph::Graph;
use crate::oci::{ContainerConfig, ImageConfig, Platform};
use crate::ops::error::Diagnostics;

/// What the instructions stand below.
const START: &str = "FROM scratch\n";
/// What may be changed.
const ALLOWED: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR";

/// The configuration that these instructions give.
pub(in crate::ops) fn apply(changes: &[String], platform: &Platform) -> Result<ImageConfig, Diagnostics> {
    apply_below(START, changes, platform)
}

/// The configuration that these instructions make of another.
pub(in crate::ops) fn apply_to(
    changes: &[String],
    platform: &Platform,
    base: &ContainerConfig,
) -> Result<ContainerConfig, Diagnostics> {
    if changes.is_empty() {
        return Ok(base.clone());
    }
    // Instructions can refer to variables and the working folder of what they stand below.
    let mut start = START.to_owned();
    for pair in base.env.iter().filter(|pair| !pair.contains(['\n', '\r'])) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        start += &format!("ENV {name}=\"{value}\"\n");
    }
    if !base.working_dir.is_empty() {
        start += &format!("WORKDIR {}\n", base.working_dir.replace('$', "\\$"));
    }
    let changed = apply_below(&start, changes, platform)?.config;
    let mut config = base.clone();
    for pair in changed.env {
        let name = pair.split('=').next().unwrap_or_default();
        match config.env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
            Some(known) => *known = pair,
            // Every stage has a path, which the base may do without.
            None if name == "PATH" && !changes.iter().any(|change| change.contains("PATH")) => {}
            None => config.env.push(pair),
        }
    }
    let keep = |new: String, old: &mut String| {
        if !new.is_empty() {
            *old = new
        }
    };
    keep(changed.user, &mut config.user);
    keep(changed.working_dir, &mut config.working_dir);
    if changed.entrypoint.is_some() {
        // As in a Dockerfile: the arguments of another program would make no sense.
        (config.entrypoint, config.cmd) = (changed.entrypoint, None);
    }
    config.cmd = changed.cmd.or(config.cmd);
    config.exposed_ports.extend(changed.exposed_ports);
    config.volumes.extend(changed.volumes);
    config.labels.extend(changed.labels);
    config.stop_signal = changed.stop_signal.or(config.stop_signal);
    config.healthcheck = changed.healthcheck.or(config.healthcheck);
    config.on_build.extend(changed.on_build);
    Ok(config)
}

fn apply_below(start: &str, changes: &[String], platform: &Platform) -> Result<ImageConfig, Diagnostics> {
    let text = changes.join("\n");
    lower(&format!("{start}{text}\n"), platform).map_err(|mut list| {
        for annotation in list.iter_mut().flat_map(|diagnostic| &mut diagnostic.annotations) {
            let place = |at: usize| at.saturating_sub(start.len()).min(text.len());
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
    fn changes_what_is_there() {
        let base = ContainerConfig {
            env: vec!["A=1 \"$x\"".into(), "B=2".into()],
            working_dir: "/srv".into(),
            entrypoint: Some(vec!["/app".into()]),
            cmd: Some(vec!["old".into()]),
            ..ContainerConfig::default()
        };
        let platform = "linux/amd64".parse().unwrap();
        let change = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|&change| change.into()).collect();
            apply_to(&changes, &platform, &base).unwrap()
        };
        assert_eq!(change(&[]), base);
        let changed = change(&["ENV B=${A}!", "WORKDIR www", "CMD [\"new\"]", "LABEL k=v"]);
        assert_eq!(changed.env, ["A=1 \"$x\"", "B=1 \"$x\"!"]);
        assert_eq!((changed.working_dir.as_str(), changed.cmd), ("/srv/www", Some(vec!["new".into()])));
        assert_eq!((changed.entrypoint, changed.labels["k"].as_str()), (base.entrypoint.clone(), "v"));
        let changed = change(&["ENTRYPOINT [\"/other\"]"]);
        assert_eq!((changed.entrypoint, changed.cmd), (Some(vec!["/other".into()]), None));
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
