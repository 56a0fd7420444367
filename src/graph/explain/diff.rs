//! What two versions of a step differ in, its inputs left out.

use std::collections::BTreeMap;

use crate::graph::explain::reason::{Change, Reason};
use crate::graph::explain::snapshot::{StepFacts, StepKind};

/// The differences, in the order of the new step's facts; what is gone comes last.
pub fn diff(old: &StepFacts, new: &StepFacts) -> Vec<Reason> {
    if old.kind != new.kind {
        return vec![Reason::Replaced(old.title(), new.title())];
    }
    match new.kind {
        StepKind::Image => image(old, new),
        StepKind::Http => source(old, new, "digest", Reason::Url),
        StepKind::Git => source(old, new, "commit", Reason::Git),
        StepKind::Local => ignore(old, new).into_iter().collect(),
        StepKind::Scratch | StepKind::Merge | StepKind::Diff => Vec::new(),
        StepKind::Exec | StepKind::File => options(old, new, ""),
    }
}

/// The lines of an ignore file that came and went.
pub fn ignore(old: &StepFacts, new: &StepFacts) -> Option<Reason> {
    let [before, after] = [old, new].map(|step| step.facts.values("", "ignore").collect::<Vec<_>>());
    let missing = |from: &[&str], other: &[&str]| -> Vec<String> {
        from.iter().filter(|line| !other.contains(line)).map(|line| (*line).to_owned()).collect()
    };
    if before == after {
        return None;
    }
    let (added, removed) = (missing(&after, &before), missing(&before, &after));
    Some(Reason::Ignore { context: new.source.clone(), added, removed })
}

fn image(old: &StepFacts, new: &StepFacts) -> Vec<Reason> {
    let layers = |step: &StepFacts| step.facts.values("", "layer").map(str::to_owned).collect::<Vec<_>>();
    if layers(old) == layers(new) {
        return Vec::new();
    }
    let split = |step: &StepFacts| match step.source.split_once('@') {
        Some((name, digest)) => (name.to_owned(), short(digest)),
        None => (step.source.clone(), "another image".to_owned()),
    };
    let ((old_name, from), (name, to)) = (split(old), split(new));
    match old_name == name {
        true => vec![Reason::BaseImage(name, Change::new(from, to))],
        false => vec![Reason::Replaced(format!("FROM {old_name}"), format!("FROM {name}"))],
    }
}

fn source(old: &StepFacts, new: &StepFacts, what: &str, reason: fn(String, Change) -> Reason) -> Vec<Reason> {
    let value = |step: &StepFacts| step.facts.value("", what).map(short);
    let mut reasons = Vec::new();
    if old.source != new.source {
        reasons.push(Reason::Replaced(old.source.clone(), new.source.clone()));
    }
    let change = Change { from: value(old), to: value(new) };
    if change.from != change.to {
        reasons.push(reason(new.source.clone(), change));
    }
    reasons.extend(options(old, new, what));
    reasons
}

/// The beginning of a digest or commit.
fn short(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').map_or(("", digest), |(algorithm, hex)| (algorithm, hex));
    let hex: String = hex.chars().take(12).collect();
    if algorithm.is_empty() { hex } else { format!("{algorithm}:{hex}") }
}

/// The values of a name in a group.
type Values<'a> = Vec<&'a str>;

/// All facts but the one that was told already.
fn options(old: &StepFacts, new: &StepFacts, told: &str) -> Vec<Reason> {
    let mut before: BTreeMap<(&str, &str), Values<'_>> = BTreeMap::new();
    for fact in &old.facts.0 {
        before.entry((&fact.group, &fact.name)).or_default().push(&fact.value);
    }
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut after: BTreeMap<(&str, &str), Values<'_>> = BTreeMap::new();
    for fact in &new.facts.0 {
        let values = after.entry((&fact.group, &fact.name)).or_default();
        if values.is_empty() {
            order.push((&fact.group, &fact.name));
        }
        values.push(&fact.value);
    }
    order.extend(before.keys().filter(|place| !after.contains_key(*place)));
    let nothing = Values::new();
    let mut reasons: Vec<Reason> = Vec::new();
    for place in order {
        let (from, to) = (before.get(&place).unwrap_or(&nothing), after.get(&place).unwrap_or(&nothing));
        if from == to || place == ("", told) {
            continue;
        }
        let reason = one(old, new, place, from, to);
        // A mount that came or went is told once, not option by option.
        if let Some(reason) = reason
            && !reasons.contains(&reason)
        {
            reasons.push(reason);
        }
    }
    reasons
}

