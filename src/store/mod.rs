//! Everything that stays between builds, in one folder that any number of processes use at once.
//!
//! The folder is an OCI image layout (image-spec, image-layout.md), so other tools can read it, with more beside it:
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/…   images: what leaves
//! snapshots/                               unpacked layers
//! actions/v1/ab/cdef…                      results of steps, one small file per cache key
//! mounts/  containers/                     cache mounts; containers of `run`
//! contexts/                                what the files of build contexts hashed to
//! scenes/                                  what a step saw that failed, or that somebody looks at
//! builds/  builds/objects/                 records of the last builds, for `why`, `log`, `report`; what they name: graphs, lists, logs
//! signatures/                              who signed which image, and what exactly
//! tmp/                                     a folder per living process; tmp/locks: steps that are running
//! version  gc.lock  index.lock             the format; who uses the store; who changes index.json
//! turn.lock                                who waits to have the store alone; there once somebody did
//! pruned                                   an empty file: when it was last looked for what could go by itself
//! ```
//!
//! # What survives what
//!
//! - *A process is killed, at any moment*: nothing but its folder in `tmp/` is left behind, which the next process
//!   removes. Objects appear whole, by rename; locks are the kernel's and go with their holder.
//! - *The machine loses power*: a blob's bytes are synced before its name exists, and the names of all blobs before
//!   `index.json` is written, which is synced as well. So an image that was listed is there. Results of steps are not synced:
//!   a record that did not reach the disk is a miss, because each carries a checksum, and so is one whose blob's name did not.
//! - *A file is damaged later*: blobs are read with their digest checked.
//! - *Deleting while others build*: everybody who has the store open holds a shared lock on it; what deletes blobs takes it
//!   exclusively ([`Store::exclusive`]), and if it waits for that, before builds that come later.
//!
//! Opening an existing store reads one small file and takes that lock, nothing else. This room does not know what a
//! record of the action cache means, nor how images are fetched or made.

mod actions;
mod archive;
mod blobs;
mod builds;
mod check;
mod confine;
mod error;
mod fetch;
mod find;
mod found;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(crate) mod images;
pub(crate) mod index;
pub mod intake;
mod locks;
mod remove;
mod signatures;
mod stop;
mod tables;
mod tmp;
mod turn;
mod unfinished;
mod usage;

pub mod cache_mount;
pub mod containers;
pub mod layers;
pub mod scenes;
pub mod snapshot;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::digest::ContentDigest;

pub use actions::ActionRecord;
pub use archive::{ArchiveFormat, ArchiveImage};
pub use blobs::{Blob, BlobReader, BlobWriter, StagedBlob};
pub use check::Flaw;
#[cfg(test)]
pub(crate) use confine::Hole;
pub use confine::confined_to;
pub use error::{Result, StoreError, io_error};
pub use fetch::{Fetch, FetchError};
pub use find::{FindError, Found};
pub use images::ResolvedImage;
pub use index::{ImageEntry, ImageIndex};
pub use intake::ArchiveLimits;
pub use locks::{Exclusive, KeyLock};
pub use remove::remove_tree;
use snapshot::Overlay;
pub use stop::{Stop, Watched};
pub use unfinished::{NEW, PART, Unfinished, target_of};
pub use usage::{Stored, disk_usage};

/// The format of a store. A change that an older program would misread is a new number.
pub const VERSION: u32 = 1;

/// The names in a store.
pub(crate) mod layout {
    pub const VERSION: &str = "version";
    pub const OCI_LAYOUT: &str = "oci-layout";
    pub const INDEX: &str = "index.json";
    pub const INDEX_LOCK: &str = "index.lock";
    pub const GC_LOCK: &str = "gc.lock";
    pub const TURN_LOCK: &str = "turn.lock";
    pub const BLOBS: &str = "blobs/sha256";
    pub const SNAPSHOTS: &str = "snapshots";
    pub const ACTIONS: &str = "actions/v1";
    pub const MOUNTS: &str = "mounts";
    pub const CONTAINERS: &str = "containers";
    pub const SCENES: &str = "scenes";
    pub const CONTEXTS: &str = "contexts";
    pub const BUILDS: &str = "builds";
    pub const BUILD_OBJECTS: &str = "builds/objects";
    pub const PRUNED: &str = "pruned";
    pub const SIGNATURES: &str = "signatures";
    pub const TMP: &str = "tmp";
    pub const KEY_LOCKS: &str = "tmp/locks";

