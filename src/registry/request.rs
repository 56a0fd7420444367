//! Single requests: sent, followed where they are redirected to, and read, within limits.

use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use ureq::SendBody;
use ureq::http::header::{self, HeaderName};
use ureq::http::{self, Method, Response, StatusCode};

use super::auth::Authorization;
use super::{Registries, RegistryError};
use crate::source::http::{self as web, Address, Agents, Failure, Pace, date};

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// The most that is read of a refusal, in bytes.
pub(super) const REFUSAL: u64 = 64 << 10;
/// The longest of a server's own words that is shown, in characters.
pub(super) const WORDS: usize = 300;

/// Opens what is sent, from the start.
pub(super) type Open<'a> = dyn Fn() -> Result<Box<dyn Read + Send + 'a>, RegistryError> + 'a;

/// What is sent along.
pub(super) enum Body<'a> {
    /// Nothing, as with `GET`.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes, opened again if they must be sent again.
    Stream(u64, &'a Open<'a>),
}

/// One request, to whatever address.
pub(super) struct Request<'a> {
    /// What is done.
    pub(super) method: Method,
    /// What is said besides, but for who asks.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// What is sent along.
    pub(super) body: Body<'a>,
    /// Whether only the same server may be redirected to.
    pub(super) limit_redirects: bool,
}

/// Sends a request, and sends it again where it is redirected to: to another server without `authorization`.
pub(super) fn follow(
    registries: &Registries,
    start: &Address,
    request: &Request<'_>,
    authorization: Option<&Authorization>,
) -> Result<(Address, Response<ureq::Body>), RegistryError> {
    let mut address = start.clone();
    let failed =
        |address: &Address, reason: String| RegistryError::Connection { url: shown(address), reason, again: false };
    for _ in 0..=REDIRECTS {
        registries.go_on()?;
        let authorization = authorization.filter(|_| address.origin() == start.origin());
        let host = registries.host(&authority(&address));
        let response = once(host.agents(), &host.http, &address, request, authorization)?.map_err(|failure| {
            match registries.go_on() {
                Ok(()) => {
                    let Failure { reason, again, .. } = failure;
                    RegistryError::Connection { url: shown(&address), reason, again }
                }
                Err(canceled) => canceled,
            }
        })?;
        let redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = text(&response, &header::LOCATION).filter(|_| redirect) else {
            return Ok((address, response));
        };
        let mut next =
            address.join(&location).map_err(|reason| failed(start, format!("a redirect leads to what {reason}")))?;
        // What a redirect has in place of a name and a password is not for us to send.
        next.credentials = None;
        if address.secure && !next.secure {
            return Err(failed(start, format!("it redirects from https to {}, which is not followed", shown(&next))));
        }
        if request.limit_redirects && next.origin() != start.origin() {
            return Err(failed(start, format!("it redirects to {}, where this is not sent", shown(&next))));
        }
        address = next;
    }
    Err(failed(start, format!("more than {REDIRECTS} redirects, the last to {}", shown(&address))))
}

/// Sends a request once. The outer error is of what is to be sent.
pub(super) fn once(
    agents: &Agents,
    settings: &web::Settings,
    address: &Address,
    request: &Request<'_>,
    authorization: Option<&Authorization>,
) -> Result<Result<Response<ureq::Body>, Failure>, RegistryError> {
    let agent = match agents.of(address) {
        Ok(agent) => agent,
        Err(reason) => return Err(RegistryError::Connection { url: shown(address), reason, again: false }),
    };
    let mut builder = http::Request::builder().method(request.method.clone()).uri(address.url());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if let Some(Authorization(value)) = authorization {
        builder = builder.header(header::AUTHORIZATION, value);
    }
    let unusable = |_: http::Error| RegistryError::Connection {
        url: shown(address),
        reason: "it cannot be asked for".into(),
        again: false,
    };
    let sent = match &request.body {
        Body::None if request.method == Method::GET || request.method == Method::HEAD => {
            agent.run(builder.body(()).map_err(unusable)?)
        }
        Body::None => agent.run(builder.header(header::CONTENT_LENGTH, 0).body(&[][..]).map_err(unusable)?),
        Body::Bytes(bytes) => {
            agent.run(builder.header(header::CONTENT_LENGTH, bytes.len()).body(*bytes).map_err(unusable)?)
        }
        Body::Stream(length, open) => {
            let mut content = Remembering { inner: open()?, failed: None };
            let body = SendBody::from_reader(&mut content);
            let sent = agent.run(builder.header(header::CONTENT_LENGTH, *length).body(body).map_err(unusable)?);
            // That our own side fails is not the server's fault, and no other try helps.
            if let Some(error) = content.failed {
                return Err(RegistryError::from_io(error, |error| RegistryError::File {
                    path: "what is to be sent".into(),
                    error,
                }));
            }
            sent
        }
    };
    Ok(sent.map_err(|error| Failure::of(&error, &address.host, settings)))
}

