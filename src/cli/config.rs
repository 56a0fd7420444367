//! `imgbuild.toml`: what this user or machine says about registries, the network, and what is too much. See
//! `docs/registries.md`, `docs/containers.md` and `docs/explore.md`.
//!
//! The first file that is there counts: `IMGBUILD_CONFIG`, then the user's own, then the machine's. Builds do not depend on
//! it: it says how things are reached, not what they are.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::Session;
use super::args::{filter, values};
use crate::oci::Reference;
use crate::ops::Error;
use crate::registry::HostSettings;
use crate::source::http::{self, Identity};
use crate::store::ArchiveLimits;

/// What the file says.
#[derive(Debug, Default)]
pub struct Config {
    network: Network,
    /// The store's folder, if it says.
    pub store: Option<PathBuf>,
    /// By host and port, as references have it.
    pub registries: BTreeMap<String, HostSettings>,
    /// What `explore --ci` lets pass.
    pub explore: Explore,
    /// What goes after a build.
    pub prune: Prune,
    archives: Archives,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    network: Network,
    #[serde(default)]
    registry: BTreeMap<String, Registry>,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    explore: Explore,
    #[serde(default)]
    prune: Prune,
    /// Read by [`crate::trust`], and of more files than the one that counts: see [`policies`].
    #[serde(default, rename = "policy")]
    _policy: IgnoredAny,
    #[serde(default)]
    archives: Archives,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Store {
    root: Option<PathBuf>,
}

/// `[explore]`
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Explore {
    /// How much of what is stored must be seen in the image, from 0 to 1.
    pub min_efficiency: Option<f64>,
    /// How many bytes may be stored in vain.
    #[serde(default, deserialize_with = "size")]
    pub max_wasted: Option<u64>,
}

/// `[prune]`
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prune {
    /// How large the cache and the cache mounts may stay after a build, in bytes.
    #[serde(default, deserialize_with = "size")]
    pub keep_storage: Option<u64>,
    /// What was used for so long ago, in seconds, may go; all if it does not say.
    #[serde(default, deserialize_with = "age")]
    pub until: Option<i64>,
}

/// The machine's file.
const OF_MACHINE: &str = "/etc/imgbuild/imgbuild.toml";

fn of_user(session: &Session) -> Option<PathBuf> {
    session.env.config_folder().map(|folder| folder.join("imgbuild/imgbuild.toml"))
}

/// The files whose policies hold: the machine's always, since nobody may take back what it demands by having a file of
/// their own; and the one that counts besides.
pub fn files_with_policies(session: &Session) -> Vec<PathBuf> {
    let named = session.env.filled("IMGBUILD_CONFIG").map(PathBuf::from);
    named.or_else(|| of_user(session)).into_iter().chain([OF_MACHINE.into()]).collect()
}

/// `[archives]`
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Archives {
    /// How many times larger than it came an archive may become.
    max_ratio: Option<NonZeroU64>,
    /// How many bytes an archive may unpack to.
    #[serde(default, deserialize_with = "size")]
    max_unpacked: Option<u64>,
}

fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(input)?;
    values::size(&text).map(Some).map_err(D::Error::custom)
}

fn age<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(input)?;
    match filter::age(&text).filter(|age| *age > 0) {
        Some(age) => Ok(Some(age)),
        None => Err(D::Error::custom(format!("{text:?} is no age, such as 48h or 7d"))),
    }
}

/// `[network]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Network {
    timeout: Option<f64>,
    tries: Option<u32>,
    pause: Option<f64>,
    slowest: Option<u64>,
    window: Option<f64>,
    transfers: Option<u16>,
}

/// `[registry."HOST"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    insecure: bool,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    mirrors: Vec<String>,
}

