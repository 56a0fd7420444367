//! A blob on its way to a registry (distribution-spec, "Pushing blobs").
//!
//! What is there already is not sent, and what the registry has under another name is only linked. Else a blob goes in one
//! piece; after a cut, what the registry has is asked for and the rest is sent. A registry that wants pieces gets them.

use std::io::Read;

use ureq::http::header::{self, HeaderName};
use ureq::http::{Method, Response, StatusCode};

use super::auth::Scope;
use super::request::{Body, Open, Request, drain, text};
use super::retry::Tries;
use super::{RegistryError, Repository};
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::source::http::Address;

/// How large the pieces must be at least, if the registry takes any.
const CHUNK_MINIMUM: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// How large pieces are, unless they must be larger, in bytes.
const CHUNK: u64 = 16 << 20;

/// Where a blob's bytes are.
pub trait Content: Sync {
    /// Opens them from `offset` to the end.
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>, RegistryError>;
}

/// How a blob came to be in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was there.
    Existed,
    /// It was there under another name.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// An upload that a registry has begun.
struct Session {
    address: Address,
    /// The size of pieces, if it wants any.
    chunk: Option<u64>,
    /// How much of the blob it has.
    offset: u64,
}

/// How an attempt to send ended.
enum Ended {
    /// The registry has it.
    Done,
    /// It is too large for one request.
    TooLarge,
}

