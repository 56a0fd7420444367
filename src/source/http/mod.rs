//! Files behind `http` and `https` URLs, fetched into the store.
//!
//! A fetch survives what networks do: servers that are busy are asked again, and after a cut the rest is asked for, if the
//! server says that the file is still the same. Redirects are followed here and not by the HTTP library, because a
//! password must not follow to another server and a step down from `https` must be told. Nothing here decides whether
//! a file may have changed: that is the lockfile's business, whose pins the caller compares.
//!
//! HTTP and TLS are `ureq`'s; names are looked up by [`dns`]. The environment is not read: proxies and certificates come
//! as [`Settings`].

mod address;
mod agent;
pub(crate) mod base64;
pub(crate) mod date;
pub mod dns;
mod failure;
mod pace;
pub(crate) mod percent;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, StatusCode, header};

pub use address::{Address, shown};
pub(crate) use agent::Agents;
pub use agent::{Identity, Proxies, Settings};
pub(crate) use failure::{Cause, Failure, of_reading};
pub(crate) use pace::Pace;

use crate::digest::{CacheKey, Digest};
use crate::graph::key::{KeyHasher, Visitor};
use crate::source::Watch;
use crate::store::{BlobWriter, Store, StoreError, io_error};

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// How much is read at once, in bytes.
const BUFFER: usize = 128 << 10;

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of its bytes, under which the store has it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its `Last-Modified` in seconds since 1970, if the server gave one that can be read.
    pub modified: Option<i64>,
    /// Its `ETag`, as given.
    etag: Option<String>,
}

/// A file that cannot be fetched. Messages begin with the URL, without its password.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL, or one that it redirects to, is none that can be fetched.
    #[error("{url} cannot be fetched: {reason}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server said no.
    #[error("{url}: the server answered {status}")]
    Status {
        /// The URL that was asked for in the end.
        url: String,
        /// The code with its name.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It went in circles.
    #[error("{url}: more than {REDIRECTS} redirects, the last to {last}")]
    Redirects {
        /// The URL that was asked for.
        url: String,
        /// Where it led in the end.
        last: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("{url}: {reason}")]
    Connection {
        /// The URL that was asked for in the end.
        url: String,
        /// What happened.
        reason: String,
        /// Whether another try can end better.
        again: bool,
    },
    /// It is larger than what is allowed.
    #[error("{url} is larger than {limit} bytes, the most that is fetched")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody stopped it.
    #[error("it was canceled")]
    Canceled,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HttpError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 416 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Connection { again, .. } => *again,
            _ => false,
        }
    }
}

/// Fetches files. Cheap to make; connections are kept while it lives.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    agents: Agents,
}

/// What came of a file so far, across connections.
struct Partial<'s> {
    writer: BlobWriter<'s>,
    received: u64,
    total: Option<u64>,
    headers: Validators,
}

/// By what a server tells whether a file is still the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Validators {
    etag: Option<String>,
    modified: Option<String>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        Self { etag: text(headers, &header::ETAG), modified: text(headers, &header::LAST_MODIFIED) }
    }

    /// What `If-Range` may hold: a weak tag says nothing about bytes.
    fn strong(&self) -> Option<&str> {
        let etag = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        etag.or(self.modified.as_deref())
    }
}

