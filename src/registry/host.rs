//! One server: its address, its certificates, and whether it is spoken to in plain text.
//!
//! `http://` is for the loopback, where nobody listens in, and for hosts that are configured as insecure. Which of the
//! two a server speaks is found out once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ureq::http::{Method, Response, StatusCode};

use super::auth::{Authenticator, Scope};
use super::request::{self, Body, Request};
use super::settings::{Credentials, Settings};
use super::{Registries, RegistryError};
use crate::oci::DEFAULT_REGISTRY;
use crate::source::http::{self, Address, Agents, Cause, Failure, Identity};

/// Where Docker Hub really is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// A server.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    authority: String,
    /// What stands before the names of images, for mirrors that have several registries behind them.
    prefix: String,
    insecure: bool,
    pub(super) http: http::Settings,
    agents: Agents,
    auth: Authenticator,
    /// Whether it speaks TLS, once that is known.
    secure: Mutex<Option<bool>>,
    /// Whether it could not be reached, if it is a mirror.
    dead: AtomicBool,
}

impl Host {
    /// The server of a registry, or of a mirror that may be a URL with a path.
    pub(super) fn new(name: &str, settings: &Settings) -> Self {
        let (scheme, rest) = match name.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.eq_ignore_ascii_case("https")), rest),
            None => (None, name),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = if name == DEFAULT_REGISTRY { DOCKER_HUB } else { name };
        let own = settings.hosts.get(name).cloned().unwrap_or_default();
        let mut http = settings.http.clone();
        for folder in &settings.certificates {
            from_folder(&folder.join(name), &mut http);
        }
        http.more_cas.extend(own.ca);
        http.identity = own.identity.or(http.identity);
        http.trust_all = own.insecure;
        // A proxy is not on this machine's loopback.
        if Address::parse(&format!("http://{authority}/")).is_ok_and(|address| is_loopback(&address)) {
            http.proxies = http::Proxies::default();
        }
        Self {
            name: name.to_owned(),
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            insecure: own.insecure || scheme == Some(false),
            agents: Agents::new(&http),
            http,
            auth: Authenticator::default(),
            secure: Mutex::new(scheme),
            dead: AtomicBool::new(false),
        }
    }

    /// Whether it is not worth another question.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Notes that it could not be reached.
    pub(super) fn bury(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// The same, with these credentials and no others.
    pub(super) fn with_credentials(self, credentials: Credentials) -> Self {
        Self { auth: Authenticator::with(credentials), ..self }
    }

    /// What it is called, as credentials are kept for it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a repository is called there.
    pub(super) fn path_of(&self, repository: &str) -> String {
        if self.prefix.is_empty() { repository.to_owned() } else { format!("{}/{repository}", self.prefix) }
    }

    /// The connections to it.
    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Ends its connections.
    pub(super) fn shut_down(&self) {
        self.agents.shut_down();
    }

    /// Whether passwords may be sent to an address in plain text on behalf of this server.
    pub(super) fn may_be_plain(&self, address: &Address) -> bool {
        let here = self.address_with(true, "/").is_ok_and(|own| is_loopback(&own));
        self.insecure || (here && is_loopback(address))
    }

    /// Whether it was given credentials.
    pub(super) fn knows_us(&self) -> bool {
        self.auth.has_credentials()
    }

    /// Asks for a path of it, with whatever it wants to see first.
    pub(super) fn call(
        &self,
        registries: &Registries,
        path: &str,
        scope: &Scope,
        request: &Request<'_>,
    ) -> Result<(Address, Response<ureq::Body>), RegistryError> {
        let address = self.address(registries, path)?;
        self.call_at(registries, address, scope, request)
    }

    /// The same for an address that it named itself. Another server is asked without credentials.
    pub(super) fn call_at(
        &self,
        registries: &Registries,
        address: Address,
        scope: &Scope,
        request: &Request<'_>,
    ) -> Result<(Address, Response<ureq::Body>), RegistryError> {
        let own = self.address(registries, "/")?;
        if address.origin() != own.origin() {
            return request::follow(registries, &address, request, None);
        }
        let sent = self.auth.known(scope);
        let (at, mut response) = request::follow(registries, &address, request, sent.as_ref())?;
        if response.status() != StatusCode::UNAUTHORIZED || at.origin() != own.origin() {
            return Ok((at, response));
        }
        let answer = self.auth.answer(registries, self, response.headers(), scope, sent.as_ref())?;
        let Some(answer) = answer else { return Ok((at, response)) };
        request::drain(&mut response);
        request::follow(registries, &address, request, Some(&answer))
    }

    /// Asks whether it is a registry that lets us in.
    pub(super) fn ping(&self, registries: &Registries) -> Result<(), RegistryError> {
        registries.retrying(|| {
            let (_, mut response) = self.call(registries, "/v2/", &Scope::default(), &Request::get())?;
            match response.status() {
                StatusCode::OK => Ok(()),
                _ => {
                    let known = self.knows_us();
                    Err(request::refused(registries, &self.name, "/v2/".into(), known, &mut response))
                }
            }
        })
    }

    /// An address of it.
    pub(super) fn address(&self, registries: &Registries, path: &str) -> Result<Address, RegistryError> {
        let secure = self.is_secure(registries)?;
        self.address_with(secure, path)
    }

    fn address_with(&self, secure: bool, path: &str) -> Result<Address, RegistryError> {
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://{}{path}", self.authority);
        Address::parse(&url).map_err(|reason| RegistryError::Connection { url, reason, again: false })
    }

    fn is_secure(&self, registries: &Registries) -> Result<bool, RegistryError> {
        let mut known = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secure) = *known {
            return Ok(secure);
        }
        let loopback = is_loopback(&self.address_with(true, "/")?);
        let secure = if loopback {
            self.find_out_on_loopback(registries)?
        } else if self.insecure {
            match self.probe(registries, true)? {
                Ok(_) => true,
                Err(failure) if matches!(failure.cause, Cause::NotTls | Cause::Refused) => false,
                Err(failure) => return Err(self.failed(true, failure)),
            }
        } else {
            true
        };
        *known = Some(secure);
        Ok(secure)
    }

    /// Plain text comes first: a server that wants TLS says so, while one that knows none may wait for ever for the end of
    /// what it takes for a line.
    fn find_out_on_loopback(&self, registries: &Registries) -> Result<bool, RegistryError> {
        match self.probe(registries, false)? {
            Ok(status) if status != StatusCode::BAD_REQUEST => Ok(false),
            Err(failure) if failure.cause == Cause::Refused => Err(self.failed(false, failure)),
            plain => match (self.probe(registries, true)?, plain) {
                (Ok(_), _) => Ok(true),
                (Err(secure), _) if secure.cause == Cause::Certificate => Err(self.failed(true, secure)),
                (Err(_), Ok(_)) => Ok(false),
                (Err(_), Err(failure)) => Err(self.failed(false, failure)),
            },
        }
    }

    /// Asks once, without credentials: the status, or why there is none.
    fn probe(&self, registries: &Registries, secure: bool) -> Result<Result<StatusCode, Failure>, RegistryError> {
        registries.go_on()?;
        let address = self.address_with(secure, "/v2/")?;
        let answer = request::once(&self.agents, &self.http, &address, &Request::get(), None)?;
        Ok(answer.map(|response| response.status()))
    }

    fn failed(&self, secure: bool, failure: Failure) -> RegistryError {
        let url = self.address_with(secure, "/v2/").map(|address| address.url()).unwrap_or_default();
        RegistryError::Connection { url, reason: failure.reason, again: failure.again }
    }
}

