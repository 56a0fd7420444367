//! What steps and containers may use of the machine: the limits that `build`, `bake` and `run` share.

use clap::Args;

use super::values;
use crate::frontend::buildfile;
use crate::graph::Limits;
use crate::graph::limits::{self, Swap, Ulimit};

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
    /// Limit the memory of all processes of a step or container together
    #[arg(short, long, value_name = "SIZE", value_parser = values::size)]
    pub memory: Option<u64>,
    /// Limit memory and swap together; -1 for any amount of swap [default: twice the memory]
    #[arg(long, value_name = "SIZE", value_parser = buildfile::swap, allow_hyphen_values = true)]
    pub memory_swap: Option<Swap>,
    /// Limit the time of processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = limits::cpus)]
    pub cpus: Option<u64>,
    /// The share of processors where others want them too, of which 1024 is usual
    #[arg(short, long, value_name = "SHARES", value_parser = clap::value_parser!(u64).range(2..=262_144))]
    pub cpu_shares: Option<u64>,
    /// Use only these processors, such as 0-2,4
    #[arg(long, value_name = "LIST", value_parser = limits::cpu_list)]
    pub cpuset_cpus: Option<String>,
    /// Limit the number of processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = pids, allow_hyphen_values = true)]
    pub pids_limit: Option<Pids>,
}

/// `--pids-limit`: so many, or any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pids(Option<u64>);

fn pids(text: &str) -> Result<Pids, String> {
    buildfile::pids(text).map(Pids)
}

impl LimitArgs {
    /// All of them; of two of one kind the later counts.
    pub fn limits(&self) -> Limits {
        let mut ulimits: Vec<Ulimit> = Vec::new();
        for ulimit in &self.ulimit {
            ulimits.retain(|earlier| earlier.resource != ulimit.resource);
            ulimits.push(*ulimit);
        }
        Limits {
            ulimits,
            shm_size: self.shm_size,
            memory: self.memory,
            memory_swap: self.memory_swap,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: self.pids_limit.and_then(|limit| limit.0),
            time: None,
        }
    }
}
