//! A blob of somebody else's as a reader, which goes on where a connection broke.
//!
//! A connection that breaks is made again and asked for the rest; where a server cannot do that, what was read already is
//! skipped. Whatever comes has the promised size and, at its end, the promised digest, or reading fails. How a blob is
//! asked for is for its [`Origin`]: a repository ([`blob`](super::blob)), a bucket ([`s3`](super::s3))
//! or the cache of GitHub Actions ([`actions`](super::actions)).

use std::io::{self, Read};

use ureq::http::{Response, header};

use super::retry::Tries;
use super::{Registries, RegistryError, request};
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

/// Where blobs can be read from any byte on.
pub trait Origin {
    /// Whose connections are used.
    fn registries(&self) -> &Registries;
    /// What it is called in messages.
    fn registry(&self) -> String;
    /// What a blob is called there.
    fn name_of(&self, digest: &Digest) -> String;
    /// Asks for a blob from `offset` on; none if it is not there.
    fn ask(&self, blob: &Descriptor, offset: u64) -> Result<Option<Answer>, RegistryError>;
    /// Whether it may be read on.
    fn go_on(&self) -> Result<(), RegistryError> {
        self.registries().go_on()
    }
}

/// A server that sends a blob.
pub struct Answer {
    /// What it sends.
    pub response: Response<ureq::Body>,
    /// Where that comes from, for people.
    pub url: String,
    /// How many bytes it sends before those that it was asked for.
    pub skip: u64,
}

/// A blob that is being read. Errors are [`RegistryError`]s within [`io::Error`]s.
pub struct Download<O> {
    origin: O,
    blob: Descriptor,
    hasher: Option<HashingWriter<io::Sink>>,
    body: Option<Body>,
    received: u64,
    /// Bytes that a server sends although they are there already.
    skip: u64,
    tries: Tries,
}

struct Body {
    reader: Box<dyn Read + Send>,
    url: String,
    pace: Pace,
}

impl<O: Origin> Download<O> {
    /// A blob, from `offset` on; none if it is not there. One that does not start at the beginning cannot be checked by its
    /// digest.
    pub(super) fn open(origin: O, blob: &Descriptor, offset: u64, check: Check) -> Result<Option<Self>, RegistryError> {
        let hasher = (check == Check::Digest && offset == 0).then(|| HashingWriter::new(io::sink()));
        let (blob, tries) = (blob.clone(), Tries::first(offset));
        let mut download = Self { origin, blob, hasher, body: None, received: offset, skip: 0, tries };
        Ok(download.connect()?.then_some(download))
    }

    /// Connects, for what is not there yet; whether it is to be had.
    fn connect(&mut self) -> Result<bool, RegistryError> {
        let Some(Answer { response, url, skip }) = self.origin.ask(&self.blob, self.received)? else {
            return Ok(false);
        };
        let promised = request::text(&response, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let expected = self.blob.size.saturating_sub(self.received) + skip;
        if promised.is_some_and(|promised| promised > expected) {
            return Err(self.too_large());
        }
        let reader = Box::new(response.into_body().into_with_config().limit(u64::MAX).reader());
        self.skip = skip;
        self.body = Some(Body { reader, url, pace: Pace::new(&self.origin.registries().settings.http) });
        Ok(true)
    }

    /// After a failure: waits and connects again, unless that was done often enough.
    fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        self.tries.again(self.origin.registries(), self.received, error)?;
        match self.connect()? {
            true => Ok(()),
            false => Err(RegistryError::NotFound { registry: self.origin.registry(), what: self.what() }),
        }
    }

    fn what(&self) -> String {
        self.origin.name_of(&self.blob.digest)
    }

    fn too_large(&self) -> RegistryError {
        RegistryError::TooLarge { registry: self.origin.registry(), what: self.what(), limit: self.blob.size }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryError> {
        loop {
            let registries = self.origin.registries();
            self.origin.go_on()?;
            let settings = &registries.settings.http;
            let left = self.blob.size.saturating_sub(self.received);
            let Some(body) = &mut self.body else { return Ok(0) };
            let broken = |url: &str, reason, again| RegistryError::Connection { url: url.to_owned(), reason, again };
            let error = match body.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // All of it is there, however the connection ended.
                Ok(0) | Err(_) if left == 0 && self.skip == 0 => return self.finish().map(|()| 0),
                Ok(0) => {
                    let reason = format!("the connection ended after {} of {} bytes", self.received, self.blob.size);
                    broken(&body.url, reason, true)
                }
                Ok(read) if body.pace.keeps_up(read) => match self.take(buffer, read)? {
                    0 => continue,
                    fresh => return Ok(fresh),
                },
                Ok(_) => request::too_slow(&body.url, settings),
                Err(error) => {
                    registries.go_on()?;
                    let failure = Failure::of(&web::of_reading(error), &self.origin.registry(), settings);
                    broken(&body.url, failure.reason, failure.again)
                }
            };
            self.again(error)?;
        }
    }

    /// Moves what is new of the `read` bytes to the head of the buffer; returns how many these are.
    fn take(&mut self, buffer: &mut [u8], read: usize) -> Result<usize, RegistryError> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(read);
        let fresh = read - skipped;
        if fresh as u64 > self.blob.size.saturating_sub(self.received) {
            return Err(self.too_large());
        }
        self.skip -= skipped as u64;
        self.received += fresh as u64;
        buffer.copy_within(skipped..read, 0);
        if let Some(hasher) = &mut self.hasher {
            // A sink takes everything.
            let _ = io::Write::write_all(hasher, &buffer[..fresh]);
        }
        Ok(fresh)
    }

    /// All of it was read.
    fn finish(&mut self) -> Result<(), RegistryError> {
        self.body = None;
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (_, actual, _) = hasher.finish();
        let (registry, expected) = (self.origin.registry(), self.blob.digest);
        if actual == expected {
            Ok(())
        } else {
            Err(RegistryError::Digest { registry, what: self.what(), expected, actual })
        }
    }
}

impl<O: Origin> Read for Download<O> {
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
