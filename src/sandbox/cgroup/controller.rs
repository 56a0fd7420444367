//! The kernel's controllers, and what is written to and read from their files in a group. Pure tables.

use crate::graph::Limits;
use crate::graph::limits::Swap;
use crate::sandbox::cgroup::place::Version;

/// The period in which a share of processors is counted, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

/// A kind of limit that the kernel enforces for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Cpuset,
    Pids,
}

/// A line for a file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The file's name.
    pub(super) file: &'static str,
    /// What is written.
    pub(super) value: String,
    /// Whether nobody asked for it: a kernel without such a file does without it.
    pub(super) optional: bool,
}

impl Controller {
    const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Cpuset, Self::Pids];

    /// Those that limits need, each with the flag that asks for it.
    pub(super) fn needed(limits: &Limits) -> Vec<(Self, &'static str)> {
        let flag = |controller: &Self| match controller {
            Self::Memory => limits.memory.map(|_| "--memory"),
            Self::Cpu => limits.cpus.map(|_| "--cpus").or(limits.cpu_shares.map(|_| "--cpu-shares")),
            Self::Cpuset => limits.cpuset_cpus.as_ref().map(|_| "--cpuset-cpus"),
            Self::Pids => limits.pids.map(|_| "--pids-limit"),
        };
        Self::ALL.into_iter().filter_map(|controller| Some((controller, flag(&controller)?))).collect()
    }

    /// As the kernel calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
        }
    }

    /// What is written for these limits, in this order.
    pub(super) fn settings(self, version: Version, limits: &Limits) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |file, value: String| settings.push(Setting { file, value, optional: false });
        match (self, version) {
            (Self::Memory, _) => {
                if let Some(memory) = limits.memory {
                    let file = if version == Version::One { "memory.limit_in_bytes" } else { "memory.max" };
                    set(file, memory.to_string());
                    settings.extend(swap(version, memory, limits.memory_swap));
                }
            }
            (Self::Cpu, Version::One) => {
                if let Some(cpus) = limits.cpus {
                    set("cpu.cfs_period_us", PERIOD.to_string());
                    set("cpu.cfs_quota_us", (cpus * PERIOD / 1000).to_string());
                }
                if let Some(shares) = limits.cpu_shares {
                    set("cpu.shares", shares.to_string());
                }
            }
            (Self::Cpu, Version::Two) => {
                if let Some(cpus) = limits.cpus {
                    set("cpu.max", format!("{} {PERIOD}", cpus * PERIOD / 1000));
                }
                if let Some(shares) = limits.cpu_shares {
                    set("cpu.weight", weight(shares).to_string());
                }
            }
            (Self::Cpuset, _) => set("cpuset.cpus", limits.cpuset_cpus.clone().unwrap_or_default()),
            (Self::Pids, _) => {
                if let Some(pids) = limits.pids {
                    set("pids.max", pids.to_string());
                }
            }
        }
        settings
    }

    /// Where the kernel counts what was refused or killed for this: a file, and the word before the number.
    pub(super) fn events(self, version: Version) -> Option<(&'static str, &'static str)> {
        match (self, version) {
            (Self::Memory, Version::One) => Some(("memory.oom_control", "oom_kill")),
            (Self::Memory, Version::Two) => Some(("memory.events", "oom_kill")),
            (Self::Pids, _) => Some(("pids.events", "max")),
            (Self::Cpu | Self::Cpuset, _) => None,
        }
    }
}

/// How much may be swapped out. Unless somebody says, as much again as there is memory, as with Docker.
fn swap(version: Version, memory: u64, asked: Option<Swap>) -> Option<Setting> {
    let (total, optional) = match asked {
        Some(Swap::Total(total)) => (Some(total), false),
        Some(Swap::Unlimited) => (None, true),
        None => (Some(memory.saturating_mul(2)), true),
    };
    match (version, total) {
        // Of the first, the limit is on both together; of the second, on swap alone.
        (Version::One, total) => {
            let value = total.map_or_else(|| "-1".to_owned(), |total| total.to_string());
            Some(Setting { file: "memory.memsw.limit_in_bytes", value, optional })
        }
        (Version::Two, total) => {
            let value = total.map_or_else(|| "max".to_owned(), |total| total.saturating_sub(memory).to_string());
            Some(Setting { file: "memory.swap.max", value, optional })
        }
    }
}

/// A share as the second version counts: 1 to 10000 for 2 to 262144, as container runtimes map them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The number behind a word at the start of a line.
pub(super) fn count(text: &str, word: &str) -> u64 {
    let number = |line: &str| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(controller: Controller, version: Version, limits: &Limits) -> Vec<String> {
        let settings = controller.settings(version, limits);
        settings.iter().map(|it| format!("{}={}{}", it.file, it.value, if it.optional { "?" } else { "" })).collect()
    }

    #[test]
    fn limits_become_lines_of_files() {
        let limits = Limits {
            memory: Some(64),
            cpus: Some(1500),
            cpu_shares: Some(1024),
            cpuset_cpus: Some("0-1".into()),
            pids: Some(20),
            ..Limits::default()
        };
        let check = |controller, one: &[&str], two: &[&str]| {
            assert_eq!(shown(controller, Version::One, &limits), one);
            assert_eq!(shown(controller, Version::Two, &limits), two);
        };
        check(
            Controller::Memory,
            &["memory.limit_in_bytes=64", "memory.memsw.limit_in_bytes=128?"],
            &["memory.max=64", "memory.swap.max=64?"],
        );
        check(
            Controller::Cpu,
            &["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000", "cpu.shares=1024"],
            &["cpu.max=150000 100000", "cpu.weight=39"],
        );
        check(Controller::Cpuset, &["cpuset.cpus=0-1"], &["cpuset.cpus=0-1"]);
        check(Controller::Pids, &["pids.max=20"], &["pids.max=20"]);
        let needed: Vec<&str> = Controller::needed(&limits).into_iter().map(|(_, flag)| flag).collect();
        assert_eq!(needed, ["--memory", "--cpus", "--cpuset-cpus", "--pids-limit"]);
        assert!(Controller::needed(&Limits { shm_size: Some(1), ..Limits::default() }).is_empty());
    }

    #[test]
    fn swap_is_counted_as_each_version_counts_it() {
        let check = |asked: Option<Swap>, one: &str, two: &str| {
            let limits = Limits { memory: Some(64), memory_swap: asked, ..Limits::default() };
            assert_eq!(shown(Controller::Memory, Version::One, &limits)[1], one);
            assert_eq!(shown(Controller::Memory, Version::Two, &limits)[1], two);
        };
        check(Some(Swap::Total(64)), "memory.memsw.limit_in_bytes=64", "memory.swap.max=0");
        check(Some(Swap::Total(100)), "memory.memsw.limit_in_bytes=100", "memory.swap.max=36");
        check(Some(Swap::Unlimited), "memory.memsw.limit_in_bytes=-1?", "memory.swap.max=max?");
        assert_eq!((weight(2), weight(1024), weight(262_144), weight(0)), (1, 39, 10000, 1));
    }

    #[test]
    fn reads_what_the_kernel_counted() {
        let check = |text: &str, word: &str, expected| assert_eq!(count(text, word), expected);
        check("low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n", "oom_kill", 2);
        check("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill", 3);
        check("max 5\n", "max", 5);
        check("", "max", 0);
    }
}
