//! The cache service of GitHub Actions (version 2) as far as caches need it, with the checks that the real one makes, on two
//! ports: one that wants to see the token, and an object store behind signed addresses that must never see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use super::tokens::base64;
use crate::support::Store;
use crate::web::{Reply, Request, Web};

/// What a service answers in place of what it should, and where.
type Fault = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// The service; ends when it is dropped.
pub struct Service {
    api: Web,
    objects: Web,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// By the tokens that are good now.
    grants: Mutex<BTreeMap<String, Grants>>,
    entries: Mutex<Vec<Entry>>,
    fault: Mutex<Option<Fault>>,
    /// The names of calls whose next answer is lost.
    lost: Mutex<Vec<String>>,
    /// Where objects are.
    objects: OnceLock<String>,
}

/// An entry; its place in the list says when it was made.
struct Entry {
    key: String,
    version: String,
    reference: String,
    blocks: BTreeMap<String, Vec<u8>>,
    /// What it holds, once that is put together.
    bytes: Option<Vec<u8>>,
    finished: bool,
    /// How often somebody was told where it is.
    told: usize,
}

/// Git references with what may be done with their caches: 1 is to read, 2 is to write.
type Grants = Vec<(String, u64)>;

/// A token of these, and until when it is good.
fn token(grants: &Grants, expires: u64) -> String {
    let entries: Vec<Value> =
        grants.iter().map(|(scope, permission)| json!({"Scope": scope, "Permission": permission})).collect();
    let body = json!({"ac": Value::from(entries).to_string(), "nbf": 1, "exp": expires, "iss": "test"}).to_string();
    let url = |text: &str| base64(text.as_bytes()).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    format!("{}.{}.signature", url(r#"{"typ":"JWT","alg":"RS256"}"#), url(&body))
}

impl Service {
    /// One that has nothing.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let (own, other) = (state.clone(), state.clone());
        let objects = Web::serve(move |request, _| own.faulty(request).unwrap_or_else(|| own.object(request)));
        let api = Web::serve(move |request, _| other.faulty(request).unwrap_or_else(|| other.answer(request)));
        state.objects.set(objects.url("")).unwrap();
        Self { api, objects, state }
    }

    /// A store of a job on the main branch.
    pub fn store(&self) -> Store {
        self.store_of(&self.token(&[("refs/heads/main", 3)]))
    }

    /// The token of a job that may do this; its own reference is the first.
    pub fn token(&self, grants: &[(&str, u64)]) -> String {
        let grants = grants.iter().map(|(reference, permission)| ((*reference).to_owned(), *permission)).collect();
        let token = token(&grants, 4_102_444_800);
        self.state.grants.lock().unwrap().insert(token.clone(), grants);
        token
    }

    /// The token of a job of long ago.
    pub fn old_token(&self) -> String {
        token(&vec![("refs/heads/main".to_owned(), 3)], 1_600_000_000)
    }

    /// A store of a job with another token.
    pub fn store_of(&self, token: &str) -> Store {
        Store::with_busybox().set("ACTIONS_RESULTS_URL", &self.url()).set("ACTIONS_RUNTIME_TOKEN", token)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.api.url("/")
    }

    /// Answers what it says from now on, on both ports.
    pub fn fail(&self, fault: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.fault.lock().unwrap() = Some(Box::new(fault));
    }

    /// Is as it was.
    pub fn recover(&self) {
        *self.state.fault.lock().unwrap() = None;
    }

    /// Does what the next call of this name asks for, and answers something else.
    pub fn lose(&self, call: &str) {
        self.state.lost.lock().unwrap().push(call.to_owned());
    }

    /// What an entry holds.
    pub fn bytes(&self, key: &str) -> Vec<u8> {
        let entries = self.state.entries.lock().unwrap();
        entries.iter().find(|entry| entry.finished && entry.key == key).unwrap().bytes.clone().unwrap()
    }

    /// The calls since so many, each with its key.
    fn calls(&self, since: usize) -> Vec<(String, String)> {
        let read = |request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let name = request.path.rsplit('/').next().unwrap().to_owned();
            (name, body["key"].as_str().unwrap_or_default().to_owned())
        };
        self.api.requests()[since..].iter().map(read).collect()
    }

    /// The keys of one kind of call since so many.
    pub fn keys(&self, since: usize, call: &str) -> Vec<String> {
        self.calls(since).into_iter().filter(|(name, _)| name == call).map(|(_, key)| key).collect()
    }

    /// How many calls there were.
    pub fn count(&self) -> usize {
        self.api.count()
    }

    /// What the object store was asked since so many requests: methods and queries without what is secret.
    pub fn transfers(&self, since: usize) -> Vec<String> {
        let shown = |request: &Request| {
            let query = request.path.split("comp=").nth(1).unwrap_or_default();
            format!("{} {query}", request.method).trim_end().to_owned()
        };
        self.objects.requests()[since..].iter().map(shown).collect()
    }

    /// The keys of all entries that can be found.
    pub fn finished(&self) -> Vec<String> {
        let entries = self.state.entries.lock().unwrap();
        entries.iter().filter(|entry| entry.finished).map(|entry| entry.key.clone()).collect()
    }

    /// Reserves keys that nobody ever finishes, by those that there are.
    pub fn reserve_like(&self, rename: impl Fn(&str) -> Option<String>) -> usize {
        let mut entries = self.state.entries.lock().unwrap();
        let dead = |entry: &Entry| {
            let key = rename(&entry.key)?;
            Some(Entry::new(&key, &entry.version, &entry.reference))
        };
        let dead: Vec<Entry> = entries.iter().filter_map(dead).collect();
        let count = dead.len();
        entries.extend(dead);
        count
    }

    /// Forgets entries, as the real one does after some time.
    pub fn forget(&self, which: impl Fn(&str) -> bool) {
        // Their places are in addresses.
        for entry in self.state.entries.lock().unwrap().iter_mut().filter(|entry| which(&entry.key)) {
            (entry.finished, entry.key) = (false, String::new());
        }
    }

    /// Changes what entries hold.
    pub fn damage(&self, which: impl Fn(&str) -> bool, change: impl Fn(&mut Vec<u8>)) {
        let mut entries = self.state.entries.lock().unwrap();
        entries.iter_mut().filter(|entry| which(&entry.key)).for_each(|entry| change(entry.bytes.as_mut().unwrap()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Whatever a test was about: the other side never sees who asks.
        for request in self.objects.requests() {
            assert_eq!(request.header("authorization"), "");
            assert_ne!(request.header("x-ms-version"), "");
        }
    }
}

impl Entry {
    fn new(key: &str, version: &str, reference: &str) -> Self {
        let (key, version, reference) = (key.to_owned(), version.to_owned(), reference.to_owned());
        Self { key, version, reference, blocks: BTreeMap::new(), bytes: None, finished: false, told: 0 }
    }
}

/// An error as Twirp has it.
pub fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"code": code, "msg": message}).to_string();
    Reply::file(body).with_status(status).with("Content-Type", "application/json")
}

