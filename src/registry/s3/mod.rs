//! Buckets of object stores that speak Amazon's S3, as places that blobs come from and go to.
//!
//! An object is named by what it holds (`PREFIXblobs/sha256/HEX`), but for manifests, which have names that are given anew
//! (`PREFIXmanifests/NAME`). One request puts one object: the hash that has to be signed along is a blob's own name, so a
//! blob is sent without being read before. Requests are signed one by one ([`sign`]), and a redirect is not followed: the
//! signature is for one host. What is in a manifest is not known here.

mod bucket;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
pub(super) mod refusal;
mod sign;

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use ureq::http::header::{self, HeaderName};
use ureq::http::{Method, Response, StatusCode};

pub use bucket::Bucket;

use super::download::{Answer, Download, Origin};
use super::request::{self, Body, Open, REFUSAL, Request};
use super::transfer::{Source, Target};
use super::upload::{Content, Sent};
use super::{Check, Registries, RegistryError};
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::oci::manifest::MAX_MANIFEST;
use crate::source::http::Failure;
use refusal::Refusal;
use sign::Signable;

/// The most that an object sent by one request may have, in bytes.
const LARGEST: u64 = 5 << 30;
/// The hash of a body.
const PAYLOAD: &str = "x-amz-content-sha256";
/// When a request was signed.
const DATE: &str = "x-amz-date";
/// What comes along with credentials that are good for some time.
const TOKEN: &str = "x-amz-security-token";

/// A bucket that can be asked.
#[derive(Clone)]
pub struct BucketEnd<'r> {
    registries: &'r Registries,
    bucket: Bucket,
}

impl<'r> BucketEnd<'r> {
    /// With the connections and the credentials of `registries`.
    pub fn new(registries: &'r Registries, bucket: &Bucket) -> Self {
        Self { registries, bucket: bucket.clone() }
    }

    /// The manifest that has a name now; none if there is none.
    pub fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.small(&format!("manifests/{name}"))
    }

    /// Fails if a manifest can surely not be written, for which a look at the one that is there must do.
    pub fn check(&self, name: &str) -> Result<(), RegistryError> {
        match self.manifest(name) {
            // Who may write need not be allowed to read.
            Err(RegistryError::Status { status: StatusCode::FORBIDDEN, said, .. }) if said.contains("AccessDenied") => {
                Ok(())
            }
            looked => looked.map(drop),
        }
    }

    /// Gives a name to a manifest. What it lists is there.
    pub fn put_manifest(&self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        self.put(&format!("manifests/{name}"), &Digest::of(bytes), || Body::Bytes(bytes))
    }

    /// What a blob is called.
    fn object(digest: &Digest) -> String {
        format!("blobs/sha256/{}", digest.hex())
    }

    /// A small object; none if it is not there.
    fn small(&self, object: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let registry = self.bucket.to_string();
        self.registries.retrying(|| {
            let Some(mut response) = self.get(object, 0)? else { return Ok(None) };
            request::read(self.registries, &registry, &mut response, MAX_MANIFEST, &registry, object).map(Some)
        })
    }

    /// Asks for an object from some byte on; none if it is not there.
    fn get(&self, object: &str, offset: u64) -> Result<Option<Response<ureq::Body>>, RegistryError> {
        let mut request = Request::get();
        if offset > 0 {
            request.headers.push((header::RANGE, format!("bytes={offset}-")));
        }
        let mut response = self.send(object, &Digest::of(b""), request)?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Some(response)),
            StatusCode::NOT_FOUND => {
                let refusal = self.refusal(object, &mut response);
                // All the rest of it can be missing, too.
                let missing = matches!(refusal.code.as_str(), "NoSuchKey" | "");
                if missing { Ok(None) } else { Err(self.refused(object, &response, refusal)) }
            }
            _ => {
                let refusal = self.refusal(object, &mut response);
                Err(self.refused(object, &response, refusal))
            }
        }
    }

    /// Whether a blob is there. What is said instead of that, writing will hear as well, and with words.
    fn has(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let object = Self::object(&blob.digest);
        self.registries.retrying(|| {
            let request = Request { method: Method::HEAD, ..Request::get() };
            let response = self.send(&object, &Digest::of(b""), request)?;
            let status = response.status();
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                return Err(self.refused(&object, &response, Refusal::read(b"", None, self.bucket.region())));
            }
            let length = request::text(&response, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
            Ok(status == StatusCode::OK && length.is_none_or(|length| length == blob.size))
        })
    }

    /// Puts an object, whose bytes have this digest.
    fn put<'b>(&self, object: &str, digest: &Digest, body: impl Fn() -> Body<'b>) -> Result<(), RegistryError> {
        self.registries.retrying(|| {
            let request = Request { method: Method::PUT, body: body(), ..Request::get() };
            let mut response = self.send(object, digest, request)?;
            if response.status().is_success() {
                request::drain(&mut response);
                return Ok(());
            }
            let refusal = self.refusal(object, &mut response);
            Err(self.refused(object, &response, refusal))
        })
    }

    /// Signs a request and sends it once.
    fn send(
        &self,
        object: &str,
        payload: &Digest,
        mut request: Request<'_>,
    ) -> Result<Response<ureq::Body>, RegistryError> {
        self.registries.go_on()?;
        let url = || format!("{}: {object}", self.bucket);
        let connection = |reason, again| RegistryError::Connection { url: url(), reason, again };
        let address = self.bucket.address(object).map_err(|reason| connection(reason, false))?;
        let authority = request::authority(&address);
        if let Some(credentials) = &self.registries.settings.aws {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let (payload, time) = (payload.hex(), sign::time(now.as_secs()));
            let mut headers = vec![("host", authority.as_str()), (PAYLOAD, &payload), (DATE, &time)];
            headers.extend(credentials.session.as_ref().map(|token| (TOKEN, token.0.as_str())));
            let signable =
                Signable { method: request.method.as_str(), path: &address.path, headers: &headers, payload: &payload };
            let authorization = sign::authorization(credentials, self.bucket.region(), &time, &signable);
            // Everything but the host, which every request names.
            let own = headers.iter().skip(1);
            request.headers.extend(own.map(|(name, value)| (HeaderName::from_static(name), (*value).to_owned())));
            request.headers.push((header::AUTHORIZATION, authorization));
        }
        let host = self.registries.host(&authority);
        request::once(host.agents(), &host.http, &address, &request, None)?.map_err(|failure| {
            let Failure { reason, again, .. } = failure;
            self.registries.go_on().err().unwrap_or_else(|| connection(reason, again))
        })
    }

    /// Reads what came in place of what was asked for.
    fn refusal(&self, object: &str, response: &mut Response<ureq::Body>) -> Refusal {
        let registry = self.bucket.to_string();
        let body = request::read(self.registries, &registry, response, REFUSAL, &registry, object).unwrap_or_default();
        let region = request::text(response, &HeaderName::from_static(refusal::REGION));
        Refusal::read(&body, region.as_deref(), self.bucket.region())
    }

    fn refused(&self, object: &str, response: &Response<ureq::Body>, refusal: Refusal) -> RegistryError {
        let status = response.status();
        let mut said = refusal.said;
        if status == StatusCode::FORBIDDEN && self.registries.settings.aws.is_none() {
            said += "; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
        }
        let retry_after = request::text(response, &header::RETRY_AFTER).and_then(|value| request::seconds(&value));
        RegistryError::Status { registry: self.bucket.to_string(), what: object.to_owned(), status, said, retry_after }
    }
}

