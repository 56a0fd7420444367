//! What is configured for registries, and where passwords come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::source::http::{self, Identity};

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Proxies, certificates and patience for all of them.
    pub http: http::Settings,
    /// What is said about single ones, by host and port as references have it.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Folders with a folder for each host, which has certificates: as `/etc/docker/certs.d`.
    pub certificates: Vec<PathBuf>,
    /// How many blobs are sent or received at the same time.
    pub transfers: usize,
    /// Who we are to buckets; nobody if none.
    pub aws: Option<AwsCredentials>,
    /// What the environment says of the cache of GitHub Actions.
    pub actions: ActionsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let (http, hosts, certificates, actions) = Default::default();
        Self { http, hosts, certificates, transfers: 4, aws: None, actions }
    }
}

/// What is configured for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Whether `http://` will do, and any certificate.
    pub insecure: bool,
    /// A file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Who we are.
    pub identity: Option<Identity>,
    /// Who is asked before it, for reading: a host, with a path if images are below one, with a scheme if it must be.
    pub mirrors: Vec<String>,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a registry lets somebody in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that gets others (`identitytoken`).
    Identity(Secret),
    /// A token that is sent as it is (`registrytoken`).
    Bearer(Secret),
}

/// What lets somebody into buckets ([`s3`](super::s3)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// Which key (`AWS_ACCESS_KEY_ID`).
    pub id: Secret,
    /// The key (`AWS_SECRET_ACCESS_KEY`).
    pub secret: Secret,
    /// What a key for some time comes with (`AWS_SESSION_TOKEN`).
    pub session: Option<Secret>,
}

/// What the environment says of the cache of GitHub Actions ([`actions`](super::actions)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionsSettings {
    /// Where it is (`ACTIONS_RESULTS_URL`).
    pub url: Option<String>,
    /// Who we are to it (`ACTIONS_RUNTIME_TOKEN`).
    pub token: Option<Secret>,
    /// Whether there is one that speaks another version (`ACTIONS_CACHE_URL`).
    pub first_version: bool,
}

/// Where credentials come from.
pub trait Keychain: Send + Sync {
    /// Those for a registry, named as references name it; none if there are none. The error says why they cannot be
    /// had, without them in it.
    fn find(&self, registry: &str) -> Result<Option<Credentials>, String>;
}

/// Knows nobody.
pub struct NoCredentials;

impl Keychain for NoCredentials {
    fn find(&self, _: &str) -> Result<Option<Credentials>, String> {
        Ok(None)
    }
}
