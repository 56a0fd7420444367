//! Blobs of a repository: whether one is there, and reading one from any byte on.

use ureq::http::{Method, Response, StatusCode, header};

use super::download::{Answer, Check, Download, Origin};
use super::request::{self, Request, text};
use super::{Registries, RegistryError, Repository};
use crate::digest::Digest;
use crate::oci::Descriptor;

impl<'r> Repository<'r> {
    /// A blob, from `offset` on; none if the registry does not have it. One that does not start at the beginning cannot
    /// be checked by its digest.
    pub fn blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Download<Self>>, RegistryError> {
        Download::open(self.clone(), descriptor, offset, check)
    }

    /// Whether the registry itself has a blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.registries.retrying(|| {
            let request = Request { method: Method::HEAD, ..Request::get() };
            let path = format!("/v2/{}/blobs/{digest}", self.path);
            let (_, mut response) = self.call(&self.host, &path, true, &request)?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.refused_write(self.name_of(digest), &mut response)),
            }
        })
    }
}

impl Origin for Repository<'_> {
    fn registries(&self) -> &Registries {
        self.registries
    }

    fn registry(&self) -> String {
        self.registry().to_owned()
    }

    fn name_of(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.path)
    }

    fn ask(&self, blob: &Descriptor, offset: u64) -> Result<Option<Answer>, RegistryError> {
        let digest = blob.digest;
        self.reading(|host, path| {
            let mut request = Request::get();
            if offset > 0 {
                request.headers.push((header::RANGE, format!("bytes={offset}-")));
            }
            let (address, mut response) = self.call(host, &format!("/v2/{path}/blobs/{digest}"), false, &request)?;
            let url = request::shown(&address);
            match response.status() {
                StatusCode::OK => Ok(Some(Answer { response, url, skip: offset })),
                StatusCode::PARTIAL_CONTENT if starts_at(&response, offset) => {
                    Ok(Some(Answer { response, url, skip: 0 }))
                }
                StatusCode::NOT_FOUND => Ok(None),
                // All of it was there; the check of the size decides.
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    let reason = format!("it has no more than {offset} of {} bytes", blob.size);
                    Err(RegistryError::Connection { url, reason, again: false })
                }
                _ => Err(self.refused(host, self.name_of(&digest), &mut response)),
            }
        })
    }
}

/// Whether a partial answer begins where it should.
fn starts_at(response: &Response<ureq::Body>, offset: u64) -> bool {
    let range = text(response, &header::CONTENT_RANGE);
    let first = range.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    first.is_some_and(|(first, _)| first.parse() == Ok(offset))
}
