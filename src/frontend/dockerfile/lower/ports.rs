//! The ports of `EXPOSE`: `[[address:]host:]port[-port][/protocol]`, of which address and host part mean nothing.

use std::net::IpAddr;

/// What one argument of `EXPOSE` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    /// `port/protocol`, ascending.
    pub ports: Vec<String>,
    /// Whether the protocol was not in lower case.
    pub odd_case: bool,
    /// Whether there was an address or a port of the host.
    pub mapped: bool,
}

/// Reads an argument of `EXPOSE`; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Ports, String> {
    let (address, host, container) = match text.rsplitn(3, ':').collect::<Vec<_>>()[..] {
        [container] => ("", "", container),
        [container, host] => ("", host, container),
        [container, host, address] => (address, host, container),
        _ => ("", "", text),
    };
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err("there is no port".into());
    }
    let lower = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(format!("`{protocol}` is no protocol: it can be tcp, udp or sctp")),
    };
    let bare = address.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("`{address}` is no address"));
    }
    let (first, last) = range(port)?;
    if !host.is_empty() {
        let (host_first, host_last) = range(host)?;
        if last - first != host_last - host_first && first != last {
            return Err(format!("`{host}` has not as many ports as `{port}`"));
        }
    }
    Ok(Ports {
        ports: (first..=last).map(|number| format!("{number}/{lower}")).collect(),
        odd_case: !protocol.is_empty() && protocol != lower,
        mapped: !address.is_empty() || !host.is_empty(),
    })
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
        number.ok_or_else(|| format!("`{text}` is no port: it must be a number up to 65535"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("the range `{text}` is backwards"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        let check = |text: &str, expected: &[&str]| assert_eq!(parse(text).unwrap().ports, expected, "{text}");
        check("80", &["80/tcp"]);
        check("065/UDP", &["65/udp"]);
        check("7000-7002/sctp", &["7000/sctp", "7001/sctp", "7002/sctp"]);
        check("6000-6000", &["6000/tcp"]);
        check("127.0.0.1:8080:80", &["80/tcp"]);
        check("[::1]:8080:80", &["80/tcp"]);
        check("8000-8010:80", &["80/tcp"]);
        assert!(parse("8080:80").unwrap().mapped && parse("53/Udp").unwrap().odd_case);
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["", "90-80", "99999", "80/icmp", "x", "1-", "/tcp", "a:1:2", "1-2:3-5", "-1", "1-3:4-5"] {
            let refused = parse(text).is_err();
            assert!(refused, "{text}");
        }
    }
}
