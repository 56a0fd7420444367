//! How a scene is written down: JSON, of which the types here are the schema.

use serde::{Deserialize, Serialize};

use super::{Scene, SceneKind, SceneMount, SceneMountKind, SceneStep, limits};
use crate::digest::CacheKey;
use crate::graph::Network;
use crate::store::layers::LayerId;

/// The version of the record.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    kind: Kind,
    step: Step,
    made: u64,
    layers: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: String,
    user: String,
    hostname: String,
    hosts: Vec<(String, String)>,
    network: bool,
    /// Whether that network is a private one.
    #[serde(default, skip_serializing_if = "is_false")]
    private: bool,
    privileged: bool,
    #[serde(default, skip_serializing_if = "limits::Saved::is_empty")]
    limits: limits::Saved,
    mounts: Vec<Mount>,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Failure,
    Visit,
}

#[derive(Serialize, Deserialize)]
struct Step {
    name: String,
    stage: String,
    origin: Option<(String, u32)>,
    key: Option<String>,
    outcome: String,
}

#[derive(Serialize, Deserialize)]
struct Mount {
    target: String,
    #[serde(flatten)]
    kind: What,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
enum What {
    Bind { layers: Vec<String>, source: String, is_file: bool, writable: bool },
    Cache { id: String, readonly: bool },
    Tmpfs { size: Option<u64> },
    File { text: String, mode: u32 },
    Secret { id: String, file: bool, env: Option<String>, mode: u32, uid: u32, gid: u32 },
    Ssh { id: String },
}

/// The bytes of a record.
pub fn encode(scene: &Scene) -> Vec<u8> {
    let scene = scene.clone();
    let step = scene.step;
    let saved = Saved {
        version: VERSION,
        kind: match scene.kind {
            SceneKind::Failure => Kind::Failure,
            SceneKind::Visit => Kind::Visit,
        },
        step: Step {
            name: step.name,
            stage: step.stage,
            origin: step.origin,
            key: step.key.map(|key| key.hex()),
            outcome: step.outcome,
        },
        made: scene.made,
        layers: names(&scene.layers),
        args: scene.args,
        env: scene.env,
        cwd: scene.cwd,
        user: scene.user,
        hostname: scene.hostname,
        hosts: scene.hosts,
        network: scene.network != Network::None,
        private: scene.network == Network::Private,
        privileged: scene.privileged,
        limits: limits::Saved::from(&scene.limits),
        mounts: scene.mounts.into_iter().map(save).collect(),
    };
    serde_json::to_vec(&saved).unwrap_or_default()
}

/// What a record says; none if it is damaged or of another version.
pub fn decode(json: &[u8]) -> Option<Scene> {
    let saved: Saved = serde_json::from_slice(json).ok()?;
    if saved.version != VERSION {
        return None;
    }
    let step = saved.step;
    let key = step.key.map(|hex| CacheKey::from_hex(&hex)).transpose().ok()?;
    Some(Scene {
        kind: match saved.kind {
            Kind::Failure => SceneKind::Failure,
            Kind::Visit => SceneKind::Visit,
        },
        step: SceneStep { name: step.name, stage: step.stage, origin: step.origin, key, outcome: step.outcome },
        made: saved.made,
        layers: ids(&saved.layers)?,
        args: saved.args,
        env: saved.env,
        cwd: saved.cwd,
        user: saved.user,
        hostname: saved.hostname,
        hosts: saved.hosts,
        network: match (saved.network, saved.private) {
            (false, _) => Network::None,
            (true, false) => Network::Default,
            (true, true) => Network::Private,
        },
        privileged: saved.privileged,
        limits: saved.limits.restore()?,
        mounts: saved.mounts.into_iter().map(restore).collect::<Option<_>>()?,
    })
}

fn names(layers: &[LayerId]) -> Vec<String> {
    layers.iter().map(LayerId::to_string).collect()
}

fn ids(names: &[String]) -> Option<Vec<LayerId>> {
    names.iter().map(|name| name.parse().ok()).collect()
}

fn save(mount: SceneMount) -> Mount {
    let kind = match mount.kind {
        SceneMountKind::Bind { layers, source, is_file, writable } => {
            What::Bind { layers: names(&layers), source, is_file, writable }
        }
        SceneMountKind::Cache { id, readonly } => What::Cache { id, readonly },
        SceneMountKind::Tmpfs { size } => What::Tmpfs { size },
        SceneMountKind::File { text, mode } => What::File { text, mode },
        SceneMountKind::Secret { id, file, env, mode, uid, gid } => What::Secret { id, file, env, mode, uid, gid },
        SceneMountKind::Ssh { id } => What::Ssh { id },
    };
    Mount { target: mount.target, kind }
}

fn restore(mount: Mount) -> Option<SceneMount> {
    let kind = match mount.kind {
        What::Bind { layers, source, is_file, writable } => {
            SceneMountKind::Bind { layers: ids(&layers)?, source, is_file, writable }
        }
        What::Cache { id, readonly } => SceneMountKind::Cache { id, readonly },
        What::Tmpfs { size } => SceneMountKind::Tmpfs { size },
        What::File { text, mode } => SceneMountKind::File { text, mode },
        What::Secret { id, file, env, mode, uid, gid } => SceneMountKind::Secret { id, file, env, mode, uid, gid },
        What::Ssh { id } => SceneMountKind::Ssh { id },
    };
    Some(SceneMount { target: mount.target, kind })
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;
    use crate::graph::Limits;
    use crate::graph::limits::Swap;

    #[test]
    fn is_written_as_it_always_was() {
        let (one, two, nine) = ("01".repeat(32), "02".repeat(32), "09".repeat(32));
        let golden = format!(
            r#"{{"version":1,"kind":"failure","step":{{"name":"RUN make","stage":"build 3/5","origin":["Dockerfile",7],"key":"{nine}","outcome":"exit code 2"}},"made":7,"layers":["tree-{one}"],"args":["/bin/sh","-c","make"],"env":[["PATH","/bin"]],"cwd":"/src","user":"app","hostname":"box","hosts":[["one","10.0.0.1"]],"network":true,"privileged":false,"mounts":[{{"target":"/in","type":"bind","layers":["tree-{two}"],"source":"a/b","is_file":false,"writable":true}},{{"target":"/cache","type":"cache","id":"cache","readonly":false}},{{"target":"/t","type":"tmpfs","size":64}},{{"target":"/dev/pipes/EOF","type":"file","text":"make\n","mode":493}},{{"target":"/run/secrets/k","type":"secret","id":"k","file":true,"env":"K","mode":256,"uid":0,"gid":0}},{{"target":"/run/agent","type":"ssh","id":"default"}}]}}"#
        );
        assert_eq!(String::from_utf8(encode(&scene())).unwrap(), golden);
        assert_eq!(decode(golden.as_bytes()), Some(scene()));
        assert_eq!(decode(golden.replace(r#"version":1"#, r#"version":2"#).as_bytes()), None);
        assert_eq!(decode(golden.replace("tree-01", "tree-0g").as_bytes()), None);
        assert_eq!(decode(b"{}"), None);
    }

    #[test]
    fn what_few_have_is_written_only_for_them() {
        let limits = Limits {
            ulimits: vec!["nofile=10:-1".parse().unwrap()],
            shm_size: Some(1),
            memory: Some(2),
            memory_swap: Some(Swap::Unlimited),
            cpus: Some(3),
            cpu_shares: Some(4),
            cpuset_cpus: Some("0-1".into()),
            pids: Some(5),
            time: None,
        };
        let limited = Scene { network: Network::Private, limits, ..scene() };
        let golden = r#""network":true,"private":true,"privileged":false,"limits":{"ulimits":["nofile=10:-1"],"shm_size":1,"memory":2,"memory_swap":-1,"cpus":3,"cpu_shares":4,"cpuset_cpus":"0-1","pids":5},"mounts":"#;
        let json = encode(&limited);
        let text = std::str::from_utf8(&json).unwrap();
        assert!(text.contains(golden), "{}", text);
        assert_eq!(decode(&json), Some(limited.clone()));
        let swap = Limits { memory_swap: Some(Swap::Total(7)), ..limited.limits.clone() };
        let swap = Scene { limits: swap, ..limited };
        assert_eq!(decode(&encode(&swap)), Some(swap));
        assert_eq!(decode(text.replace("nofile", "none").as_bytes()), None);
    }
}
