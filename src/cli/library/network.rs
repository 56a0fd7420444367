//! How the environment says that the network is reached.

use std::path::PathBuf;

use crate::cli::Session;
use crate::ops::Error;
use crate::source::http::{Proxies, Settings};

/// Proxies, certificates and limits for fetching files.
pub(super) fn http(session: &Session) -> Result<Settings, Error> {
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
    use crate::cli::env::Env;

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
        let env = Env::fake([("IMGBUILD_MAX_DOWNLOAD", "much")]);
        assert!(http(&Session { env, root: None }).unwrap_err().to_string().contains("much"));
    }
}