impl Repository<'_> {
    /// Sees to it that the registry has a blob. `elsewhere` are repositories of the same registry that may have it.
    pub fn put_blob(
        &self,
        descriptor: &Descriptor,
        content: &dyn Content,
        elsewhere: &[String],
    ) -> Result<Sent, RegistryError> {
        match self.has_blob(&descriptor.digest) {
            Ok(true) => return Ok(Sent::Existed),
            // Some registries refuse to say anything of a repository that does not exist yet; writing will tell.
            Ok(false) | Err(RegistryError::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut session = None;
        for from in elsewhere.iter().filter(|from| **from != self.path) {
            match self.begin(Some((&descriptor.digest, from))) {
                Ok(None) => return Ok(Sent::Mounted),
                Ok(Some(begun)) => {
                    session = Some(begun);
                    break;
                }
                // That one may not be read, or is not there any more.
                Err(RegistryError::Canceled) => return Err(RegistryError::Canceled),
                Err(_) => {}
            }
        }
        self.send(descriptor, content, session).map(|()| Sent::Uploaded)
    }

    /// Begins an upload; none if the registry could link the blob instead.
    fn begin(&self, mount: Option<(&Digest, &str)>) -> Result<Option<Session>, RegistryError> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.path);
        let mut scope = self.scope(&self.host, true);
        if let Some((digest, from)) = mount {
            path += &format!("?mount={digest}&from={from}");
            scope = scope.and(&Scope::pull(from));
        }
        self.registries.retrying(|| {
            let request = Request { method: Method::POST, limit_redirects: true, ..Request::get() };
            let (at, mut response) = self.host.call(self.registries, &path, &scope, &request)?;
            match response.status() {
                StatusCode::CREATED if mount.is_some() => Ok(None),
                StatusCode::ACCEPTED => {
                    let chunk = text(&response, &CHUNK_MINIMUM).and_then(|text| text.parse::<u64>().ok());
                    let chunk = chunk.map(|least| least.clamp(CHUNK, 1 << 30));
                    Ok(Some(Session { address: self.location(&at, &response)?, chunk, offset: 0 }))
                }
                _ => Err(self.refused_write(format!("an upload to {}", self.path), &mut response)),
            }
        })
    }

    /// Where to go on, after an answer from `at`.
    fn location<B>(&self, at: &Address, response: &Response<B>) -> Result<Address, RegistryError> {
        let malformed = |reason: String| RegistryError::Malformed {
            registry: self.host.name().to_owned(),
            what: format!("an upload to {}", self.path),
            reason,
        };
        let location = text(response, &header::LOCATION).ok_or_else(|| malformed("it does not say where to".into()))?;
        let mut next = at.join(&location).map_err(|reason| malformed(format!("it leads to what {reason}")))?;
        next.credentials = None;
        if at.secure && !next.secure {
            return Err(malformed("it leads from https to http".into()));
        }
        Ok(next)
    }

    fn send(
        &self,
        descriptor: &Descriptor,
        content: &dyn Content,
        mut session: Option<Session>,
    ) -> Result<(), RegistryError> {
        let (mut tries, mut pieces) = (Tries::first(0), None);
        loop {
            let mut current = match session.take() {
                Some(session) => session,
                None => match self.begin(None)? {
                    Some(session) => session,
                    None => return Ok(()),
                },
            };
            current.chunk = pieces.or(current.chunk);
            let error = match self.attempt(descriptor, content, &mut current) {
                Ok(Ended::Done) => return Ok(()),
                Ok(Ended::TooLarge) => {
                    // Something on the way does not let it through in one piece.
                    pieces = Some(CHUNK);
                    continue;
                }
                Err(error) => error,
            };
            tries.again(self.registries, current.offset, error)?;
            session = self.resume(current)?;
        }
    }

    /// Sends what the registry does not have yet.
    fn attempt(
        &self,
        descriptor: &Descriptor,
        content: &dyn Content,
        session: &mut Session,
    ) -> Result<Ended, RegistryError> {
        let size = descriptor.size;
        // The last request may have nothing left to send, but it is the one that ends it.
        if session.chunk.is_none() && session.offset == 0 {
            let open: &Open<'_> = &|| content.open(0);
            return self.close(descriptor, session, Body::Stream(size, open));
        }
        while session.offset < size {
            let start = session.offset;
            let length = session.chunk.unwrap_or(u64::MAX).min(size - start);
            let open: &Open<'_> = &|| Ok(Box::new(content.open(start)?.take(length)));
            let request = Request {
                method: Method::PATCH,
                headers: vec![
                    (header::CONTENT_TYPE, "application/octet-stream".into()),
                    (header::CONTENT_RANGE, format!("{start}-{}", start + length - 1)),
                ],
                body: Body::Stream(length, open),
                limit_redirects: true,
            };
            let scope = self.scope(&self.host, true);
            let (at, mut response) = self.host.call_at(self.registries, session.address.clone(), &scope, &request)?;
            match response.status() {
                StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                    session.address = self.location(&at, &response)?;
                    session.offset = start + length;
                }
                _ => return Err(self.refused_write(self.what(super::Which::Digest(descriptor.digest)), &mut response)),
            }
        }
        self.close(descriptor, session, Body::Bytes(&[]))
    }

    /// Sends the last of it, and says what all of it must be.
    fn close(&self, descriptor: &Descriptor, session: &mut Session, body: Body<'_>) -> Result<Ended, RegistryError> {
        let mut address = session.address.clone();
        let separator = if address.path.contains('?') { '&' } else { '?' };
        address.path = format!("{}{separator}digest={}", address.path, descriptor.digest);
        let request = Request {
            method: Method::PUT,
            headers: vec![(header::CONTENT_TYPE, "application/octet-stream".into())],
            body,
            limit_redirects: true,
        };
        let scope = self.scope(&self.host, true);
        let (_, mut response) = self.host.call_at(self.registries, address, &scope, &request)?;
        match response.status() {
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::OK => Ok(Ended::Done),
            StatusCode::PAYLOAD_TOO_LARGE if session.chunk.is_none() => {
                drain(&mut response);
                Ok(Ended::TooLarge)
            }
            _ => Err(self.refused_write(self.what(super::Which::Digest(descriptor.digest)), &mut response)),
        }
    }

    /// What the registry has of an upload that broke; none if it has forgotten it.
    fn resume(&self, session: Session) -> Result<Option<Session>, RegistryError> {
        let scope = self.scope(&self.host, true);
        let answer = self
            .registries
            .retrying(|| self.host.call_at(self.registries, session.address.clone(), &scope, &Request::get()));
        let Ok((at, response)) = answer else {
            self.registries.go_on()?;
            return Ok(None);
        };
        if !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::ACCEPTED) {
            return Ok(None);
        }
        let range = text(&response, &header::RANGE);
        let last =
            range.as_deref().and_then(|range| range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok());
        // One byte and none look the same.
        let Some(last) = last.filter(|last: &u64| *last > 0) else { return Ok(None) };
        let address = self.location(&at, &response).unwrap_or(session.address);
        Ok(Some(Session { address, chunk: session.chunk, offset: last + 1 }))
    }
}
