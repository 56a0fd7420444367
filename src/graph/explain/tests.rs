//! Builds made by hand, explained by one another.

use super::*;
use crate::graph::{ExecOp, Graph, Label, LocalOp, Op, StepId};
use crate::oci::Platform;

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// A step that is nothing but a name.
pub(super) fn step(name: &str) -> StepFacts {
    StepFacts {
        name: name.into(),
        stage: String::new(),
        origin: None,
        kind: StepKind::Exec,
        source: String::new(),
        platform: amd64(),
        key: CacheKey::from_bytes([0; 32]),
        no_cache: false,
        inputs: Vec::new(),
        facts: Facts::default(),
    }
}

pub(super) fn exec(change: impl FnOnce(&mut ExecOp)) -> Op {
    let args = ["/bin/sh", "-c", "make"].map(str::to_owned).to_vec();
    let mut exec = ExecOp { args, cwd: "/".into(), ..ExecOp::default() };
    change(&mut exec);
    Op::Exec(Box::new(exec))
}

pub(super) fn graph_step(op: Op) -> StepFacts {
    graph_step_with(op, &|_| {})
}

pub(super) fn graph_step_with(op: Op, change: &dyn Fn(&mut Graph)) -> StepFacts {
    let mut graph = Graph::new();
    change(&mut graph);
    let id = graph.add(op, &[], amd64(), Label::default(), false);
    only(&graph, id)
}

pub(super) fn graph_step_for(op: Op, platform: &str) -> StepFacts {
    let mut graph = Graph::new();
    let id = graph.add(op, &[], platform.parse().unwrap(), Label::default(), false);
    only(&graph, id)
}

fn only(graph: &Graph, id: StepId) -> StepFacts {
    Snapshot::new(graph, &[id], &Definitions(graph, 0), &[], true).steps.remove(0)
}

/// Keys of what steps are and of their inputs; all contexts have the files of this number.
struct Definitions<'a>(&'a Graph, u8);

impl Keys for Definitions<'_> {
    fn key(&self, step: StepId) -> CacheKey {
        let mut all = format!("{:?}", self.0[step].op).into_bytes();
        for (number, input) in self.0.inputs(step).into_iter().enumerate() {
            let key = self.files(step, number).unwrap_or_else(|| self.key(input));
            all.extend_from_slice(key.as_bytes());
        }
        CacheKey::from_bytes(*blake3::hash(&all).as_bytes())
    }

    fn files(&self, step: StepId, input: usize) -> Option<CacheKey> {
        let local = matches!(self.0[self.0.inputs(step)[input]].op, Op::Local(_));
        local.then(|| CacheKey::from_bytes([self.1; 32]))
    }
}

/// A build of one stage: `FROM` something, then `RUN`s and, for lines that start with `COPY`, uses of the context.
fn build(lines: &[&str], files: u8, ignore: &[&str]) -> Snapshot {
    let mut graph = Graph::new();
    let label = |text: &str, number: usize| Label { text: text.into(), stage: format!("{number}/9"), origin: None };
    let ignore = ignore.iter().map(ToString::to_string).collect();
    let local = Op::Local(LocalOp { name: "context".into(), ignore });
    let local = graph.add(local, &[], amd64(), Label::default(), false);
    let image = |line: &str| {
        let layer = crate::digest::DiffId::from_bytes(*blake3::hash(line.as_bytes()).as_bytes());
        Op::Image(crate::graph::ImageOp { reference: line[5..].into(), layers: vec![layer] })
    };
    let mut last = graph.add(image(lines[0]), &[], amd64(), label(lines[0], 1), false);
    for (number, line) in lines.iter().enumerate().skip(1) {
        let inputs: Vec<StepId> = if line.starts_with("COPY") { vec![last, local] } else { vec![last] };
        let op = exec(|exec| exec.args[2] = (*line).to_owned());
        last = graph.add(op, &inputs, amd64(), label(line, number + 1), line.ends_with("# no cache"));
    }
    let needed = graph.needed(&[last]);
    Snapshot::new(&graph, &needed, &Definitions(&graph, files), &[(String::new(), amd64(), last)], true)
}

