//! One repository of a registry: what it has under which tag or digest.
//!
//! What is read can come from a mirror. What is written goes to the registry itself.

use std::sync::Arc;

use ureq::http::header::{self, HeaderName};
use ureq::http::{Method, Response, StatusCode};

use super::auth::Scope;
use super::host::Host;
use super::request::{self, Body, Request, text};
use super::{Registries, RegistryError};
use crate::digest::Digest;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Descriptor, Document, Platform, media};

/// Where a registry says which digest something has.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Where it says that it understood `subject`.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Which manifest of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one that has this tag now.
    Tag(&'a str),
    /// This one.
    Digest(Digest),
}

impl std::fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A manifest or index as a registry sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Its digest, size and media type.
    pub descriptor: Descriptor,
    /// Its bytes, which have that digest.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Document,
}

/// A repository.
#[derive(Clone)]
pub struct Repository<'r> {
    pub(super) registries: &'r Registries,
    pub(super) host: Arc<Host>,
    mirrors: Vec<Arc<Host>>,
    pub(super) path: String,
    name: String,
}

impl<'r> Repository<'r> {
    pub(super) fn new(registries: &'r Registries, registry: &str, repository: &str) -> Self {
        let mirrors = registries.settings.hosts.get(registry).map(|host| host.mirrors.clone()).unwrap_or_default();
        Self {
            registries,
            host: registries.host(registry),
            mirrors: mirrors.iter().map(|mirror| registries.host(mirror)).collect(),
            path: repository.to_owned(),
            name: format!("{registry}/{repository}"),
        }
    }

