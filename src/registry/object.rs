//! An object of a bucket or of a service as a reader, which goes on where a connection broke. Whatever comes has the promised
//! size and, at its end, the promised digest, or reading fails.

use std::io::{self, Read};

use ureq::http::{Response, StatusCode, header};

use super::retry::Tries;
use super::{Check, Registries, RegistryError, request};
use crate::digest::{Digest, HashingWriter};
use crate::oci::Descriptor;
use crate::source::http::{self as web, Failure, Pace};

/// A place that gives out objects.
pub(super) trait Objects<'r>: Send {
    /// The connections to it.
    fn registries(&self) -> &'r Registries;

    /// What messages call it.
    fn place(&self) -> String;

    /// What a blob is called there.
    fn object(&self, digest: &Digest) -> String;

    /// Asks for a blob from some byte on, once; none if it is not there.
    fn ask(&self, digest: &Digest, offset: u64) -> Result<Option<Response<ureq::Body>>, RegistryError>;

    /// Whether it may still be read.
    fn go_on(&self) -> Result<(), RegistryError> {
        self.registries().go_on()
    }
}

/// A blob that is being read. Errors are [`RegistryError`]s within [`io::Error`]s.
pub(super) struct Object<'r, P> {
    place: P,
    registries: &'r Registries,
    blob: Descriptor,
    hasher: Option<HashingWriter<io::Sink>>,
    body: Option<Body>,
    received: u64,
    tries: Tries,
}

struct Body {
    reader: Box<dyn Read + Send>,
    pace: Pace,
}

impl<'r, P: Objects<'r>> Object<'r, P> {
    /// A blob from `offset` on; none if it is not there.
    pub(super) fn open(place: P, blob: &Descriptor, offset: u64, check: Check) -> Result<Option<Self>, RegistryError> {
        let hasher = (check == Check::Digest && offset == 0).then(|| HashingWriter::new(io::sink()));
        let (blob, body, registries) = (blob.clone(), None, place.registries());
        let mut object = Self { place, registries, blob, hasher, body, received: offset, tries: Tries::first(offset) };
        Ok(object.connect()?.then_some(object))
    }

    /// Connects, for what is not there yet; whether it is to be had.
    fn connect(&mut self) -> Result<bool, RegistryError> {
        let (place, digest, received) = (&self.place, &self.blob.digest, self.received);
        let response = self.registries.retrying(|| place.ask(digest, received))?;
        let Some(response) = response else { return Ok(false) };
        if received > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(self.broken("it does not send parts of objects".into(), false));
        }
        let promised = request::text(&response, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if promised.is_some_and(|promised| promised > self.blob.size.saturating_sub(received)) {
            return Err(self.too_large());
        }
        let reader = Box::new(response.into_body().into_with_config().limit(u64::MAX).reader());
        self.body = Some(Body { reader, pace: Pace::new(&self.registries.settings.http) });
        Ok(true)
    }

    fn too_large(&self) -> RegistryError {
        let (registry, what) = (self.place.place(), self.place.object(&self.blob.digest));
        RegistryError::TooLarge { registry, what, limit: self.blob.size }
    }

    fn broken(&self, reason: String, again: bool) -> RegistryError {
        let object = self.place.object(&self.blob.digest);
        RegistryError::Connection { url: format!("{}: {object}", self.place.place()), reason, again }
    }

    /// After a failure: waits and connects again, unless that was done often enough.
    fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        self.tries.again(self.registries, self.received, error)?;
        if self.connect()? { Ok(()) } else { Err(RegistryError::Missing(self.blob.digest)) }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryError> {
        loop {
            let registries = self.registries;
            self.place.go_on()?;
            let left = self.blob.size.saturating_sub(self.received);
            let Some(body) = &mut self.body else { return Ok(0) };
            let error = match body.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) if left == 0 => return self.finish().map(|()| 0),
                Ok(0) => {
                    let reason = format!("the connection ended after {} of {} bytes", self.received, self.blob.size);
                    self.broken(reason, true)
                }
                Ok(read) if read as u64 > left => return Err(self.too_large()),
                Ok(read) => {
                    let slow = !body.pace.keeps_up(read);
                    self.received += read as u64;
                    if let Some(hasher) = &mut self.hasher {
                        // A sink takes everything.
                        let _ = io::Write::write_all(hasher, &buffer[..read]);
                    }
                    if slow {
                        let settings = &registries.settings.http;
                        self.again(request::too_slow(&self.place.place(), settings))?;
                    }
                    return Ok(read);
                }
                Err(error) => {
                    let settings = &registries.settings.http;
                    let failure = Failure::of(&web::of_reading(error), &self.place.place(), settings);
                    self.broken(failure.reason, failure.again)
                }
            };
            self.again(error)?;
        }
    }

    /// All of it was read.
    fn finish(&mut self) -> Result<(), RegistryError> {
        self.body = None;
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (_, actual, _) = hasher.finish();
        let (registry, expected) = (self.place.place(), self.blob.digest);
        if actual == expected {
            return Ok(());
        }
        Err(RegistryError::Digest { registry, what: self.place.object(&expected), expected, actual })
    }
}

impl<'r, P: Objects<'r>> Read for Object<'r, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.next(buffer).map_err(|error| {
            self.body = None;
            io::Error::other(error)
        })
    }
}