impl Config {
    /// Reads the file that counts, if there is one.
    pub fn read(session: &Session) -> Result<Self, Error> {
        let named = session.env.filled("IMGBUILD_CONFIG").map(PathBuf::from);
        let must_exist = named.is_some();
        let user = of_user(session);
        let candidates = match named {
            Some(named) => vec![named],
            None => user.into_iter().chain([OF_MACHINE.into()]).collect(),
        };
        for path in candidates {
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&path, &text),
                // Nor is there one for us where we may not look: in the home folder of somebody else, say.
                Err(_) if !must_exist && path.symlink_metadata().is_err() => {}
                Err(error) => {
                    return Err(Error::environment(format!("cannot read {}", path.display())).caused_by(error));
                }
            }
        }
        Ok(Self::default())
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::Usage(format!("{}: {what}", path.display()));
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut registries = BTreeMap::new();
        for (name, registry) in file.registry {
            let parsed = Reference::parse(&format!("{name}/x"));
            if parsed.is_err() || parsed.is_ok_and(|parsed| parsed.registry() != name) {
                return Err(wrong(format!("[registry.{name:?}]: write the host as in image names, such as host:5000")));
            }
            let identity = match (registry.cert, registry.key) {
                (Some(cert), Some(key)) => Some(Identity { certificate: folder.join(cert), key: folder.join(key) }),
                (None, None) => None,
                _ => return Err(wrong(format!("[registry.{name:?}]: cert and key belong together"))),
            };
            let ca = registry.ca.map(|ca| folder.join(ca));
            let settings = HostSettings { insecure: registry.insecure, ca, identity, mirrors: registry.mirrors };
            registries.insert(name, settings);
        }
        let File { network, store, explore, prune, archives, .. } = file;
        let store = store.root.map(|root| folder.join(root));
        let config = Self { network, store, registries, explore, prune, archives };
        if let Some(odd) = explore.min_efficiency.filter(|ratio| !(0.0..=1.0).contains(ratio)) {
            return Err(wrong(format!("[explore]: min-efficiency is {odd}, and a number from 0 to 1 is meant")));
        }
        let seconds = [config.network.timeout, config.network.pause, config.network.window];
        match seconds.into_iter().flatten().find(|value| !(0.0..=86_400.0).contains(value)) {
            Some(odd) => Err(wrong(format!("[network]: {odd} is no number of seconds up to a day"))),
            None => Ok(config),
        }
    }

    /// Changes what it has something to say about.
    pub fn apply(&self, settings: &mut http::Settings) {
        let Network { timeout, tries, pause, slowest, window, transfers: _ } = self.network;
        if let Some(timeout) = timeout {
            settings.idle = Duration::from_secs_f64(timeout);
        }
        if let Some(pause) = pause {
            settings.pause = Duration::from_secs_f64(pause);
        }
        if let Some(window) = window {
            settings.window = Duration::from_secs_f64(window);
        }
        settings.tries = tries.unwrap_or(settings.tries);
        settings.slowest = slowest.unwrap_or(settings.slowest);
    }

    /// How large archives of others may become.
    pub fn archives(&self) -> ArchiveLimits {
        let usual = ArchiveLimits::default();
        ArchiveLimits {
            unpacked: self.archives.max_unpacked.unwrap_or(usual.unpacked),
            ratio: self.archives.max_ratio.map_or(usual.ratio, NonZeroU64::get),
        }
    }

    /// How many blobs are moved at the same time, if it says.
    pub fn transfers(&self) -> Option<usize> {
        self.network.transfers.map(usize::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/c/imgbuild.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_everything() {
        let config = parse(
            "[network]\ntimeout = 0.5\ntries = 2\ntransfers = 8\n\
             [registry.\"lab:5000\"]\ninsecure = true\nca = 'ca.pem'\ncert = '/k/c'\nkey = 'k'\n\
             [registry.\"docker.io\"]\nmirrors = ['mirror.example/hub']\n\
             [store]\nroot = 'store'\n\
             [explore]\nmin-efficiency = 0.95\nmax-wasted = '20MB'\n\
             [prune]\nkeep-storage = '20g'\nuntil = '2d'\n\
             [archives]\nmax-ratio = 1000\nmax-unpacked = '2g'\n",
        )
        .unwrap();
        let identity = Some(Identity { certificate: "/k/c".into(), key: "/c/k".into() });
        let lab = HostSettings { insecure: true, ca: Some("/c/ca.pem".into()), identity, mirrors: Vec::new() };
        assert_eq!(config.registries["lab:5000"], lab);
        assert_eq!(config.registries["docker.io"].mirrors, ["mirror.example/hub"]);
        assert_eq!(config.store, Some("/c/store".into()));
        assert_eq!(config.archives(), ArchiveLimits { unpacked: 2 << 30, ratio: 1000 });
        assert_eq!(config.explore, Explore { min_efficiency: Some(0.95), max_wasted: Some(20 << 20) });
        assert_eq!(config.prune, Prune { keep_storage: Some(20 << 30), until: Some(2 * 86_400) });
        let mut settings = http::Settings::default();
        config.apply(&mut settings);
        assert_eq!((settings.idle, settings.tries, config.transfers()), (Duration::from_millis(500), 2, Some(8)));
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with("/c/imgbuild.toml: ") && message.contains(expected), "{text}: {message}");
        };
        check("[registry.\"h.x\"]\ninsecur = true\n", "insecur");
        check("[registry.\"https://h\"]\n", "write the host");
        check("[registry.redis]\n", "write the host");
        check("[registry.\"h.x\"]\ncert = 'a'\n", "belong together");
        check("[network]\ntimeout = -1\n", "-1");
        check("[network", "TOML");
        check("[explore]\nmin-efficiency = 95\n", "from 0 to 1");
        check("[prune]\nkeep-storage = 'much'\n", "much");
        check("[prune]\nuntil = 'yesterday'\n", "yesterday");
    }
}
