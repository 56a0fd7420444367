//! Scenes: all that the process of a step sees, kept so that people can look around in it.
//!
//! ```text
//! scenes/ID/scene.json   what it is: layers, mounts, environment; nothing secret
//!           lock         held, shared, by whoever is in it
//!           upper/       of a failure: what the process had changed, in the form of an overlay's upper folder
//! ```
//!
//! The scene of a *failure* stays when a step fails, until the next failure or `prune`: one at a time, however many builds
//! fail. That of a *visit* is made for a shell and goes with it; the changes that are thrown away are in its folder.
//! Neither holds a lock on the store, since a shell may stay open for days: what they need is in their records, as
//! with [containers](super::containers), and whoever deletes things reads all of them ([`Store::pinned`]).
//!
//! A folder whose record cannot be read, and a visit that nobody is in, are what a killed process or a loss of power left.

mod format;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod limits;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::digest::CacheKey;
use crate::graph::{Limits, Network};
use crate::store::containers::random_id;
use crate::store::error::{Result, io_error};
use crate::store::layers::LayerId;
use crate::store::{Store, layout, locks, remove_tree};

/// The file that says what a scene is.
const RECORD: &str = "scene.json";
/// The file that is locked by whoever is in it.
const LOCK: &str = "lock";

/// Why a scene is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SceneKind {
    /// A step failed in it.
    Failure,
    /// Somebody is in it.
    Visit,
}

/// What a process of a step sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Why it is there.
    pub kind: SceneKind,
    /// Whose it is.
    pub step: SceneStep,
    /// When it was made, in milliseconds since 1970.
    pub made: u64,
    /// Its root file system: layers, bottom first. What a process that failed had changed comes on top.
    pub layers: Vec<LayerId>,
    /// The step's program and its arguments; empty if it runs none.
    pub args: Vec<String>,
    /// The environment, without secrets.
    pub env: Vec<(String, String)>,
    /// The working folder, absolute.
    pub cwd: String,
    /// `user[:group]`, by name or number; empty for root.
    pub user: String,
    /// The host name.
    pub hostname: String,
    /// Lines for `/etc/hosts`: (name, address).
    pub hosts: Vec<(String, String)>,
    /// Its network.
    pub network: Network,
    /// Whether it has all privileges.
    pub privileged: bool,
    /// What it may use, for as long as it likes.
    pub limits: Limits,
    /// What else is mounted.
    pub mounts: Vec<SceneMount>,
}

/// The step that a scene belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SceneStep {
    /// The instruction.
    pub name: String,
    /// The stage and its place there, such as `build 3/5`.
    pub stage: String,
    /// The file and the line that it was written on.
    pub origin: Option<(String, u32)>,
    /// Its definition key, if it was to be run.
    pub key: Option<CacheKey>,
    /// How it failed, such as `exit code 1`; empty if it did not.
    pub outcome: String,
}

/// Something mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneMount {
    /// Where: absolute.
    pub target: String,
    /// What.
    pub kind: SceneMountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SceneMountKind {
    /// Files of layers.
    Bind {
        /// The layers, bottom first.
        layers: Vec<LayerId>,
        /// Which file or folder of them; empty for all.
        source: String,
        /// Whether that is no folder.
        is_file: bool,
        /// Whether it may be written to.
        writable: bool,
    },
    /// A cache mount.
    Cache {
        /// Its name in the store.
        id: String,
        /// Whether it is read-only.
        readonly: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A file that the build definition holds.
    File {
        /// Its text.
        text: String,
        /// Its permissions.
        mode: u32,
    },
    /// A secret, whose value is kept nowhere.
    Secret {
        /// Which.
        id: String,
        /// Whether it is a file at the target.
        file: bool,
        /// The variable that holds it.
        env: Option<String>,
        /// The file's permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// Which.
        id: String,
    },
}

impl Scene {
    /// One with these layers, and root in an empty environment without a network.
    pub fn bare(kind: SceneKind, layers: Vec<LayerId>) -> Self {
        Self {
            kind,
            step: SceneStep::default(),
            made: 0,
            layers,
            args: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            user: String::new(),
            hostname: String::new(),
            hosts: Vec::new(),
            network: Network::None,
            privileged: false,
            limits: Limits::default(),
            mounts: Vec::new(),
        }
    }

    /// All layers that it needs.
    pub fn all_layers(&self) -> impl Iterator<Item = LayerId> {
        let of_mounts = self.mounts.iter().flat_map(|mount| match &mount.kind {
            SceneMountKind::Bind { layers, .. } => layers.as_slice(),
            _ => &[],
        });
        self.layers.iter().chain(of_mounts).copied()
    }
}

/// A scene in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptScene {
    /// 64 hexadecimal digits, chosen at random.
    pub id: String,
    /// What it is.
    pub scene: Scene,
    /// Its folder.
    pub folder: PathBuf,
}

