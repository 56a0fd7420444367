//! Tokens, and the servers that give them (Docker's token and OAuth2 specifications).

use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Method, StatusCode, header};

use super::{Authorization, Scope};
use crate::registry::host::Host;
use crate::registry::request::{self, Body, Request};
use crate::registry::settings::{Credentials, Secret};
use crate::registry::{Registries, RegistryError};
use crate::source::http::{Address, base64, percent};

/// How long a token lives that does not say (the specification).
const LIFE: u64 = 60;
/// The most that a token server may answer, in bytes.
const LIMIT: u64 = 1 << 20;

/// What lets somebody in for a while.
#[derive(Clone)]
pub(super) struct Token {
    value: String,
    until: Option<Instant>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token until {:?}", self.until)
    }
}

impl Token {
    /// One that does not end.
    pub(super) fn forever(value: String) -> Self {
        Self { value, until: None }
    }

    /// Reads what a token server answered (distribution-spec's token authentication, "Requesting a Token").
    pub(super) fn read(answer: &[u8]) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let value =
            answer.token.filter(|token| !token.is_empty()).or(answer.access_token).filter(|token| !token.is_empty());
        let value = value.ok_or("it answered without a token")?;
        if value.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("its token has characters that none can have".into());
        }
        let life = answer.expires_in.filter(|life| life.is_finite() && *life >= 1.0);
        let life = life.unwrap_or(LIFE as f64).min(86_400.0);
        // One that ends on its way is of no use.
        Ok(Self { value, until: Some(Instant::now() + Duration::from_secs_f64(life * 0.9)) })
    }

    /// Whether it will live for another moment.
    pub(super) fn is_fresh(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// What is sent.
    pub(super) fn authorization(&self) -> Authorization {
        Authorization(format!("Bearer {}", self.value))
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Gets a token that allows `scope`, for these credentials or for nobody.
pub(super) fn fetch(
    registries: &Registries,
    host: &Host,
    realm: &str,
    service: Option<&str>,
    scope: &Scope,
    credentials: Option<&Credentials>,
) -> Result<Token, RegistryError> {
    let malformed = |reason: String| RegistryError::Malformed {
        registry: host.name().to_owned(),
        what: "its token server".into(),
        reason,
    };
    let mut address = Address::parse(realm).map_err(malformed)?;
    if !address.secure && !host.may_be_plain(&address) && credentials.is_some() {
        return Err(malformed(format!("{address} is not https://, so no password is sent there")));
    }
    address.credentials = None;
    let mut fields: Vec<(&str, String)> = service.map(|service| ("service", service.to_owned())).into_iter().collect();
    let mut authorization = None;
    let mut form = None;
    match credentials {
        Some(Credentials::Identity(Secret(token))) => {
            fields.push(("scope", scope.to_string()));
            fields.push(("grant_type", "refresh_token".into()));
            fields.push(("client_id", "imgbuild".into()));
            fields.push(("refresh_token", token.clone()));
            form = Some(encoded(&fields));
        }
        other => {
            fields.extend(scope.list().into_iter().map(|one| ("scope", one)));
            if let Some(Credentials::Password { user, password }) = other {
                fields.push(("account", user.clone()));
                authorization = Some(Authorization(base64::basic(user, &password.0)));
            }
            let separator = if address.path.contains('?') { '&' } else { '?' };
            address.path = format!("{}{separator}{}", address.path, encoded(&fields));
        }
    }
    let shown = shown(&address);
    let answer = registries.retrying(|| {
        let request = Request {
            method: if form.is_some() { Method::POST } else { Method::GET },
            headers: match form {
                Some(_) => vec![(header::CONTENT_TYPE, "application/x-www-form-urlencoded".into())],
                None => Vec::new(),
            },
            body: form.as_ref().map_or(Body::None, |form| Body::Bytes(form.as_bytes())),
            limit_redirects: form.is_some(),
        };
        let (_, mut response) = request::follow(registries, &address, &request, authorization.as_ref())?;
        let what = || format!("a token from {shown}");
        match response.status() {
            StatusCode::OK => request::read(registries, &shown, &mut response, LIMIT, host.name(), &what()),
            _ => Err(request::refused(registries, host.name(), what(), credentials.is_some(), &mut response)),
        }
    })?;
    Token::read(&answer).map_err(malformed)
}

/// The address without what was asked.
fn shown(address: &Address) -> String {
    let url = address.url();
    url.split('?').next().unwrap_or_default().to_owned()
}

/// Fields of a form, or of a query (`application/x-www-form-urlencoded`).
fn encoded(fields: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(&percent::encode(value, percent::is_unreserved));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_forms() {
        let fields = [("scope", "repository:a/b:pull,push".to_owned()), ("account", "ü &".to_owned())];
        assert_eq!(encoded(&fields), "scope=repository%3Aa%2Fb%3Apull%2Cpush&account=%C3%BC%20%26");
    }

    #[test]
    fn shows_no_secrets() {
        assert!(!format!("{:?}", Token::forever("secret".into())).contains("secret"));
        let address = Address::parse("https://h/token?account=me").unwrap();
        assert_eq!(shown(&address), "https://h/token");
    }
}
