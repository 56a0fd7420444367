//! Where the service is and who we are to it: what a cache says, else what the environment says. Neither goes to a place that
//! the other was not meant for.
//!
//! A token of GitHub's is a JSON web token that says which git references its job may read and write the caches of. It is
//! ours, so nobody need check its signature; the service decides by itself, and a token that says nothing is taken for one
//! reference without a name.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::Service;
use crate::registry::{ActionsSettings, Secret};
use crate::source::http::{Address, base64};

/// The permission to write, as a bit.
const WRITE: u64 = 2;
/// The most references of a token that are read: a job has its own, the one it is to be merged into, and the default one.
const MOST_REFERENCES: usize = 16;

/// A service that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// The service.
    pub(super) address: Address,
    /// What it is shown.
    pub(super) token: Secret,
    /// What the token says.
    pub(super) claims: Claims,
}

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    /// The references whose caches may be read, the one that is written first.
    pub(super) references: Vec<String>,
    /// Whether the first one may be written.
    pub(super) writes: bool,
    /// Until when it is good, in seconds since 1970.
    expires: Option<u64>,
}

impl Access {
    /// What a cache and the environment come to together. The error says what is missing.
    pub(super) fn new(service: &Service, settings: &ActionsSettings) -> Result<Self, String> {
        let given = service.url.as_ref().or(settings.url.as_ref());
        let token = service.token.as_ref().or(settings.token.as_ref());
        let (url, token) = match (given, token) {
            (Some(url), Some(token)) => (url, token),
            (None, _) if settings.first_version => {
                return Err(
                    "this runner has version 1 of the cache service, which is not spoken here: ACTIONS_CACHE_URL \
                    is set and ACTIONS_RESULTS_URL is not"
                        .into(),
                );
            }
            (url, token) => return Err(missing(url.is_none(), token.is_none())),
        };
        let address = Address::parse(url).map_err(|reason| format!("ACTIONS_RESULTS_URL={url}: {reason}"))?;
        if service.token.is_none() && service.url.is_some() {
            let own = settings.url.as_deref().and_then(|own| Address::parse(own).ok());
            if own.is_none_or(|own| own.origin() != address.origin()) {
                let host = &address.host;
                return Err(format!(
                    "ACTIONS_RUNTIME_TOKEN is not for {host}: with url_v2, a token must be given, too"
                ));
            }
        }
        if token.0.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("the token has characters that no token has".into());
        }
        Ok(Self { address, token: token.clone(), claims: Claims::read(&token.0) })
    }
}

/// What must be set, and how.
fn missing(url: bool, token: bool) -> String {
    let names = match (url, token) {
        (true, true) => "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are",
        (true, false) => "ACTIONS_RESULTS_URL is",
        _ => "ACTIONS_RUNTIME_TOKEN is",
    };
    format!(
        "{names} not set. Runners of GitHub Actions show them to actions only: a step before this one must export them, such as \
         crazy-max/ghaction-github-runtime"
    )
}

impl Claims {
    /// Reads the middle part of a token.
    pub(super) fn read(token: &str) -> Self {
        #[derive(Deserialize, Default)]
        struct Body {
            #[serde(default)]
            ac: String,
            #[serde(default)]
            exp: Option<f64>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Entry {
            scope: String,
            permission: u64,
        }
        let middle = token.split('.').nth(1).unwrap_or_default().replace('-', "+").replace('_', "/");
        let bytes = base64::decode(&middle).unwrap_or_default();
        let body: Body = serde_json::from_slice(&bytes).unwrap_or_default();
        let mut entries: Vec<Entry> = serde_json::from_str(&body.ac).unwrap_or_default();
        let expires = body.exp.filter(|exp| *exp >= 0.0).map(|exp| exp as u64);
        if entries.is_empty() {
            return Self { references: vec![String::new()], writes: true, expires };
        }
        // Stable: the rest stays in its order.
        entries.sort_by_key(|entry| entry.permission & WRITE == 0);
        entries.truncate(MOST_REFERENCES);
        let writes = entries.first().is_some_and(|entry| entry.permission & WRITE != 0);
        Self { references: entries.into_iter().map(|entry| entry.scope).collect(), writes, expires }
    }

    /// Whether the token was good until some time that has passed.
    pub(super) fn expired(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::actions::DEFAULT_TIMEOUT;

    fn token(body: &str) -> String {
        let middle = base64::encode(body.as_bytes()).replace('+', "-").replace('/', "_");
        format!("head.{}.signature", middle.trim_end_matches('='))
    }

    #[test]
    fn reads_what_a_token_says() {
        let check = |token: &str, references: &[&str], writes: bool, expired: bool| {
            let claims = Claims::read(token);
            assert_eq!(
                (&claims.references[..], claims.writes, claims.expired()),
                (&references.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..], writes, expired)
            );
        };
        let of =
            |ac: &str, exp: &str| token(&serde_json::json!({"ac": ac, "nbf": 1}).to_string().replace("\"nbf\":1", exp));
        let both = r#"[{"Scope":"refs/heads/main","Permission":1},{"Scope":"refs/pull/7/merge?>~","Permission":3}]"#;
        check(&of(both, "\"exp\":4102444800"), &["refs/pull/7/merge?>~", "refs/heads/main"], true, false);
        let none = r#"[{"Scope":"refs/heads/main","Permission":1}]"#;
        check(&of(none, "\"exp\":1600000000.5"), &["refs/heads/main"], false, true);
        for odd in ["", "a.b.c", "secret", &token("[]"), &of("[]", "\"nbf\":1"), &of("x", "\"nbf\":1")] {
            check(odd, &[""], true, false);
        }
    }

    #[test]
    fn sends_no_token_where_it_does_not_belong() {
        let secret = |text: Option<&str>| text.map(|text| Secret(text.into()));
        let check = |own: (Option<&str>, Option<&str>), env: (Option<&str>, Option<&str>), expected: &str| {
            let service = Service::new("s", own.0.map(str::to_owned), secret(own.1), DEFAULT_TIMEOUT).unwrap();
            let settings =
                ActionsSettings { url: env.0.map(str::to_owned), token: secret(env.1), first_version: false };
            match Access::new(&service, &settings) {
                Ok(access) => assert_eq!(format!("{} {}", access.address.url(), access.token.0), expected),
                Err(error) => assert!(error.contains(expected), "{error}"),
            }
        };
        let (here, there) = (Some("https://here.example/"), Some("https://there.example/"));
        check((None, None), (here, Some("env")), "https://here.example/ env");
        check((here, None), (here, Some("env")), "https://here.example/ env");
        check((there, Some("own")), (here, Some("env")), "https://there.example/ own");
        check((None, Some("own")), (here, Some("env")), "https://here.example/ own");
        check((there, None), (here, Some("env")), "ACTIONS_RUNTIME_TOKEN is not for there.example");
        check((Some("http://here.example/"), None), (here, Some("env")), "is not for here.example");
        check((there, None), (None, Some("env")), "is not for there.example");
        check((None, None), (None, None), "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not set");
        check((None, None), (here, None), "ACTIONS_RUNTIME_TOKEN is not set");
        check((None, None), (None, Some("env")), "ACTIONS_RESULTS_URL is not set");
        check((None, None), (Some("here"), Some("env")), "ACTIONS_RESULTS_URL=here: it has no scheme");
        check((None, Some("a\nb")), (here, None), "characters that no token has");
    }
}
