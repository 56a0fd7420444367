//! How the environment says that the network is reached.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::Session;
use crate::cli::config::Config;
use crate::cli::env::Env;
use crate::cli::keychain::Files;
use crate::event::Reporter;
use crate::ops::Error;
use crate::registry::{self, ActionsSettings, AwsCredentials, FetchOnNeed, Registries, Secret};
use crate::source::http::{Proxies, Settings};
use crate::source::{Sources, git};
use crate::store::Store;
use crate::store::layers::Layers;

/// Folders with a folder of certificates for each registry.
const CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// What talks to registries.
pub(in crate::cli) fn registries(session: &Session) -> Result<Registries, Error> {
    registries_with(session, Files::of(&session.env))
}

/// The same, with passwords from there.
pub(in crate::cli) fn registries_with(session: &Session, keychain: Files) -> Result<Registries, Error> {
    let config = Config::read(session)?;
    let mut settings = registry::Settings { http: http(session)?, ..registry::Settings::default() };
    config.apply(&mut settings.http);
    settings.transfers = config.transfers().unwrap_or(settings.transfers);
    settings.certificates = CERTIFICATES.map(PathBuf::from).into();
    let own = session.env.config_folder().map(|folder| folder.join("containers/certs.d"));
    settings.certificates.extend(own);
    settings.hosts = config.registries;
    settings.aws = aws(&session.env);
    settings.actions = actions(&session.env);
    Ok(Registries::new(settings, Box::new(keychain)))
}

/// Who we are to buckets, if both halves of that are set.
fn aws(env: &Env) -> Option<AwsCredentials> {
    let secret = |name: &str| Some(Secret(env.filled(name)?.into_string().ok()?));
    Some(AwsCredentials {
        id: secret("AWS_ACCESS_KEY_ID")?,
        secret: secret("AWS_SECRET_ACCESS_KEY")?,
        session: secret("AWS_SESSION_TOKEN"),
    })
}

/// What a runner of GitHub Actions says of its cache.
pub(super) fn actions(env: &Env) -> ActionsSettings {
    let text = |name: &str| env.filled(name)?.into_string().ok();
    ActionsSettings {
        url: text("ACTIONS_RESULTS_URL"),
        token: text("ACTIONS_RUNTIME_TOKEN").map(Secret),
        first_version: env.filled("ACTIONS_CACHE_URL").is_some(),
    }
}

/// The layers of a store. What it lacks of images is fetched from where it is known to be.
pub(in crate::cli) fn layers(
    session: &Session,
    store: Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<Arc<Layers>, Error> {
    let registries = registries(session)?;
    registries.report_to(reporter.clone());
    Ok(Arc::new(Layers::new(Arc::new(store)).fetching(Arc::new(FetchOnNeed(Arc::new(registries))))))
}

/// What brings files from the network.
pub(super) fn sources(session: &Session) -> Result<Sources, Error> {
    let http = http(session)?;
    let git = git::Settings {
        path: session.env.variable("PATH").unwrap_or_default(),
        proxies: http.proxies.clone(),
        ca_file: http.ca_file.clone(),
        ca_folder: http.ca_folder.clone(),
    };
    Ok(Sources::new(http, git))
}

/// Proxies, certificates and limits for fetching files.
fn http(session: &Session) -> Result<Settings, Error> {
    let variable = |name: &str| session.env.variable(name).filter(|value| !value.is_empty());
    let text = |name: &str| -> Result<Option<String>, Error> {
        let not_text = |_| Error::Usage(format!("{name} is set to something that is not UTF-8"));
        variable(name).map(|value| value.into_string().map_err(not_text)).transpose()
    };
    // Programs that know both cases take the lower one first.
    let either = |name: &str| -> Result<Option<String>, Error> {
        Ok(match text(&name.to_ascii_lowercase())? {
            Some(value) => Some(value),
            None => text(name)?,
        })
    };
    let mut settings = Settings {
        proxies: Proxies {
            http: either("HTTP_PROXY")?,
            https: either("HTTPS_PROXY")?,
            all: either("ALL_PROXY")?,
            none: either("NO_PROXY")?.unwrap_or_default(),
        },
        ca_file: variable("SSL_CERT_FILE").map(PathBuf::from),
        ca_folder: variable("SSL_CERT_DIR").map(PathBuf::from),
        ..Settings::default()
    };
    if let Some(limit) = text("IMGBUILD_MAX_DOWNLOAD")? {
        settings.limit = limit
            .parse()
            .map_err(|_| Error::Usage(format!("IMGBUILD_MAX_DOWNLOAD is {limit:?}: a number of bytes is meant")))?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_environment() {
        let env = Env::fake([
            ("http_proxy", "http://a"),
            ("HTTP_PROXY", "http://b"),
            ("HTTPS_PROXY", "http://c"),
            ("no_proxy", "local"),
            ("SSL_CERT_FILE", "/ca.pem"),
            ("IMGBUILD_MAX_DOWNLOAD", "10"),
        ]);
        let settings = http(&Session { env, root: None }).unwrap();
        let proxies =
            Proxies { http: Some("http://a".into()), https: Some("http://c".into()), all: None, none: "local".into() };
        assert_eq!(settings.proxies, proxies);
        assert_eq!((settings.ca_file, settings.limit), (Some("/ca.pem".into()), 10));
        let env = Env::fake([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key"), ("AWS_SESSION_TOKEN", "")]);
        let secret = |text: &str| Secret(text.into());
        assert_eq!(aws(&env), Some(AwsCredentials { id: secret("id"), secret: secret("key"), session: None }));
        assert_eq!(format!("{:?}", aws(&env)), "Some(AwsCredentials { id: …, secret: …, session: None })");
        assert_eq!(aws(&Env::fake([("AWS_ACCESS_KEY_ID", "id")])), None);
        let env = Env::fake([
            ("ACTIONS_RESULTS_URL", "https://h/"),
            ("ACTIONS_RUNTIME_TOKEN", "key"),
            ("ACTIONS_CACHE_URL", ""),
        ]);
        let expected =
            ActionsSettings { url: Some("https://h/".into()), token: Some(secret("key")), first_version: false };
        assert_eq!(actions(&env), expected);
        assert!(!format!("{:?}", actions(&env)).contains("key"));
        let env = Env::fake([("IMGBUILD_MAX_DOWNLOAD", "much")]);
        assert!(http(&Session { env, root: None }).unwrap_err().to_string().contains("much"));
    }
}
