//! What the process of a step may use of the machine: memory, processors, processes, time.
//!
//! A limit says how much a step may take, not what it makes. One that stays within its limits makes what it would make without
//! them, and one that does not fails and leaves nothing. So none of this enters a key: what was built under one limit is found
//! under any other, and on a machine that cannot enforce any.
//!
//! How a limit is written is here too, since flags and build files write it the same way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a process may use. What is none is not limited, or as the machine has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Limits of single processes, each resource once.
    pub ulimits: Vec<Ulimit>,
    /// The size of `/dev/shm` in bytes; 64 MiB if none.
    pub shm_size: Option<u64>,
    /// Memory of all processes together, in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together; twice the memory if none.
    pub memory_swap: Option<Swap>,
    /// Time of processors, in thousandths of one.
    pub cpus: Option<u64>,
    /// The share of processors where others want them too; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Which processors, such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// How many processes and threads at once.
    pub pids: Option<u64>,
    /// How long.
    pub time: Option<Duration>,
}

impl Limits {
    /// These, and where they say nothing what `others` say.
    pub fn or(self, others: &Self) -> Self {
        let mut ulimits = self.ulimits;
        for other in &others.ulimits {
            if !ulimits.iter().any(|own| own.resource == other.resource) {
                ulimits.push(*other);
            }
        }
        Self {
            ulimits,
            shm_size: self.shm_size.or(others.shm_size),
            memory: self.memory.or(others.memory),
            memory_swap: self.memory_swap.or(others.memory_swap),
            cpus: self.cpus.or(others.cpus),
            cpu_shares: self.cpu_shares.or(others.cpu_shares),
            cpuset_cpus: self.cpuset_cpus.or_else(|| others.cpuset_cpus.clone()),
            pids: self.pids.or(others.pids),
            time: self.time.or(others.time),
        }
    }

    /// What does not fit together.
    ///
    /// # Errors
    /// A clause that says which.
    pub fn check(&self) -> Result<(), String> {
        match (self.memory, self.memory_swap) {
            (None, Some(_)) => Err("a limit of memory and swap needs one of memory: add --memory".into()),
            (Some(memory), Some(Swap::Total(total))) if total < memory => Err(format!(
                "memory and swap together ({}) are less than the memory alone ({})",
                Size(total),
                Size(memory)
            )),
            _ => Ok(()),
        }
    }
}

/// How much memory and swap may be used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// So many bytes.
    Total(u64),
    /// Any amount of swap.
    Unlimited,
}

/// A limit of each process for itself, as setrlimit(2) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub resource: Resource,
    /// What a process gets, and can raise up to `hard`; none for no limit.
    pub soft: Option<u64>,
    /// What nobody without privileges can raise; none for no limit.
    pub hard: Option<u64>,
}

/// What a process can be limited in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "setrlimit(2) describes each")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Resource {
    /// All of them, as docker calls them (and `as`, which it has not).
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::As, "as"),
        (Self::Core, "core"),
        (Self::Cpu, "cpu"),
        (Self::Data, "data"),
        (Self::Fsize, "fsize"),
        (Self::Locks, "locks"),
        (Self::Memlock, "memlock"),
        (Self::Msgqueue, "msgqueue"),
        (Self::Nice, "nice"),
        (Self::Nofile, "nofile"),
        (Self::Nproc, "nproc"),
        (Self::Rss, "rss"),
        (Self::Rtprio, "rtprio"),
        (Self::Rttime, "rttime"),
        (Self::Sigpending, "sigpending"),
        (Self::Stack, "stack"),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(resource, _)| *resource == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Ulimit {
    type Err = String;

    /// `nofile=1024` for both limits, or `nofile=1024:4096`; -1 is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no limit: write it as `nofile=1024:4096`");
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(None),
            text => text.parse().map(Some).map_err(|_| malformed()),
        };
        let (name, limits) = text.split_once('=').ok_or_else(malformed)?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        let known = Resource::ALL.iter().find(|(_, known)| *known == name);
        let Some(&(resource, _)) = known else {
            let all: Vec<&str> = Resource::ALL.iter().map(|(_, name)| *name).collect();
            return Err(format!("`{name}` cannot be limited: there are {}", all.join(", ")));
        };
        match (soft, hard) {
            (None, Some(_)) => Err(format!("`{text}`: the soft limit is above the hard one")),
            (Some(soft), Some(hard)) if soft > hard => Err(format!("`{text}`: the soft limit is above the hard one")),
            _ => Ok(Self { resource, soft, hard }),
        }
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |limit: Option<u64>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        write!(f, "{}={}:{}", self.resource.name(), number(self.soft), number(self.hard))
    }
}

/// A number of bytes as it is written: in the largest unit that leaves nothing.
#[derive(Debug, Clone, Copy)]
pub struct Size(
    /// The number.
    pub u64,
);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// A number of processors such as `1.5`, in thousandths.
///
/// # Errors
/// If it is no such number, or less than a hundredth.
pub fn cpus(text: &str) -> Result<u64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole: Option<u64> = if whole.is_empty() { Some(0) } else { whole.parse().ok().filter(|_| digits(whole)) };
    let part: Option<u64> = match part.len() <= 3 && digits(part) {
        true => format!("{part:0<3}").parse().ok(),
        false => None,
    };
    let thousandths = whole.zip(part).and_then(|(whole, part)| whole.checked_mul(1000)?.checked_add(part));
    let fine = thousandths.filter(|&thousandths| (10..=1_000_000).contains(&thousandths));
    fine.ok_or_else(|| format!("`{text}` is no number of processors: write one such as 2 or 0.5, from 0.01 to 1000"))
}