impl Client {
    /// A client with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { agents: Agents::new(&settings), settings }
    }

    /// Ends all connections, so that whoever waits for a server does not any more. For whoever cancels: the client is of no
    /// use afterwards.
    pub fn stop(&self) {
        self.agents.shut_down();
    }

    /// Brings the file behind a URL into the store. If the store has it from an earlier time and the server says that it
    /// is still the same, its bytes are not sent again.
    pub fn fetch(&self, store: &Store, url: &str, watch: &mut dyn Watch) -> Result<Fetched, HttpError> {
        let address = Address::parse(url).map_err(|reason| HttpError::Address { url: shown(url), reason })?;
        let known = last_known(store, url);
        let mut partial = None;
        let mut tries = 1;
        loop {
            match self.attempt(store, &address, known.as_ref(), &mut partial, watch) {
                Ok(fetched) => {
                    remember(store, url, &fetched);
                    return Ok(fetched);
                }
                Err(error) if error.may_pass() && tries < self.settings.tries => {
                    self.wait(&error, tries, watch)?;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits before the next try: longer each time, or as long as the server asks.
    fn wait(&self, error: &HttpError, tries: u32, watch: &dyn Watch) -> Result<(), HttpError> {
        let mut pause = self.settings.pause * 2u32.saturating_pow(tries - 1);
        if let HttpError::Status { retry_after: Some(asked), .. } = error {
            pause = (*asked).min(Duration::from_secs(60));
        }
        let until = Instant::now() + pause;
        loop {
            if watch.is_canceled() {
                return Err(HttpError::Canceled);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// One connection's worth of a fetch.
    fn attempt<'s>(
        &self,
        store: &'s Store,
        address: &Address,
        known: Option<&Fetched>,
        partial: &mut Option<Partial<'s>>,
        watch: &mut dyn Watch,
    ) -> Result<Fetched, HttpError> {
        // Without a validator there is no telling whether the rest belongs to the start.
        if partial.as_ref().is_some_and(|partial| partial.received == 0 || partial.headers.strong().is_none()) {
            *partial = None;
        }
        let mut headers = Vec::new();
        if let Some(Partial { received, headers: validators, .. }) = partial {
            headers.push((header::RANGE, format!("bytes={received}-")));
            headers.extend(validators.strong().map(|value| (header::IF_RANGE, value.to_owned())));
        } else if let Some(etag) = known.and_then(|known| known.etag.clone()).filter(|etag| !etag.starts_with("W/")) {
            headers.push((header::IF_NONE_MATCH, etag));
        }
        let conditional = partial.is_none() && !headers.is_empty();
        let (address, mut response) = self.follow(address, &headers, watch)?;
        let status = response.status();
        match (status, known) {
            (StatusCode::NOT_MODIFIED, Some(known)) if conditional => return Ok(known.clone()),
            (StatusCode::PARTIAL_CONTENT, _) if continues(&response, partial.as_ref()) => {}
            (StatusCode::OK, _) => {
                // The range was not wanted, or the file is another one by now.
                let total = response.body().content_length();
                let headers = Validators::of(response.headers());
                *partial = Some(Partial { writer: store.writer()?, received: 0, total, headers });
            }
            _ => {
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    *partial = None;
                }
                let retry_after = text(response.headers(), &header::RETRY_AFTER)
                    .and_then(|value| value.parse().ok())
                    .map(Duration::from_secs);
                return Err(HttpError::Status { url: address.url(), status, retry_after });
            }
        }
        let Some(state) = partial.as_mut() else { return Err(HttpError::Canceled) };
        self.receive(store, &address, &mut response, state, watch)?;
        let Some(Partial { writer, headers, .. }) = partial.take() else { return Err(HttpError::Canceled) };
        let blob = writer.commit(None)?;
        Ok(Fetched {
            digest: blob.digest,
            size: blob.size,
            modified: headers.modified.as_deref().and_then(date::parse),
            etag: headers.etag,
        })
    }

    /// Asks, and asks again where a redirect leads.
    fn follow(
        &self,
        start: &Address,
        headers: &[(header::HeaderName, String)],
        watch: &mut dyn Watch,
    ) -> Result<(Address, Response<ureq::Body>), HttpError> {
        let mut address = start.clone();
        for _ in 0..=REDIRECTS {
            if watch.is_canceled() {
                return Err(HttpError::Canceled);
            }
            let response = self.ask(&address, headers, watch)?;
            let redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = text(response.headers(), &header::LOCATION).filter(|_| redirect) else {
                return Ok((address, response));
            };
            let next = address
                .join(&location)
                .map_err(|reason| HttpError::Address { url: format!("{start}: a redirect to {location}"), reason })?;
            if address.secure && !next.secure {
                watch.warn(format!("{start} redirects from https to {next}, which anybody on the way can change"));
            }
            address = next;
        }
        Err(HttpError::Redirects { url: start.to_string(), last: address.to_string() })
    }

    fn ask(
        &self,
        address: &Address,
        headers: &[(header::HeaderName, String)],
        watch: &dyn Watch,
    ) -> Result<Response<ureq::Body>, HttpError> {
        let agent = self.agents.of(address).map_err(|reason| HttpError::Connection {
            url: address.url(),
            reason,
            again: false,
        })?;
        let mut request = agent.get(address.url());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = address.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.call().map_err(|error| match watch.is_canceled() {
            true => HttpError::Canceled,
            false => self.broken(address, &error),
        })
    }

    /// Reads a body to its end.
    fn receive(
        &self,
        store: &Store,
        address: &Address,
        response: &mut Response<ureq::Body>,
        state: &mut Partial<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), HttpError> {
        let limit = self.settings.limit;
        let too_large = || HttpError::TooLarge { url: address.url(), limit };
        if state.total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; BUFFER];
        let mut pace = Pace::new(&self.settings);
        loop {
            watch.progress(state.received, state.total);
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(self.broken(address, &of_reading(error)));
                }
            };
            if watch.is_canceled() {
                return Err(HttpError::Canceled);
            }
            state.received += read as u64;
            if state.received > limit {
                return Err(too_large());
            }
            state.writer.write_all(&buffer[..read]).map_err(io_error("write to", store.root()))?;
            if !pace.keeps_up(read) {
                let reason = format!("it comes slower than {} bytes per second", self.settings.slowest);
                return Err(HttpError::Connection { url: address.url(), reason, again: true });
            }
        }
        match state.total {
            Some(total) if total != state.received => {
                let reason = format!("the connection ended after {} of {total} bytes", state.received);
                Err(HttpError::Connection { url: address.url(), reason, again: true })
            }
            _ => Ok(()),
        }
    }

    /// What a failure of the HTTP library means.
    fn broken(&self, address: &Address, error: &ureq::Error) -> HttpError {
        let Failure { reason, again, .. } = Failure::of(error, &address.host, &self.settings);
        HttpError::Connection { url: address.url(), reason, again }
    }
}

/// Whether a response is just the rest of what is there.
fn continues(response: &Response<ureq::Body>, partial: Option<&Partial<'_>>) -> bool {
    let Some(partial) = partial else { return false };
    let Some(range) = text(response.headers(), &header::CONTENT_RANGE) else { return false };
    let same = Validators::of(response.headers()).strong().is_none_or(|value| partial.headers.strong() == Some(value));
    let expected = range.strip_prefix("bytes ").and_then(|range| {
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let whole = match (total, partial.total) {
            ("*", _) | (_, None) => true,
            (total, Some(known)) => total.parse() == Ok(known) && last.checked_add(1) == Some(known),
        };
        (first == partial.received && whole).then_some(())
    });
    same && expected.is_some()
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The record of what a URL was when it was last fetched.
fn record_key(url: &str) -> CacheKey {
    let mut hasher = KeyHasher::new("http-record");
    hasher.value("url", url.as_bytes());
    hasher.finish()
}

/// What the file behind a URL was when it was last fetched, if the store still has it.
pub fn last_known(store: &Store, url: &str) -> Option<Fetched> {
    let record = store.get_action(&record_key(url))?;
    let (digest, rest) = record.split_at_checked(32)?;
    let (size, rest) = rest.split_at_checked(8)?;
    let (modified, etag) = rest.split_at_checked(9)?;
    let digest = Digest::from_bytes(digest.try_into().ok()?);
    let size = u64::from_le_bytes(size.try_into().ok()?);
    if store.size(&digest).ok()? != Some(size) {
        return None;
    }
    let seconds = i64::from_le_bytes(modified[1..].try_into().ok()?);
    let etag = String::from_utf8(etag.to_vec()).ok()?;
    Some(Fetched {
        digest,
        size,
        modified: (modified[0] == 1).then_some(seconds),
        etag: (!etag.is_empty()).then_some(etag),
    })
}

fn remember(store: &Store, url: &str, fetched: &Fetched) {
    let mut record = fetched.digest.as_bytes().to_vec();
    record.extend_from_slice(&fetched.size.to_le_bytes());
    record.push(u8::from(fetched.modified.is_some()));
    record.extend_from_slice(&fetched.modified.unwrap_or_default().to_le_bytes());
    record.extend_from_slice(fetched.etag.as_deref().unwrap_or_default().as_bytes());
    // Without it the file is only fetched once more.
    let _ = store.put_action(&record_key(url), &record);
}
