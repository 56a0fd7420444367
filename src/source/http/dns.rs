//! Names of hosts to addresses, without the C library: a static program must not load its plug-ins.
//!
//! Addresses stand for themselves, `localhost` is the loopback (RFC 6761), then `/etc/hosts` is asked and then the name
//! servers of `/etc/resolv.conf`, over UDP and, for answers that do not fit, TCP (RFC 1035). A stub resolver: the server
//! follows aliases and does the work. No cache (a build asks for few names), no multicast names, no DNSSEC.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// There is no such name, or it has no address.
    #[error("there is no host called {0}")]
    Unknown(String),
    /// No server gave a usable answer.
    #[error("the name {name} cannot be looked up: {reason}")]
    Failed {
        /// The name.
        name: String,
        /// What the last server did.
        reason: String,
    },
}

/// How names are looked up.
#[derive(Debug, Clone)]
pub struct Names {
    /// A file like `/etc/hosts`.
    pub hosts: PathBuf,
    /// A file like `/etc/resolv.conf`.
    pub configuration: PathBuf,
}

impl Default for Names {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), configuration: "/etc/resolv.conf".into() }
    }
}

impl Names {
    /// The addresses of a host, best first; at least one.
    pub fn look_up(&self, host: &str, patience: Duration) -> Result<Vec<IpAddr>, NameError> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let bare = name.trim_end_matches('.');
        if bare == "localhost" || bare.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = in_hosts(&std::fs::read_to_string(&self.hosts).unwrap_or_default(), bare);
        if !known.is_empty() {
            return Ok(known);
        }
        // Without the file there is a server on this machine, or none (resolv.conf(5)).
        let text = std::fs::read_to_string(&self.configuration).unwrap_or_default();
        Configuration::parse(&text).look_up(&name, Instant::now() + patience)
    }
}

/// The addresses that a hosts file has for a name.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What a `resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    attempts: u32,
    timeout: Duration,
}

