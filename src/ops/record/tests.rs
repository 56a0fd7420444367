//! Records that are written, found again, damaged and dropped.

use super::*;
use crate::graph::explain::{Fact, Facts, Input, Root, StepFacts, StepKind};
use crate::oci::Platform;

fn key(byte: u8) -> CacheKey {
    CacheKey::from_bytes([byte; 32])
}

fn example(target: &str) -> Snapshot {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let step = |name: &str, kind, inputs| StepFacts {
        name: name.into(),
        stage: "1/2".into(),
        origin: Some(("Dockerfile".into(), 3)),
        kind,
        source: String::new(),
        platform: platform.clone(),
        key: key(kind as u8),
        no_cache: false,
        inputs,
        facts: Facts(vec![Fact { group: "env".into(), name: "A".into(), value: "\u{1}é".into() }]),
    };
    let inputs = vec![Input { step: 0, files: Some(key(9)) }];
    Snapshot {
        key_version: 1,
        roots: vec![Root { target: target.into(), platform: platform.clone(), step: 1 }],
        steps: vec![step("load", StepKind::Local, Vec::new()), step("COPY . /", StepKind::File, inputs)],
    }
}

fn summary(number: usize, definition: &str, snapshot: &Snapshot) -> Summary {
    Summary {
        name: format!("{number:013}-0"),
        definition: definition.into(),
        started: 1_700_000_000_000,
        elapsed: Duration::from_micros(1234),
        ended: Ended::Failed("no".into()),
        images: vec![Image { target: "web".into(), digest: "sha256:1".into(), tags: vec!["web:1".into()] }],
        steps: vec![StepRecord {
            step: 1,
            ended: StepEnded::Failed("exit code 1".into()),
            started: Duration::from_micros(5),
            elapsed: Duration::from_millis(7),
            reason: "a changed".into(),
        }],
        cached: 3,
        warnings: vec!["careful".into()],
        snapshot: name_of(snapshot),
        lists: vec![key(9)],
        log: None,
        program: "1.2.3".into(),
        command: vec!["build".into(), ".".into()],
    }
}

fn put(store: &Store, number: usize, definition: &str, target: &str) {
    let snapshot = example(target);
    let summary = summary(number, definition, &snapshot);
    write(store, summary, &Log::default(), || (snapshot, vec![(key(9), FileList::default())]));
}

/// A record of a build with a graph and a list of files.
pub(crate) fn write_example(store: &Store) {
    put(store, 1, "a/build.lock", "web");
}

#[test]
fn reads_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&store, 1, "a/build.lock", "web");
    let read: Vec<Summary> = builds(&store).collect();
    assert_eq!(read, [summary(1, "a/build.lock", &example("web"))]);
    assert_eq!(super::snapshot(&store, &read[0]), Some(example("web")));
    assert_eq!(files(&store, &key(9)), Some(FileList::default()));
    let past = read[0].past(&store).unwrap();
    assert_eq!(past.unfinished, [1].into());
}

#[test]
fn a_log_is_kept_if_a_step_began() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = Log { entries: vec![(Duration::from_micros(7), crate::event::Event::Started(1))] };
    let snapshot = example("web");
    write(&store, summary(1, "a", &snapshot), &log, || (snapshot, Vec::new()));
    let first = builds(&store).next().unwrap();
    assert_eq!(super::log(&store, &first), Some(log));
    put(&store, 2, "a", "web");
    let second = builds(&store).next().unwrap();
    assert_eq!((second.log, super::log(&store, &second)), (None, None));
    assert_ne!(first.id(), second.id());
    assert_eq!(first.id().len(), 64);
    // A record of a version that knew neither logs nor commands.
    let text = String::from_utf8(store.get_build(&second.name).unwrap()).unwrap();
    let old = text.replace(r#","program":"1.2.3","command":["build","."]"#, "");
    assert_ne!(text, old);
    let old = format::summary(second.name.clone(), old.as_bytes()).unwrap();
    assert_eq!(old, Summary { program: String::new(), command: Vec::new(), ..second });
}

#[test]
fn what_is_damaged_or_newer_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&store, 1, "a", "web");
    let bytes = store.get_build(&store.builds()[0]).unwrap();
    store.put_build("2", &bytes[..bytes.len() / 2]).unwrap();
    store.put_build("3", b"").unwrap();
    let newer = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
    store.put_build("4", newer.as_bytes()).unwrap();
    assert_eq!(builds(&store).count(), 1);
    let name = name_of(&example("web"));
    let whole = store.get_build_object(&name).unwrap();
    for length in 0..whole.len() {
        assert_eq!(format::snapshot(&whole[..length]), None, "{length}");
    }
    let mut circle = example("web");
    circle.steps[0].inputs = vec![Input { step: 1, files: None }];
    assert_eq!(format::snapshot(&format::write_snapshot(&circle).unwrap()), None, "inputs come first");
}

#[test]
fn compares_with_the_same_definition() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&store, 1, "/a/build.lock", "web");
    put(&store, 2, "/a/build.lock", "mail");
    put(&store, 3, "/b/build.lock", "web");
    put(&store, 4, "/a/build.lock", "mail");
    let found = |definition: &str, targets: &[&str], before| -> Vec<String> {
        let past = past(&store, definition, targets, before);
        past.iter().map(|past| past.snapshot.roots[0].target.clone()).collect()
    };
    assert_eq!(found("/a/build.lock", &["web", "mail"], None), ["mail", "web"]);
    assert_eq!(found("/a/build.lock", &["web"], None), ["web"]);
    assert_eq!(found("/a/build.lock", &["other"], None), [""; 0]);
    assert_eq!(found("/a/build.lock", &["web"], Some("0000000000001-0")), [""; 0]);
    assert_eq!(found("/c/build.lock", &["mail"], None), ["mail"], "it may have been moved");
    assert_eq!(found("/c/Dockerfile.lock", &["mail"], None), [""; 0]);
}

#[test]
fn the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..=MOST {
        put(&store, number, "a", "web");
    }
    assert_eq!(builds(&store).count(), KEPT);
    assert_eq!(builds(&store).last().unwrap().name, format!("{:013}-0", MOST + 1 - KEPT));
}

#[test]
fn a_snapshot_is_named_by_all_it_says() {
    let name = name_of(&example("web"));
    assert_eq!(name, name_of(&example("web")));
    let check = |change: fn(&mut Snapshot)| {
        let mut other = example("web");
        change(&mut other);
        assert_ne!(name_of(&other), name);
    };
    check(|snapshot| snapshot.roots[0].target = "mail".into());
    check(|snapshot| snapshot.steps[1].key = key(77));
    check(|snapshot| snapshot.steps[1].name = "COPY".into());
    check(|snapshot| snapshot.steps[1].origin = None);
    check(|snapshot| snapshot.steps[1].no_cache = true);
    check(|snapshot| snapshot.steps[0].source = "b".into());
}
