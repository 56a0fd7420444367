//! Everything that steps are run with, and what of it is never recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::DiffId;
use crate::event::Reporter;
use crate::graph::StepId;
use crate::sandbox::{Cancel, Executor};
use crate::solve::{Elsewhere, Observer};
use crate::source::Sources;
use crate::source::agent::Agent;
use crate::store::layers::{LayerBlob, Layers};

/// Everything that steps are run with.
pub struct Environment<'a> {
    /// Where layers are and go.
    pub layers: Arc<Layers>,
    /// The folders of local contexts, by name.
    pub contexts: &'a BTreeMap<String, PathBuf>,
    /// The layers of base images, by their diff IDs.
    pub images: &'a HashMap<Vec<DiffId>, Vec<LayerBlob>>,
    /// What runs processes.
    pub executor: &'a dyn Executor,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    /// Stops everything.
    pub cancel: &'a Cancel,
    /// What a step may be given that only its target has.
    pub credentials: &'a (dyn Fn(StepId) -> &'a Credentials + Sync),
    /// What `/etc/resolv.conf` holds for steps that have a network.
    pub resolv_conf: Vec<u8>,
    /// How many steps may run at the same time.
    pub jobs: usize,
    /// Targets of which nobody will read a byte: that their result is known is enough.
    pub unread: &'a BTreeSet<StepId>,
    /// What brings files from the network; none if it must not be used.
    pub sources: Option<&'a Sources>,
    /// Who hears of keys and misses.
    pub observer: &'a dyn Observer,
    /// Who knows results that the store does not have.
    pub elsewhere: &'a dyn Elsewhere,
}

/// What steps may be given and what is not recorded anywhere: not in a key, not in a layer, not in the log.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The values of secrets, by their ids.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Ssh agents, by their ids.
    pub agents: BTreeMap<String, Agent>,
}

/// The value of a secret, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub Vec<u8>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}