fn one(old: &StepFacts, new: &StepFacts, (group, name): (&str, &str), from: &[&str], to: &[&str]) -> Option<Reason> {
    let change = Change::of(from, to);
    if group == "env" {
        return Some(Reason::Variable(name.to_owned(), change));
    }
    if group.starts_with("mount ") {
        return Some(mount(old, new, group, name, change));
    }
    if let Some(name) = heredoc(new, group, name).or_else(|| heredoc(old, group, name)) {
        return Some(Reason::Heredoc(name));
    }
    let has = |step: &StepFacts| step.facts.0.iter().any(|fact| fact.group == group);
    // Of an action or a source that came or went it is enough to name it.
    if !group.is_empty() && has(old) != has(new) && !matches!(name, "path" | "dest" | "name") {
        return None;
    }
    Some(match name {
        "args" => Reason::Command(command(from, to)),
        "platform" => Reason::Platform(change),
        "epoch" => Reason::Epoch(change),
        // It says the same as the epoch, which is told already.
        "ceiling" if old.facts.value("", "epoch") != new.facts.value("", "epoch") => return None,
        "ceiling" => Reason::Epoch(change),
        _ => Reason::Option(option(name), change),
    })
}

/// What a mount is called, and how it differs.
fn mount(old: &StepFacts, new: &StepFacts, group: &str, name: &str, change: Change) -> Reason {
    let value = |step: &StepFacts, name: &str| step.facts.value(group, name).map(str::to_owned);
    let (before, after) = (value(old, "type"), value(new, "type"));
    let step = if after.is_some() { new } else { old };
    let kind = value(step, "type").unwrap_or_default();
    let id = value(step, "id").filter(|_| matches!(kind.as_str(), "secret" | "ssh"));
    let place = value(step, "target").filter(|place| !place.is_empty());
    let target = id.or(place).unwrap_or_default();
    if kind == "file" {
        return Reason::Heredoc(target);
    }
    if before == after {
        return Reason::Mount { target, kind, option: Some(name.to_owned()), change };
    }
    let change = match (before, after) {
        (Some(from), Some(to)) => Change::new(from, to),
        (Some(_), None) => Change { from: Some(String::new()), to: None },
        _ => Change { from: None, to: Some(String::new()) },
    };
    Reason::Mount { target, kind, option: None, change }
}

/// The name of the heredoc whose content this is, if it is one.
fn heredoc(step: &StepFacts, group: &str, name: &str) -> Option<String> {
    let is = |name: &str, value: &str| step.facts.value(group, name) == Some(value);
    (name == "data" && is("kind", "inline")).then(|| step.facts.value(group, "name").unwrap_or_default().to_owned())
}

/// Without the shell, if it is the same.
fn command(from: &[&str], to: &[&str]) -> Change {
    let shell = |args: &[&str]| args.len() == 3 && args[1] == "-c";
    match shell(from) && shell(to) && from[..2] == to[..2] {
        true => Change::new(from[2], to[2]),
        false => Change::of(from, to),
    }
}

