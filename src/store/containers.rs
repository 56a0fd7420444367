//! Containers: what `run` leaves behind, a folder each, and who is using one.
//!
//! ```text
//! containers/ID/container.json   what it is: written whole, by rename
//!               lock             held by the process that runs it; nothing else says that it runs
//!               upper/           what it changed, in the form of an overlay's upper folder
//!               stubs/           mount points that its image lacks
//! containers/names.lock          held while a name is given
//! ```
//!
//! A container outlives the process that made it, and holds no lock on the store while it runs: a shell may stay open for
//! days. What it needs is in its record, and whoever deletes things from the store reads all records ([`Store::pinned`]).
//!
//! A mount of an image is a record as well: it pins what is mounted.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::oci::ContainerConfig;
use crate::store::error::{Result, StoreError, io_error};
use crate::store::layers::LayerId;
use crate::store::{Store, locks, remove_tree};

/// The file that says what a container is.
pub(super) const RECORD: &str = "container.json";
/// The version of that file.
const VERSION: u32 = 1;
/// The file that is locked while a container runs.
pub(super) const LOCK: &str = "lock";
/// How many digits an ID has.
const ID_DIGITS: usize = 64;

/// Why something is in `containers/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerKind {
    /// `run` made it.
    Container,
    /// An image is mounted somewhere.
    Mount,
}

/// What a container is, as far as it does not change by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerRecord {
    /// 64 hexadecimal digits, chosen at random.
    pub id: String,
    /// Its name, which no other has.
    pub name: String,
    /// Why it is there.
    pub kind: ContainerKind,
    /// The image as it was asked for.
    pub image: String,
    /// The image's ID.
    pub image_id: Digest,
    /// The image's manifest.
    pub manifest: Digest,
    /// The image's layers, bottom first.
    pub layers: Vec<LayerId>,
    /// What it was started with: the image's configuration and what was asked for on top of it.
    pub config: ContainerConfig,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its host name.
    pub hostname: String,
    /// What was mounted, as it was asked for: source and target.
    pub mounts: Vec<(String, String)>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its process as this machine numbers it; means something only while it runs.
    pub process: Option<u32>,
    /// When it ended, in seconds since 1970, and with which exit code; none while it runs, and if nobody was there to see.
    pub ended: Option<(i64, i32)>,
    /// Where it is mounted, if `mount` did so.
    pub mounted: Option<PathBuf>,
}

/// A container in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What it is.
    pub record: ContainerRecord,
    /// Its folder.
    pub folder: PathBuf,
}

/// The right to run a container or to change it. Given back when dropped.
#[derive(Debug)]
pub struct ContainerLock(#[expect(dead_code, reason = "held for its lock")] File);

/// How a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// A process holds its lock.
    Running,
    /// It ended, at this time (seconds since 1970) and with this exit code.
    Exited(i64, i32),
    /// Whoever ran it was killed before it could say how it ended.
    Lost,
}