impl Source for BucketEnd<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        let object = Self::object(&entry.digest);
        let Some(bytes) = self.small(&object)? else { return Ok(None) };
        let (registry, expected, actual) = (self.bucket.to_string(), entry.digest, Digest::of(&bytes));
        if actual == expected {
            return Ok(Some(bytes));
        }
        Err(RegistryError::Digest { registry, what: object, expected, actual })
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

impl Origin for BucketEnd<'_> {
    fn registries(&self) -> &Registries {
        self.registries
    }

    fn registry(&self) -> String {
        self.bucket.to_string()
    }

    fn name_of(&self, digest: &Digest) -> String {
        Self::object(digest)
    }

    fn ask(&self, blob: &Descriptor, offset: u64) -> Result<Option<Answer>, RegistryError> {
        let object = Self::object(&blob.digest);
        let response = self.registries.retrying(|| self.get(&object, offset))?;
        Ok(response.map(|response| {
            let skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { offset };
            Answer { response, url: format!("{}: {object}", self.bucket), skip }
        }))
    }
}

impl Target for BucketEnd<'_> {
    /// Objects can go one by one.
    fn is_whole(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }

    fn checks(&self) -> bool {
        false
    }

    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, _: &[String]) -> Result<Sent, RegistryError> {
        let object = Self::object(&blob.digest);
        if blob.size > LARGEST {
            let reason = format!("it has {} bytes, and one request can put no more than {LARGEST}", blob.size);
            return Err(RegistryError::Malformed { registry: self.bucket.to_string(), what: object, reason });
        }
        if self.has(blob)? {
            return Ok(Sent::Existed);
        }
        let open: &Open<'_> = &|| content.open(0);
        self.put(&object, &blob.digest, || Body::Stream(blob.size, open)).map(|()| Sent::Uploaded)
    }

    fn put_document(&self, entry: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        self.put(&Self::object(&entry.digest), &entry.digest, || Body::Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{NoCredentials, Settings};

    struct Nothing;

    impl Content for Nothing {
        fn open(&self, _: u64) -> Result<Box<dyn Read + Send + '_>, RegistryError> {
            Ok(Box::new(std::io::empty()))
        }
    }

    #[test]
    fn refuses_what_one_request_cannot_put() {
        let registries = Registries::new(Settings::default(), Box::new(NoCredentials));
        let bucket = Bucket::new("b", "r", "", Some("http://localhost:1"), true).unwrap();
        let blob = Descriptor::new("", Digest::of(b""), LARGEST + 1);
        let error = BucketEnd::new(&registries, &bucket).put_blob(&blob, &Nothing, &[]).unwrap_err().to_string();
        assert!(
            error.ends_with(": it has 5368709121 bytes, and one request can put no more than 5368709120"),
            "{error}"
        );
    }
}
