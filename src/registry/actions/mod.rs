//! The cache service of GitHub Actions (version 2), as a place that blobs come from and go to.
//!
//! An entry is reserved under a key (`calls`), its bytes go to a signed address elsewhere (`azure`), and then it is finished.
//! From then on it can be looked up by its key or what that begins with, and never changed. So
//!
//! - a blob has a key of its digest. One that somebody has reserved and never finished cannot be taken back; then a number
//!   is added, and what is looked up by the digest finds the one that is there.
//! - a manifest, whose name stands for another one each time, has a key with a number that counts up; the newest counts.
//!   There is one for each git reference that writes (`access`), since the service shows a job what it may read of several,
//!   and that of one must not hide that of another.
//!
//! The service drops what was not read for a week and the rest by its own limits, so each blob is looked up before it is taken to
//! be there. The token goes to the service alone. What is in a manifest is not known here.

mod access;
mod azure;
mod calls;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod service;

use std::io::Read;
use std::time::Instant;

use ureq::http::StatusCode;

pub use service::{DEFAULT_SCOPE, DEFAULT_TIMEOUT, Service};

use super::download::{Answer, Download, Origin};
use super::request;
use super::transfer::{Source, Target};
use super::upload::{Content, Sent};
use super::{Check, Registries, RegistryError};
use crate::digest::Digest;
use crate::graph::limits::Time;
use crate::oci::Descriptor;
use crate::oci::manifest::MAX_MANIFEST;
use access::Access;
use calls::Entry;

/// How many keys of a blob are tried that somebody has reserved.
const MOST_BLOBS: u64 = 16;
/// The same for manifests.
const MOST_MANIFESTS: u64 = 256;

/// A service that can be asked.
#[derive(Clone)]
pub struct ActionsEnd<'r> {
    registries: &'r Registries,
    service: Service,
    access: Result<Access, String>,
    /// When it was first used: what is done with it must end in time.
    began: Instant,
}

impl<'r> ActionsEnd<'r> {
    /// With the connections and the environment of `registries`. Its time runs from now on.
    pub fn new(registries: &'r Registries, service: &Service) -> Self {
        let access = Access::new(service, &registries.settings.actions);
        Self { registries, service: service.clone(), access, began: Instant::now() }
    }

    /// Fails if the environment lacks what it takes, without asking anybody.
    pub fn check_access(&self) -> Result<(), RegistryError> {
        self.access().map(drop)
    }

    /// Fails if a manifest can surely not be written.
    pub fn check(&self) -> Result<(), RegistryError> {
        if self.access()?.claims.writes {
            return Ok(());
        }
        let reason = "the token of this job may only read caches, as those of pull requests from forks do".into();
        Err(self.malformed(&self.service.to_string(), reason))
    }

    /// The newest manifests: that of this job's own git reference first, then those of others that it may read.
    pub fn manifests(&self) -> Result<Vec<Vec<u8>>, RegistryError> {
        let mut found = Vec::new();
        for reference in &self.access()?.claims.references {
            if let Some(entry) = self.find(&self.service.manifests(reference))? {
                found.extend(self.small(&entry)?);
            }
        }
        Ok(found)
    }

    /// Writes a manifest, which is the newest from then on. What it lists is there. One that is the newest already stays it.
    pub fn put_manifest(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let reference = self.access()?.claims.references.first().map_or("", String::as_str);
        let name = self.service.manifests(reference);
        let mut last = 0;
        if let Some(entry) = self.find(&name)? {
            let number = entry.key[name.len()..].parse::<u64>().ok().filter(|number| *number < u64::MAX / 2);
            last =
                number.ok_or_else(|| self.malformed(&name, "the key that it has does not end with a number".into()))?;
            // One that cannot be read is as good as none.
            if self.small(&entry).is_ok_and(|there| there.as_deref() == Some(bytes)) {
                return Ok(());
            }
        }
        for number in last + 1..=last + MOST_MANIFESTS {
            let key = format!("{name}{number}");
            if let Some(address) = self.reserve(&key)? {
                self.upload(&key, &address, bytes.len() as u64, &mut &bytes[..])?;
                return self.finish(&key, bytes.len() as u64);
            }
        }
        Err(self.malformed(&name, format!("the {MOST_MANIFESTS} keys after number {last} are taken")))
    }