/// A reader that remembers why it failed.
struct Remembering<R> {
    inner: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

/// Reads a whole body of at most `limit` bytes.
pub(super) fn read(
    registries: &Registries,
    url: &str,
    response: &mut Response<ureq::Body>,
    limit: u64,
    registry: &str,
    what: &str,
) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 32 << 10];
    let mut pace = Pace::new(&registries.settings.http);
    loop {
        registries.go_on()?;
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let Failure { reason, again, .. } =
                    Failure::of(&web::of_reading(error), registry, &registries.settings.http);
                return Err(RegistryError::Connection { url: url.to_owned(), reason, again });
            }
        };
        bytes.extend_from_slice(&buffer[..read]);
        if bytes.len() as u64 > limit {
            return Err(RegistryError::TooLarge { registry: registry.to_owned(), what: what.to_owned(), limit });
        }
        if !pace.keeps_up(read) {
            return Err(too_slow(url, &registries.settings.http));
        }
    }
}

/// That bytes come too slowly to be waited for.
pub(super) fn too_slow(url: &str, settings: &web::Settings) -> RegistryError {
    let reason = format!("it comes slower than {} bytes per second", settings.slowest);
    RegistryError::Connection { url: url.to_owned(), reason, again: true }
}

/// Reads what little there is, so that the connection can be used again.
pub(super) fn drain(response: &mut Response<ureq::Body>) {
    let _ = response.body_mut().with_config().limit(REFUSAL).read_to_vec();
}

/// What an answer means that is not what was hoped for. Reads its body.
pub(super) fn refused(
    registries: &Registries,
    registry: &str,
    what: String,
    known: bool,
    response: &mut Response<ureq::Body>,
) -> RegistryError {
    let status = response.status();
    let retry_after = text(response, &header::RETRY_AFTER).and_then(|value| seconds(&value));
    let body = read(registries, "", response, REFUSAL, registry, &what).unwrap_or_default();
    let said = words(&body);
    let registry = registry.to_owned();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied { registry, what, said, known },
        StatusCode::NOT_FOUND => RegistryError::NotFound { registry, what },
        _ => RegistryError::Status { registry, what, status, said, retry_after },
    }
}

/// The registry's own words in an error (distribution-spec, "Error codes").
pub(super) fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<One>,
        #[serde(default)]
        details: Option<String>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(Errors { errors, details }) = serde_json::from_slice(body) else { return String::new() };
    let mut all: Vec<String> = errors
        .into_iter()
        .map(|error| match (error.message.is_empty(), error.code.is_empty()) {
            (true, _) => error.code,
            (false, true) => error.message,
            (false, false) => format!("{} ({})", error.message, error.code),
        })
        .collect();
    all.extend(details);
    all.retain(|words| !words.is_empty());
    all.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}

/// `Retry-After`: seconds, or a date.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = u64::try_from(date::parse(value)?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Some(Duration::from_secs(then.saturating_sub(now)))
}

/// A header as text.
pub(super) fn text<B>(response: &Response<B>, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// An address as messages show it: queries can have signatures.
pub(super) fn shown(address: &Address) -> String {
    let url = address.url();
    match url.split_once('?') {
        Some((path, _)) => format!("{path}?…"),
        None => url,
    }
}

/// Host and port.
pub(super) fn authority(address: &Address) -> String {
    match address.port {
        Some(port) => format!("{}:{port}", address.host),
        None => address.host.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_registrys_words() {
        let check = |body: &str, expected: &str| assert_eq!(words(body.as_bytes()), expected, "{body}");
        check(r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m way"}]}"#, "no [31m way (DENIED)");
        check(r#"{"errors":[{"code":"A"},{"message":"b"}]}"#, "A; b");
        check(r#"{"details":"incorrect username or password"}"#, "incorrect username or password");
        check("<html>", "");
        check("", "");
        assert_eq!(words(format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(999)).as_bytes()).len(), WORDS);
    }

    #[test]
    fn reads_when_to_come_back() {
        assert_eq!(seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(seconds("soon"), None);
    }
}
