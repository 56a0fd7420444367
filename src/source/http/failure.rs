//! What a failure of the HTTP library means: in words, and whether another try can end better.

use std::io;

use super::Settings;
use super::dns::NameError;

/// A connection that did not come about, or broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened, as the end of a sentence that begins with the URL.
    pub(crate) reason: String,
    /// Whether another try can end better.
    pub(crate) again: bool,
    /// What it was.
    pub(crate) cause: Cause,
}

/// What can go wrong, as far as anybody decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Something else.
    Other,
    /// Nobody listens there.
    Refused,
    /// What answered does not speak TLS as it should.
    NotTls,
    /// Its certificate is not accepted.
    Certificate,
}

impl Failure {
    /// What `error` means of a connection to `host`.
    pub(crate) fn of(error: &ureq::Error, host: &str, settings: &Settings) -> Self {
        use ureq::Error;
        let (reason, again, cause) = match error {
            Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::RecvResponse) => {
                let idle = settings.idle.as_secs_f32();
                (format!("the server has sent nothing for {idle} s"), true, Cause::Other)
            }
            Error::Timeout(_) => ("no connection came about in time".to_owned(), true, Cause::Other),
            Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<NameError>()) {
                Some(error) => (error.to_string(), matches!(error, NameError::Failed { .. }), Cause::Other),
                None => match error.kind() {
                    io::ErrorKind::UnexpectedEof => ("the connection ended early".to_owned(), true, Cause::NotTls),
                    // TLS says so of what it cannot accept.
                    io::ErrorKind::InvalidData => not_accepted(error),
                    io::ErrorKind::ConnectionRefused => {
                        (format!("{host} refuses the connection"), true, Cause::Refused)
                    }
                    _ => (error.to_string(), true, Cause::Other),
                },
            },
            Error::Rustls(error) => not_accepted(error),
            Error::Protocol(error) => (format!("the server does not speak HTTP: {error}"), true, Cause::Other),
            error => (error.to_string(), false, Cause::Other),
        };
        Self { reason, again, cause }
    }
}

/// What reading a body failed with.
pub(crate) fn of_reading(error: io::Error) -> ureq::Error {
    match error.downcast::<ureq::Error>() {
        Ok(error) => error,
        Err(error) => ureq::Error::Io(error),
    }
}

fn not_accepted(error: &dyn std::fmt::Display) -> (String, bool, Cause) {
    let said = error.to_string();
    // The library's own type is not ours to name; its words for this are stable.
    let certificate = said.contains("certificate");
    let cause = if certificate { Cause::Certificate } else { Cause::NotTls };
    (format!("its certificate or encryption is not accepted: {said}"), false, cause)
}
