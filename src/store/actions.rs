//! The action cache: what a step came to, by cache key. One small file per key, so there is no database to corrupt and no
//! lock to hold.
//!
//! A record is written to a temporary file and renamed, but not synced: a build makes many, each would wait for the disk,
//! and all that a loss of power can do is lose work that can be done again. What such a loss leaves may be an empty or a
//! torn file under a good name. So every record begins with a mark and the hash of its key and value, and whatever does
//! not fit is a miss, never an error. Values are opaque here.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::CacheKey;
use crate::store::error::{Result, io_error};
use crate::store::{Exclusive, Store, layout};

/// The first bytes of a record; the last one is the version.
const MAGIC: &[u8; 8] = b"imgact\0\x01";
/// The length of everything before the value: the mark and a BLAKE3 hash.
const HEADER: usize = 8 + 32;
/// A record's time says when it was used last, this exactly; finer would cost a write per hit.
const USED: Duration = Duration::from_secs(3600);

/// A record as pruning sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    /// Whose.
    pub key: CacheKey,
    /// When it was written or used last, to the hour.
    pub used: SystemTime,
    /// Its size on disk in bytes.
    pub size: u64,
}

impl Store {
    /// What is recorded for a key, if anything that is whole.
    pub fn get_action(&self, key: &CacheKey) -> Option<Vec<u8>> {
        let (file, value) = self.open_action(key)?;
        mark_used(&file);
        Some(value)
    }

    /// The same, for those who only look around: it is no use of the record.
    pub fn peek_action(&self, key: &CacheKey) -> Option<Vec<u8>> {
        Some(self.open_action(key)?.1)
    }

    fn open_action(&self, key: &CacheKey) -> Option<(fs::File, Vec<u8>)> {
        let mut file = fs::File::open(self.action_path(key)).ok()?;
        let mut bytes = Vec::with_capacity(512);
        file.read_to_end(&mut bytes).ok()?;
        let fits = bytes.len() >= HEADER
            && bytes.starts_with(MAGIC)
            && bytes[MAGIC.len()..HEADER] == *checksum(key, &bytes[HEADER..]).as_bytes();
        if !fits {
            return None;
        }
        bytes.drain(..HEADER);
        Some((file, bytes))
    }

    /// Records a value for a key, in place of what was there.
    pub fn put_action(&self, key: &CacheKey, value: &[u8]) -> Result<()> {
        let (mut file, tmp) = self.tmp_file("action")?;
        let header = [MAGIC, checksum(key, value).as_bytes().as_slice()].concat();
        file.write_all(&[&header, value].concat()).map_err(io_error("write", &tmp))?;
        let path = self.action_path(key);
        let mut renamed = fs::rename(&tmp, &path);
        if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let folder = path.parent().unwrap_or(&path);
            fs::create_dir_all(folder).map_err(io_error("create", folder))?;
            renamed = fs::rename(&tmp, &path);
        }
        renamed.map_err(|error| {
            let _ = fs::remove_file(&tmp);
            io_error("write", &path)(error)
        })
    }

    /// All records, in no order.
    pub fn actions(&self) -> Result<Vec<ActionRecord>> {
        let root = self.path(layout::ACTIONS);
        let mut all = Vec::new();
        for folder in folder_entries(&root)? {
            let start = folder.file_name();
            if start.len() != 2 {
                continue;
            }
            for file in folder_entries(&folder.path())? {
                let name = format!("{}{}", start.to_string_lossy(), file.file_name().to_string_lossy());
                let (Ok(key), Ok(metadata)) = (CacheKey::from_hex(&name), file.metadata()) else { continue };
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                all.push(ActionRecord { key, used, size: metadata.len() });
            }
        }
        Ok(all)
    }

    fn action_path(&self, key: &CacheKey) -> PathBuf {
        let name = key.hex();
        let (start, rest) = name.split_at(2);
        self.path(layout::ACTIONS).join(start).join(rest)
    }
}

impl Exclusive<'_> {
    /// Forgets a key; that nothing was recorded is success.
    pub fn remove_action(&self, key: &CacheKey) -> Result<()> {
        let path = self.action_path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// The hash of key and value together, so that a record under another key's name is none.
fn checksum(key: &CacheKey, value: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(key.as_bytes()).update(value).finalize()
}

/// Notes the use of a record, at most once in [`USED`]. Fails in silence: the store may be read-only.
fn mark_used(file: &fs::File) {
    let old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > USED);
    if file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(old) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn folder_entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.and_then(|entries| entries.collect()).map_err(io_error("read", folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_forgets() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let [key, other] = [1, 2].map(|byte| CacheKey::from_bytes([byte; 32]));
        assert_eq!(store.get_action(&key), None);
        store.put_action(&key, b"one").unwrap();
        store.put_action(&key, b"two").unwrap();
        store.put_action(&other, b"").unwrap();
        assert_eq!(store.get_action(&key).as_deref(), Some(&b"two"[..]));
        assert_eq!(store.get_action(&other).as_deref(), Some(&b""[..]));
        let mut keys: Vec<CacheKey> = store.actions().unwrap().into_iter().map(|record| record.key).collect();
        keys.sort();
        assert_eq!(keys, [key, other]);
        store.exclusive().unwrap().remove_action(&key).unwrap();
        assert_eq!(store.get_action(&key), None);
    }

    #[test]
    fn a_torn_record_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [key, other] = [1, 2].map(|byte| CacheKey::from_bytes([byte; 32]));
        store.put_action(&key, b"value").unwrap();
        let path = store.action_path(&key);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(store.get_action(&key), None, "{length}");
            fs::write(&path, [&whole[..length], &vec![0; whole.len() - length]].concat()).unwrap();
            assert_eq!(store.get_action(&key), None, "{length}, then zeros");
        }
        store.put_action(&other, b"value").unwrap();
        fs::write(store.action_path(&other), &whole).unwrap();
        assert_eq!(store.get_action(&other), None, "another key's record");
    }

    #[test]
    fn a_hit_renews_an_old_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = CacheKey::from_bytes([1; 32]);
        store.put_action(&key, b"").unwrap();
        let file = fs::File::open(store.action_path(&key)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        store.get_action(&key).unwrap();
        assert!(store.actions().unwrap()[0].used > SystemTime::UNIX_EPOCH);
    }
}
