//! How connections are made: proxies, certificates, names, patience. One connection pool for each way out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::address::Address;
use super::dns::{NameError, Names};

/// Where systems keep the certificates they trust, in one file.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/cacert.pem",
];

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Through whom.
    pub proxies: Proxies,
    /// A file of certificates to trust instead of the system's (`SSL_CERT_FILE`).
    pub ca_file: Option<PathBuf>,
    /// A folder of such files (`SSL_CERT_DIR`), used if there is no file.
    pub ca_folder: Option<PathBuf>,
    /// Files of certificates to trust besides.
    pub more_cas: Vec<PathBuf>,
    /// Who we are to servers that ask.
    pub identity: Option<Identity>,
    /// Whether any certificate will do.
    pub trust_all: bool,
    /// How names are looked up.
    pub names: Names,
    /// The most that is fetched of one file, in bytes.
    pub limit: u64,
    /// How long to wait for a connection.
    pub connect: Duration,
    /// How long to wait for a server that says nothing.
    pub idle: Duration,
    /// The fewest bytes per second that are put up with, over the window.
    pub slowest: u64,
    /// How long bytes are counted before it is judged how fast they come.
    pub window: Duration,
    /// How often something is tried that can end better the next time.
    pub tries: u32,
    /// The pause before the second try; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            ca_file: None,
            ca_folder: None,
            more_cas: Vec::new(),
            identity: None,
            trust_all: false,
            names: Names::default(),
            limit: 64 << 30,
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            slowest: 16,
            window: Duration::from_secs(60),
            tries: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// A certificate of ours and its key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those that it depends on.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Through whom servers are reached: URLs of proxies, as environment variables hold them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// For all that have none of their own.
    pub all: Option<String>,
    /// The hosts that are reached without one.
    pub none: String,
}

/// Proxies can have passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(super::shown);
        let Self { http, https, all, none } = self;
        write!(f, "http {:?}, https {:?}, all {:?}, but for {none:?}", shown(http), shown(https), shown(all))
    }
}

impl Proxies {
    /// The proxy for an address, if it needs one.
    fn of(&self, address: &Address) -> Option<&str> {
        let own = if address.secure { &self.https } else { &self.http };
        let proxy = own.as_deref().filter(|proxy| !proxy.is_empty()).or(self.all.as_deref());
        proxy.filter(|proxy| !proxy.is_empty() && !address.is_listed(&self.none))
    }
}

/// The connections of a client: straight ones, and those through each proxy.
#[derive(Debug)]
pub(crate) struct Agents {
    settings: Settings,
    roots: OnceLock<Result<RootCerts, String>>,
    direct: [OnceLock<Result<Agent, String>>; 2],
    proxied: [OnceLock<Result<Agent, String>>; 2],
}

