//! Why a step did not come to its end.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::fstree::TreePath;
use crate::fstree::edit::EditError;
use crate::fstree::select::SelectError;
use crate::sandbox::{Exit, SandboxError};
use crate::solve::emulation::NoEmulation;
use crate::store::StoreError;
use crate::store::layers::LayerError;
use crate::store::snapshot::SnapshotError;

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// What it copies is not there, or not to be had.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// What it copies is not in a build context.
    #[error("{path:?} is not in the build context{}", if pattern.is_some() { ": an ignore file excludes it" } else { "" })]
    NotInContext {
        /// The path, below the context's root.
        path: String,
        /// The name of the context.
        context: String,
        /// If it is excluded though it exists: the pattern's index among those of the context's operation.
        pattern: Option<usize>,
    },
    /// A change to files is not possible.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A layer is not to be had.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A folder cannot be made into a layer, or a layer into a folder.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process could not be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The process is for a machine that this one neither is nor emulates.
    #[error(transparent)]
    Emulation(Box<NoEmulation>),
    /// The process failed.
    #[error("it failed with {exit}")]
    Failed {
        /// How it ended.
        exit: Exit,
        /// The last that it wrote.
        tail: Vec<u8>,
        /// The name of what was kept of it, if somebody did.
        kept: Option<String>,
    },
    /// The build was stopped.
    #[error("it was canceled")]
    Canceled,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl StepError {
    /// An error that is nothing but its message.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Another module's error.
    pub fn other(error: &dyn Display) -> Self {
        Self::Other(error.to_string())
    }

    /// A file of an input or image that cannot be read.
    pub fn read(path: &TreePath, error: &io::Error) -> Self {
        Self::Other(format!("{path} cannot be read: {error}"))
    }

    /// A path of the store that cannot be used.
    pub fn store(path: &Path, error: io::Error) -> Self {
        Self::Store(crate::store::io_error("use", path)(error))
    }
}