/// Says that somebody is in a scene, so that it stays. Given back when dropped.
#[derive(Debug)]
pub struct SceneLock(#[expect(dead_code, reason = "held for its lock")] File);

impl KeptScene {
    /// What the process that failed had changed.
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Whether somebody is in it.
    pub fn is_active(&self) -> bool {
        let lock = File::open(self.folder.join(LOCK)).and_then(|file| locks::try_lock(&file));
        matches!(lock, Ok(false))
    }

    /// Goes into it; none if it was removed meanwhile.
    pub fn enter(&self) -> Result<Option<SceneLock>> {
        let path = self.folder.join(LOCK);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io_error("open", &path))?,
        };
        locks::wait(|| file.lock_shared()).map_err(io_error("lock", &path))?;
        let is_there = locks::leads_to(&path, &file).map_err(io_error("read", &path))?;
        Ok(is_there.then_some(SceneLock(file)))
    }
}

impl Store {
    /// All scenes, the newest first. What cannot be read is not there.
    pub fn scenes(&self) -> Result<Vec<KeptScene>> {
        let mut all: Vec<KeptScene> = self.scene_folders()?.into_iter().filter_map(read).collect();
        all.sort_by(|a, b| (b.scene.made, &b.id).cmp(&(a.scene.made, &a.id)));
        Ok(all)
    }

    /// The latest failure.
    pub fn last_failure(&self) -> Result<Option<KeptScene>> {
        Ok(self.scenes()?.into_iter().find(|kept| kept.scene.kind == SceneKind::Failure))
    }

    /// Keeps what a failed process had changed: takes `upper` away. All failures but the latest go, unless somebody is in
    /// them. Returns its ID.
    pub fn keep_failure(&self, scene: Scene, upper: &Path) -> Result<String> {
        let take = |folder: &Path| fs::rename(upper, folder.join("upper")).map_err(io_error("keep", upper));
        let (kept, lock) = self.new_scene(scene, take)?;
        drop(lock);
        let failures = self.scenes()?.into_iter().filter(|other| other.scene.kind == SceneKind::Failure);
        for older in failures.skip(1) {
            self.remove_scene(&older.folder)?;
        }
        self.sweep_scenes()?;
        Ok(kept.id)
    }

    /// Makes a scene for somebody to be in. `fill` is called with its folder before anybody sees it.
    pub fn visit(&self, scene: Scene, fill: impl FnOnce(&Path) -> Result<()>) -> Result<(KeptScene, SceneLock)> {
        self.sweep_scenes()?;
        self.new_scene(Scene { kind: SceneKind::Visit, ..scene }, fill)
    }

    /// Removes a scene that nobody is in; whether it is gone.
    pub fn remove_scene(&self, folder: &Path) -> Result<bool> {
        let path = folder.join(LOCK);
        match File::open(&path) {
            // One that was being made when the machine lost power.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => {
                let file = file.map_err(io_error("open", &path))?;
                if !locks::try_lock(&file).map_err(io_error("lock", &path))? {
                    return Ok(false);
                }
                return self.take_away(folder).map(|()| true);
            }
        }
        self.take_away(folder).map(|()| true)
    }

    /// Removes what killed processes left.
    pub fn sweep_scenes(&self) -> Result<()> {
        for folder in self.scene_folders()? {
            if read(folder.clone()).is_none_or(|kept| kept.scene.kind == SceneKind::Visit) {
                self.remove_scene(&folder)?;
            }
        }
        Ok(())
    }

    /// The folders that [`Store::sweep_scenes`] would remove.
    pub(super) fn abandoned_scenes(&self) -> Result<Vec<PathBuf>> {
        let mut folders = self.scene_folders()?;
        folders.retain(|folder| match read(folder.clone()) {
            Some(kept) => kept.scene.kind == SceneKind::Visit && !kept.is_active(),
            None => folder.exists(),
        });
        Ok(folders)
    }

    /// The layers that scenes need.
    pub(super) fn layers_of_scenes(&self) -> Result<BTreeSet<LayerId>> {
        Ok(self.scenes()?.iter().flat_map(|kept| kept.scene.all_layers()).collect())
    }

    fn new_scene(&self, scene: Scene, fill: impl FnOnce(&Path) -> Result<()>) -> Result<(KeptScene, SceneLock)> {
        let fresh = self.tmp_path("scene")?;
        private_folder(&fresh)?;
        let made = self.fill_scene(scene, &fresh, fill);
        if made.is_err() {
            let _ = remove_tree(&fresh);
        }
        made
    }

    fn fill_scene(
        &self,
        scene: Scene,
        fresh: &Path,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(KeptScene, SceneLock)> {
        let path = fresh.join(LOCK);
        let lock = File::create_new(&path).map_err(io_error("create", &path))?;
        locks::wait(|| lock.lock_shared()).map_err(io_error("lock", &path))?;
        fill(fresh)?;
        let path = fresh.join(RECORD);
        fs::write(&path, format::encode(&scene)).map_err(io_error("write", &path))?;
        let home = self.path(layout::SCENES);
        DirBuilder::new().mode(0o700).recursive(true).create(&home).map_err(io_error("create", &home))?;
        let id = random_id()?;
        let folder = home.join(&id);
        fs::rename(fresh, &folder).map_err(io_error("create", &folder))?;
        Ok((KeptScene { id, scene, folder }, SceneLock(lock)))
    }

    fn take_away(&self, folder: &Path) -> Result<()> {
        // By a rename first, so that no half of one is ever seen.
        let gone = self.tmp_path("scene")?;
        match fs::rename(folder, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => {
                renamed.map_err(io_error("remove", folder))?;
                remove_tree(&gone).map_err(io_error("remove", &gone))
            }
        }
    }

    fn scene_folders(&self) -> Result<Vec<PathBuf>> {
        let home = self.path(layout::SCENES);
        match fs::read_dir(&home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
                .map_err(io_error("read", &home)),
        }
    }
}

