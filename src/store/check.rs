//! Looks whether things in a store are what their names say. Nothing is changed, and what would be a miss is no flaw.
//!
//! What refers to what, and what to do about a flaw, is not known here.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::digest::{ContentDigest, Digest};
use crate::fstree::{Entry, Kind, TreePath};
use crate::store::error::{Result, StoreError};
use crate::store::layers::{LayerId, decode_toc};
use crate::store::snapshot::SnapshotFiles;
use crate::store::{Store, layout, locks, tmp};

/// What is wrong with something in a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not there, and nothing says where it could be fetched.
    #[error("it is missing")]
    Missing,
    /// It was cut off, or something was added.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// How long it should be.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// Its bytes are not those that its name stands for.
    #[error("its content is not what its name says")]
    Content,
    /// It says nothing that can be understood, or cannot be read at all.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A layer's folder without the table that says what it holds.
    #[error("its table of contents is missing or damaged")]
    NoTable,
    /// A file of a layer.
    #[error("{0} in it is missing or damaged")]
    File(TreePath),
    /// An image that lacks something.
    #[error("it needs {digest}: {flaw}")]
    Needs {
        /// The blob that it needs.
        digest: Digest,
        /// What is wrong with that.
        flaw: Box<Flaw>,
    },
    /// It is something else than what belongs there.
    #[error("it is not {0}")]
    NotThat(&'static str),
    /// Something that needs what is not there.
    #[error("it needs {0}, which is missing or damaged")]
    Lacks(String),
    /// Whoever made it was killed.
    #[error("a process that is gone has left it")]
    Left,
}

impl Store {
    /// Hashes a blob.
    pub fn check_blob(&self, digest: &Digest) -> Option<Flaw> {
        let read = self.reader(digest).map(|mut reader| io::copy(&mut reader, &mut io::sink()));
        match read {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Some(Flaw::Content),
            Ok(Err(error)) => Some(Flaw::Unreadable(error.to_string())),
            Err(StoreError::Missing(_)) => Some(Flaw::Missing),
            Err(error) => Some(Flaw::Unreadable(error.to_string())),
        }
    }

    /// Compares a layer's table of contents with its folder: the sizes of files, with `deep` their bytes.
    pub fn check_layer(&self, id: LayerId, deep: bool) -> Option<Flaw> {
        let home = self.snapshots_dir().join(id.to_string());
        let folder = match File::open(home.join("fs")) {
            Ok(folder) => Some(SnapshotFiles::new(folder.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Some(Flaw::Unreadable(error.to_string())),
        };
        let table = match fs::read(home.join("toc")) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Some(Flaw::Unreadable(error.to_string())),
        };
        let toc = match (table, &folder) {
            (Some(bytes), _) => decode_toc(id, &bytes),
            (None, Some(_)) => None,
            // Its making was cut off before anything was there.
            (None, None) => return None,
        };
        let Some(toc) = toc else { return Some(Flaw::NoTable) };
        let bad =
            folder.and_then(|folder| toc.entries().iter().find(|entry| !is_as_said(&folder, entry, deep)).cloned());
        bad.map(|entry| Flaw::File(entry.path))
    }

    /// What dead processes left, in `tmp/` and elsewhere; [`Store::sweep`] removes what is in `tmp/`.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let locks = self.path(layout::KEY_LOCKS);
        let mut left: Vec<PathBuf> = Vec::new();
        for (path, _) in tmp::list(&self.path(layout::TMP))?.into_iter().chain(tmp::list(&locks)?) {
            let lock = if path.starts_with(&locks) { path.clone() } else { tmp::lock_of(&path) };
            let is_held = File::open(&lock).is_ok_and(|file| locks::try_lock(&file).is_ok_and(|taken| !taken));
            // A process that ended meanwhile has taken it along.
            if path != locks && !is_held && path.exists() {
                left.push(path);
            }
        }
        left.extend(self.abandoned()?);
        left.sort();
        Ok(left)
    }
}

fn is_as_said(folder: &SnapshotFiles, entry: &Entry, deep: bool) -> bool {
    let Kind::File { size, content } = &entry.kind else { return true };
    let Ok(mut file) = folder.file(&entry.path) else { return false };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == *size) {
        return false;
    }
    let mut hasher = blake3::Hasher::new();
    !deep
        || (io::copy(&mut file, &mut hasher).is_ok()
            && ContentDigest::from_bytes(*hasher.finalize().as_bytes()) == *content)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fstree::{Meta, Toc};
    use crate::store::layers::Layers;

    #[test]
    fn finds_what_is_wrong_with_a_blob() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = store.put(b"abc").unwrap().digest;
        assert_eq!(store.check_blob(&digest), None);
        fs::write(store.blob_path(&digest), "abx").unwrap();
        assert_eq!(store.check_blob(&digest), Some(Flaw::Content));
        fs::remove_file(store.blob_path(&digest)).unwrap();
        assert_eq!(store.check_blob(&digest), Some(Flaw::Missing));
    }

    #[test]
    fn finds_what_is_wrong_with_a_layer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let path = TreePath::clean("f");
        let kind = Kind::File { size: 3, content: ContentDigest::of(b"abc") };
        let toc = Toc::new(vec![Entry { path: path.clone(), meta: Meta::default(), kind }]);
        let made = store.tmp_path("made").unwrap();
        fs::create_dir(&made).unwrap();
        fs::write(made.join("f"), "abc").unwrap();
        let id = Layers::new(store.clone()).adopt(toc, &made).unwrap();
        let home = store.snapshots_dir().join(id.to_string());
        let check = |deep: bool, expected: Option<Flaw>| assert_eq!(store.check_layer(id, deep), expected);
        check(true, None);
        fs::write(home.join("fs/f"), "abx").unwrap();
        check(false, None);
        check(true, Some(Flaw::File(path.clone())));
        fs::write(home.join("fs/f"), "ab").unwrap();
        check(false, Some(Flaw::File(path)));
        fs::write(home.join("toc"), "").unwrap();
        check(false, Some(Flaw::NoTable));
        fs::remove_file(home.join("toc")).unwrap();
        check(false, Some(Flaw::NoTable));
        fs::remove_dir_all(home.join("fs")).unwrap();
        check(true, None);
    }

    #[test]
    fn finds_what_the_dead_left() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.tmp_dir().unwrap();
        assert_eq!(store.leftovers().unwrap(), Vec::<PathBuf>::new());
        let tmp = folder.path().join(layout::TMP);
        fs::create_dir(tmp.join("1-0")).unwrap();
        fs::write(tmp.join("1-0.lock"), "").unwrap();
        let lock = folder.path().join(layout::KEY_LOCKS).join("a".repeat(64));
        fs::write(&lock, "").unwrap();
        assert_eq!(store.leftovers().unwrap(), [tmp.join("1-0"), tmp.join("1-0.lock"), lock]);
        store.sweep().unwrap();
        assert_eq!(store.leftovers().unwrap(), Vec::<PathBuf>::new());
    }
}
