//! Platforms as people write them (`linux/arm64/v8`, `x86_64`) and as images name them.

use std::fmt;
use std::str::FromStr;

/// An operating system and a processor architecture, normalised the way containerd does it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`, in Go's words.
    pub architecture: String,
    /// Such as `v7`; none where the architecture's default is meant.
    pub variant: Option<String>,
}

/// A platform that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: write it as os/architecture[/variant], such as linux/arm64")]
pub struct ParsePlatformError(pub String);

impl Platform {
    /// The platform of this program.
    pub fn host() -> Self {
        std::env::consts::ARCH.parse().unwrap_or(Self {
            os: "linux".into(),
            architecture: std::env::consts::ARCH.into(),
            variant: None,
        })
    }

    /// A platform as users name it: `local` is that of this program.
    pub fn of_user(text: &str) -> Result<Self, ParsePlatformError> {
        if text.eq_ignore_ascii_case("local") { Ok(Self::host()) } else { text.parse() }
    }

    /// A platform from its parts as an image names them, normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self::normalised(os, architecture, variant)
    }

    /// How well an image for `offered` serves where this platform is wanted: 0 is exactly right, larger is worse, none
    /// is not at all.
    ///
    /// A processor runs what was made for its predecessors, so `amd64/v3` is served by `v2` and `amd64` by `386`, as
    /// containerd has it; never the other way round.
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        if self.os != offered.os {
            return None;
        }
        self.served_by().iter().position(|(architecture, variant)| {
            *architecture == offered.architecture && variant.as_deref() == offered.variant.as_deref()
        })
    }

    /// The architectures and variants that this one can run, itself first.
    fn served_by(&self) -> Vec<(&str, Option<String>)> {
        let version = |default: u32| match &self.variant {
            None => Some(default),
            Some(variant) => variant.strip_prefix('v').and_then(|version| version.parse::<u32>().ok()),
        };
        let below = |from: u32, to: u32| (to..from).rev().map(|version| Some(format!("v{version}")));
        let mut all = vec![(self.architecture.as_str(), self.variant.clone())];
        match (self.architecture.as_str(), self.variant.is_none()) {
            ("amd64", _) => {
                if let Some(version @ 2..=4) = version(1) {
                    all.extend(below(version, 2).map(|variant| ("amd64", variant)));
                    all.push(("amd64", None));
                }
                all.push(("386", None));
            }
            ("arm64", plain) => {
                if !plain {
                    all.push(("arm64", None));
                }
                all.extend(below(9, 5).map(|variant| ("arm", variant)));
            }
            ("arm", _) => {
                if let Some(version @ 6..=8) = version(7) {
                    all.extend(below(version, 5).map(|variant| ("arm", variant)));
                }
            }
            _ => {}
        }
        all
    }

    fn normalised(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        Self { os, architecture: architecture.into(), variant: (!variant.is_empty()).then(|| variant.into()) }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePlatformError(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !parts.iter().all(word) {
            return Err(error());
        }
        match parts[..] {
            ["linux" | "windows" | "darwin" | "macos" | "freebsd"] => {
                let host = Self::normalised("linux", std::env::consts::ARCH, None);
                Ok(Self { os: Self::normalised(parts[0], "amd64", None).os, ..host })
            }
            [architecture] => {
                let platform = Self::normalised("linux", architecture, None);
                let known =
                    ["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x", "mips64le", "loong64", "wasm"];
                if known.contains(&platform.architecture.as_str()) { Ok(platform) } else { Err(error()) }
            }
            [os, architecture] => Ok(Self::normalised(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalised(os, architecture, Some(variant))),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises() {
        let check = |input: &str, expected: &str| assert_eq!(input.parse::<Platform>().unwrap().to_string(), expected);
        check("linux/x86_64", "linux/amd64");
        check("x86_64", "linux/amd64");
        check("linux/arm64/v8", "linux/arm64");
        check("linux/arm", "linux/arm/v7");
        check("linux/arm/6", "linux/arm/v6");
        check("Linux/AMD64", "linux/amd64");
        check("aarch64", "linux/arm64");
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["", "/", "linux/", "nonsense", "a/b/c/d", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_parses_means_the_same_again(
            text in "(linux|windows|macos|Linux|x)?/?(amd64|x86_64|arm64|aarch64|arm|armhf|armel|386|i686|[a-z]{1,3})(/v?[0-9](\\.0)?|/V1)?|[a-zA-Z0-9/._-]{0,16}",
        ) {
            if let Ok(platform) = text.parse::<Platform>() {
                assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform), "{text}");
                let again = Platform::new(&platform.os, &platform.architecture, platform.variant.as_deref());
                assert_eq!(again, platform, "{text}");
                assert_eq!(platform.rank(&platform), Some(0), "{text}");
            }
        }
    }
}