    /// A small entry; none if its bytes are gone.
    fn small(&self, entry: &Entry) -> Result<Option<Vec<u8>>, RegistryError> {
        self.registries.retrying(|| {
            let Some(mut response) = self.get(&entry.key, &entry.address, 0)? else { return Ok(None) };
            let (registry, url) = (self.registry(), request::shown(&entry.address));
            request::read(self.registries, &url, &mut response, MAX_MANIFEST, &registry, &entry.key).map(Some)
        })
    }

    fn access(&self) -> Result<&Access, RegistryError> {
        self.access
            .as_ref()
            .map_err(|reason| RegistryError::Keychain { registry: self.service.to_string(), reason: reason.clone() })
    }

    /// What messages call the service.
    fn registry(&self) -> String {
        self.access.as_ref().map_or_else(|_| self.service.to_string(), |access| access.address.host.clone())
    }

    fn malformed(&self, key: &str, reason: String) -> RegistryError {
        RegistryError::Malformed { registry: self.registry(), what: key.to_owned(), reason }
    }

    /// Whether nobody has stopped it and its time is not over.
    fn go_on(&self) -> Result<(), RegistryError> {
        self.registries.go_on()?;
        let timeout = self.service.timeout;
        if self.began.elapsed() < timeout {
            return Ok(());
        }
        let reason = format!("it is not done after {}, which is its timeout", Time(timeout));
        Err(RegistryError::Connection { url: self.service.to_string(), reason, again: false })
    }
}

impl Origin for ActionsEnd<'_> {
    fn registries(&self) -> &Registries {
        self.registries
    }

    fn registry(&self) -> String {
        Self::registry(self)
    }

    fn name_of(&self, digest: &Digest) -> String {
        Service::blob(digest)
    }

    /// Addresses are good for some time only, so each connection has a new one.
    fn ask(&self, blob: &Descriptor, offset: u64) -> Result<Option<Answer>, RegistryError> {
        self.registries.retrying(|| {
            let Some(Entry { key, address }) = self.find(&Service::blob(&blob.digest))? else { return Ok(None) };
            let response = self.get(&key, &address, offset)?;
            Ok(response.map(|response| {
                let skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { offset };
                Answer { response, url: request::shown(&address), skip }
            }))
        })
    }

    fn go_on(&self) -> Result<(), RegistryError> {
        Self::go_on(self)
    }
}

impl Source for ActionsEnd<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        if entry.size > MAX_MANIFEST {
            let (registry, what) = (self.registry(), Service::blob(&entry.digest));
            return Err(RegistryError::TooLarge { registry, what, limit: MAX_MANIFEST });
        }
        let Some(mut reader) = self.open(entry, 0, Check::Digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let failed =
            |error| RegistryError::from_io(error, |error| RegistryError::File { path: self.registry(), error });
        reader.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        Ok(Download::open(self.clone(), blob, offset, check)?.map(|download| Box::new(download) as _))
    }

    fn repositories(&self, _: &Descriptor) -> Vec<String> {
        Vec::new()
    }

    fn has_at_hand(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }
}

impl Target for ActionsEnd<'_> {
    /// Entries can go one by one.
    fn is_whole(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }

    fn checks(&self) -> bool {
        false
    }

    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, _: &[String]) -> Result<Sent, RegistryError> {
        let name = Service::blob(&blob.digest);
        for number in 1..=MOST_BLOBS {
            // Whoever reserved the last one may have finished it by now.
            if number < 3 && self.find(&name)?.is_some() {
                return Ok(Sent::Existed);
            }
            let key = if number == 1 { name.clone() } else { format!("{name}#{number}") };
            if let Some(address) = self.reserve(&key)? {
                self.upload(&key, &address, blob.size, &mut *content.open(0)?)?;
                return self.finish(&key, blob.size).map(|()| Sent::Uploaded);
            }
        }
        Err(self.malformed(&name, "its keys are reserved, and none of them was ever finished".into()))
    }

    fn put_document(&self, entry: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        let content = Bytes(bytes);
        self.put_blob(entry, &content, &[]).map(drop)
    }
}

/// Bytes that are at hand.
struct Bytes<'a>(&'a [u8]);

impl Content for Bytes<'_> {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>, RegistryError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        Ok(Box::new(&self.0[start..]))
    }
}
