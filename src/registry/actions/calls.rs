//! What the service is asked: one `POST` of JSON for each call (Twirp), with the token. A redirect is not followed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::{Method, StatusCode, header};

use super::access::Access;
use super::{ActionsEnd, Service};
use crate::registry::request::{self, Body, REFUSAL, Request, WORDS};
use crate::registry::{RegistryError, Secret};
use crate::source::http::{Address, Failure};

/// What comes before the name of a call.
const PATH: &str = "/twirp/github.actions.results.api.v1.CacheService/";

/// An entry that is there.
pub(super) struct Entry {
    /// Its whole key.
    pub(super) key: String,
    /// Where its bytes are.
    pub(super) address: Address,
}

#[derive(Serialize)]
struct Looked<'a> {
    key: &'a str,
    restore_keys: [&'a str; 1],
    version: String,
}

#[derive(Serialize)]
struct Reserved<'a> {
    key: &'a str,
    version: String,
}

#[derive(Serialize)]
struct Finished<'a> {
    key: &'a str,
    /// As text, which is how protocol buffers have large numbers in JSON.
    size_bytes: String,
    version: String,
}

/// All answers, of which each has some of the fields. Servers may spell them in either way that protocol buffers have.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    ok: bool,
    #[serde(alias = "signedUploadUrl")]
    signed_upload_url: String,
    #[serde(alias = "signedDownloadUrl")]
    signed_download_url: String,
    #[serde(alias = "matchedKey")]
    matched_key: String,
    message: String,
}

/// What is said in place of an answer.
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) said: String,
}

impl Refusal {
    pub(super) fn read(body: &[u8], token: &Secret) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Error {
            code: String,
            #[serde(alias = "message")]
            msg: String,
        }
        let Error { code, msg } = serde_json::from_slice(body).unwrap_or_default();
        let code = clean(&code, token);
        let said = match (msg.is_empty(), code.is_empty()) {
            (true, _) => code.clone(),
            (false, true) => msg,
            (false, false) => format!("{msg} ({code})"),
        };
        Self { code, said: clean(&said, token) }
    }
}

/// Words of others as they may be shown.
fn clean(words: &str, token: &Secret) -> String {
    let words = if token.0.is_empty() { words.to_owned() } else { words.replace(&token.0, "…") };
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}

