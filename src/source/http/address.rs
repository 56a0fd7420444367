//! The addresses of files: what of a URL goes to which server, and what a redirect means.
//!
//! Only as much of RFC 3986 as a client needs. Nothing is sent or looked up here.

use std::fmt;
use std::net::IpAddr;

use super::percent;

/// An `http` or `https` URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether it is `https`.
    pub secure: bool,
    /// User and password, percent-decoded, if the URL has them.
    pub credentials: Option<(String, String)>,
    /// The host in lower case; an IPv6 address in brackets.
    pub host: String,
    /// The port, if it is not the scheme's own.
    pub port: Option<u16>,
    /// Path and query, percent-encoded where they must be. Begins with a slash.
    pub path: String,
}

impl Address {
    /// Takes a URL apart. What is wrong with it comes as the end of a sentence that begins with the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme: write http:// or https://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("{other}:// is not fetched, only http:// and https:// are")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((user, place)) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((decode(user), decode(password))), place)
            }
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (place, ""),
        };
        let port = match port {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("{text:?} is no port"))?),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let valid = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(plain),
        };
        if !valid {
            return Err(format!("{host:?} is no host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            secure,
            credentials,
            host: host.to_ascii_lowercase(),
            port: port.filter(|port| *port != if secure { 443 } else { 80 }),
            path: encode(&format!("{slash}{path}")),
        })
    }

    /// Where a redirect from here leads (RFC 3986, section 5.2). Credentials are those that the target itself names, or
    /// ours if it is on the same server.
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let location = location.trim();
        let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let own_scheme = if self.secure { "https" } else { "http" };
        let (current, query) =
            self.path.split_once('?').map_or((self.path.as_str(), ""), |(path, query)| (path, query));
        let mut target = if is_scheme {
            Self::parse(location)?
        } else if location.starts_with("//") {
            Self::parse(&format!("{own_scheme}:{location}"))?
        } else {
            let location = location.split('#').next().unwrap_or_default();
            let path = match location.chars().next() {
                Some('/') => location.to_owned(),
                Some('?') => format!("{current}{location}"),
                Some(_) => format!("{}/{location}", current.rsplit_once('/').map_or("", |(folder, _)| folder)),
                None if query.is_empty() => current.to_owned(),
                None => format!("{current}?{query}"),
            };
            Self { path: encode(&path), credentials: None, ..self.clone() }
        };
        target.path = without_dots(&target.path);
        if target.credentials.is_none() && target.origin() == self.origin() {
            target.credentials.clone_from(&self.credentials);
        }
        Ok(target)
    }

    /// Scheme, host and port: what credentials belong to.
    pub fn origin(&self) -> (bool, &str, Option<u16>) {
        (self.secure, &self.host, self.port)
    }

    /// The host without brackets.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The URL as it is asked for: without credentials.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}{}", self.host, self.path)
    }

    /// The value of `Authorization` for the credentials (RFC 7617), if there are any.
    pub fn authorization(&self) -> Option<String> {
        let (user, password) = self.credentials.as_ref()?;
        Some(super::base64::basic(user, password))
    }

    /// Whether a list such as `NO_PROXY` holds says that no proxy is to be used: names with everything below them, `*`,
    /// addresses, networks such as `10.0.0.0/8`, each with a port if it is only for that.
    pub fn is_listed(&self, list: &str) -> bool {
        let own_port = self.port.unwrap_or(if self.secure { 443 } else { 80 });
        let own_ip: Option<IpAddr> = self.bare_host().parse().ok();
        list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            if entry == "*" {
                return true;
            }
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
                _ => (entry, None),
            };
            if port.is_some_and(|port| port.parse() != Ok(own_port)) {
                return false;
            }
            let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
            if let Some(ip) = own_ip {
                return in_network(ip, &name);
            }
            let name = name.trim_start_matches('*').trim_start_matches('.');
            self.host == name || self.host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// As messages show it: without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// A URL of any kind as messages show it: without a password.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, place)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:…@{place}{}", &rest[end..])
        }
        _ => url.to_owned(),
    }
}

