//! Registries of images (OCI distribution-spec 1.1, and what Docker's registries did before it).
//!
//! ```text
//! Registries ── Host ── requests: who asks (auth), redirects, certificates      one for each server
//!     │
//!     └─ Repository ── manifests, blobs (download, upload), tags, referrers     one for each name
//!             │
//!             └─ transfer ── whole images from one place to another, in parallel
//! ```
//!
//! Buckets ([`s3`]) and the cache of GitHub Actions ([`actions`]) are no registries, but places that blobs can be in, and
//! reached over the same connections.
//!
//! What is read is checked while it streams: a blob that is longer than promised is cut off, one that is not its digest
//! is an error at its end. What breaks in the middle goes on where it broke. Credentials go to the server that they are
//! for, and never along with a redirect. Blobs are never compressed anew: their digests are what others know them by.
//!
//! Threads and blocking calls, as in [`source::http`](crate::source::http), whose connections these are. No file, no
//! environment is read here but certificates: what is configured comes as [`Settings`], passwords from a [`Keychain`].

pub mod actions;
mod auth;
mod blob;
mod download;
mod error;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
mod listing;
pub mod origins;
mod referrers;
mod repository;
mod request;
mod retry;
pub mod s3;
mod settings;
mod signatures;
pub mod transfer;
mod upload;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use download::{Check, Download};
pub use error::RegistryError;
pub use fetch::{FetchOnNeed, Offline};
pub use repository::{Fetched, Repository, Which};
pub use settings::{
    ActionsSettings, AwsCredentials, Credentials, HostSettings, Keychain, NoCredentials, Secret, Settings,
};
pub use upload::{Content, Sent};

use crate::event::Reporter;
use crate::oci::Reference;
use host::Host;

/// All registries. Cheap to make; connections and tokens are kept while it lives.
pub struct Registries {
    settings: Settings,
    keychain: Box<dyn Keychain>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    stopped: AtomicBool,
    reporter: OnceLock<Arc<dyn Reporter>>,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Registries {
    /// With these settings, and passwords from there.
    pub fn new(settings: Settings, keychain: Box<dyn Keychain>) -> Self {
        Self { settings, keychain, hosts: Mutex::default(), stopped: AtomicBool::new(false), reporter: OnceLock::new() }
    }

    /// Says who hears of what is fetched only when it is needed. The first one counts.
    pub fn report_to(&self, reporter: Arc<dyn Reporter>) {
        let _ = self.reporter.set(reporter);
    }

    /// The repository that a reference names.
    pub fn repository(&self, reference: &Reference) -> Repository<'_> {
        Repository::new(self, reference.registry(), reference.repository())
    }

    /// How many blobs are sent or received at the same time.
    pub fn transfers(&self) -> usize {
        self.settings.transfers.max(1)
    }

    /// Ends all connections, so that whoever waits for a server does not any more. For whoever cancels: of no use
    /// afterwards.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for host in self.hosts.lock().unwrap_or_else(PoisonError::into_inner).values() {
            host.shut_down();
        }
    }

    /// Whether somebody stopped it.
    fn go_on(&self) -> Result<(), RegistryError> {
        if self.stopped.load(Ordering::SeqCst) { Err(RegistryError::Canceled) } else { Ok(()) }
    }

    /// The server of this name, such as `docker.io`, `host:5000` or the URL of a mirror.
    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(name.to_owned()).or_insert_with(|| Arc::new(Host::new(name, &self.settings))).clone()
    }

    /// Asks a registry whether it accepts these credentials. Without an error it does, or wants none.
    pub fn check_credentials(&self, registry: &str, credentials: Credentials) -> Result<(), RegistryError> {
        let host = Host::new(registry, &self.settings);
        host.with_credentials(credentials).ping(self)
    }
}