    /// All folders that a new store gets.
    pub const FOLDERS: [&str; 7] = [BLOBS, SNAPSHOTS, ACTIONS, MOUNTS, CONTAINERS, TMP, KEY_LOCKS];
    /// All names at the top, and what may be there besides them.
    pub const TOP: [&str; 19] = [
        VERSION,
        OCI_LAYOUT,
        INDEX,
        INDEX_LOCK,
        GC_LOCK,
        TURN_LOCK,
        "blobs",
        SNAPSHOTS,
        "actions",
        MOUNTS,
        CONTAINERS,
        SCENES,
        CONTEXTS,
        BUILDS,
        PRUNED,
        SIGNATURES,
        TMP,
        "lost+found",
        ".index.json.new",
    ];
    /// The content of `oci-layout` (image-layout.md).
    pub const OCI_LAYOUT_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
}

/// An open store. While it exists, nobody deletes anything from it.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    overlay: Overlay,
    tmp: OnceLock<tmp::OwnFolder>,
    written: blobs::Written,
    gc: turn::Use,
    archives: ArchiveLimits,
}

impl Store {
    /// Opens the store at `root`, or makes one if there is nothing.
    ///
    /// Waits while another process deletes things. A store that cannot be written is opened for reading.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, false)
    }

    /// The same for what may take long: also waits while another process waits to delete things, unless this one has the store
    /// open already.
    pub fn open_in_turn(root: &Path) -> Result<Self> {
        Self::open_with(root, true)
    }

    fn open_with(root: &Path, in_turn: bool) -> Result<Self> {
        // A step's sandbox is in another working folder by the time it opens what is mounted from here.
        let root = &std::path::absolute(root).map_err(io_error("find", root))?;
        let path = root.join(layout::VERSION);
        let overlay = Overlay::of_process();
        match fs::read_to_string(&path) {
            Ok(text) => check_version(root, &path, &text, overlay)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(root, overlay)?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(io_error("use as a store", root)(error));
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        let gc = locks::use_store(root, in_turn)?;
        let archives = ArchiveLimits::default();
        let written = blobs::Written::default();
        Ok(Self { root: root.to_owned(), overlay, tmp: OnceLock::new(), written, gc, archives })
    }

    /// The same with other limits for what comes in.
    pub fn accepting(self, archives: ArchiveLimits) -> Self {
        Self { archives, ..self }
    }

    /// How large archives may become that come in.
    pub fn archives(&self) -> ArchiveLimits {
        self.archives
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How its snapshots hold what overlayfs notes.
    pub fn overlay(&self) -> Overlay {
        self.overlay
    }

    /// The folder for snapshots.
    pub fn snapshots_dir(&self) -> PathBuf {
        self.path(layout::SNAPSHOTS)
    }

    /// The folder for cache mounts.
    pub fn mounts_dir(&self) -> PathBuf {
        self.path(layout::MOUNTS)
    }

    /// The file that remembers what the files of the context at `folder` hashed to.
    pub fn stat_cache(&self, folder: &Path) -> PathBuf {
        // `.` means another folder in each folder.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = ContentDigest::of(folder.as_os_str().as_encoded_bytes()).hex();
        self.path(layout::CONTEXTS).join(&name[..32])
    }

    /// The folder for containers.
    pub fn containers_dir(&self) -> PathBuf {
        self.path(layout::CONTAINERS)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// What `version` holds behind the number where the store is one of a user namespace, whose owners of files are not those
/// of the machine.
const USER: &str = " user";

fn check_version(root: &Path, path: &Path, text: &str, overlay: Overlay) -> Result<()> {
    let text = text.trim_ascii_end();
    let (number, kind) = match text.strip_suffix(USER) {
        Some(number) => (number, Overlay::User),
        None => (text, Overlay::Trusted),
    };
    match number.parse::<u32>() {
        Ok(VERSION) if kind == overlay => Ok(()),
        Ok(VERSION) => Err(StoreError::OtherOwners { root: root.to_owned(), rootless: kind == Overlay::User }),
        Ok(found) if found > VERSION => Err(StoreError::NewerVersion { root: root.to_owned(), found, known: VERSION }),
        _ => Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: format!("it should hold the number of the store's format, not {text:?}"),
        }),
    }
}

/// Makes a store, or completes one whose making was interrupted. Several processes may do so at once.
fn create(root: &Path, overlay: Overlay) -> Result<()> {
    // Snapshots hold other people's programs, with setuid bits: only the store's owner may reach them.
    let mut private = DirBuilder::new();
    private.mode(0o700).recursive(true);
    private.create(root).map_err(io_error("create the store", root))?;
    let found = fs::metadata(root).map_err(io_error("read", root))?.permissions().mode();
    for entry in fs::read_dir(root).map_err(io_error("read", root))? {
        let name = entry.map_err(io_error("read", root))?.file_name();
        if !layout::TOP.iter().any(|known| name == *known) {
            return Err(StoreError::NotAStore { root: root.to_owned(), entry: name.to_string_lossy().into_owned() });
        }
    }
    if found & 0o077 != 0 {
        // An empty folder that was there already.
        let private = fs::Permissions::from_mode(found & 0o7700);
        fs::set_permissions(root, private).map_err(io_error("keep others out of", root))?;
    }
    for folder in layout::FOLDERS {
        let path = root.join(folder);
        private.create(&path).map_err(io_error("create", &path))?;
    }
    let lock_path = root.join(layout::INDEX_LOCK);
    let lock = File::create(&lock_path).map_err(io_error("create", &lock_path))?;
    locks::wait(|| lock.lock()).map_err(io_error("lock", &lock_path))?;
    let index = crate::oci::Index::new(Vec::new()).to_json();
    // The version comes last: a folder with it is complete.
    let kind = if overlay == Overlay::User { USER } else { "" };
    let version = format!("{VERSION}{kind}\n");
    let files: [(&str, &[u8]); 3] = [
        (layout::OCI_LAYOUT, layout::OCI_LAYOUT_CONTENT),
        (layout::INDEX, &index),
        (layout::VERSION, version.as_bytes()),
    ];
    for (name, bytes) in files {
        let path = root.join(name);
        if !path.exists() {
            replace(&root.join(".index.json.new"), &path, bytes)?;
        }
    }
    Ok(())
}

/// Writes a file so that there is either the old content or the new, even after a loss of power.
///
/// `tmp` is a path on the same file system that nobody else uses.
fn replace(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(tmp).map_err(io_error("create", tmp))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", tmp))?;
    fs::rename(tmp, path).map_err(io_error("write", path))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes the names in a folder survive a loss of power.
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_can_share_a_store() {
        fn check<T: Send + Sync>() {}
        check::<Store>();
    }

    #[test]
    fn makes_a_layout_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        Store::open(&root).unwrap();
        assert_eq!(fs::read(root.join("oci-layout")).unwrap(), layout::OCI_LAYOUT_CONTENT);
        fs::write(root.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        Store::open(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join("index.json")).unwrap(), r#"{"schemaVersion":2,"manifests":[]}"#);
    }

    #[test]
    fn completes_what_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap();
        fs::remove_file(folder.path().join("version")).unwrap();
        fs::remove_file(folder.path().join("oci-layout")).unwrap();
        Store::open(folder.path()).unwrap();
        assert!(folder.path().join("oci-layout").exists());
    }

    #[test]
    fn many_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open(&root).map(drop))).collect();
            for opened in all {
                opened.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn refuses_what_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        let message = Store::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("thesis.txt"), "{message}");
        let message = Store::open(&folder.path().join("thesis.txt")).unwrap_err().to_string();
        assert!(message.contains("thesis.txt"), "{message}");
    }

    #[test]
    fn refuses_newer_and_damaged_stores() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap();
        let check = |text: &str, expected: &str| {
            fs::write(folder.path().join("version"), text).unwrap();
            let message = Store::open(folder.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check("2\n", "has format 2");
        check("", "is damaged");
        check("one", "is damaged");
    }
}