fn in_network(ip: IpAddr, network: &str) -> bool {
    let (base, bits) = network.split_once('/').unwrap_or((network, ""));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let (ip, base, width) = match (ip, base) {
        (IpAddr::V4(ip), IpAddr::V4(base)) => (u128::from(ip.to_bits()), u128::from(base.to_bits()), 32),
        (IpAddr::V6(ip), IpAddr::V6(base)) => (ip.to_bits(), base.to_bits(), 128),
        _ => return false,
    };
    let bits: u32 = if bits.is_empty() { width } else { bits.parse().unwrap_or(width) };
    let shift = width.saturating_sub(bits);
    ip.checked_shr(shift).unwrap_or_default() == base.checked_shr(shift).unwrap_or_default()
}

/// Encodes what may not stand in a request line; what is encoded already stays.
pub(super) fn encode(text: &str) -> String {
    percent::encode(text, |byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Resolves `.` and `..` in the path (RFC 3986, section 5.2.4); the query stays as it is.
fn without_dots(path: &str) -> String {
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (place, part) in parts.iter().enumerate() {
        let last = place + 1 == parts.len();
        match *part {
            "." | ".." => {
                if *part == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let check = |url: &str, expected: &str| {
            let url = Address::parse(url).map(|address| address.url());
            assert_eq!(url.unwrap_or_else(|error| error), expected);
        };
        check("HTTP://Host.Example:80/a b?q=ü#f", "http://host.example/a%20b?q=%C3%BC");
        check("https://h", "https://h/");
        check("https://h:8443?x", "https://h:8443/?x");
        check("https://u:p@[::1]:1/x%20y", "https://[::1]:1/x%20y");
        check("file:///etc/passwd", "file:// is not fetched, only http:// and https:// are");
        check("https://h:x/", "\"x\" is no port");
        check("https:///x", "\"\" is no host");
        check("https://a b/", "\"a b\" is no host");
        check("https://[::1/", "\"[:\" is no host");
    }

    #[test]
    fn follows_references() {
        let base = Address::parse("http://u:p@h:8/a/b/c?q").unwrap();
        let check = |location: &str, expected: &str, credentials: bool| {
            let target = base.join(location).unwrap();
            assert_eq!((target.url().as_str(), target.credentials.is_some()), (expected, credentials), "{location}");
        };
        check("d", "http://h:8/a/b/d", true);
        check("../d?x=../y", "http://h:8/a/d?x=../y", true);
        check("/../d/./e/..", "http://h:8/d/", true);
        check("?r#f", "http://h:8/a/b/c?r", true);
        check("", "http://h:8/a/b/c?q", true);
        check("//h:8/x", "http://h:8/x", true);
        check("//h/x", "http://h/x", false);
        check("https://h:8/x", "https://h:8/x", false);
        check("https://v:w@other/x", "https://other/x", true);
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(base.join("ftp://h/x").is_err());
    }

    #[test]
    fn keeps_passwords_to_itself() {
        let address = Address::parse("https://us%40er:p%3Aw@h/x").unwrap();
        assert_eq!(format!("{address} {address:?}"), "https://h/x https://h/x");
        assert_eq!(address.authorization().unwrap(), "Basic dXNAZXI6cDp3");
        assert_eq!(shown("https://u:secret@h/x@y"), "https://u:…@h/x@y");
        assert_eq!(shown("git@h:x"), "git@h:x");
    }

    #[test]
    fn knows_which_hosts_need_no_proxy() {
        let check = |url: &str, list: &str, expected: bool| {
            assert_eq!(Address::parse(url).unwrap().is_listed(list), expected, "{url} in {list}");
        };
        check("http://a.example.org/", "example.org", true);
        check("http://a.example.org/", "x, .example.org", true);
        check("http://a.example.org/", "*.example.org", true);
        check("http://anexample.org/", "example.org", false);
        check("http://h/", "*", true);
        check("http://h/", "h:80", true);
        check("https://h/", "h:80", false);
        check("http://10.1.2.3/", "10.0.0.0/8", true);
        check("http://11.1.2.3/", "10.0.0.0/8", false);
        check("http://127.0.0.1:5/", "127.0.0.1", true);
        check("http://[::1]/", "::1", true);
        check("http://[fe80::1]/", "fe80::/10", true);
        check("http://h/", "", false);
    }
}