/// Why there is no such container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is none.
    #[error("there is no container {0:?}; `imgbuild ps -a` lists those that are")]
    NotFound(String),
    /// Several IDs begin so.
    #[error("{text:?} is the start of several container IDs: {}; give more digits", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// The IDs, shortened.
        ids: Vec<String>,
    },
    /// Another one has the name.
    #[error(
        "the name {name:?} is taken by the container {id}; remove that with `imgbuild rm {name}`, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// No container can be called so.
    #[error(
        "{0:?} is no name for a container: letters, digits, `_`, `.` and `-` are allowed, and the first is a letter or digit"
    )]
    BadName(String),
    /// It is in use.
    #[error("the container {0} is running")]
    Running(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    id: String,
    name: String,
    kind: ContainerKind,
    image: String,
    image_id: Digest,
    manifest: Digest,
    layers: Vec<String>,
    config: ContainerConfig,
    args: Vec<String>,
    hostname: String,
    mounts: Vec<(String, String)>,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<(i64, i32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mounted: Option<PathBuf>,
}

impl ContainerRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let record = self.clone();
        let saved = Saved {
            version: VERSION,
            id: record.id,
            name: record.name,
            kind: record.kind,
            image: record.image,
            image_id: record.image_id,
            manifest: record.manifest,
            layers: record.layers.iter().map(LayerId::to_string).collect(),
            config: record.config,
            args: record.args,
            hostname: record.hostname,
            mounts: record.mounts,
            created: record.created,
            process: record.process,
            ended: record.ended,
            mounted: record.mounted,
        };
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    pub(super) fn decode(json: &[u8]) -> Result<Self, String> {
        let saved: Saved = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if saved.version != VERSION {
            return Err(format!("it has version {}, and this imgbuild knows version {VERSION}", saved.version));
        }
        if !is_id(&saved.id) {
            return Err(format!("{:?} is no ID", saved.id));
        }
        let layers = saved.layers.iter().map(|layer| layer.parse::<LayerId>()).collect::<Result<_, _>>();
        Ok(Self {
            id: saved.id,
            name: saved.name,
            kind: saved.kind,
            image: saved.image,
            image_id: saved.image_id,
            manifest: saved.manifest,
            layers: layers.map_err(|error| error.to_string())?,
            config: saved.config,
            args: saved.args,
            hostname: saved.hostname,
            mounts: saved.mounts,
            created: saved.created,
            process: saved.process,
            ended: saved.ended,
            mounted: saved.mounted,
        })
    }

    /// The ID as people see it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

impl Container {
    /// Where its changes are.
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Where mount points are that its image lacks; the folder may be missing.
    pub fn stubs(&self) -> PathBuf {
        self.folder.join("stubs")
    }

    /// A new folder for an overlay to work in, which the next call replaces.
    pub fn fresh_work(&self) -> Result<PathBuf> {
        let work = self.folder.join("work");
        remove_tree(&work).map_err(io_error("remove", &work))?;
        private_folder(&work)?;
        Ok(work)
    }

    /// Whether its program runs: whether somebody holds its lock.
    pub fn is_running(&self) -> bool {
        // Shared, so that those who only look are not in each other's way.
        let looked = || File::open(self.folder.join(LOCK)).map(|file| file.try_lock_shared());
        self.record.ended.is_none() && matches!(looked(), Ok(Err(TryLockError::WouldBlock)))
    }

    /// How it is doing.
    pub fn state(&self) -> ContainerState {
        match self.record.ended {
            _ if self.is_running() => ContainerState::Running,
            Some((when, code)) => ContainerState::Exited(when, code),
            None => ContainerState::Lost,
        }
    }

    /// Takes the right to run or change it; none if somebody else has it.
    pub fn try_lock(&self) -> Result<Option<ContainerLock>> {
        let path = self.folder.join(LOCK);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        Ok(locks::try_lock(&file).map_err(io_error("lock", &path))?.then_some(ContainerLock(file)))
    }

    /// The same; an error if it runs.
    pub fn lock(&self) -> Result<ContainerLock, ContainerError> {
        if self.record.ended.is_some() {
            // Nobody will run it again: whoever has the lock is about to give it back.
            let path = self.folder.join(LOCK);
            let file = File::open(&path).map_err(io_error("open", &path))?;
            locks::wait(|| file.lock()).map_err(io_error("lock", &path))?;
            return Ok(ContainerLock(file));
        }
        self.try_lock()?.ok_or_else(|| ContainerError::Running(self.record.name.clone()))
    }

    /// Writes its record, in place of what was there.
    pub fn save(&self) -> Result<()> {
        let (path, new) = (self.folder.join(RECORD), self.folder.join(format!(".{RECORD}.new")));
        fs::write(&new, self.record.encode()).map_err(io_error("write", &new))?;
        fs::rename(&new, &path).map_err(io_error("write", &path))
    }
}

impl Store {
    /// All containers and mounts of images, the newest first. One whose record cannot be read is an error: nothing that it
    /// may need can be known.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let home = self.containers_dir();
        let mut all = Vec::new();
        let entries = match fs::read_dir(&home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            entries => entries.map_err(io_error("read", &home))?,
        };
        for entry in entries {
            let folder = entry.map_err(io_error("read", &home))?.path();
            if !folder.file_name().and_then(|name| name.to_str()).is_some_and(is_id) {
                continue;
            }
            let path = folder.join(RECORD);
            let json = match fs::read(&path) {
                // It is being removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                json => json.map_err(io_error("read", &path))?,
            };
            let record = ContainerRecord::decode(&json).map_err(|reason| StoreError::Damaged { path, reason })?;
            all.push(Container { record, folder });
        }
        all.sort_by(|a, b| (b.record.created, &b.record.id).cmp(&(a.record.created, &a.record.id)));
        Ok(all)
    }

    /// Finds a container by its name, its ID or the start of that.
    pub fn find_container(&self, text: &str) -> Result<Container, ContainerError> {
        let mut all = self.containers()?;
        all.retain(|container| container.record.kind == ContainerKind::Container);
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(at) = all.iter().position(|container| container.record.name == name || container.record.id == text)
        {
            return Ok(all.swap_remove(at));
        }
        all.retain(|container| !text.is_empty() && container.record.id.starts_with(text));
        match &all[..] {
            [] => Err(ContainerError::NotFound(text.to_owned())),
            [_] => Ok(all.swap_remove(0)),
            several => {
                let ids = several.iter().map(|container| container.record.short_id().to_owned()).collect();
                Err(ContainerError::Ambiguous { text: text.to_owned(), ids })
            }
        }
    }

    /// Makes a container and takes the right to run it. `fill` is called with its folder before anybody sees it.
    ///
    /// A record without a name gets one.
    pub fn create_container(
        &self,
        mut record: ContainerRecord,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(Container, ContainerLock), ContainerError> {
        if !record.name.is_empty() && !is_name(&record.name) {
            return Err(ContainerError::BadName(record.name));
        }
        let fresh = self.tmp_path("container")?;
        private_folder(&fresh)?;
        let upper = fresh.join("upper");
        // Programs of any user must be able to enter their root.
        fs::DirBuilder::new().mode(0o755).create(&upper).map_err(io_error("create", &upper))?;
        let lock_path = fresh.join(LOCK);
        let lock = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(io_error("create", &lock_path))?;
        locks::try_lock(&lock).map_err(io_error("lock", &lock_path))?;
        let made = fill(&fresh).map_err(ContainerError::from).and_then(|()| {
            let _naming = self.lock_names()?;
            let others = self.containers()?;
            if record.name.is_empty() {
                record.name = free_name(&record.id, &others);
            }
            if let Some(other) = others.iter().find(|other| other.record.name == record.name) {
                let id = other.record.short_id().to_owned();
                return Err(ContainerError::NameTaken { name: record.name.clone(), id });
            }
            let container = Container { record, folder: fresh.clone() };
            container.save()?;
            let folder = self.containers_dir().join(&container.record.id);
            fs::rename(&fresh, &folder).map_err(io_error("create", &folder))?;
            Ok(Container { folder, ..container })
        });
        if made.is_err() {
            let _ = remove_tree(&fresh);
        }
        Ok((made?, ContainerLock(lock)))
    }

    /// Removes a container with its changes. The lock says that nobody runs it.
    pub fn remove_container(&self, container: &Container, lock: ContainerLock) -> Result<()> {
        // By a rename first, so that no half of one is ever seen.
        let gone = self.tmp_path("container")?;
        match fs::rename(&container.folder, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(io_error("remove", &container.folder))?,
        }
        drop(lock);
        remove_tree(&gone).map_err(io_error("remove", &gone))
    }

    /// What containers and scenes need: layers, and the manifests of their images.
    pub fn pinned(&self) -> Result<(BTreeSet<LayerId>, BTreeSet<Digest>)> {
        let containers = self.containers()?;
        let mut layers = self.layers_of_scenes()?;
        layers.extend(containers.iter().flat_map(|container| container.record.layers.iter().copied()));
        Ok((layers, containers.iter().map(|container| container.record.manifest).collect()))
    }

    fn lock_names(&self) -> Result<File> {
        let path = self.containers_dir().join("names.lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        locks::wait(|| file.lock()).map_err(io_error("lock", &path))?;
        Ok(file)
    }
}

/// A new ID: 64 random hexadecimal digits.
pub fn random_id() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; ID_DIGITS / 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(io_error("read", path))?;
    Ok(Digest::from_bytes(bytes).hex())
}

fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(io_error("create", path))
}

