//! Dockerfiles in, steps, configurations and messages out.

use super::*;
use crate::digest::{DiffId, Digest};
use crate::frontend::diagnostic::Severity;
use crate::frontend::dockerfile::parse::{Parsed, parse};
use crate::fstree::Scrub;
use crate::fstree::pattern::IgnoreList;
use crate::graph::{CopyAction, CopySource, ExecOp, FileAction, GitOp, LocalOp, MountKind, Network, Op, Owner, Unpack};

struct Setup {
    options: Options,
    resolved: Resolved,
    graph: Graph,
}

fn base(on_build: &[&str]) -> ResolvedImage {
    let mut config = ImageConfig { os: "linux".into(), architecture: "amd64".into(), ..ImageConfig::default() };
    config.config.env = vec!["PATH=/bin".into()];
    config.config.on_build = on_build.iter().map(ToString::to_string).collect();
    config.rootfs.diff_ids = vec![DiffId::from_bytes([7; 32])];
    ResolvedImage { reference: "base@sha256:0".into(), config }
}

fn setup() -> Setup {
    let options = Options::new("Dockerfile", "linux/amd64".parse().unwrap());
    let mut setup = Setup { options, resolved: Resolved::default(), graph: Graph::new() };
    setup.image("base", &[]);
    setup
}

impl Setup {
    fn image(&mut self, name: &str, on_build: &[&str]) {
        let key = (name.to_owned(), "linux/amd64".parse().unwrap());
        self.resolved.images.insert(key, base(on_build));
    }

    fn lower(&mut self, text: &str) -> Result<Lowered, Vec<Diagnostic>> {
        let file = parse(text).dockerfile.expect("it parses");
        lower(&file, &self.options, &self.resolved, &mut self.graph)
    }

    fn build(&mut self, text: &str) -> ImageBuild {
        match self.lower(text) {
            Ok(Lowered::Done(build)) => *build,
            other => panic!("{other:?}"),
        }
    }

    /// The messages of the errors with the bytes that each points at.
    fn errors<'t>(&mut self, text: &'t str) -> Vec<(String, &'t str)> {
        let found = self.lower(text).expect_err("it fails");
        let errors = found.iter().filter(|one| one.severity == Severity::Error);
        errors.map(|one| (one.message.clone(), &text[one.annotations[0].span.clone()])).collect()
    }

    fn exec(&mut self, text: &str) -> ExecOp {
        let step = self.build(text).step;
        match &self.graph[step].op {
            Op::Exec(exec) => (**exec).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn copies(&self, step: StepId) -> Vec<CopyAction> {
        let Op::File(file) = &self.graph[step].op else { panic!("{:?}", self.graph[step].op) };
        let copy = |action: &FileAction| match action {
            FileAction::Copy(copy) => (**copy).clone(),
            other => panic!("{other:?}"),
        };
        file.actions.iter().map(copy).collect()
    }
}

fn warnings(build: &ImageBuild) -> Vec<&str> {
    build.warnings.iter().filter_map(|warning| warning.rule).collect()
}

#[test]
fn a_run_sees_env_and_declared_arguments() {
    let mut setup = setup();
    setup.options.build_args.insert("GIVEN".into(), "g".into());
    setup.options.build_args.insert("http_proxy".into(), "http://p".into());
    setup.options.build_args.insert("BUILDKIT_SANDBOX_HOSTNAME".into(), "box".into());
    let exec = setup.exec("FROM base\nENV A=1\nARG GIVEN\nARG NONE\nUSER u:g\nWORKDIR /w//x/\nRUN make\n");
    let env: Vec<String> = exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["PATH=/bin", "A=1", "GIVEN=g"]);
    assert_eq!((exec.cwd.as_str(), exec.user.as_str(), exec.hostname.as_str()), ("/w/x", "u:g", "box"));
    assert_eq!(exec.args, ["/bin/sh", "-c", "make"]);
    let proxy = ["HTTP_PROXY", "http_proxy"].map(|name| (name.to_owned(), "http://p".to_owned()));
    assert_eq!(exec.proxy, proxy);
}