/// What people call an option.
fn option(name: &str) -> &'static str {
    const NAMES: [(&str, &str); 26] = [
        ("op", "what it does"),
        ("cwd", "the working folder"),
        ("user", "the user"),
        ("network", "the network"),
        ("insecure", "what privileges it may have"),
        ("hostname", "the host name"),
        ("action", "the kind of change"),
        ("kind", "the kind of source"),
        ("name", "the name of a file"),
        ("path", "the path"),
        ("input", "where it copies from"),
        ("wildcard", "whether a path is a pattern"),
        ("dest", "where it copies to"),
        ("owner.user", "--chown"),
        ("owner.group", "--chown"),
        ("chmod", "--chmod"),
        ("parents", "--parents"),
        ("exclude", "--exclude"),
        ("modified", "its time"),
        ("subdir", "the folder of the repository"),
        ("data", "the content"),
        ("mode", "the mode"),
        ("target", "where the link leads"),
        ("unpack", "whether archives are unpacked"),
        ("keep-git-dir", "--keep-git-dir"),
        ("submodules", "whether submodules are checked out"),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map_or("an option", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::explain::facts::Facts;
    use crate::graph::explain::tests::{exec, graph_step};
    use crate::graph::{
        Chmod, CopyAction, CopySource, ExecOp, FileAction, FileOp, GitOp, Mount, MountKind, Network, Op, Owner,
        SecretMount, Sharing, Unpack,
    };

    #[track_caller]
    fn check(old: Op, new: Op, expected: &[&str]) {
        let [old, new] = [old, new].map(|op| StepFacts { source: "url".into(), ..graph_step(op) });
        let told: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[track_caller]
    fn run(old: impl FnOnce(&mut ExecOp), new: impl FnOnce(&mut ExecOp), expected: &[&str]) {
        check(exec(old), exec(new), expected);
    }

    #[test]
    fn options_of_a_process() {
        let same = |_: &mut ExecOp| {};
        run(same, same, &[]);
        run(same, |e| e.args[2] = "make all".into(), &["the command changed: make → make all"]);
        run(same, |e| e.args = vec!["make".into()], &["the command changed: /bin/sh -c make → make"]);
        run(same, |e| e.env.push(("CC".into(), "clang".into())), &["CC is new: clang"]);
        run(
            |e| e.env = vec![("A".into(), "1".into()), ("B".into(), "2".into())],
            |e| e.env = vec![("A".into(), "3".into())],
            &["A changed: 1 → 3", "B is gone, it was 2"],
        );
        run(same, |e| e.user = "app".into(), &["the user changed: \"\" → app"]);
        run(same, |e| e.cwd = "/src".into(), &["the working folder changed: / → /src"]);
        run(same, |e| e.network = Network::None, &["the network changed: default → none"]);
        run(same, |e| e.hostname = "h".into(), &["the host name changed: \"\" → h"]);
    }

    #[test]
    fn mounts() {
        let with = |kind: MountKind| move |e: &mut ExecOp| e.mounts = vec![Mount { target: "/m".into(), kind }];
        let none = |_: &mut ExecOp| {};
        let tmpfs = |size| with(MountKind::Tmpfs { size });
        run(none, tmpfs(None), &["the tmpfs mount /m is new"]);
        run(tmpfs(None), none, &["the tmpfs mount /m is gone"]);
        run(tmpfs(Some(1)), tmpfs(Some(2)), &["size of the tmpfs mount /m changed: 1 → 2"]);
        let cache = |sharing| {
            let id = "apt".to_owned();
            with(MountKind::Cache { id, sharing, seed: None, mode: 0o755, uid: 0, gid: 0, readonly: false })
        };
        run(
            cache(Sharing::Shared),
            cache(Sharing::Locked),
            &["sharing of the cache mount /m changed: shared → locked"],
        );
        let secret = |id: &str, uid| {
            let id = id.to_owned();
            with(MountKind::Secret(SecretMount { id, required: true, file: true, env: None, mode: 0o400, uid, gid: 0 }))
        };
        run(secret("token", 0), secret("token", 5), &["uid of the secret mount token changed: 0 → 5"]);
        run(none, secret("token", 0), &["the secret mount token is new"]);
        let script = |text: &str| with(MountKind::File { data: text.as_bytes().to_vec(), mode: 0o755 });
        run(script("#!a"), script("#!b"), &["the heredoc /m has other content"]);
    }

    #[test]
    fn copies() {
        let copy = |change: &dyn Fn(&mut CopyAction)| {
            let source = CopySource::Path { input: 1, path: "src".into(), wildcard: false };
            let mut copy = CopyAction {
                sources: vec![source],
                dest: "/a".into(),
                owner: None,
                mode: None,
                parents: false,
                exclude: Vec::new(),
                unpack: Unpack::Never,
            };
            change(&mut copy);
            Op::File(FileOp { actions: vec![FileAction::Copy(Box::new(copy))] })
        };
        let plain = || copy(&|_| {});
        check(plain(), copy(&|c| c.dest = "/b".into()), &["where it copies to changed: /a → /b"]);
        let owner = || Some(Owner { user: "app".into(), group: None });
        check(plain(), copy(&|c| c.owner = owner()), &["--chown is new: app"]);
        check(plain(), copy(&|c| c.mode = Some(Chmod::Octal(0o700))), &["--chmod changed: \"\" → 700"]);
        check(plain(), copy(&|c| c.exclude = vec!["*.o".into()]), &["--exclude is new: *.o"]);
        let more = CopySource::Path { input: 1, path: "doc".into(), wildcard: false };
        check(plain(), copy(&|c| c.sources.push(more.clone())), &["the path is new: doc"]);
        let heredoc = |data: &str| {
            copy(&|c| c.sources = vec![CopySource::Inline { name: "conf".into(), data: data.as_bytes().to_vec() }])
        };
        check(heredoc("a"), heredoc("b"), &["the heredoc conf has other content"]);
    }

    #[test]
    fn sources() {
        let git = |commit: &str| {
            let (url, commit) = ("url".into(), commit.repeat(40));
            Op::Git(GitOp { url, commit, subdir: String::new(), keep_git_dir: false, submodules: true })
        };
        check(git("a"), git("b"), &["the commit of url changed: aaaaaaaaaaaa → bbbbbbbbbbbb"]);
        check(Op::Scratch, git("a"), &["it was url, and is url"]);
        let image = |reference: &str, layer: &str| StepFacts {
            kind: StepKind::Image,
            source: reference.into(),
            facts: Facts(vec![super::super::facts::Fact {
                group: String::new(),
                name: "layer".into(),
                value: layer.into(),
            }]),
            ..super::super::tests::step("FROM a")
        };
        let told = |old: &StepFacts, new: &StepFacts| -> Vec<String> {
            diff(old, new).iter().map(ToString::to_string).collect()
        };
        let (old, new) = (image("debian@sha256:1234567890abcdef", "1"), image("debian@sha256:fedcba0987654321", "2"));
        assert_eq!(told(&old, &new), ["the image debian changed: sha256:1234567890ab → sha256:fedcba098765"]);
        assert_eq!(told(&old, &image("alpine@sha256:1", "2")), ["it was FROM debian, and is FROM alpine"]);
        assert!(told(&old, &image("debian@sha256:2", "1")).is_empty(), "another configuration changes no step");
    }

    #[test]
    fn times_and_platforms() {
        let step =
            |change: &dyn Fn(&mut crate::graph::Graph)| super::super::tests::graph_step_with(exec(|_| {}), change);
        let epoch = |epoch, ceiling| {
            step(&move |graph: &mut crate::graph::Graph| graph.set_times(crate::graph::Times { epoch, ceiling }))
        };
        let told = |old: &StepFacts, new: &StepFacts| -> Vec<String> {
            diff(old, new).iter().map(ToString::to_string).collect()
        };
        let expected = ["SOURCE_DATE_EPOCH changed: 315532800 → 1700000000"];
        assert_eq!(told(&epoch(315_532_800, None), &epoch(1_700_000_000, Some(1_700_000_000))), expected);
        let arm = super::super::tests::graph_step_for(exec(|_| {}), "linux/arm64");
        assert_eq!(told(&graph_step(exec(|_| {})), &arm), ["the platform changed: linux/amd64 → linux/arm64"]);
    }
}