impl Agents {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            roots: OnceLock::new(),
            direct: Default::default(),
            proxied: Default::default(),
        }
    }

    /// The agent that reaches an address.
    pub(crate) fn of(&self, address: &Address) -> Result<&Agent, String> {
        let proxy = self.settings.proxies.of(address);
        let place = if proxy.is_some() { &self.proxied } else { &self.direct };
        let agent = place[usize::from(address.secure)].get_or_init(|| self.agent(address.secure, proxy));
        agent.as_ref().map_err(Clone::clone)
    }

    /// Ends all connections, so that whoever waits for one does not any more.
    pub(crate) fn shut_down(&self) {
        for agent in self.direct.iter().chain(&self.proxied).filter_map(|place| place.get()?.as_ref().ok()) {
            agent.clone().shutdown();
        }
    }

    fn agent(&self, secure: bool, proxy: Option<&str>) -> Result<Agent, String> {
        let settings = &self.settings;
        let proxy = proxy.map(|url| {
            let shown = super::shown(url);
            ureq::Proxy::new(url).map_err(|error| format!("the proxy {shown} cannot be used: {error}"))
        });
        let proxy = proxy.transpose()?;
        let mut config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(proxy)
            .user_agent(concat!("imgbuild/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            // The bytes of the file are wanted, not another form of them.
            .accept_encoding("identity")
            .timeout_connect(Some(settings.connect))
            .timeout_resolve(Some(settings.connect))
            .timeout_per_read(Some(settings.idle))
            .timeout_per_write(Some(settings.idle))
            .timeout_recv_response(Some(settings.idle));
        // A proxy can be behind TLS as well.
        if secure || settings.proxies != Proxies::default() {
            let roots = self.roots.get_or_init(|| roots(settings)).clone()?;
            let identity = settings.identity.as_ref().map(read_identity).transpose()?;
            let tls = TlsConfig::builder().root_certs(roots).client_cert(identity);
            config = config.tls_config(tls.disable_verification(settings.trust_all).build());
        }
        let names = StubResolver { names: settings.names.clone(), patience: settings.connect };
        Ok(Agent::with_parts(config.build(), DefaultConnector::default(), names))
    }
}

/// The certificates that are trusted: those of the settings, else the system's, else those that browsers trust.
fn roots(settings: &Settings) -> Result<RootCerts, String> {
    let mut trusted = Vec::new();
    if let Some(file) = &settings.ca_file {
        read_bundle(file, &mut trusted).map_err(|error| {
            format!("the certificates of {} (SSL_CERT_FILE) cannot be read: {error}", file.display())
        })?;
    } else if let Some(folder) = &settings.ca_folder {
        let failed = |error: std::io::Error| {
            format!("the certificates in {} (SSL_CERT_DIR) cannot be read: {error}", folder.display())
        };
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                read_bundle(&path, &mut trusted).map_err(failed)?;
            }
        }
    } else {
        for file in BUNDLES {
            if read_bundle(Path::new(file), &mut trusted).is_ok() && !trusted.is_empty() {
                break;
            }
        }
    }
    for file in &settings.more_cas {
        read_bundle(file, &mut trusted)
            .map_err(|error| format!("the certificates of {} cannot be read: {error}", file.display()))?;
    }
    Ok(if trusted.is_empty() { RootCerts::WebPki } else { RootCerts::from(trusted) })
}

fn read_identity(identity: &Identity) -> Result<ClientCert, String> {
    let mut chain = Vec::new();
    read_bundle(&identity.certificate, &mut chain)
        .map_err(|error| format!("the certificate {} cannot be read: {error}", identity.certificate.display()))?;
    let unusable = |why: &dyn fmt::Display| format!("the key {} cannot be used: {why}", identity.key.display());
    let pem = std::fs::read(&identity.key).map_err(|error| unusable(&error))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| unusable(&error))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn read_bundle(file: &Path, trusted: &mut Vec<ureq::tls::Certificate<'static>>) -> std::io::Result<()> {
    let bytes = std::fs::read(file)?;
    // What is no certificate in it is nobody's concern.
    trusted.extend(ureq::tls::parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }));
    Ok(())
}

/// Looks names up as [`Names`] does.
#[derive(Debug)]
struct StubResolver {
    names: Names,
    patience: Duration,
}

impl Resolver for StubResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or_else(|| ureq::Error::BadUri(format!("{uri} has no host")))?;
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let patience = if timeout.after.is_not_happening() { self.patience } else { *timeout.after };
        let found = self
            .names
            .look_up(host, patience)
            .map_err(|error: NameError| ureq::Error::Io(std::io::Error::other(error)))?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(16) {
            addresses.push((address, port).into());
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_proxies() {
        let proxies = Proxies {
            http: Some("http://u:secret@p:1".into()),
            https: Some(String::new()),
            all: Some("http://all:2".into()),
            none: "local,10.0.0.0/8".into(),
        };
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(proxies.of(&Address::parse(url).unwrap()), expected, "{url}");
        };
        check("http://h/", Some("http://u:secret@p:1"));
        check("https://h/", Some("http://all:2"));
        check("https://a.local/", None);
        check("http://10.2.3.4:80/", None);
        assert!(!format!("{proxies:?}").contains("secret"));
    }

    #[test]
    fn reads_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("none.pem");
        let with = |ca_file: Option<PathBuf>, ca_folder: Option<PathBuf>| Settings {
            ca_file,
            ca_folder,
            ..Settings::default()
        };
        let message = roots(&with(Some(file.clone()), None)).unwrap_err();
        assert!(message.contains("none.pem (SSL_CERT_FILE)"), "{message}");
        std::fs::write(&file, "no certificate\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(matches!(roots(&with(Some(file), None)), Ok(RootCerts::Specific(list)) if list.len() == 1));
        assert!(
            matches!(roots(&with(None, Some(folder.path().into()))), Ok(RootCerts::Specific(list)) if list.len() == 1)
        );
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(roots(&with(None, Some(empty.path().into()))), Ok(RootCerts::WebPki)));
    }
}
