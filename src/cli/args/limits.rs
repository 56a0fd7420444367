//! What steps and containers may use of the machine: the limits that `build`, `bake` and `run` share.

use clap::Args;

use super::values;
use crate::graph::Limits;
use crate::graph::limits::Ulimit;

/// What may be used.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Limit what each process may use, such as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<Ulimit>,
    /// The size of /dev/shm [default: 64m]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub shm_size: Option<u64>,
}

impl LimitArgs {
    /// All of them; of two of one kind the later counts.
    pub fn limits(&self) -> Limits {
        let mut ulimits: Vec<Ulimit> = Vec::new();
        for ulimit in &self.ulimit {
            ulimits.retain(|earlier| earlier.resource != ulimit.resource);
            ulimits.push(*ulimit);
        }
        Limits { ulimits, shm_size: self.shm_size, ..Limits::default() }
    }
}
