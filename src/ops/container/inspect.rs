//! `inspect` of a container, in the words of `docker container inspect`.

use serde::Serialize;

use super::super::Error;
use crate::digest::Digest;
use crate::export::rfc3339;
use crate::oci::ContainerConfig;
use crate::store::Store;
use crate::store::containers::ContainerState;

/// A container, as `docker container inspect` shows it. Serialises to its JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerInspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How it is doing.
    pub state: InspectState,
    /// The image's ID.
    pub image: Digest,
    /// Its name, with the slash that Docker puts before it.
    pub name: String,
    /// What was mounted.
    pub mounts: Vec<InspectMount>,
    /// What it was started with.
    pub config: ContainerConfig,
    /// Its host name.
    pub hostname: String,
    /// The image as it was asked for.
    pub image_name: String,
    /// Where its changes are.
    pub upper_dir: String,
    /// Where it is mounted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_dir: Option<String>,
}

/// How a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectState {
    /// `running` or `exited`.
    pub status: &'static str,
    /// Whether its program runs.
    pub running: bool,
    /// Its process, 0 if it has none.
    pub pid: u32,
    /// Its exit code; 0 while it runs, and -1 if nobody saw how it ended.
    pub exit_code: i32,
    /// When it ended, RFC 3339, if that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Something that was mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectMount {
    /// From where; `tmpfs` for memory.
    pub source: String,
    /// Where to.
    pub destination: String,
    /// Whether it can be written to.
    #[serde(rename = "RW")]
    pub writable: bool,
}

/// All about a container, by name or ID.
pub fn inspect(store: &Store, name: &str) -> Result<ContainerInspect, Error> {
    let container = store.find_container(name)?;
    let state = container.state();
    let upper_dir = container.upper().display().to_string();
    let record = container.record;
    let mut args = record.args;
    let path = if args.is_empty() { String::new() } else { args.remove(0) };
    let mount = |(source, target): (String, String)| {
        let readonly = target.strip_suffix(":ro").map(str::to_owned);
        InspectMount { source, writable: readonly.is_none(), destination: readonly.unwrap_or(target) }
    };
    let running = state == ContainerState::Running;
    Ok(ContainerInspect {
        id: record.id,
        created: rfc3339(record.created),
        path,
        args,
        state: InspectState {
            status: if running { "running" } else { "exited" },
            running,
            pid: record.process.filter(|_| running).unwrap_or(0),
            exit_code: match state {
                ContainerState::Running => 0,
                ContainerState::Exited(_, code) => code,
                ContainerState::Lost => -1,
            },
            finished_at: match state {
                ContainerState::Exited(when, _) => Some(rfc3339(when)),
                _ => None,
            },
        },
        image: record.image_id,
        name: format!("/{}", record.name),
        mounts: record.mounts.into_iter().map(mount).collect(),
        config: record.config,
        hostname: record.hostname,
        image_name: record.image,
        upper_dir,
        merged_dir: record.mounted.map(|place| place.display().to_string()),
    })
}
