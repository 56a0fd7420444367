//! Passwords for registries, where Docker and Podman keep them: in files, or with a helper program (`docker-credential-…`).
//!
//! A file that holds them is only readable by its owner, and changed as a whole; what else is in it stays.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Session;
use super::env::Env;
use crate::ops::Error;
use crate::registry::{Credentials, Keychain, Secret};
use crate::source::http::base64;

/// What Docker calls its own registry in these files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user name by which a helper says that the password is a token.
const TOKEN_USER: &str = "<token>";

/// The files, in the order in which they are asked.
#[derive(Debug)]
pub struct Files {
    files: Vec<PathBuf>,
    path: OsString,
}

/// What a helper is given and gives.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

impl Files {
    /// Those of this user.
    pub fn of(env: &Env) -> Self {
        let filled = |name: &str| env.filled(name).map(PathBuf::from);
        let mut files = Vec::new();
        files.extend(filled("REGISTRY_AUTH_FILE"));
        files.extend(filled("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")));
        files.extend(env.config_folder().map(|folder| folder.join("containers/auth.json")));
        files.extend(docker_file(env));
        Self { files, path: env.filled("PATH").unwrap_or_default() }
    }

    /// Only this one.
    pub fn only(file: PathBuf, env: &Env) -> Self {
        Self { files: vec![file], path: env.filled("PATH").unwrap_or_default() }
    }

    fn read(path: &Path) -> Result<Option<Map<String, Value>>, String> {
        let unreadable = |reason: &dyn std::fmt::Display| format!("{} cannot be read: {reason}", path.display());
        match std::fs::read(path) {
            // Nor is there one for us where we may not look.
            Err(_) if path.symlink_metadata().is_err() => Ok(None),
            Err(error) => Err(unreadable(&error)),
            Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(None),
            // What the parser says could show a part of a password.
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Value::Object(config)) => Ok(Some(config)),
                Ok(_) => Err(unreadable(&"it is not a JSON object")),
                Err(error) => {
                    let place = format!("it is not JSON (line {}, column {})", error.line(), error.column());
                    Err(unreadable(&place))
                }
            },
        }
    }

    /// The helper that a file names for a registry, if it does.
    fn helper(config: &Map<String, Value>, registry: &str) -> Option<String> {
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let own = config.get("credHelpers").and_then(Value::as_object).and_then(|all| {
            all.iter().find(|(key, _)| is_for(key, registry)).and_then(|(_, helper)| text(Some(helper)))
        });
        own.or_else(|| text(config.get("credsStore")))
    }

    /// Runs a helper; what it printed. `Ok(None)` is that it has nothing.
    fn run(&self, helper: &str, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if helper.contains('/') {
            return Err(format!("{helper:?} is no name of a credential helper"));
        }
        let program = format!("docker-credential-{helper}");
        let failed = |reason: &dyn std::fmt::Display| format!("{program} {action}: {reason}");
        let mut child = Command::new(&program)
            .arg(action)
            .env("PATH", &self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read what it is asked has its reasons, and says so.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(|error| failed(&error))?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match said.contains("credentials not found") {
            true => Ok(None),
            false => Err(failed(&if said.is_empty() { output.status.to_string() } else { said })),
        }
    }

    fn find_in(&self, config: &Map<String, Value>, registry: &str) -> Result<Option<Credentials>, String> {
        if let Some(helper) = Self::helper(config, registry)
            && let Some(printed) = self.run(&helper, "get", key_of(registry).as_bytes())?
        {
            let kept: Kept = serde_json::from_slice(&printed)
                .map_err(|_| format!("docker-credential-{helper} get: its answer makes no sense"))?;
            return Ok(Some(match kept.username.as_str() {
                TOKEN_USER => Credentials::Identity(Secret(kept.secret)),
                user => Credentials::Password { user: user.to_owned(), password: Secret(kept.secret) },
            }));
        }
        Self::find_entry(config, registry)
    }

    /// What a file itself has for a registry.
    pub(super) fn find_entry(config: &Map<String, Value>, registry: &str) -> Result<Option<Credentials>, String> {
        let auths = config.get("auths").and_then(Value::as_object);
        let Some(entry) = auths.and_then(|all| all.iter().find(|(key, _)| is_for(key, registry))) else {
            return Ok(None);
        };
        from_entry(entry.1).map_err(|reason| format!("the entry {:?} {reason}", entry.0))
    }

    /// The first of its files that has something for a registry.
    fn search(&self, registry: &str) -> Result<Option<Credentials>, String> {
        for path in &self.files {
            let Some(config) = Self::read(path)? else { continue };
            let found = self.find_in(&config, registry).map_err(|reason| format!("{}: {reason}", path.display()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Keychain for Files {
    fn find(&self, registry: &str) -> Result<Option<Credentials>, String> {
        self.search(registry)
    }
}

/// Docker's own file.
fn docker_file(env: &Env) -> Option<PathBuf> {
    let folder = env.filled("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(env.filled("HOME")?).join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// The file that `login` writes to: the one that is named, else Docker's own.
fn file_to_write(named: Option<&Path>, session: &Session) -> Result<PathBuf, Error> {
    let chosen = named.map(Path::to_owned).or_else(|| session.env.filled("REGISTRY_AUTH_FILE").map(PathBuf::from));
    chosen.or_else(|| docker_file(&session.env)).ok_or_else(|| {
        Error::environment("there is no place for passwords: HOME is not set").help("name a file with --authfile")
    })
}

/// Keeps credentials for a registry; where.
pub fn keep(
    session: &Session,
    named: Option<&Path>,
    registry: &str,
    user: &str,
    password: &Secret,
) -> Result<String, Error> {
    let path = file_to_write(named, session)?;
    let files = Files::only(path.clone(), &session.env);
    let mut config = Files::read(&path).map_err(Error::environment)?.unwrap_or_default();
    if let Some(helper) = Files::helper(&config, registry) {
        let kept = Kept { server: key_of(registry), username: user.into(), secret: password.0.clone() };
        let input = serde_json::to_vec(&kept).unwrap_or_default();
        files.run(&helper, "store", &input).map_err(Error::environment)?;
        entries(&mut config).insert(key_of(registry), json!({}));
        write(&path, &config)?;
        return Ok(format!("docker-credential-{helper}"));
    }
    let auth = base64::encode(format!("{user}:{}", password.0).as_bytes());
    entries(&mut config).retain(|key, _| !is_for(key, registry));
    entries(&mut config).insert(key_of(registry), json!({ "auth": auth }));
    write(&path, &config)?;
    Ok(path.display().to_string())
}

/// Forgets the credentials for a registry; whether there were any.
pub fn forget(session: &Session, named: Option<&Path>, registry: &str) -> Result<bool, Error> {
    let path = file_to_write(named, session)?;
    let files = Files::only(path.clone(), &session.env);
    let Some(mut config) = Files::read(&path).map_err(Error::environment)? else { return Ok(false) };
    let before = entries(&mut config).len();
    entries(&mut config).retain(|key, _| !is_for(key, registry));
    let mut found = entries(&mut config).len() < before;
    if let Some(helper) = Files::helper(&config, registry) {
        found |= files.run(&helper, "erase", key_of(registry).as_bytes()).map_err(Error::environment)?.is_some();
    }
    if found {
        write(&path, &config)?;
    }
    Ok(found)
}

/// `auths`, made if it is missing or no object.
fn entries(config: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        *auths = json!({});
    }
    match auths {
        Value::Object(entries) => entries,
        _ => unreachable!("it was just made an object"),
    }
}

/// Puts a new file in place of an old one, for its owner's eyes only.
fn write(path: &Path, config: &Map<String, Value>) -> Result<(), Error> {
    let failed = |error| Error::environment(format!("cannot write {}", path.display())).caused_by(error);
    // A link to the file stays one.
    let linked = std::fs::read_link(path).map(|link| path.parent().unwrap_or(Path::new("")).join(link));
    let path = &linked.unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let _ = std::fs::remove_file(&temporary);
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
        let mut text = serde_json::to_vec_pretty(config)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary))).map_err(failed)
}

/// What a registry is called in these files.
fn key_of(registry: &str) -> String {
    if registry == crate::oci::DEFAULT_REGISTRY { DOCKER_HUB.to_owned() } else { registry.to_owned() }
}

/// Whether an entry is for a registry: by its host, whatever stands around it.
fn is_for(key: &str, registry: &str) -> bool {
    let host = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = host.split_once('/').unwrap_or((host, ""));
    // Podman can keep passwords for single repositories, which are not for all of them.
    if !matches!(path.trim_end_matches('/'), "" | "v1" | "v2") {
        return false;
    }
    let host = if ["index.docker.io", "registry-1.docker.io"].contains(&host) { "docker.io" } else { host };
    host == registry
}

fn from_entry(entry: &Value) -> Result<Option<Credentials>, String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials::Identity(Secret(token.to_owned()))));
    }
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credentials::Bearer(Secret(token.to_owned()))));
    }
    let pair = match (text("auth"), text("username"), text("password")) {
        (Some(auth), _, _) => {
            let decoded = base64::decode(auth).and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or("has an \"auth\" that is no Base64")?;
            let (user, password) = decoded.split_once(':').ok_or("has an \"auth\" without a password")?;
            // Docker pads with zeros.
            Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
        }
        (None, Some(user), Some(password)) => Some((user.to_owned(), password.to_owned())),
        _ => None,
    };
    Ok(pair.map(|(user, password)| Credentials::Password { user, password: Secret(password) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password { user: user.into(), password: Secret(password.into()) })
    }

    #[test]
    fn finds_entries() {
        let files = Files { files: Vec::new(), path: OsString::new() };
        let check = |config: Value, registry: &str, expected: Option<Credentials>| {
            let Value::Object(config) = config else { panic!("{config}") };
            assert_eq!(files.find_in(&config, registry), Ok(expected), "{registry}");
        };
        let auth = json!({ "auth": "dTpwOnc=" });
        check(json!({ "auths": { "h:5000": auth } }), "h:5000", password("u", "p:w"));
        check(json!({ "auths": { "https://h:5000/v2/": auth } }), "h:5000", password("u", "p:w"));
        check(json!({ "auths": { "h:5000/team": auth } }), "h:5000", None);
        check(json!({ "auths": { "h:5000": auth } }), "h", None);
        check(json!({ "auths": { DOCKER_HUB: auth } }), "docker.io", password("u", "p:w"));
        check(json!({ "auths": { "h": { "username": "a", "password": "b" } } }), "h", password("a", "b"));
        check(json!({ "auths": { "h": {} } }), "h", None);
        check(json!({}), "h", None);
        let identity = Some(Credentials::Identity(Secret("t".into())));
        check(json!({ "auths": { "h": { "auth": "eDp5", "identitytoken": "t" } } }), "h", identity);
    }

    #[test]
    fn what_is_damaged_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let env = Env::fake([]);
        let check = |text: &str, expected: &str| {
            std::fs::write(&file, text).unwrap();
            let message = Files::only(file.clone(), &env).find("h").unwrap_err();
            assert!(message.contains(expected) && !message.contains("secret"), "{message}");
        };
        check("{\"auths\": {\"h\": secret", "line 1");
        check("[]", "not a JSON object");
        check(r#"{"auths":{"h":{"auth":"secret!"}}}"#, "no Base64");
        check(
            r#"{"credsStore":"../secret-not"}"#.replace("secret-not", "x").as_str(),
            "no name of a credential helper",
        );
    }

    #[test]
    fn keeps_and_forgets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/config.json");
        let session = Session { env: Env::fake([]), root: None };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, r#"{"HttpHeaders":{"a":"b"},"auths":{"https://h/v1/":{"auth":"b2xkOm9sZA=="}}}"#)
            .unwrap();
        keep(&session, Some(&file), "h", "u", &Secret("p".into())).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Files::only(file.clone(), &session.env).find("h"), Ok(password("u", "p")));
        let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(kept, json!({ "HttpHeaders": { "a": "b" }, "auths": { "h": { "auth": "dTpw" } } }));
        assert!(forget(&session, Some(&file), "h").unwrap());
        assert!(!forget(&session, Some(&file), "h").unwrap());
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
