//! A blob of a registry as a reader.
//!
//! A connection that breaks is made again and asked for the rest; where a server cannot do that, what was read already is
//! skipped. Whatever comes has the promised size and, at its end, the promised digest, or reading fails.

use std::io::{self, Read};

use ureq::http::header;
use ureq::http::{Response, StatusCode};

use super::request::{self, Request, text};
use super::retry::Tries;
use super::{RegistryError, Repository};
use crate::digest::{Digest, HashingWriter};
use crate::oci::Descriptor;
use crate::source::http::{self as web, Failure, Pace};

/// Who checks the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The reader itself, at the end.
    Digest,
    /// Whoever reads; only the size is checked.
    SizeOnly,
}

/// A blob that is being read. Errors are [`RegistryError`]s within [`io::Error`]s.
pub struct Download<'r> {
    repository: Repository<'r>,
    descriptor: Descriptor,
    hasher: Option<HashingWriter<io::Sink>>,
    body: Option<Body>,
    received: u64,
    /// Bytes that a server sends although they are there already.
    skip: u64,
    tries: Tries,
    done: bool,
}

struct Body {
    reader: Box<dyn Read + Send>,
    url: String,
    pace: Pace,
}

impl<'r> Repository<'r> {
    /// A blob, from `offset` on; none if the registry does not have it. One that does not start at the beginning cannot
    /// be checked by its digest.
    pub fn blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Download<'r>>, RegistryError> {
        let mut download = Download {
            repository: self.clone(),
            descriptor: descriptor.clone(),
            hasher: (check == Check::Digest && offset == 0).then(|| HashingWriter::new(io::sink())),
            body: None,
            received: offset,
            skip: 0,
            tries: Tries::first(offset),
            done: false,
        };
        Ok(download.open()?.then_some(download))
    }

    /// Whether the registry itself has a blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.registries.retrying(|| {
            let request = Request { method: ureq::http::Method::HEAD, ..Request::get() };
            let path = format!("/v2/{}/blobs/{digest}", self.path);
            let (_, mut response) = self.call(&self.host, &path, true, &request)?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.refused_write(format!("{}@{digest}", self.path), &mut response)),
            }
        })
    }
}

impl Download<'_> {
    /// The size that it has.
    pub fn size(&self) -> u64 {
        self.descriptor.size
    }

    fn what(&self) -> String {
        format!("{}@{}", self.repository.path(), self.descriptor.digest)
    }

    /// Connects, for what is not there yet; whether it is to be had.
    fn open(&mut self) -> Result<bool, RegistryError> {
        let repository = self.repository.clone();
        let digest = self.descriptor.digest;
        let (received, size) = (self.received, self.descriptor.size);
        let found = repository.reading(|host, path| {
            let mut request = Request::get();
            if received > 0 {
                request.headers.push((header::RANGE, format!("bytes={received}-")));
            }
            let (address, mut response) =
                repository.call(host, &format!("/v2/{path}/blobs/{digest}"), false, &request)?;
            match response.status() {
                StatusCode::OK => Ok(Some((request::shown(&address), response, received))),
                StatusCode::PARTIAL_CONTENT if starts_at(&response, received) => {
                    Ok(Some((request::shown(&address), response, 0)))
                }
                StatusCode::NOT_FOUND => Ok(None),
                // All of it was there; the check of the size decides.
                StatusCode::RANGE_NOT_SATISFIABLE => Err(RegistryError::Connection {
                    url: request::shown(&address),
                    reason: format!("it has no more than {received} of {size} bytes"),
                    again: false,
                }),
                _ => Err(repository.refused(host, format!("{}@{digest}", repository.path()), &mut response)),
            }
        })?;
        let Some((url, response, skip)) = found else { return Ok(false) };
        self.skip = skip;
        let promised = text(&response, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let expected = self.descriptor.size.saturating_sub(self.received) + skip;
        if promised.is_some_and(|promised| promised > expected) {
            return Err(self.too_large());
        }
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let pace = Pace::new(&repository.registries.settings.http);
        self.body = Some(Body { reader: Box::new(reader), url, pace });
        Ok(true)
    }

    /// After a failure: waits and connects again, unless that was done often enough.
    fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        self.tries.again(self.repository.registries, self.received, error)?;
        match self.open()? {
            true => Ok(()),
            false => Err(RegistryError::NotFound { registry: self.repository.registry().into(), what: self.what() }),
        }
    }

    fn too_large(&self) -> RegistryError {
        let limit = self.descriptor.size;
        RegistryError::TooLarge { registry: self.repository.registry().into(), what: self.what(), limit }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryError> {
        loop {
            let registries = self.repository.registries;
            registries.go_on()?;
            let left = self.descriptor.size.saturating_sub(self.received);
            let Some(body) = &mut self.body else { return Ok(0) };
            let (read, slow) = match body.reader.read(buffer) {
                Ok(read) => (read, !body.pace.keeps_up(read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if left == 0 && self.skip == 0 => {
                    // All of it is there, however the connection ended.
                    self.finish()?;
                    return Ok(0);
                }
                Err(error) => {
                    registries.go_on()?;
                    let settings = &registries.settings.http;
                    let failure = Failure::of(&web::of_reading(error), self.repository.registry(), settings);
                    let url = body.url.clone();
                    self.again(RegistryError::Connection { url, reason: failure.reason, again: failure.again })?;
                    continue;
                }
            };
            if read == 0 {
                if left == 0 && self.skip == 0 {
                    self.finish()?;
                    return Ok(0);
                }
                let reason = format!("the connection ended after {} of {} bytes", self.received, self.descriptor.size);
                let url = body.url.clone();
                self.again(RegistryError::Connection { url, reason, again: true })?;
                continue;
            }
            if slow {
                let error = request::too_slow(&body.url, &registries.settings.http);
                self.again(error)?;
                continue;
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(read);
            self.skip -= skipped as u64;
            let fresh = read - skipped;
            if fresh as u64 > left {
                return Err(self.too_large());
            }
            if fresh == 0 {
                continue;
            }
            buffer.copy_within(skipped..read, 0);
            self.received += fresh as u64;
            if let Some(hasher) = &mut self.hasher {
                // A sink takes everything.
                let _ = io::Write::write_all(hasher, &buffer[..fresh]);
            }
            return Ok(fresh);
        }
    }

    fn finish(&mut self) -> Result<(), RegistryError> {
        self.body = None;
        self.done = true;
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (_, actual, _) = hasher.finish();
        if actual == self.descriptor.digest {
            return Ok(());
        }
        let host = &self.repository.host;
        Err(self.repository.mismatch(host, self.what(), self.descriptor.digest, actual))
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done || buffer.is_empty() {
            return Ok(0);
        }
        self.next(buffer).map_err(|error| {
            self.done = true;
            io::Error::other(error)
        })
    }
}

/// Whether a partial answer begins where it should.
fn starts_at(response: &Response<ureq::Body>, offset: u64) -> bool {
    let range = text(response, &header::CONTENT_RANGE);
    let first = range.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    first.is_some_and(|(first, _)| first.parse() == Ok(offset))
}