    /// `registry/repository`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry, as references name it.
    pub fn registry(&self) -> &str {
        self.name.split_once('/').map_or("", |(registry, _)| registry)
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads from the first mirror that has it, else from the registry itself. `Ok(None)` is that it is not there.
    pub(super) fn reading<T>(
        &self,
        mut read: impl FnMut(&Arc<Host>, &str) -> Result<Option<T>, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        for mirror in self.mirrors.iter().filter(|mirror| !mirror.is_dead()) {
            match read(mirror, &mirror.path_of(&self.path)) {
                Ok(Some(found)) => return Ok(Some(found)),
                Err(RegistryError::Canceled) => return Err(RegistryError::Canceled),
                // A mirror that is dead or lacks it is no reason to fail, nor to be waited for again.
                Err(RegistryError::Connection { .. }) => mirror.bury(),
                Ok(None) | Err(_) => {}
            }
        }
        self.registries.retrying(|| read(&self.host, &self.path))
    }

    /// The digest, size and type of a manifest, without its bytes; none if it is not there.
    pub fn head(&self, which: Which<'_>) -> Result<Option<Descriptor>, RegistryError> {
        let found = self.reading(|host, path| self.head_at(host, path, which, false))?;
        match found {
            Some(Some(descriptor)) => Ok(Some(descriptor)),
            // A registry that does not say what it has must send it.
            Some(None) => Ok(self.manifest(which)?.map(|fetched| fetched.descriptor)),
            None => Ok(None),
        }
    }

    /// Whether the registry itself has a manifest, whatever its mirrors have.
    pub fn has_manifest(&self, digest: Digest) -> Result<bool, RegistryError> {
        let found = self.registries.retrying(|| self.head_at(&self.host, &self.path, Which::Digest(digest), true))?;
        Ok(found.is_some())
    }

    /// With `write`, it is asked by the token that is needed for writing anyway.
    fn head_at(
        &self,
        host: &Host,
        path: &str,
        which: Which<'_>,
        write: bool,
    ) -> Result<Option<Option<Descriptor>>, RegistryError> {
        let request = Request { method: Method::HEAD, headers: vec![accept()], ..Request::get() };
        let (_, mut response) = self.call(host, &format!("/v2/{path}/manifests/{which}"), write, &request)?;
        match response.status() {
            StatusCode::OK => {
                let digest = text(&response, &CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
                let size = text(&response, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
                let media_type = text(&response, &header::CONTENT_TYPE).unwrap_or_default();
                if let (Some(digest), Which::Digest(asked)) = (digest, which)
                    && digest != asked
                {
                    return Err(self.mismatch(host, which.to_string(), asked, digest));
                }
                Ok(Some(digest.zip(size).map(|(digest, size)| Descriptor::new(media_type, digest, size))))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(host, self.what(which), &mut response)),
        }
    }

    /// A manifest or index; none if it is not there.
    pub fn manifest(&self, which: Which<'_>) -> Result<Option<Fetched>, RegistryError> {
        self.reading(|host, path| self.manifest_at(host, path, which))
    }

    pub(super) fn manifest_at(
        &self,
        host: &Host,
        path: &str,
        which: Which<'_>,
    ) -> Result<Option<Fetched>, RegistryError> {
        let request = Request { headers: vec![accept()], ..Request::get() };
        let (address, mut response) = self.call(host, &format!("/v2/{path}/manifests/{which}"), false, &request)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refused(host, self.what(which), &mut response)),
        }
        let said = text(&response, &CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
        let what = self.what(which);
        let url = request::shown(&address);
        let bytes = request::read(self.registries, &url, &mut response, MAX_MANIFEST, host.name(), &what)?;
        let actual = Digest::of(&bytes);
        let expected = match which {
            Which::Digest(digest) => Some(digest),
            Which::Tag(_) => said,
        };
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(self.mismatch(host, what, expected, actual));
        }
        let document = Document::parse(&bytes).map_err(|source| RegistryError::Manifest { digest: actual, source })?;
        let descriptor = Descriptor::of(document.media_type(), &bytes);
        Ok(Some(Fetched { descriptor, bytes, document }))
    }

    /// Puts a manifest there, under a tag or only under its digest. Whether the registry keeps track of its `subject`.
    pub fn put_manifest(&self, which: Which<'_>, media_type: &str, bytes: &[u8]) -> Result<bool, RegistryError> {
        self.registries.retrying(|| {
            let request = Request {
                method: Method::PUT,
                headers: vec![(header::CONTENT_TYPE, media_type.to_owned())],
                body: Body::Bytes(bytes),
                limit_redirects: true,
            };
            let path = format!("/v2/{}/manifests/{which}", self.path);
            let (_, mut response) = self.call(&self.host, &path, true, &request)?;
            match response.status() {
                StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK => {
                    let said = text(&response, &CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
                    let ours = Digest::of(bytes);
                    match said.filter(|said| *said != ours) {
                        Some(said) => Err(self.mismatch(&self.host, self.what(which), ours, said)),
                        None => Ok(response.headers().contains_key(&SUBJECT)),
                    }
                }
                _ => Err(self.refused_write(self.what(which), &mut response)),
            }
        })
    }

    /// The manifest of one platform behind a tag or digest, with the index that it was chosen from.
    pub fn image(
        &self,
        which: Which<'_>,
        platform: &Platform,
    ) -> Result<Option<(Option<Fetched>, Fetched)>, RegistryError> {
        let Some(first) = self.manifest(which)? else { return Ok(None) };
        let mut top = None;
        let mut current = first;
        // Indexes within indexes are rare, and endless ones are malice.
        for _ in 0..4 {
            let Document::Index(index) = &current.document else { return Ok(Some((top, current))) };
            let Some(best) = index.candidates(platform).first().map(|entry| entry.digest) else {
                return Err(RegistryError::NoPlatform { wanted: platform.to_string(), offered: index.platforms() });
            };
            let next = self.manifest(Which::Digest(best))?.ok_or_else(|| RegistryError::NotFound {
                registry: self.registry().to_owned(),
                what: format!("manifest {best}, although {} names it", self.what(which)),
            })?;
            top.get_or_insert(std::mem::replace(&mut current, next));
        }
        let source = crate::oci::manifest::ManifestError::Nested;
        Err(RegistryError::Manifest { digest: current.descriptor.digest, source })
    }

    pub(super) fn call(
        &self,
        host: &Host,
        path: &str,
        write: bool,
        request: &Request<'_>,
    ) -> Result<(crate::source::http::Address, Response<ureq::Body>), RegistryError> {
        host.call(self.registries, path, &self.scope(host, write), request)
    }

    pub(super) fn scope(&self, host: &Host, write: bool) -> Scope {
        let path = host.path_of(&self.path);
        if write { Scope::push(&path) } else { Scope::pull(&path) }
    }

    pub(super) fn refused(&self, host: &Host, what: String, response: &mut Response<ureq::Body>) -> RegistryError {
        request::refused(self.registries, host.name(), what, host.knows_us(), response)
    }

    /// The same, where "not found" is of the repository and not of what was sent.
    pub(super) fn refused_write(&self, what: String, response: &mut Response<ureq::Body>) -> RegistryError {
        match self.refused(&self.host, what, response) {
            RegistryError::NotFound { registry, what } => RegistryError::Status {
                registry,
                what,
                status: StatusCode::NOT_FOUND,
                said: String::new(),
                retry_after: None,
            },
            other => other,
        }
    }

    pub(super) fn what(&self, which: Which<'_>) -> String {
        match which {
            Which::Tag(tag) => format!("{}:{tag}", self.path),
            Which::Digest(digest) => format!("{}@{digest}", self.path),
        }
    }

    pub(super) fn mismatch(&self, host: &Host, what: String, expected: Digest, actual: Digest) -> RegistryError {
        RegistryError::Digest { registry: host.name().to_owned(), what, expected, actual }
    }
}

/// All forms of manifests that are understood.
pub(super) fn accept() -> (HeaderName, String) {
    let all = [media::INDEX, media::MANIFEST, media::DOCKER_INDEX, media::DOCKER_MANIFEST];
    (header::ACCEPT, all.join(", "))
}
