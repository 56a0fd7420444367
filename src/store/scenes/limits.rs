//! How the limits of a step are written down in its scene. One of time is not: whoever looks around takes as long as it takes.

use serde::{Deserialize, Serialize};

use crate::graph::Limits;
use crate::graph::limits::{Swap, Ulimit};

/// What is said, each only if it is.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    /// -1 for any amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_swap: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_shares: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpuset_cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<u64>,
}

impl From<&Limits> for Saved {
    fn from(limits: &Limits) -> Self {
        Self {
            ulimits: limits.ulimits.iter().map(Ulimit::to_string).collect(),
            shm_size: limits.shm_size,
            memory: limits.memory,
            memory_swap: limits.memory_swap.map(|swap| match swap {
                Swap::Total(bytes) => bytes.try_into().unwrap_or(i64::MAX),
                Swap::Unlimited => -1,
            }),
            cpus: limits.cpus,
            cpu_shares: limits.cpu_shares,
            cpuset_cpus: limits.cpuset_cpus.clone(),
            pids: limits.pids,
        }
    }
}

impl Saved {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it says; none if that is nothing that can be said.
    pub(super) fn restore(self) -> Option<Limits> {
        let swap = |bytes: i64| match bytes {
            -1 => Some(Swap::Unlimited),
            bytes => bytes.try_into().ok().map(Swap::Total),
        };
        Some(Limits {
            ulimits: self.ulimits.iter().map(|limit| limit.parse().ok()).collect::<Option<_>>()?,
            shm_size: self.shm_size,
            memory: self.memory,
            memory_swap: match self.memory_swap {
                Some(bytes) => Some(swap(bytes)?),
                None => None,
            },
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus,
            pids: self.pids,
            time: None,
        })
    }
}
