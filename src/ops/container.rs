//! Containers: an image with a writable layer, a process in it, and what can be done with them.
//!
//! `run` is a process in the foreground, as a `RUN` step is, with the caller's streams or a terminal. What it writes stays in
//! the store until `rm`. There is no daemon, so nothing starts a container again, and nothing runs behind one's back.

mod create;
mod inspect;
mod look;
mod transfer;

pub use create::{CreateOptions, Created, RunMount, create};
pub use inspect::{ContainerInspect, InspectMount, InspectState, inspect};
pub use look::{Change, ChangeKind, Commit, changes, commit, export_container, export_image, mount, processes, umount};
pub use transfer::{Side, TransferOptions, copy_in, copy_out};

use super::Error;
use crate::store::Store;
use crate::store::containers::{Container, ContainerError, ContainerKind, ContainerState};

/// A container as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerRow {
    /// What it is.
    pub container: Container,
    /// How it is doing.
    pub state: ContainerState,
}

/// All containers, the newest first.
pub fn ps(store: &Store) -> Result<Vec<ContainerRow>, Error> {
    let mut containers = store.containers()?;
    containers.retain(|container| container.record.kind == ContainerKind::Container);
    let row = |container: Container| ContainerRow { state: container.state(), container };
    Ok(containers.into_iter().map(row).collect())
}

/// Removes a container; with `force`, one that runs is killed first.
pub fn rm(store: &Store, name: &str, force: bool) -> Result<Container, Error> {
    let container = store.find_container(name)?;
    if container.record.mounted.is_some() {
        return Err(Error::build(format!("the container {name} is mounted"))
            .help(format!("take the mount away first: `imgbuild umount {name}`")));
    }
    if force && container.is_running() {
        look::kill(&container)?;
    }
    let lock = container.lock().map_err(|error| match error {
        ContainerError::Running(name) => {
            Error::build(format!("the container {name} is running")).help("stop it, or remove it with --force")
        }
        error => error.into(),
    })?;
    store.remove_container(&container, lock)?;
    Ok(container)
}

impl From<ContainerError> for Error {
    fn from(error: ContainerError) -> Self {
        match error {
            ContainerError::Store(error) => error.into(),
            error @ ContainerError::BadName(_) => Self::Usage(error.to_string()),
            error => Self::build(error.to_string()),
        }
    }
}
