//! What steps are given besides files, and what is done with a target: single values of a few kinds.

use super::suggest::did_you_mean;
use super::target::{Call, Entitlement};
use crate::fstree::Scrub;
use crate::graph::Limits;
use crate::graph::limits::{self, Swap, Ulimit};

/// A number of bytes, with a unit that is a power of 1024: `64m`, `1g`.
pub fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(end);
    let exponent = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit) {
        "" => Some(0),
        "k" => Some(1),
        "m" => Some(2),
        "g" => Some(3),
        "t" => Some(4),
        _ => None,
    };
    let bytes = exponent.and_then(|exponent| digits.parse::<u64>().ok()?.checked_mul(1024_u64.pow(exponent)));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| "write a size such as 64m, 1g or a number of bytes".into())
}

/// What is taken away from layers: one scrub, or several under one name.
pub(super) fn scrub(text: &str) -> Result<Vec<Scrub>, String> {
    Scrub::named(text).ok_or_else(|| {
        let known: Vec<&str> = Scrub::names().collect();
        match did_you_mean(text, known.iter().copied()) {
            Some(hint) => format!("`{text}` is no scrub; {hint}"),
            None => format!("`{text}` is no scrub: there are {}", known.join(", ")),
        }
    })
}

/// The address of a host.
pub(super) fn address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare == "host-gateway" || bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    Err(format!("`{text}` is not an IP address; allowed are IPv4, IPv6 and `host-gateway`"))
}

/// A limit of processes: `nofile=1024` or `nofile=1024:4096`.
pub(super) fn ulimit(text: &str) -> Result<Ulimit, String> {
    text.parse()
}

/// The names under `resources`; all but `cpus` and `pids` are docker's.
const RESOURCES: [&str; 8] =
    ["memory", "memory-swap", "cpus", "cpu-shares", "cpu-quota", "cpu-period", "cpuset-cpus", "pids"];
/// The period of `cpu-quota` unless it is given, in microseconds: the kernel's.
const PERIOD: u64 = 100_000;

/// What is said under `resources`, one by one.
#[derive(Debug, Default)]
pub(super) struct Resources {
    limits: Limits,
    quota: Option<u64>,
    period: Option<u64>,
}

impl Resources {
    /// Takes one of the values.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let number = || text.parse::<u64>().map_err(|_| format!("`{text}` is no number that `{name}` can have"));
        match name {
            "memory" => self.limits.memory = Some(size(text)?),
            "memory-swap" => self.limits.memory_swap = Some(swap(text)?),
            "cpus" => self.limits.cpus = Some(limits::cpus(text)?),
            "cpu-shares" => self.limits.cpu_shares = Some(number()?).filter(|shares| *shares > 0),
            "cpu-quota" => self.quota = Some(number()?).filter(|quota| *quota > 0),
            "cpu-period" => self.period = Some(number()?).filter(|period| *period > 0),
            "cpuset-cpus" => self.limits.cpuset_cpus = Some(limits::cpu_list(text)?),
            "pids" => self.limits.pids = pids(text)?,
            other => {
                let hint = did_you_mean(other, RESOURCES.iter().copied());
                let hint = hint.unwrap_or_else(|| format!("there are {}", RESOURCES.join(", ")));
                return Err(format!("`{other}` cannot be limited: {hint}"));
            }
        }
        Ok(())
    }

    /// All of them together.
    pub(super) fn limits(self) -> Limits {
        let of_quota = |quota: u64| quota.saturating_mul(1000) / self.period.unwrap_or(PERIOD);
        Limits { cpus: self.limits.cpus.or(self.quota.map(of_quota)), ..self.limits }
    }
}

/// How much memory and swap together: a size, or -1 for any.
pub fn swap(text: &str) -> Result<Swap, String> {
    if text == "-1" { Ok(Swap::Unlimited) } else { size(text).map(Swap::Total) }
}

/// How many processes; -1 and 0 are any number.
pub fn pids(text: &str) -> Result<Option<u64>, String> {
    match text {
        "-1" | "0" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "write a number, or -1 for no limit".into()),
    }
}

pub(super) fn call(text: &str) -> Result<Call, String> {
    match text {
        "build" | "" => Ok(Call::Build),
        "check" | "lint" => Ok(Call::Check),
        "outline" => Ok(Call::Outline),
        "targets" => Ok(Call::Targets),
        other => Err(format!("`{other}` cannot be called: use `build`, `check`, `outline` or `targets`")),
    }
}

pub(super) fn entitlement(text: &str) -> Result<Entitlement, String> {
    match text {
        "network.host" => Ok(Entitlement::NetworkHost),
        "security.insecure" => Ok(Entitlement::SecurityInsecure),
        other => Err(format!("`{other}` is no entitlement: use `network.host` or `security.insecure`")),
    }
}

impl Call {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Check => "check",
            Self::Outline => "outline",
            Self::Targets => "targets",
        }
    }
}

impl Entitlement {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_become_limits() {
        let check = |pairs: &[(&str, &str)], expected: Limits| {
            let mut resources = Resources::default();
            pairs.iter().for_each(|(name, text)| resources.set(name, text).unwrap());
            assert_eq!(resources.limits(), expected, "{pairs:?}");
        };
        let none = Limits::default;
        check(&[], none());
        check(
            &[("memory", "2g"), ("memory-swap", "-1"), ("pids", "-1")],
            Limits { memory: Some(2 << 30), memory_swap: Some(Swap::Unlimited), ..none() },
        );
        check(&[("cpu-quota", "50000")], Limits { cpus: Some(500), ..none() });
        check(&[("cpu-period", "20000"), ("cpu-quota", "50000")], Limits { cpus: Some(2500), ..none() });
        check(&[("cpus", "1.5"), ("cpu-quota", "50000")], Limits { cpus: Some(1500), ..none() });
        let refused = |name: &str, text: &str, expected: &str| {
            let error = Resources::default().set(name, text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        refused("memory", "much", "write a size");
        refused("cpu-shares", "x", "`x` is no number that `cpu-shares` can have");
        refused("cpuset-mems", "0", "`cpuset-mems` cannot be limited");
    }
}