#[test]
fn options_and_comments_say_what_is_scrubbed() {
    let mut setup = setup();
    let scrubs = |setup: &mut Setup, text: &str| -> Vec<&str> {
        setup.exec(text).scrubs.iter().map(|scrub| scrub.name()).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(scrubs(&mut setup, "FROM base\n# imgbuild scrub=apt\nRUN x\n"), none);
    assert_eq!(scrubs(&mut setup, "# imgbuild builds this: a=b\n# imgbuilder scrub=x\nFROM base\nRUN x\n"), none);
    let text = "# syntax=docker/dockerfile:1\r\n#imgbuild scrub=shadow, apt\r\n#\n# More.\nARG A\n# imgbuild scrub=pip\nFROM base\nRUN x\n";
    assert_eq!(scrubs(&mut setup, text), ["apt", "pip", "shadow"]);
    let wrong = "# imgbuild scrub=apt, shadw\n# imgbuild scrubs=apt\nFROM base\n";
    let expected = [("`shadw` is no scrub", "shadw"), ("`scrubs` is nothing that can be set here", "scrubs=apt")];
    assert_eq!(setup.errors(wrong), expected.map(|(message, place)| (message.to_owned(), place)));
    setup.options.scrubs = [Scrub::Pip].into();
    assert_eq!(scrubs(&mut setup, "# imgbuild scrub=tmp\nFROM base\nRUN x\n"), ["pip", "tmp"]);
}

#[test]
fn what_is_not_seen_changes_no_key() {
    let mut setup = setup();
    let key = |setup: &mut Setup, text: &str| {
        let step = setup.build(text).step;
        setup.graph[step].definition
    };
    let plain = key(&mut setup, "FROM base\nRUN make\n");
    assert_eq!(plain, key(&mut setup, "FROM base AS other\nLABEL a=b\nEXPOSE 80\nCMD [\"x\"]\n# c\nRUN   make\n"));
    setup.options.build_args.insert("A".into(), "1".into());
    setup.options.build_args.insert("HTTPS_PROXY".into(), "http://p".into());
    assert_eq!(plain, key(&mut setup, "FROM base\nRUN make\n"));
    assert_ne!(plain, key(&mut setup, "FROM base\nARG A\nRUN make\n"));
    assert_ne!(plain, key(&mut setup, "FROM base\nENV A=1\nRUN make\n"));
}

#[test]
fn mounts() {
    let mut setup = setup();
    let exec = setup.exec(
        "FROM base AS one\nFROM base\nWORKDIR /w\nARG N=name\nRUN --mount=source=src,target=in \\\n --mount=from=one,target=/one,rw \\\n \
         --mount=type=cache,id=$N,target=c,sharing=locked --mount=type=cache,from=one,source=/x,target=/seeded \\\n \
         --mount=type=cache,from=one,uid=5,target=/own --mount=type=tmpfs,target=/t,size=1k \\\n \
         --mount=type=secret,id=s --mount=type=secret,id=e,env=E --mount=type=ssh make\n",
    );
    let kinds: Vec<(&str, &MountKind)> = exec.mounts.iter().map(|mount| (mount.target.as_str(), &mount.kind)).collect();
    assert!(matches!(kinds[0], ("/w/in", MountKind::Bind { input: 1, source, writable: false }) if source == "/src"));
    assert!(matches!(kinds[1], ("/one", MountKind::Bind { input: 2, source, writable: true }) if source == "/"));
    assert!(matches!(kinds[2], ("/w/c", MountKind::Cache { id, seed: None, mode: 0o755, .. }) if id == "name"));
    assert!(
        matches!(kinds[3], ("/seeded", MountKind::Cache { id, seed: Some((2, from)), .. }) if id == "/seeded" && from == "/x")
    );
    assert!(matches!(kinds[4], ("/own", MountKind::Cache { seed: None, uid: 5, .. })));
    assert!(matches!(kinds[5], ("/t", MountKind::Tmpfs { size: Some(1024) })));
    assert!(matches!(kinds[6], ("/run/secrets/s", MountKind::Secret(s)) if s.file && s.mode == 0o400 && !s.required));
    assert!(matches!(kinds[7], ("", MountKind::Secret(s)) if !s.file && s.env.as_deref() == Some("E")));
    assert!(matches!(kinds[8], ("/run/buildkit/ssh_agent.0", MountKind::Ssh(s)) if s.id == "default"));
    assert!(exec.env.contains(&("SSH_AUTH_SOCK".into(), "/run/buildkit/ssh_agent.0".into())));
}

#[test]
fn scripts_are_files() {
    let mut setup = setup();
    let exec = setup.exec("FROM base\nRUN <<-S\n\t#!/bin/x\n\tgo\n\tS\n");
    assert_eq!(exec.args, ["/bin/sh", "-c", "/dev/pipes/S"]);
    assert_eq!(exec.mounts[0].target, "/dev/pipes/S");
    let kind = MountKind::File { data: b"#!/bin/x\ngo\n".to_vec(), mode: 0o755 };
    assert_eq!(exec.mounts[0].kind, kind);
}

#[test]
fn copies() {
    let mut setup = setup();
    setup.options.context =
        ContextSource::Local { name: "ctx".into(), ignore: IgnoreList::new(vec!["x".into()]).unwrap().into() };
    let step = setup.build("FROM base\nWORKDIR /w\nENV D=d\nCOPY --chown=u:g --exclude=*.o ../a//b c*/ $D/\n").step;
    let copy = setup.copies(step).remove(0);
    let path = |path: &str, wildcard| CopySource::Path { input: 1, path: path.into(), wildcard };
    assert_eq!(copy.sources, [path("a/b", false), path("c*", true)]);
    assert_eq!((copy.dest.as_str(), copy.exclude), ("/w/d/", vec!["*.o".to_owned()]));
    assert_eq!(copy.owner, Some(Owner { user: "u".into(), group: Some("g".into()) }));
    let context = setup.graph.inputs(step)[1];
    assert_eq!(setup.graph[context].op, Op::Local(LocalOp { name: "ctx".into(), ignore: vec!["x".into()] }));
    assert!(matches!(setup.graph[setup.graph.inputs(step)[0]].op, Op::File(_)));
}

#[test]
fn link_does_not_look_below() {
    let mut setup = setup();
    let step = setup.build("FROM base\nCOPY --link a /b\n").step;
    assert_eq!(setup.graph[step].op, Op::Merge);
    let inputs = setup.graph.inputs(step);
    assert!(matches!(setup.graph[inputs[0]].op, Op::Image(_)));
    let below = setup.graph.inputs(inputs[1])[0];
    assert_eq!(setup.graph[below].op, Op::Scratch);
    let step = setup.build("FROM base\nCOPY --link --chmod=600 a /b\n").step;
    assert!(matches!(setup.graph[step].op, Op::File(_)), "a mode turns --link off");
}

#[test]
fn heredocs_in_copies() {
    let mut setup = setup();
    let step = setup.build("FROM scratch\nENV A=v\nCOPY a <<F <<'G' /d/\n$A \\$A \"q\nF\n$A\nG\n").step;
    let inline = |name: &str, data: &str| CopySource::Inline { name: name.into(), data: data.into() };
    let sources = setup.copies(step).remove(0).sources;
    assert_eq!(sources[1..], [inline("F", "v $A \"q\n"), inline("G", "$A\n")]);
}

#[test]
fn remote_sources_are_looked_up_first() {
    let mut setup = setup();
    let text = "FROM scratch\nENV V=1\nADD https://h/f-$V.tar local.tar /d/\nADD https://h/r.git#main:sub /g/\n";
    let Ok(Lowered::Needs(needs)) = setup.lower(text) else { panic!() };
    let url = "https://h/f-1.tar";
    assert!(
        matches!(&needs[0], Need::Http { url: found, span } if found == url && text[span.clone()] == *"https://h/f-$V.tar")
    );
    assert!(matches!(&needs[1], Need::Git { url, reference, .. } if url == "https://h/r.git" && reference == "main"));
    let digest = Digest::of(b"x");
    setup.resolved.http.insert(url.into(), ResolvedHttp { digest, modified: Some(5) });
    let commit = "c".repeat(40);
    setup.resolved.git.insert(("https://h/r.git".into(), "main".into()), ResolvedGit { commit: commit.clone() });
    let step = setup.build(text).step;
    let before = setup.graph.len();
    assert_eq!((setup.build(text).step, setup.graph.len()), (step, before), "a second time makes no new steps");

    let [_, git] = setup.graph.inputs(step)[..] else { panic!() };
    let expected =
        GitOp { url: "https://h/r.git".into(), commit, subdir: "sub".into(), keep_git_dir: false, submodules: true };
    assert_eq!(setup.graph[git].op, Op::Git(expected));
    let actions = setup.copies(setup.graph.inputs(step)[0]);
    let unpack: Vec<Unpack> = actions.iter().map(|action| action.unpack).collect();
    assert_eq!(unpack, [Unpack::Never, Unpack::Archives], "what is fetched is not unpacked");

    let wrong = format!("FROM scratch\nADD --checksum={} https://h/f-1.tar /\n", Digest::of(b"y"));
    assert!(setup.errors(&wrong)[0].0.starts_with("https://h/f-1.tar is not what was expected"));
}

#[test]
fn all_images_are_asked_for_at_once() {
    let mut setup = setup();
    let text = "FROM one AS a\nCOPY --from=two /x /\nFROM unused AS u\nFROM --platform=linux/arm64 three\n\
                COPY --from=a / /\nRUN --mount=from=four,target=/m true\n";
    let Ok(Lowered::Needs(needs)) = setup.lower(text) else { panic!() };
    let mut names: Vec<String> = needs
        .iter()
        .map(|need| match need {
            Need::Image { reference, platform, .. } => format!("{reference} {platform}"),
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort();
    assert_eq!(names, ["four linux/amd64", "one linux/amd64", "three linux/arm64", "two linux/amd64"]);
}

#[test]
fn triggers_fire_at_from() {
    let mut setup = setup();
    setup.image("framework", &["ENV A=1", "COPY --from=tools /t /t"]);
    let text = "FROM framework\nRUN x\n";
    let Ok(Lowered::Needs(needs)) = setup.lower(text) else { panic!() };
    assert!(matches!(&needs[..], [Need::Image { reference, .. }] if reference == "tools"));
    setup.image("tools", &["RUN is-not-run"]);
    let build = setup.build(text);
    assert!(build.config.config.on_build.is_empty());
    let history: Vec<&str> = build.config.history.iter().map(|entry| entry.created_by.as_str()).collect();
    assert_eq!(history, ["ENV A=1", "COPY /t /t # buildkit", "RUN /bin/sh -c x # buildkit"]);
    let copy = setup.graph.inputs(build.step)[0];
    let label = &setup.graph[copy].label;
    assert_eq!((label.text.as_str(), label.stage.as_str()), ("ONBUILD COPY --from=tools /t /t", "2/3"));
    setup.image("framework", &["STOPSIGNAL nonsense"]);
    assert_eq!(setup.errors(text), [("`nonsense` is no signal".to_owned(), "FROM framework")]);
}

#[test]
fn steps_are_called_as_people_know_them() {
    let mut setup = setup();
    let build =
        setup.build("FROM base AS build\nWORKDIR /w\nrun   a \\\n  && b\nFROM scratch\nCOPY --from=build /w /w\n");
    let inputs = setup.graph.inputs(build.step);
    let label = &setup.graph[inputs[1]].label;
    assert_eq!((label.text.as_str(), label.stage.as_str()), ("RUN a && b", "build 3/3"));
    let origin = label.origin.as_ref().unwrap();
    assert_eq!((origin.file.as_str(), origin.line), ("Dockerfile", 3));
    assert_eq!(setup.graph[build.step].label.stage, "stage-1 1/1");
    assert_eq!(build.stages, ["build", "stage-1"]);
}

#[test]
fn only_chosen_stages_run_again() {
    let mut setup = setup();
    setup.options.no_cache = NoCache::Stages(["Build".to_owned()].into());
    let build = setup.build("FROM base AS build\nRUN x\nFROM base\nRUN x\nCOPY --from=build / /\n");
    let no_cache: Vec<bool> =
        setup.graph.steps().filter(|(_, s)| matches!(s.op, Op::Exec(_))).map(|(_, s)| s.no_cache).collect();
    assert_eq!((no_cache, setup.graph[build.step].no_cache), (vec![true, false], false));
}

#[test]
fn privileges_need_permission() {
    let mut setup = setup();
    let host = "FROM base\nRUN --network=host x\n";
    let expected = "this step wants the host's network, which is not allowed";
    assert_eq!(setup.errors(host), [(expected.to_owned(), "--network=host")]);
    let insecure = "FROM base\nRUN --security=insecure x\n";
    assert_eq!(setup.errors(insecure)[0].1, "--security=insecure");
    setup.options.allow_host_network = true;
    setup.options.allow_insecure = true;
    assert_eq!(setup.exec(host).network, Network::Host);
    assert!(setup.exec(insecure).insecure);
}

#[test]
fn errors_of_all_stages_are_reported() {
    let mut setup = setup();
    let text =
        "FROM base AS one\nSTOPSIGNAL x\nEXPOSE 99999\nFROM base\nCOPY --from=one --chmod=9 /a /b\nVOLUME $NONE\n";
    let places: Vec<&str> = setup.errors(text).into_iter().map(|(_, place)| place).collect();
    assert_eq!(places, ["x", "99999", "--chmod=9", "$NONE"]);
}

#[test]
fn stages_that_do_not_exist() {
    let mut setup = setup();
    let later = setup.errors("FROM base AS one\nCOPY --from=late / /\nFROM base AS late\nFROM one\n");
    assert_eq!(later, [("stage `late` comes after stage `one`".to_owned(), "--from=late")]);
    let circle = setup.errors("FROM base AS one\nCOPY --from=two / /\nFROM base AS two\nCOPY --from=one / /\n");
    assert_eq!(circle, [("stages need each other: `one` → `two` → `one`".to_owned(), "--from=two")]);
    let itself = setup.errors("FROM base AS one\nCOPY --from=one / /\n");
    assert_eq!(itself, [("stage `one` needs itself".to_owned(), "--from=one")]);
    setup.options.target = Some("on".into());
    let found = setup.lower("FROM base AS one\n").unwrap_err();
    assert_eq!(found[0].help, ["did you mean `one`?"]);
}

#[test]
fn contexts_take_the_place_of_images_and_stages() {
    let mut setup = setup();
    let inner = setup.build("FROM base\nENV INNER=1\nONBUILD ENV FIRED=1\nRUN x\n");
    let source = ContextSource::State { step: inner.step, config: Box::new(inner.config) };
    setup.options.contexts.insert("docker.io/library/app:latest".into(), source);
    let outer = setup.build("FROM app\nRUN y\n");
    assert_eq!(setup.graph.inputs(outer.step), [inner.step]);
    assert_eq!(outer.config.config.env, ["PATH=/bin", "INNER=1", "FIRED=1"]);
    assert_eq!((outer.base_history, outer.config.history.len()), (2, 4));
}

#[test]
fn the_target_platform_is_the_images() {
    let mut setup = setup();
    setup.options.platform = Some("linux/arm64".parse().unwrap());
    let build =
        setup.build("FROM --platform=$BUILDPLATFORM base\nARG TARGETARCH BUILDARCH\nLABEL a=$TARGETARCH-$BUILDARCH\n");
    assert_eq!(build.platform.to_string(), "linux/arm64");
    assert_eq!(build.config.config.labels["a"], "arm64-amd64");
    assert_eq!(setup.graph[build.step].platform.to_string(), "linux/amd64");
}

#[test]
fn checks() {
    let mut setup = setup();
    setup.options.context = ContextSource::Local {
        name: "context".into(),
        ignore: IgnoreList::new(vec!["secret*".into()]).unwrap().into(),
    };
    let text = "FROM --platform=linux/amd64 base as One\nWORKDIR w\nenv a b\nCOPY secret.txt $dset/\nARG API_KEY\nCMD x\nCMD [\"y\"]\n\
                EXPOSE 80:80/TCP\nMAINTAINER m\nFROM one\n";
    let build = setup.build(text);
    let expected = [
        "FromPlatformFlagConstDisallowed",
        "FromAsCasing",
        "StageNameCasing",
        "WorkdirRelativePath",
        "ConsistentInstructionCasing",
        "LegacyKeyValueFormat",
        "CopyIgnoredFile",
        "UndefinedVar",
        "SecretsUsedInArgOrEnv",
        "MultipleInstructionsDisallowed",
        "JSONArgsRecommended",
        "ExposeProtoCasing",
        "ExposeInvalidFormat",
        "MaintainerDeprecated",
    ];
    let mut found = warnings(&build);
    found.sort_unstable();
    let mut sorted = expected.to_vec();
    sorted.sort_unstable();
    assert_eq!(found, sorted);
    let strict = format!("# check=error=true\n{text}");
    let message = setup.errors(&strict).remove(0).0;
    assert!(message.starts_with("a check found something: ConsistentInstructionCasing, CopyIgnoredFile"), "{message}");
    setup.options.build_args.insert("BUILDKIT_DOCKERFILE_CHECK".into(), "skip=all".into());
    assert_eq!(warnings(&setup.build(&strict)), [""; 0]);
}

/// The first piece of advice of the first error.
fn first_help(found: Result<Lowered, Vec<Diagnostic>>) -> String {
    let errors = found.unwrap_err();
    let error = errors.iter().find(|one| one.severity == Severity::Error).unwrap();
    error.help.first().cloned().unwrap_or_default()
}

#[test]
fn unknown_names_suggest_the_nearest() {
    let mut setup = setup();
    let check = |setup: &mut Setup, text: &str, expected: &str| {
        let help = match parse(text) {
            Parsed { dockerfile: Some(_), .. } => first_help(setup.lower(text)),
            Parsed { diagnostics, .. } => first_help(Err(diagnostics)),
        };
        assert!(help.starts_with(expected), "{text}: {help:?}");
    };
    check(&mut setup, "FROM base AS build\nCOPY --from=buil_ a b\n", "did you mean the stage `build`?");
    check(&mut setup, "FROM base\nRUN --mount=type=cach,target=/x y\n", "did you mean `cache`?");
    check(&mut setup, "FROM base\nRUN --mount=type=cache,taget=/x y\n", "did you mean `target");
    check(&mut setup, "FROM base\nCOPY --chwon=1 a b\n", "did you mean `--chown`?");
    check(&mut setup, "FROM base\nCOPPY a b\n", "did you mean `COPY`?");
    check(&mut setup, "FROM base\nCMDD x\n", "did you mean `CMD`?");
    check(&mut setup, "# check=skp=all\nFROM base\n", "write `check=");
    setup.options.target = Some("bild".into());
    check(&mut setup, "FROM base AS build\n", "did you mean `build`?");
    let file = parse("FROM base AS build\nCOPY --from=biuld a b\n").dockerfile.unwrap();
    assert_eq!(file.stage_like("biuld").as_deref(), Some("build"));
    assert_eq!(file.stage_like("docker.io/build").as_deref(), None);
}

#[test]
fn build_arguments_that_nothing_declares() {
    let mut setup = setup();
    for name in ["VERSON", "http_proxy", "BUILDKIT_INLINE_CACHE", "VERSION", "SOURCE_DATE_EPOCH", "TARGETARCH"] {
        setup.options.build_args.insert(name.into(), "1".into());
    }
    let build = setup.build("FROM base\nARG VERSION\n");
    let found: Vec<(&str, &[String])> =
        build.warnings.iter().map(|one| (one.message.as_str(), &one.help[..])).collect();
    let message = "the build argument `VERSON` is declared by no `ARG`, so it does nothing";
    assert_eq!(found, [(message, &["did you mean `VERSION`?".to_owned()][..])]);
    setup.image("base", &["ARG VERSON"]);
    assert!(setup.build("FROM base\nARG VERSION\n").warnings.is_empty(), "a trigger may take it");
}

#[test]
fn errors_point_at_the_variable() {
    let mut setup = setup();
    let check = |setup: &mut Setup, text: &str, expected: &str| {
        let errors = setup.errors(text);
        assert_eq!(errors[0].1, expected, "{text}: {}", errors[0].0);
    };
    check(&mut setup, "FROM base\nWORKDIR /a/${B:?give it}/c\n", "${B:?give it}");
    check(&mut setup, "FROM base\nWORKDIR /a/${B^}/c\n", "${B^}");
    check(&mut setup, "FROM base\nWORKDIR /a/${}/c\n", "${}");
    check(&mut setup, "FROM base\nWORKDIR /a/${B\n", "${B");
    check(&mut setup, "FROM base\nCOPY --chown=${U:?} a b\n", "${U:?}");
    check(&mut setup, "FROM x:${T:?}\n", "${T:?}");
    let build = setup.build("FROM base\nWORKDIR /a/$BB/$B/\n");
    let text = "FROM base\nWORKDIR /a/$BB/$B/\n";
    let places: Vec<&str> = build.warnings.iter().map(|one| &text[one.annotations[0].span.clone()]).collect();
    assert_eq!(places, ["$BB", "$B"]);
}

#[test]
fn named_contexts_are_for_any_platform() {
    let mut setup = setup();
    let mut arm = base(&[]);
    arm.config.architecture = "arm64".into();
    setup.resolved.images.insert(("other".to_owned(), "linux/amd64".parse().unwrap()), arm);
    assert_eq!(warnings(&setup.build("FROM other\n")), ["InvalidBaseImagePlatform"]);
    setup.options.contexts.insert("base".into(), ContextSource::Image("other".into()));
    assert_eq!(warnings(&setup.build("FROM base\n")), [""; 0]);
}

#[test]
fn a_replaced_stage_stays_as_it_is() {
    let mut setup = setup();
    let mut other = base(&["RUN never"]);
    other.config.config.env = vec!["A=b".into()];
    setup.resolved.images.insert(("other".to_owned(), "linux/amd64".parse().unwrap()), other);
    setup.options.contexts.insert("stage".into(), ContextSource::Image("other".into()));
    let config = setup.build("FROM base AS stage\nENV C=d\n").config.config;
    assert_eq!((config.env, config.on_build), (vec!["A=b".to_owned()], Vec::new()));
    let config = setup.build("FROM base AS stage\nFROM stage\n").config.config;
    assert_eq!(config.env.len(), 2, "the search path is added: {:?}", config.env);
}

#[test]
fn ports_forget_what_stands_before_the_word_of_a_modifier() {
    let ports = |text: &str| {
        let config = setup().build(text).config.config;
        config.exposed_ports.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(ports("FROM base\nEXPOSE 80${N:-81}\n"), ["81/tcp"]);
    assert_eq!(ports("FROM base\nEXPOSE ${N:-81}/udp\n"), ["81/udp"]);
}