impl Request<'_> {
    /// For something that is read.
    pub(super) fn get() -> Self {
        Self { method: Method::GET, headers: Vec::new(), body: Body::None, limit_redirects: false }
    }
}

/// Whether an address is on this machine, without asking anybody.
fn is_loopback(address: &Address) -> bool {
    let host = address.bare_host();
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Reads a folder as Docker and Podman have it: `*.crt` are trusted, `*.cert` with `*.key` says who we are.
fn from_folder(folder: &Path, http: &mut http::Settings) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => http.more_cas.push(path),
            Some("cert") if path.with_extension("key").exists() => {
                http.identity = Some(Identity { key: path.with_extension("key"), certificate: path });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::settings::HostSettings;

    #[test]
    fn knows_where_registries_are() {
        let check = |name: &str, known_as: &str, url: &str| {
            let host = Host::new(name, &Settings::default());
            let address = host.address_with(true, &format!("/v2/{}", host.path_of("a/b"))).unwrap();
            assert_eq!((host.name(), address.url().as_str()), (known_as, url));
        };
        check("docker.io", "docker.io", "https://registry-1.docker.io/v2/a/b");
        check("ghcr.io", "ghcr.io", "https://ghcr.io/v2/a/b");
        check("[::1]:5000", "[::1]:5000", "https://[::1]:5000/v2/a/b");
        check("https://mirror:5/hub/", "mirror:5", "https://mirror:5/v2/hub/a/b");
        assert_eq!(*Host::new("http://mirror", &Settings::default()).secure.lock().unwrap(), Some(false));
    }

    #[test]
    fn plain_text_is_for_the_loopback_and_for_who_says_so() {
        let check = |name: &str, address: &str, expected: bool| {
            let mut settings = Settings::default();
            settings.hosts.insert("lab:5000".into(), HostSettings { insecure: true, ..HostSettings::default() });
            let address = Address::parse(address).unwrap();
            assert_eq!(Host::new(name, &settings).may_be_plain(&address), expected, "{name} {address}");
        };
        check("a.example", "http://tokens.example/", false);
        check("a.example", "http://127.0.0.1/", false);
        check("localhost:5", "http://127.9.9.9:1/", true);
        check("localhost:5", "http://[::1]/", true);
        check("127.0.0.1:5", "http://localhost/", true);
        check("127.0.0.1:5", "http://localhost.example/", false);
        check("lab:5000", "http://tokens.example/", true);
        check("lab:5001", "http://tokens.example/", false);
    }

    #[test]
    fn finds_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("h:5000");
        std::fs::create_dir(&own).unwrap();
        for name in ["ca.crt", "client.cert", "client.key", "other.cert", "readme"] {
            std::fs::write(own.join(name), "").unwrap();
        }
        let settings = Settings { certificates: vec![folder.path().into()], ..Settings::default() };
        let http = Host::new("h:5000", &settings).http;
        assert_eq!(http.more_cas, [own.join("ca.crt")]);
        let identity = Identity { certificate: own.join("client.cert"), key: own.join("client.key") };
        assert_eq!(http.identity, Some(identity));
        assert_eq!(Host::new("h:5001", &settings).http.identity, None);
    }
}