/// Whether a name is that of a container's folder.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a container can be called so: Docker's rule.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// What containers without a name are called: two words that follow from the ID, and a number if they are taken.
fn free_name(id: &str, others: &[Container]) -> String {
    const FIRST: [&str; 16] = [
        "brisk", "calm", "clear", "early", "fair", "gentle", "keen", "light", "lucid", "merry", "plain", "quiet",
        "ready", "sound", "steady", "warm",
    ];
    const SECOND: [&str; 16] = [
        "anchor", "barge", "canal", "crane", "dock", "ferry", "harbor", "jetty", "keel", "lantern", "mooring", "pier",
        "rudder", "sail", "tide", "wharf",
    ];
    let digit = |at: usize| usize::from_str_radix(id.get(at..=at).unwrap_or("0"), 16).unwrap_or_default();
    let plain = format!("{}-{}", FIRST[digit(0)], SECOND[digit(1)]);
    let taken = |name: &str| others.iter().any(|other| other.record.name == name);
    std::iter::once(plain.clone())
        .chain((2..).map(|number: u32| format!("{plain}-{number}")))
        .find(|name| !taken(name))
        .unwrap_or(plain)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(id: &str, name: &str) -> ContainerRecord {
        ContainerRecord {
            id: id.into(),
            name: name.into(),
            kind: ContainerKind::Container,
            image: "app".into(),
            image_id: Digest::from_bytes([1; 32]),
            manifest: Digest::from_bytes([2; 32]),
            layers: vec![LayerId::Image(crate::digest::ChainId::from_bytes([3; 32]))],
            config: ContainerConfig { user: "app".into(), ..ContainerConfig::default() },
            args: vec!["sh".into()],
            hostname: "box".into(),
            mounts: vec![("/a".into(), "/b".into())],
            created: 7,
            process: None,
            ended: None,
            mounted: None,
        }
    }

    fn id(digit: &str) -> String {
        digit.repeat(ID_DIGITS)
    }

    #[test]
    fn is_written_as_it_always_was() {
        let mut record = record(&id("a"), "box");
        record.ended = Some((9, 137));
        let (a, one, two, three) = (id("a"), "01".repeat(32), "02".repeat(32), "03".repeat(32));
        let golden = format!(
            r#"{{"version":1,"id":"{a}","name":"box","kind":"container","image":"app","image_id":"sha256:{one}","manifest":"sha256:{two}","layers":["chain-{three}"],"config":{{"User":"app"}},"args":["sh"],"hostname":"box","mounts":[["/a","/b"]],"created":7,"ended":[9,137]}}"#
        );
        assert_eq!(String::from_utf8(record.encode()).unwrap(), golden);
        assert_eq!(ContainerRecord::decode(golden.as_bytes()), Ok(record));
        assert!(ContainerRecord::decode(golden.replace(r#"version":1"#, r#"version":2"#).as_bytes()).is_err());
        assert!(ContainerRecord::decode(golden.replace(&a, "../../etc").as_bytes()).is_err());
    }

    #[test]
    fn a_lock_says_whether_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (mut container, lock) = store.create_container(record(&id("a"), "box"), |_| Ok(())).unwrap();
        assert_eq!(container.state(), ContainerState::Running);
        assert!(matches!(container.lock(), Err(ContainerError::Running(_))));
        drop(lock);
        assert_eq!(container.state(), ContainerState::Lost);
        container.record.ended = Some((9, 3));
        container.save().unwrap();
        let found = store.find_container("box").unwrap();
        assert_eq!(found.state(), ContainerState::Exited(9, 3));
        let lock = found.lock().unwrap();
        store.remove_container(&found, lock).unwrap();
        assert_eq!(store.containers().unwrap(), []);
    }

    #[test]
    fn is_found_by_name_and_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for (digit, name) in [("a", "one"), ("ab", ""), ("c", "ccc")] {
            let id = &id(digit)[..ID_DIGITS];
            store.create_container(record(id, name), |_| Ok(())).unwrap();
        }
        let check = |text: &str, expected: &str| {
            assert!(store.find_container(text).unwrap().record.id.starts_with(expected), "{text}");
        };
        check("one", "aa");
        check("/one", "aa");
        check("aa", "aa");
        check("ab", "ab");
        check("plain-pier", "ab");
        check("c", "cc");
        assert!(matches!(store.find_container("a"), Err(ContainerError::Ambiguous { .. })));
        for text in ["", "x", "two"] {
            assert!(matches!(store.find_container(text), Err(ContainerError::NotFound(_))), "{text}");
        }
    }

    #[test]
    fn names_are_checked_and_unique() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let made = |digit: &str, name: &str| store.create_container(record(&id(digit), name), |_| Ok(()));
        made("a", "one").unwrap();
        assert!(matches!(made("b", "one"), Err(ContainerError::NameTaken { .. })));
        for name in ["../x", "-x", "a/b", "a b", "."] {
            assert!(matches!(made("b", name), Err(ContainerError::BadName(_))), "{name}");
        }
        assert_eq!(store.containers().unwrap().len(), 1);
        assert_eq!(fs::read_dir(store.tmp_dir().unwrap()).unwrap().count(), 0, "nothing is left of those");
    }
}
