//! A package, and its URL (package-url specification, "purl").

use std::fmt::Write as _;

/// Who has packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// Alpine and what descends from it.
    Alpine,
    /// Rust's crates.
    Cargo,
    /// Debian and what descends from it.
    Debian,
    /// Go's modules, and as `stdlib` what comes with its compiler.
    Go,
    /// Node's packages.
    Npm,
    /// Python's distributions.
    Python,
    /// Fedora, SUSE, and what else has rpm.
    Rpm,
}

/// A package that is in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Whose it is.
    pub ecosystem: Ecosystem,
    /// Its name.
    pub name: String,
    /// Its version, with the epoch before a colon where there is one.
    pub version: String,
    /// For which processor, as its distribution calls it.
    pub architecture: Option<String>,
    /// The package that it was built from, if it says so.
    pub source: Option<String>,
    /// Who distributes it, if it says so.
    pub supplier: Option<String>,
    /// Its licence, as it says itself.
    pub license: Option<String>,
    /// The file that says that it is there.
    pub found_in: String,
}

/// What `os-release` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`; some have none.
    pub version: String,
}

impl Distribution {
    /// Reads `os-release` (os-release(5)): assignments as a shell has them.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let assigned = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            assigned.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { id: value("ID"), version: value("VERSION_ID") }
    }
}

impl Package {
    /// A package of which no more is known yet.
    pub fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        Self {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            supplier: None,
            license: None,
            found_in: String::new(),
        }
    }

    /// Its name as its ecosystem compares it.
    pub fn canonical_name(&self) -> String {
        match self.ecosystem {
            Ecosystem::Alpine | Ecosystem::Debian | Ecosystem::Go => self.name.to_lowercase(),
            Ecosystem::Python => self.name.to_lowercase().replace('_', "-"),
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Rpm => self.name.clone(),
        }
    }

    /// Its URL in this distribution.
    pub fn purl(&self, distribution: &Distribution) -> String {
        let known = |fallback: &str| match distribution.id.as_str() {
            "" => fallback.to_owned(),
            id => id.to_lowercase(),
        };
        let name = self.canonical_name();
        let split = |at: Option<(&str, &str)>| match at {
            Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
            None => (String::new(), name.clone()),
        };
        let (kind, (namespace, name)) = match self.ecosystem {
            Ecosystem::Alpine => ("apk", (known("alpine"), name)),
            Ecosystem::Debian => ("deb", (known("debian"), name)),
            Ecosystem::Rpm => ("rpm", (known(""), name)),
            Ecosystem::Cargo => ("cargo", (String::new(), name)),
            Ecosystem::Python => ("pypi", (String::new(), name)),
            Ecosystem::Npm => ("npm", split(name.split_once('/'))),
            Ecosystem::Go => ("golang", split(name.rsplit_once('/'))),
        };
        // What stands for itself in other versions is a qualifier of those of rpm.
        let (epoch, version) = match self.version.split_once(':') {
            Some((epoch, version)) if self.ecosystem == Ecosystem::Rpm => (Some(epoch), version),
            _ => (None, self.version.as_str()),
        };
        let mut purl = format!("pkg:{kind}/");
        for part in namespace.split('/').filter(|part| !part.is_empty()) {
            purl = purl + &encoded(part) + "/";
        }
        purl = purl + &encoded(&name) + "@" + &encoded(version);
        let mut separator = '?';
        let mut qualify = |key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = write!(purl, "{separator}{key}={}", encoded(value));
            separator = '&';
        };
        if let Some(architecture) = &self.architecture {
            qualify("arch", architecture);
        }
        let distributed = matches!(self.ecosystem, Ecosystem::Alpine | Ecosystem::Debian | Ecosystem::Rpm);
        if distributed && !distribution.id.is_empty() {
            match distribution.version.as_str() {
                "" => qualify("distro", &distribution.id),
                version => qualify("distro", &format!("{}-{version}", distribution.id)),
            }
        }
        if let Some(epoch) = epoch {
            qualify("epoch", epoch);
        }
        purl
    }
}

/// A part of a URL: what is not plain is written by its bytes.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~:".contains(&b) => encoded.push(char::from(b)),
            b => {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{b:02X}");
            }
        }
    }
    encoded
}