impl Configuration {
    fn parse(text: &str) -> Self {
        let mut new =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, attempts: 2, timeout: Duration::from_secs(5) };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // An interface after `%` cannot be named to connect(2) by its address alone.
                    let address = words.next().and_then(|word| word.split('%').next()?.parse().ok());
                    new.servers.extend(address.map(|address: IpAddr| SocketAddr::new(address, 53)));
                }
                Some("domain" | "search") => {
                    new.search = words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()).collect();
                }
                Some("options") => {
                    for (name, value) in words.filter_map(|word| word.split_once(':')) {
                        match (name, value.parse::<u32>()) {
                            ("ndots", Ok(dots)) => new.ndots = dots.min(15) as usize,
                            ("attempts", Ok(attempts)) => new.attempts = attempts.clamp(1, 5),
                            ("timeout", Ok(seconds)) => new.timeout = Duration::from_secs(seconds.clamp(1, 30).into()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        new.servers.truncate(3);
        if new.servers.is_empty() {
            new.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        new
    }

    /// The full names that a short one can mean, in the order to try.
    fn candidates(&self, name: &str) -> Vec<String> {
        let bare = name.trim_end_matches('.').to_owned();
        if name.ends_with('.') {
            return vec![bare];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{bare}.{domain}")).collect();
        let first = bare.matches('.').count() >= self.ndots;
        names.insert(if first { 0 } else { names.len() }, bare);
        names
    }

    fn look_up(&self, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, NameError> {
        for candidate in self.candidates(name) {
            let mut found = self.ask(&candidate, A, deadline);
            // A server that fails for one kind only is good enough for the other.
            match (&mut found, self.ask(&candidate, AAAA, deadline)) {
                (Ok(found), Ok(more)) => found.extend(more),
                (Err(_), Ok(more)) if !more.is_empty() => found = Ok(more),
                _ => {}
            }
            match found {
                Ok(found) if found.is_empty() => {}
                Ok(found) => return Ok(found),
                Err(reason) => return Err(NameError::Failed { name: candidate, reason }),
            }
        }
        Err(NameError::Unknown(name.to_owned()))
    }

    /// The addresses of one kind of a full name; none if it has none.
    fn ask(&self, name: &str, kind: u16, deadline: Instant) -> Result<Vec<IpAddr>, String> {
        let Some(question) = question(name, kind) else { return Ok(Vec::new()) };
        let mut reason = String::new();
        for _ in 0..self.attempts {
            for server in &self.servers {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(if reason.is_empty() { "it took too long".into() } else { reason });
                }
                let answer = over_udp(*server, &question, self.timeout.min(left)).and_then(|answer| match answer {
                    Some(answer) => Ok(answer),
                    None => over_tcp(*server, &question, self.timeout.min(left)),
                });
                match answer.map(|answer| addresses(&answer, name)) {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(code)) => reason = format!("the name server {} answered with {code}", server.ip()),
                    Err(error) => {
                        let timeout = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                        let words = if timeout { "it does not answer".into() } else { error.to_string() };
                        reason = format!("the name server {}: {words}", server.ip());
                    }
                }
            }
        }
        Err(reason)
    }
}

/// A query for one kind of record; none if the name cannot be one of the DNS.
fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let id = RandomState::new().build_hasher().finish().to_le_bytes();
    // Recursion desired, one question.
    let mut bytes = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    if name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    Some(bytes)
}

/// Whether these bytes answer just this question.
fn answers(bytes: &[u8], question: &[u8]) -> bool {
    bytes.len() >= question.len()
        && bytes[..2] == question[..2]
        && bytes[2] & 0x80 != 0
        && bytes[4..6] == [0, 1]
        && bytes[12..question.len()].eq_ignore_ascii_case(&question[12..])
}

/// The answer of a server; none if it is too long for this way of asking.
fn over_udp(server: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Datagrams of others are not received.
    socket.connect(server)?;
    socket.send(question)?;
    let deadline = Instant::now() + patience;
    let mut buffer = vec![0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        if answers(&buffer[..length], question) {
            let truncated = buffer[2] & 2 != 0;
            return Ok((!truncated).then(|| buffer[..length].to_vec()));
        }
    }
}

fn over_tcp(server: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let length = u16::try_from(question.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    if answers(&answer, question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The addresses in an answer for `name` or what it is an alias of; the words for a code that is an error.
fn addresses(answer: &[u8], name: &str) -> Result<Vec<IpAddr>, String> {
    match answer.get(3).map(|byte| byte & 15) {
        Some(0) => {}
        // There is no such name.
        Some(3) => return Ok(Vec::new()),
        Some(1) => return Err("a format error".into()),
        Some(2) => return Err("a failure of its own".into()),
        Some(5) => return Err("a refusal".into()),
        code => return Err(format!("code {}", code.unwrap_or_default())),
    }
    Ok(Records::new(answer).map(|records| records.addresses(name)).unwrap_or_default())
}

struct Record {
    owner: String,
    kind: u16,
    /// Where its data is.
    data: std::ops::Range<usize>,
}

struct Records<'a> {
    bytes: &'a [u8],
    list: Vec<Record>,
}

impl<'a> Records<'a> {
    /// Reads the answer section; none if it is damaged.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let count = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]);
        let (_, mut at) = name_at(bytes, 12)?;
        at += 4;
        let mut list = Vec::new();
        for _ in 0..count {
            let (owner, end) = name_at(bytes, at)?;
            let fixed = bytes.get(end..end + 10)?;
            let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
            let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            at = end + 10 + length;
            bytes.get(end + 10..at)?;
            list.push(Record { owner, kind, data: end + 10..at });
        }
        Some(Self { bytes, list })
    }

    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let mut names = vec![name.to_ascii_lowercase()];
        // Aliases may stand in any order.
        for _ in 0..self.list.len() {
            for record in self.list.iter().filter(|record| record.kind == CNAME) {
                if let Some((target, _)) = name_at(self.bytes, record.data.start)
                    && names.contains(&record.owner)
                    && !names.contains(&target)
                {
                    names.push(target);
                }
            }
        }
        let of = |record: &Record| {
            let data = &self.bytes[record.data.clone()];
            match record.kind {
                A => Some(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
                AAAA => Some(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
                _ => None,
            }
        };
        self.list.iter().filter(|record| names.contains(&record.owner)).filter_map(of).collect()
    }
}

/// The name at a place in lower case, and where what follows it begins.
fn name_at(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut end = None;
    // Each pointer must lead back, so they cannot go in circles.
    let mut limit = bytes.len();
    loop {
        match *bytes.get(at)? {
            0 => return Some((name, end.unwrap_or(at + 1))),
            high if high & 0xc0 == 0xc0 => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, *bytes.get(at + 1)?]));
                end.get_or_insert(at + 2);
                if target >= limit.min(at) {
                    return None;
                }
                limit = target;
                at = target;
            }
            length if length < 64 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                at += 1 + usize::from(length);
            }
            _ => return None,
        }
        if name.len() > 255 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests;