impl ActionsEnd<'_> {
    /// The newest entry whose key begins with this; none if there is none.
    pub(super) fn find(&self, key: &str) -> Result<Option<Entry>, RegistryError> {
        let body = Looked { key, restore_keys: [key], version: Service::version() };
        let Some(answer) = self.call("GetCacheEntryDownloadURL", key, &body)?.filter(|answer: &Answer| answer.ok)
        else {
            return Ok(None);
        };
        if !answer.matched_key.starts_with(key) {
            let other = clean(&answer.matched_key, &self.access()?.token);
            return Err(self.malformed(key, format!("it answers with the key {other:?}")));
        }
        let address = self.signed(key, &answer.signed_download_url)?;
        Ok(Some(Entry { key: answer.matched_key, address }))
    }

    /// Reserves a key, and says where its bytes go; none if it is there or reserved already.
    pub(super) fn reserve(&self, key: &str) -> Result<Option<Address>, RegistryError> {
        let body = Reserved { key, version: Service::version() };
        match self.call("CreateCacheEntry", key, &body)? {
            None => Ok(None),
            Some(answer) => {
                let answer = self.accepted(key, answer)?;
                self.signed(key, &answer.signed_upload_url).map(Some)
            }
        }
    }

    /// Ends an entry whose bytes are all there.
    pub(super) fn finish(&self, key: &str, size: u64) -> Result<(), RegistryError> {
        let body = Finished { key, size_bytes: size.to_string(), version: Service::version() };
        let finished = match self.call("FinalizeCacheEntryUpload", key, &body) {
            Ok(Some(answer)) => self.accepted(key, answer).map(drop),
            Ok(None) => Err(self.malformed(key, "what was reserved is not there any more".into())),
            Err(error) => Err(error),
        };
        match finished {
            Err(RegistryError::Canceled) => Err(RegistryError::Canceled),
            // A first try may have come through although nothing was heard of it.
            Err(error) => match self.find(key) {
                Ok(Some(entry)) if entry.key == key => Ok(()),
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    fn accepted(&self, key: &str, answer: Answer) -> Result<Answer, RegistryError> {
        if answer.ok {
            return Ok(answer);
        }
        let said = clean(&answer.message, &self.access()?.token);
        let colon = if said.is_empty() { "" } else { ": " };
        Err(self.malformed(key, format!("it does not take it{colon}{said}")))
    }

    /// An address that the service names. Whoever has it may read or write there, and nobody is told who asks.
    fn signed(&self, key: &str, url: &str) -> Result<Address, RegistryError> {
        let unusable = |reason: &str| self.malformed(key, format!("the address that it names {reason}"));
        let mut address = Address::parse(url).map_err(|_| unusable("is none"))?;
        address.credentials = None;
        if self.access()?.address.secure && !address.secure {
            return Err(unusable("is not encrypted"));
        }
        Ok(address)
    }

    /// Asks for something; none if there is nothing by this key, or something already.
    fn call<T: DeserializeOwned>(
        &self,
        name: &str,
        key: &str,
        body: &impl Serialize,
    ) -> Result<Option<T>, RegistryError> {
        let access = self.access()?;
        let body = serde_json::to_vec(body).expect("strings always serialise");
        let mut address = access.address.clone();
        address.path = format!("{}{PATH}{name}", address.path.trim_end_matches('/'));
        self.registries.retrying(|| self.call_once(access, &address, key, &body))
    }

    fn call_once<T: DeserializeOwned>(
        &self,
        access: &Access,
        address: &Address,
        key: &str,
        body: &[u8],
    ) -> Result<Option<T>, RegistryError> {
        self.go_on()?;
        let connection =
            |reason: String, again| RegistryError::Connection { url: request::shown(address), reason, again };
        let host = self.registries.host(&request::authority(address));
        if !address.secure && !host.may_be_plain(address) {
            let advice = "allow it with insecure = true for this host in imgbuild.toml";
            return Err(connection(format!("the token would be sent in plain text: use https, or {advice}"), false));
        }
        let headers = vec![
            (header::AUTHORIZATION, format!("Bearer {}", access.token.0)),
            (header::CONTENT_TYPE, "application/json".into()),
        ];
        let request = Request { method: Method::POST, headers, body: Body::Bytes(body), ..Request::get() };
        let sent = request::once(host.agents(), &host.http, address, &request, None)?;
        let mut response = sent.map_err(|failure| {
            let Failure { reason, again, .. } = failure;
            self.go_on().err().unwrap_or_else(|| connection(reason, again))
        })?;
        let registry = self.registry();
        let url = request::shown(address);
        let (status, retry_after) = (response.status(), request::text(&response, &header::RETRY_AFTER));
        let bytes = request::read(self.registries, &url, &mut response, REFUSAL, &registry, key);
        if status.is_success() {
            let answer = serde_json::from_slice(&bytes?);
            return answer.map(Some).map_err(|_| self.malformed(key, "its answer makes no sense".into()));
        }
        let Refusal { code, mut said } = Refusal::read(&bytes.unwrap_or_default(), &access.token);
        if status == StatusCode::CONFLICT || matches!(code.as_str(), "already_exists" | "not_found") {
            return Ok(None);
        }
        if status == StatusCode::NOT_FOUND {
            said += if said.is_empty() { "" } else { "; " };
            said += "it seems not to have version 2 of the cache service";
        }
        if status == StatusCode::UNAUTHORIZED && access.claims.expired() {
            said += if said.is_empty() { "" } else { "; " };
            said += "the token has expired: it is good for one job, and for some hours";
        }
        let retry_after = retry_after.and_then(|value| request::seconds(&value));
        Err(RegistryError::Status { registry, what: key.to_owned(), status, said, retry_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_service_says() {
        let check = |body: &str, code: &str, said: &str| {
            let refusal = Refusal::read(body.as_bytes(), &Secret("t0ken".into()));
            assert_eq!((refusal.code.as_str(), refusal.said.as_str()), (code, said), "{body}");
        };
        check(r#"{"code":"already_exists","msg":"a key"}"#, "already_exists", "a key (already_exists)");
        check(r#"{"code":"unauthenticated","message":"no"}"#, "unauthenticated", "no (unauthenticated)");
        check(r#"{"msg":"not t0ken\u001b[31m"}"#, "", "not … [31m");
        check(r#"{"code":"internal"}"#, "internal", "internal");
        check("<html>", "", "");
        check("", "", "");
    }
}