/// A list of processors such as `0-2,4`.
///
/// # Errors
/// If it is none.
pub fn cpu_list(text: &str) -> Result<String, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    let fine = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    match text.split(',').all(fine) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no list of processors: write one such as 0-2,4")),
    }
}

/// How long something may take, such as `90s`, `1h30m` or `500ms`.
///
/// # Errors
/// If it is no such time, or none at all.
pub fn time(text: &str) -> Result<Duration, String> {
    let parse = || {
        let (mut total, mut rest) = (Duration::ZERO, text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, after) = rest.split_at(digits);
            let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit);
            let number: u64 = number.parse().ok()?;
            let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
            let part = match unit {
                "h" => seconds(3600)?,
                "m" => seconds(60)?,
                "s" => seconds(1)?,
                "ms" => Duration::from_millis(number),
                _ => return None,
            };
            total = total.checked_add(part)?;
            rest = after;
        }
        Some(total)
    };
    let longest = Duration::from_secs(365 * 24 * 3600);
    let fine = parse().filter(|time| !time.is_zero() && *time <= longest);
    fine.ok_or_else(|| format!("`{text}` is no time: write one such as 90s, 10m or 1h30m, a year at most"))
}

/// A time as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Time(
    /// How long.
    pub Duration,
);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (self.0.subsec_millis().into(), "ms"),
        ];
        let mut written = false;
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
            written = true;
        }
        if written { Ok(()) } else { f.write_str("0s") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_are_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| {
            let shown = text.parse::<Ulimit>().map_or_else(|error| error, |limit| limit.to_string());
            assert!(shown.contains(expected), "{text}: {shown}");
        };
        check("nofile=1024", "nofile=1024:1024");
        check("nofile=1024:4096", "nofile=1024:4096");
        check("core=0:-1", "core=0:-1");
        check("core=-1", "core=-1:-1");
        check("stack=unlimited", "stack=-1:-1");
        for text in ["", "nofile", "nofile=", "nofile=x", "nofile=1:2:3", "nofile=1:", "=1"] {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
        check("nofile=2:1", "above the hard one");
        check("nofile=-1:1", "above the hard one");
        check("files=1", "`files` cannot be limited: there are as, core, cpu");
    }

    #[test]
    fn processors_and_times_are_read_and_shown() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(cpus(text).ok(), expected, "{text}");
        check("2", Some(2000));
        check("0.5", Some(500));
        check("1.25", Some(1250));
        check(".01", Some(10));
        for text in ["", "0", "0.001", "-1", "1.2345", "x", "+1", "1e3", "9999999999999999999999", "1.", "."] {
            check(text, if text == "1." { Some(1000) } else { None });
        }
        for text in ["0", "0-2,4", "7,0"] {
            assert_eq!(cpu_list(text).as_deref(), Ok(text));
        }
        for text in ["", "a", "1-", "2-1", "0,,1", "-1", "+1", "70000"] {
            assert!(cpu_list(text).is_err(), "{text}");
        }
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(time(text).ok().map(|time| Time(time).to_string()).as_deref(), expected, "{text}");
        };
        check("90s", Some("1m30s"));
        check("1h30m", Some("1h30m"));
        check("500ms", Some("500ms"));
        for text in ["", "0s", "5", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "9000h", "5 s", "é"] {
            check(text, None);
        }
        assert_eq!(Size(64 << 20).to_string(), "64 MiB");
        assert_eq!(Size(1000).to_string(), "1000 bytes");
        assert_eq!(Size(0).to_string(), "0 bytes");
    }

    #[test]
    fn what_is_said_first_counts() {
        let one = Limits { memory: Some(1), ulimits: vec!["nofile=1".parse().unwrap()], ..Limits::default() };
        let two = Limits {
            memory: Some(2),
            pids: Some(3),
            ulimits: vec!["core=0".parse().unwrap(), "nofile=2".parse().unwrap()],
            ..Limits::default()
        };
        let both = one.or(&two);
        assert_eq!((both.memory, both.pids), (Some(1), Some(3)));
        let shown: Vec<String> = both.ulimits.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["nofile=1:1", "core=0:0"]);
    }

    #[test]
    fn memory_and_swap_must_fit_together() {
        let check = |memory: Option<u64>, swap: Option<Swap>, fine: bool| {
            let limits = Limits { memory, memory_swap: swap, ..Limits::default() };
            assert_eq!(limits.check().is_ok(), fine, "{limits:?}");
        };
        check(None, None, true);
        check(Some(2), Some(Swap::Total(2)), true);
        check(Some(2), Some(Swap::Unlimited), true);
        check(Some(2), Some(Swap::Total(1)), false);
        check(None, Some(Swap::Total(1)), false);
    }
}
