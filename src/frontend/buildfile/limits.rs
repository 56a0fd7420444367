//! What steps are given besides files, and what is done with a target: single values of a few kinds.

use super::suggest::did_you_mean;
use super::target::{Call, Entitlement};
use crate::fstree::Scrub;
use crate::graph::limits::Ulimit;

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