fn read(folder: PathBuf) -> Option<KeptScene> {
    let scene = format::decode(&fs::read(folder.join(RECORD)).ok()?)?;
    Some(KeptScene { id: folder.file_name()?.to_str()?.to_owned(), scene, folder })
}

fn private_folder(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(io_error("create", path))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::digest::TreeDigest;

    pub(crate) fn scene() -> Scene {
        let layer = |byte| LayerId::Made(TreeDigest::from_bytes([byte; 32]));
        let mount = |target: &str, kind| SceneMount { target: target.into(), kind };
        Scene {
            kind: SceneKind::Failure,
            step: SceneStep {
                name: "RUN make".into(),
                stage: "build 3/5".into(),
                origin: Some(("Dockerfile".into(), 7)),
                key: Some(CacheKey::from_bytes([9; 32])),
                outcome: "exit code 2".into(),
            },
            made: 7,
            layers: vec![layer(1)],
            args: vec!["/bin/sh".into(), "-c".into(), "make".into()],
            env: vec![("PATH".into(), "/bin".into())],
            cwd: "/src".into(),
            user: "app".into(),
            hostname: "box".into(),
            hosts: vec![("one".into(), "10.0.0.1".into())],
            network: Network::Default,
            privileged: false,
            limits: Limits::default(),
            mounts: vec![
                mount(
                    "/in",
                    SceneMountKind::Bind {
                        layers: vec![layer(2)],
                        source: "a/b".into(),
                        is_file: false,
                        writable: true,
                    },
                ),
                mount("/cache", SceneMountKind::Cache { id: "cache".into(), readonly: false }),
                mount("/t", SceneMountKind::Tmpfs { size: Some(64) }),
                mount("/dev/pipes/EOF", SceneMountKind::File { text: "make\n".into(), mode: 0o755 }),
                mount(
                    "/run/secrets/k",
                    SceneMountKind::Secret {
                        id: "k".into(),
                        file: true,
                        env: Some("K".into()),
                        mode: 0o400,
                        uid: 0,
                        gid: 0,
                    },
                ),
                mount("/run/agent", SceneMountKind::Ssh { id: "default".into() }),
            ],
        }
    }

    fn failure(store: &Store, made: u64) -> String {
        let upper = store.tmp_path("upper").unwrap();
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("half"), made.to_string()).unwrap();
        store.keep_failure(Scene { made, ..scene() }, &upper).unwrap()
    }

    #[test]
    fn only_the_latest_failure_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.last_failure().unwrap(), None);
        failure(&store, 1);
        let second = failure(&store, 2);
        let kept = store.last_failure().unwrap().unwrap();
        assert_eq!((&kept.id, fs::read_to_string(kept.upper().join("half")).unwrap()), (&second, "2".into()));
        // One that was slower than a later one does not take its place.
        failure(&store, 1);
        assert_eq!(store.last_failure().unwrap().unwrap().id, second);
        assert_eq!(store.pinned().unwrap().0.len(), 2, "its layers and those of its mounts");
        // What somebody is in stays.
        let inside = kept.enter().unwrap().unwrap();
        assert!(kept.is_active());
        let third = failure(&store, 3);
        assert_eq!(store.scenes().unwrap().len(), 2);
        assert!(!store.remove_scene(&kept.folder).unwrap());
        drop(inside);
        assert!(store.remove_scene(&kept.folder).unwrap());
        assert!(kept.enter().unwrap().is_none());
        assert_eq!(store.last_failure().unwrap().unwrap().id, third);
    }

    #[test]
    fn what_the_dead_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (kept, lock) = store.visit(scene(), |_| Ok(())).unwrap();
        store.sweep_scenes().unwrap();
        assert_eq!(store.scenes().unwrap(), [kept], "somebody is in it");
        drop(lock);
        let damaged = folder.path().join("scenes").join("d".repeat(64));
        fs::create_dir(&damaged).unwrap();
        fs::write(damaged.join(RECORD), "{").unwrap();
        store.sweep_scenes().unwrap();
        assert_eq!(fs::read_dir(folder.path().join("scenes")).unwrap().count(), 0);
    }
}
