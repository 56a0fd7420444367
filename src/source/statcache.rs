//! Remembers what files of a context hashed to, so that an unchanged context is never read again.
//!
//! A file is unchanged if its inode, size, mode, mtime and ctime are. The kernel sets ctime and no program can set it
//! back, so an edit that restores the mtime is noticed. A file that changed so recently that a second change could
//! carry the same ctime is not remembered at all.
//!
//! One file for each context folder. It is only a shortcut: one that is torn, damaged or missing costs time, nothing else.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digest::ContentDigest;
use crate::fstree::TreePath;
use crate::store::{NEW, Unfinished};

/// The first bytes of the file; the last one is the version.
const MAGIC: &[u8; 8] = b"imgstat\x01";

/// How old a change must be before it is trusted that no other one shares its ctime: well over a kernel tick.
const RACY: Duration = Duration::from_millis(50);

/// Extended attributes by name.
pub type Xattrs = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

/// By path. Paths come from a folder of the user, and a slow map is all that a bad one could get.
type Entries = HashMap<TreePath, (Stamp, Known), foldhash::fast::RandomState>;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime: i128,
    /// Status change time in nanoseconds since 1970.
    pub ctime: i128,
}

/// What is known about a file in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The hash of its bytes, once somebody wanted it.
    pub content: Option<ContentDigest>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
}

/// What is known about the files of one context.
pub struct StatCache {
    file: Option<PathBuf>,
    opened: i128,
    known: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    changed: bool,
}

impl StatCache {
    /// Nothing known, and nothing kept.
    pub fn forgetful() -> Self {
        Self { file: None, opened: i128::MAX, known: Mutex::default() }
    }

    /// What was written to `file` before; nothing if that cannot be read.
    pub fn open(file: &Path) -> Self {
        let entries = std::fs::read(file).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let opened = now.saturating_sub(RACY).as_nanos().cast_signed();
        Self { file: Some(file.to_owned()), opened, known: Mutex::new(State { entries, changed: false }) }
    }

    /// Whether such a file is whole; one that is damaged is as good as none.
    pub fn is_whole(file: &Path) -> bool {
        std::fs::read(file).is_ok_and(|bytes| decode(&bytes).is_some())
    }

    /// What is known about a file in this state.
    pub fn get(&self, path: &TreePath, stamp: &Stamp) -> Option<Known> {
        let state = self.lock();
        state.entries.get(path).filter(|(known, _)| known == stamp).map(|(_, known)| known.clone())
    }

    /// Notes what was found out about a file in this state.
    pub fn put(&self, path: &TreePath, stamp: Stamp, known: Known) {
        let mut state = self.lock();
        state.entries.insert(path.clone(), (stamp, known));
        state.changed = true;
    }

    /// Writes down what is known, if it is more than before.
    pub fn save(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        let Some(file) = self.file.as_ref().filter(|_| state.changed) else { return Ok(()) };
        let bytes = encode(&state.entries, self.opened);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        let mut unfinished = Unfinished::replace(file, NEW)?;
        unfinished.write_all(&bytes)?;
        unfinished.finish()?;
        state.changed = false;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn encode(entries: &Entries, trusted_before: i128) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + entries.len() * 160);
    out.extend_from_slice(MAGIC);
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    for (path, (stamp, known)) in entries {
        if stamp.ctime >= trusted_before || stamp.mtime >= trusted_before {
            continue;
        }
        bytes(&mut out, path.as_bytes());
        out.extend_from_slice(&stamp.ino.to_le_bytes());
        out.extend_from_slice(&stamp.size.to_le_bytes());
        out.extend_from_slice(&stamp.mode.to_le_bytes());
        out.extend_from_slice(&stamp.mtime.to_le_bytes());
        out.extend_from_slice(&stamp.ctime.to_le_bytes());
        out.push(u8::from(known.content.is_some()));
        out.extend_from_slice(known.content.map_or([0; 32], |content| *content.as_bytes()).as_slice());
        out.extend_from_slice(&(known.xattrs.len() as u32).to_le_bytes());
        for (name, value) in &known.xattrs {
            bytes(&mut out, name);
            bytes(&mut out, value);
        }
    }
    let check = blake3::hash(&out);
    out.extend_from_slice(&check.as_bytes()[..16]);
    out
}

fn decode(bytes: &[u8]) -> Option<Entries> {
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(16)?)?;
    if &blake3::hash(body).as_bytes()[..16] != check {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut entries = Entries::with_capacity_and_hasher(rest.len() / 160, foldhash::fast::RandomState::default());
    while !rest.is_empty() {
        let path = TreePath::clean(take_bytes(&mut rest)?);
        let stamp = Stamp {
            ino: u64::from_le_bytes(take(&mut rest)?),
            size: u64::from_le_bytes(take(&mut rest)?),
            mode: u32::from_le_bytes(take(&mut rest)?),
            mtime: i128::from_le_bytes(take(&mut rest)?),
            ctime: i128::from_le_bytes(take(&mut rest)?),
        };
        let [hashed] = take(&mut rest)?;
        let digest: [u8; 32] = take(&mut rest)?;
        let mut known = Known { content: (hashed != 0).then(|| ContentDigest::from_bytes(digest)), ..Known::default() };
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let name = take_bytes(&mut rest)?.to_vec();
            known.xattrs.insert(name, take_bytes(&mut rest)?.to_vec());
        }
        entries.insert(path, (stamp, known));
    }
    Some(entries)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_at_checked(N)?;
    *rest = tail;
    head.try_into().ok()
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(ctime: i128) -> Stamp {
        Stamp { ino: 1, size: 2, mode: 3, mtime: -4, ctime }
    }

    #[test]
    fn remembers_settled_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sub/cache");
        let cache = StatCache::open(&file);
        let known =
            Known { content: Some(ContentDigest::of(b"x")), xattrs: [(b"user.a".to_vec(), b"b".to_vec())].into() };
        cache.put(&TreePath::clean("old"), stamp(5), known.clone());
        cache.put(&TreePath::clean("new"), stamp(i128::MAX), known.clone());
        assert_eq!(cache.get(&TreePath::clean("new"), &stamp(i128::MAX)), Some(known.clone()));
        cache.save().unwrap();
        let again = StatCache::open(&file);
        assert_eq!(again.get(&TreePath::clean("old"), &stamp(5)), Some(known));
        assert_eq!(again.get(&TreePath::clean("old"), &stamp(6)), None);
        assert_eq!(again.get(&TreePath::clean("new"), &stamp(i128::MAX)), None);
    }

    #[test]
    fn damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache");
        let cache = StatCache::open(&file);
        cache.put(&TreePath::clean("a"), stamp(5), Known::default());
        cache.save().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert_eq!(StatCache::open(&file).get(&TreePath::clean("a"), &stamp(5)), None, "{cut}");
        }
    }
}