fn list(key: &CacheKey) -> Option<FileList> {
    let content = u64::from(key.as_bytes()[0]);
    let file = FileFact {
        path: b"main.c".to_vec(),
        kind: FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        content,
        xattrs: 0,
    };
    Some(FileList::new(vec![file]))
}

/// What the last step is told, and where its cause is.
#[track_caller]
fn check(old: Option<Snapshot>, new: &Snapshot, expected: &[&str]) {
    let past: Vec<Past> = old.into_iter().map(|snapshot| Past { snapshot, ..Past::default() }).collect();
    let mut explainer = Explainer::new(Arc::new(new.clone()), past, Box::new(list));
    let chain = explainer.chain(new.roots[0].step);
    let mut told: Vec<String> = chain.iter().map(|step| new.steps[*step].name.clone()).collect();
    let cause = chain[chain.len() - 1];
    told.extend(explainer.reasons(cause).iter().map(ToString::to_string));
    assert_eq!(told, expected);
}

const LINES: [&str; 4] = ["FROM debian@sha256:1", "RUN apt", "COPY main.c", "RUN make"];

fn with(place: usize, line: &'static str) -> Vec<&'static str> {
    let mut lines = LINES.to_vec();
    lines[place] = line;
    lines
}

#[test]
fn the_cause_is_followed_to_its_root() {
    let old = || Some(build(&LINES, 1, &[]));
    check(None, &build(&LINES, 1, &[]), &["RUN make", "it was never built here"]);
    check(old(), &build(&LINES, 1, &[]), &["RUN make", "its result is not in the store any more"]);
    check(old(), &build(&LINES, 2, &[]), &["RUN make", "COPY main.c", "main.c changed"]);
    check(
        old(),
        &build(&with(1, "RUN apt all"), 1, &[]),
        &["RUN make", "COPY main.c", "RUN apt all", "the command changed: RUN apt → RUN apt all"],
    );
    check(
        old(),
        &build(&with(0, "FROM debian@sha256:2"), 1, &[]),
        &[
            "RUN make",
            "COPY main.c",
            "RUN apt",
            "FROM debian@sha256:2",
            "the image debian changed: sha256:1 → sha256:2",
        ],
    );
    check(
        old(),
        &build(&with(2, "COPY main.c # no cache"), 1, &[]),
        &["RUN make", "COPY main.c # no cache", "its cache is not to be used"],
    );
}

#[test]
fn instructions_come_and_go() {
    let old = || Some(build(&LINES, 1, &[]));
    let mut more = LINES.to_vec();
    more.insert(2, "WORKDIR /src");
    check(old(), &build(&more, 1, &[]), &["RUN make", "COPY main.c", "WORKDIR /src", "the instruction is new"]);
    let mut less = LINES.to_vec();
    less.remove(1);
    check(old(), &build(&less, 1, &[]), &["RUN make", "COPY main.c", "RUN apt before it is gone"]);
}

#[test]
fn an_ignore_file_is_told_with_the_files() {
    let (old, new) = (build(&LINES, 1, &["*.o"]), build(&LINES, 2, &["*.o", "doc"]));
    check(Some(old), &new, &["RUN make", "COPY main.c", "the ignore file of context changed: +doc", "main.c changed"]);
    let (old, new) = (build(&LINES, 1, &["*.o"]), build(&LINES, 1, &["doc"]));
    check(Some(old), &new, &["RUN make", "its result is not in the store any more"]);
}

#[test]
fn what_did_not_end_and_other_formats() {
    let new = build(&LINES, 1, &[]);
    let last = new.roots[0].step;
    let reason = |past: Past| Explainer::new(Arc::new(new.clone()), vec![past], Box::new(list)).reasons(last);
    let unfinished = Past { snapshot: new.clone(), unfinished: [last].into() };
    assert_eq!(reason(unfinished), [Reason::Unfinished]);
    let older = Snapshot { key_version: 0, ..new.clone() };
    assert_eq!(reason(Past { snapshot: older, ..Past::default() }), [Reason::KeyFormat(0, crate::graph::key::VERSION)]);
}
