//! Keys that must differ, keys that must not, and keys that must stay as they are.

use super::*;
use crate::fstree::Scrub;
use crate::graph::{CopyAction, Limits, LocalOp};

mod pairs;

fn key(op: &Op) -> DefinitionDigest {
    definition(op, &"linux/amd64".parse().unwrap(), &[])
}

fn exec(change: impl FnOnce(&mut ExecOp)) -> Op {
    let mut exec = ExecOp { args: vec!["sh".into(), "-c".into(), "true".into()], cwd: "/".into(), ..ExecOp::default() };
    change(&mut exec);
    Op::Exec(Box::new(exec))
}

#[test]
fn is_pinned() {
    assert_eq!(key(&Op::Scratch).to_string(), "key:248bdd4d9a4a1d09f4c1cc53992410a60f7a7b9c1234b86e89049ee27b0039c8");
    assert_eq!(key(&exec(|_| {})).to_string(), "key:30b9be1c6b0b2e3d1572cd5649cd70ed26db718f65a29777974e325b5653ec66");
    assert_eq!(
        key(&exec(|e| e.scrubs = [Scrub::Apt, Scrub::MachineId].into())).to_string(),
        "key:fd876ffdb8617ea0631fb34ea18a7104e0bc8bfcf6127e116d2238d7844774f5"
    );
}

#[test]
fn lists_that_concatenate_alike_differ() {
    let local = |ignore: &[&str]| {
        Op::Local(LocalOp { name: "context".into(), ignore: ignore.iter().map(ToString::to_string).collect() })
    };
    assert_ne!(key(&local(&["ab", "c"])), key(&local(&["a", "bc"])));
    assert_ne!(key(&local(&["ab"])), key(&local(&["a", "b"])));
    assert_ne!(
        key(&exec(|e| e.env = vec![("A".into(), "B=C".into())])),
        key(&exec(|e| e.env = vec![("A=B".into(), "C".into())])),
    );
}

#[test]
fn a_run_depends_on_its_platform() {
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|p| definition(&exec(|_| {}), &p.parse().unwrap(), &[]));
    assert_ne!(amd, arm);
}

#[test]
fn heredocs_enter_keys() {
    let copy = |data: &str| {
        Op::File(FileOp {
            actions: vec![FileAction::Copy(Box::new(CopyAction {
                sources: vec![CopySource::Inline { name: "f".into(), data: data.into() }],
                dest: "/".into(),
                owner: None,
                mode: None,
                parents: false,
                exclude: Vec::new(),
                unpack: Unpack::Never,
            }))],
        })
    };
    assert_ne!(key(&copy("a")), key(&copy("b")));
}

#[test]
fn a_tmpfs_without_a_limit_of_its_own_is_none_with_the_limit_zero() {
    let tmpfs = |size| key(&exec(|e| e.mounts = vec![Mount { target: "/t".into(), kind: MountKind::Tmpfs { size } }]));
    assert_ne!(tmpfs(None), tmpfs(Some(0)));
}

#[test]
fn how_to_reach_things_stays_out() {
    let plain = key(&exec(|_| {}));
    assert_eq!(plain, key(&exec(|e| e.proxy = vec![("HTTP_PROXY".into(), "http://p".into())])));
    assert_eq!(plain, key(&exec(|e| e.extra_hosts = vec![("h".into(), "10.0.0.1".into())])));
    assert_eq!(plain, key(&exec(|e| e.network = Network::Private)));
    assert_ne!(plain, key(&exec(|e| e.network = Network::None)));
}

#[test]
fn limits_stay_out() {
    let limits = Limits { shm_size: Some(1), memory: Some(1), pids: Some(1), ..Limits::default() };
    assert_eq!(key(&exec(|_| {})), key(&exec(|e| e.limits = limits)));
}