/// An error as Azure has it.
fn azure(status: u16, code: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No.</Message></Error>");
    Reply::file(body).with_status(status)
}

impl State {
    fn faulty(&self, request: &Request) -> Option<Reply> {
        self.fault.lock().unwrap().as_ref()?(request)
    }

    fn answer(&self, request: &Request) -> Reply {
        let answer = self.call(request);
        let mut lost = self.lost.lock().unwrap();
        match lost.iter().position(|name| request.path.ends_with(name)) {
            Some(place) => {
                lost.remove(place);
                Reply::status(502)
            }
            None => answer,
        }
    }

    fn call(&self, request: &Request) -> Reply {
        let name = request.path.strip_prefix("/twirp/github.actions.results.api.v1.CacheService/");
        let Some(name) = name.filter(|_| request.method == "POST") else {
            return refusal(404, "bad_route", "no handler for path");
        };
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(grants) = self.grants.lock().unwrap().get(token).cloned() else {
            return refusal(401, "unauthenticated", "invalid or expired token");
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (key, version) = (body["key"].as_str().unwrap_or_default(), body["version"].as_str().unwrap_or_default());
        let hash = version.len() == 64 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        let allowed = !key.is_empty() && key.len() <= 512 && !key.contains(',');
        if !hash || !allowed || request.header("content-type") != "application/json" {
            return refusal(400, "invalid_argument", "a key or version is not what it should be");
        }
        let own = grants.iter().find(|(_, permission)| permission & 2 != 0).map(|(reference, _)| reference);
        match (name, own) {
            ("GetCacheEntryDownloadURL", _) => self.find(&grants, key, &body["restore_keys"], version),
            ("CreateCacheEntry", Some(own)) => self.create(own, key, version),
            ("FinalizeCacheEntryUpload", Some(own)) => self.finalize(own, key, version, &body["size_bytes"]),
            ("CreateCacheEntry" | "FinalizeCacheEntryUpload", None) => {
                Reply::file(json!({"ok": false, "message": "cache write denied: no scope"}).to_string())
            }
            _ => refusal(404, "bad_route", "no such call"),
        }
    }

    fn find(&self, grants: &Grants, key: &str, restore: &Value, version: &str) -> Reply {
        let mut entries = self.entries.lock().unwrap();
        let prefixes = restore.as_array().into_iter().flatten().filter_map(Value::as_str);
        let wanted =
            |entry: &Entry, reference: &str| entry.finished && entry.version == version && entry.reference == reference;
        let mut found = None;
        for (reference, permission) in grants {
            if permission & 1 == 0 {
                continue;
            }
            let exact = entries.iter().rposition(|entry| wanted(entry, reference) && entry.key == key);
            let newest = |prefix: &str| {
                entries.iter().rposition(|entry| wanted(entry, reference) && entry.key.starts_with(prefix))
            };
            found = exact.or_else(|| prefixes.clone().find_map(newest));
            if found.is_some() {
                break;
            }
        }
        let Some(number) = found else { return Reply::file(json!({"ok": false}).to_string()) };
        let entry = &mut entries[number];
        entry.told += 1;
        let address = format!("{}/cache/{number}?sig=r%2Bead%3D{}", self.objects.get().unwrap(), entry.told);
        Reply::file(json!({"ok": true, "signed_download_url": address, "matched_key": entry.key}).to_string())
    }

    fn create(&self, reference: &str, key: &str, version: &str) -> Reply {
        let mut entries = self.entries.lock().unwrap();
        let same =
            |entry: &Entry| (&entry.key[..], &entry.version[..], &entry.reference[..]) == (key, version, reference);
        if entries.iter().any(same) {
            return refusal(409, "already_exists", "cache entry with the same key, version, and scope already exists");
        }
        entries.push(Entry::new(key, version, reference));
        let address = format!("{}/cache/{}?sig=w%2Brite%3D&se=2030", self.objects.get().unwrap(), entries.len() - 1);
        Reply::file(json!({"ok": true, "signed_upload_url": address}).to_string())
    }

    fn finalize(&self, reference: &str, key: &str, version: &str, size: &Value) -> Reply {
        let mut entries = self.entries.lock().unwrap();
        let same = |entry: &&mut Entry| {
            !entry.finished && (&entry.key[..], &entry.version[..], &entry.reference[..]) == (key, version, reference)
        };
        let Some(entry) = entries.iter_mut().find(same) else {
            return refusal(404, "not_found", "there is no such reservation");
        };
        let size = size.as_str().and_then(|size| size.parse().ok()).or(size.as_u64());
        if entry.bytes.as_ref().map(|bytes| bytes.len() as u64) != size || size.is_none() {
            return refusal(400, "invalid_argument", "the size is not that of the blob");
        }
        entry.finished = true;
        Reply::file(json!({"ok": true, "entry_id": "1"}).to_string())
    }

    fn object(&self, request: &Request) -> Reply {
        if !request.header("authorization").is_empty() {
            return azure(403, "InvalidAuthenticationInfo");
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = path.strip_prefix("/cache/").and_then(|number| number.parse::<usize>().ok());
        let mut entries = self.entries.lock().unwrap();
        let Some(entry) = number.and_then(|number| entries.get_mut(number)) else {
            return azure(404, "BlobNotFound");
        };
        let signature = query.get("sig").copied().unwrap_or_default();
        match request.method.as_str() {
            "GET" if signature == format!("r%2Bead%3D{}", entry.told) => {
                let Some(bytes) = &entry.bytes else { return azure(404, "BlobNotFound") };
                let start = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
                match start.and_then(|start| start.parse::<usize>().ok()) {
                    Some(start) if start >= bytes.len() => azure(416, "InvalidRange"),
                    Some(start) => Reply::file(&bytes[start..])
                        .with_status(206)
                        .with("Content-Range", &format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
                    None => Reply::file(&bytes[..]),
                }
            }
            "PUT" if signature == "w%2Brite%3D" && !entry.finished => entry.put(&query, request),
            _ => azure(403, "AuthenticationFailed"),
        }
    }
}

impl Entry {
    fn put(&mut self, query: &BTreeMap<&str, &str>, request: &Request) -> Reply {
        match query.get("comp").copied() {
            None if request.header("x-ms-blob-type") == "BlockBlob" => self.bytes = Some(request.body.clone()),
            None => return azure(400, "MissingRequiredHeader"),
            Some("block") => {
                let id = query.get("blockid").copied().unwrap_or_default();
                let same = self.blocks.keys().all(|other| other.len() == id.len());
                if id.is_empty() || id.len() > 88 || !same || request.body.is_empty() {
                    return azure(400, "InvalidBlobOrBlock");
                }
                self.blocks.insert(id.to_owned(), request.body.clone());
            }
            Some("blocklist") => {
                let text = String::from_utf8(request.body.clone()).unwrap();
                let mut bytes = Vec::new();
                for id in text.split("<Latest>").skip(1).map(|rest| rest.split('<').next().unwrap()) {
                    let Some(block) = self.blocks.get(id) else { return azure(400, "InvalidBlockList") };
                    bytes.extend_from_slice(block);
                }
                self.bytes = Some(bytes);
            }
            Some(_) => return azure(400, "InvalidQueryParameterValue"),
        }
        Reply::status(201)
    }
}
