//! Blobs: bytes under the name of their SHA-256.
//!
//! A blob is written to a temporary file and hashed on the way; it gets its name only when all of it is there, synced and,
//! if somebody promised a digest, found to be that. One that exists already is success. Readers check again, because disks
//! and people change files.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::digest::{Digest, HashingReader, HashingWriter};
use crate::store::error::{Result, StoreError, io_error};
use crate::store::{Exclusive, Store, layout};

/// How much is read or written at once, in bytes.
const BUFFER: usize = 256 << 10;

/// So many bytes of a blob are brought to the disk while more are written.
const SYNC_AHEAD: u64 = 64 << 20;

/// A blob in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A blob that is being written. Dropped without [`BlobWriter::commit`], it leaves nothing.
pub struct BlobWriter<'a> {
    file: HashingWriter<BufWriter<File>>,
    target: Temporary<'a>,
    /// How many bytes nobody has begun to bring to the disk.
    unsynced: u64,
    syncing: Option<JoinHandle<()>>,
}

/// A blob that is written but not in the store yet. Dropped without [`StagedBlob::commit`], it leaves nothing.
pub struct StagedBlob<'a> {
    // No open file: an archive may stage more of them than a process may have open.
    blob: Blob,
    target: Temporary<'a>,
}

/// A temporary file that goes when it is dropped.
struct Temporary<'a> {
    store: &'a Store,
    path: PathBuf,
}

/// Reads a blob; fails at its end, or before, if it is not what its name says.
pub struct BlobReader {
    inner: Option<HashingReader<io::Take<File>>>,
    expected: Digest,
}

/// The blobs that this process has written, hashing them on the way.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<HashSet<Digest>>);

impl Written {
    fn add(&self, digest: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    fn has(&self, digest: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}

impl Store {
    /// Whether a blob is there.
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// The size of a blob in bytes; none if it is not there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join(layout::BLOBS).join(digest.hex())
    }

    /// Takes over a blob of another store, without a copy if both are on one file system; returns whether it was there.
    pub fn share_blob(&self, other: &Self, digest: &Digest) -> Result<bool> {
        let path = self.blob_path(digest);
        if !other.has(digest) || self.has(digest) {
            return Ok(other.has(digest));
        }
        match fs::hard_link(other.blob_path(digest), &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(_) => self.put_reader(other.reader(digest)?, Some(*digest)).map(|_| true),
        }
    }

    /// Begins a blob.
    pub fn writer(&self) -> Result<BlobWriter<'_>> {
        let (file, path) = self.tmp_file("blob")?;
        let file = HashingWriter::new(BufWriter::with_capacity(BUFFER, file));
        Ok(BlobWriter { file, target: Temporary { store: self, path }, unsynced: 0, syncing: None })
    }

    /// Puts these bytes into the store.
    pub fn put(&self, bytes: &[u8]) -> Result<Blob> {
        let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
        if self.size(&blob.digest)? == Some(blob.size) {
            return Ok(blob);
        }
        let mut writer = self.writer()?;
        let path = writer.target.path.clone();
        writer.write_all(bytes).map_err(io_error("write", &path))?;
        writer.commit(Some(blob.digest))
    }

    /// Puts everything that a reader has into the store; see [`BlobWriter::commit`] for `expected`.
    pub fn put_reader(&self, mut reader: impl Read, expected: Option<Digest>) -> Result<Blob> {
        let mut writer = self.writer()?;
        writer.copy_from(&mut reader)?;
        writer.commit(expected)
    }

    /// Opens a blob as it is, unchecked: for seeking, or where somebody else checks.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(*digest),
            _ => io_error("read", &path)(error),
        })
    }

    /// Opens a blob for reading it once, checked.
    pub fn reader(&self, digest: &Digest) -> Result<BlobReader> {
        let file = self.open_blob(digest)?;
        let size = file.metadata().map_err(io_error("read", &self.blob_path(digest)))?.len();
        Ok(BlobReader { inner: Some(HashingReader::new(file.take(size))), expected: *digest })
    }

    /// Opens a blob for writing it elsewhere: checked, unless this process hashed it when it wrote it.
    pub fn export_reader(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        Ok(if self.written.has(digest) { Box::new(self.open_blob(digest)?) } else { Box::new(self.reader(digest)?) })
    }

    /// A whole blob of at most `limit` bytes, checked.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let mut file = self.open_blob(digest)?;
        let path = self.blob_path(digest);
        let size = file.metadata().map_err(io_error("read", &path))?.len();
        if size > limit {
            return Err(StoreError::TooLarge { digest: *digest, size, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        let actual = Digest::of(&bytes);
        if actual == *digest {
            Ok(bytes)
        } else {
            Err(StoreError::Mismatch { what: path.display().to_string(), expected: *digest, actual })
        }
    }

    /// All blobs.
    pub fn blobs(&self) -> Result<BTreeSet<Digest>> {
        let folder = self.root().join(layout::BLOBS);
        let mut all = BTreeSet::new();
        for entry in fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let name = entry.map_err(io_error("read", &folder))?.file_name();
            // Whatever else lies there is not ours.
            all.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        Ok(all)
    }
}

impl Exclusive<'_> {
    /// Removes a blob; returns its size in bytes, 0 if it was not there.
    ///
    /// Whether an image still needs it is the caller's business: [`Store::reachable`].
    pub fn remove_blob(&self, digest: &Digest) -> Result<u64> {
        let size = self.size(digest)?.unwrap_or_default();
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(size),
        }
    }
}

impl<'a> BlobWriter<'a> {
    /// Writes everything that a reader has. Its errors are [`StoreError::Input`].
    pub fn copy_from(&mut self, reader: &mut impl Read) -> Result<u64> {
        let mut buffer = vec![0; BUFFER];
        let mut total = 0;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Input(error)),
            };
            self.write_all(&buffer[..read]).map_err(io_error("write", &self.target.path))?;
            total += read as u64;
        }
    }

    /// Ends writing without entering the store.
    pub fn stage(self) -> Result<StagedBlob<'a>> {
        let Self { file, target, syncing, .. } = self;
        // Two that bring one file to the disk would wait for each other anyway.
        drop(syncing.map(JoinHandle::join));
        let (file, digest, size) = file.finish();
        file.into_inner().map_err(|error| io_error("write", &target.path)(error.into_error()))?;
        Ok(StagedBlob { blob: Blob { digest, size }, target })
    }

    /// Enters the store under the digest of what was written. Its bytes are on the disk then; its name is when an index lists it.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if that is not `expected`; then nothing enters.
    pub fn commit(self, expected: Option<Digest>) -> Result<Blob> {
        let staged = self.stage()?;
        match expected {
            Some(expected) if expected != staged.blob.digest => {
                Err(StoreError::Mismatch { what: "the blob".into(), expected, actual: staged.blob.digest })
            }
            _ => staged.commit(),
        }
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.unsynced += written as u64;
        if self.unsynced >= SYNC_AHEAD && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.unsynced = 0;
            let path = self.target.path.clone();
            // What fails here fails again in `commit`, which tells of it.
            self.syncing = Some(std::thread::spawn(move || drop(File::open(path).and_then(|file| file.sync_data()))));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StagedBlob<'_> {
    /// What it will be in the store.
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Its bytes from the start.
    pub fn open(&self) -> Result<File> {
        File::open(&self.target.path).map_err(io_error("read", &self.target.path))
    }

    /// Enters the store, as [`BlobWriter::commit`] does. One that exists with the same size is success.
    pub fn commit(self) -> Result<Blob> {
        let Self { blob, target } = self;
        // A file of another size was cut short or damaged; the good one replaces it.
        if target.store.size(&blob.digest)? == Some(blob.size) {
            return Ok(blob);
        }
        File::open(&target.path).and_then(|file| file.sync_all()).map_err(io_error("write", &target.path))?;
        let path = target.store.blob_path(&blob.digest);
        fs::rename(&target.path, &path).map_err(io_error("write", &path))?;
        target.store.written.add(blob.digest);
        Ok(blob)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.inner else { return Ok(0) };
        let read = inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let actual = self.inner.take().map(|inner| inner.finish().1);
            if let Some(actual) = actual.filter(|actual| *actual != self.expected) {
                let expected = self.expected;
                let error = StoreError::Mismatch { what: "a blob in the store".into(), expected, actual };
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn temporary_files(store: &Store) -> usize {
        fs::read_dir(store.tmp_dir().unwrap()).unwrap().count()
    }

    #[test]
    fn stores_and_reads() {
        let (_folder, store) = store();
        let blob = store.put(b"abc").unwrap();
        assert_eq!(blob, Blob { digest: Digest::of(b"abc"), size: 3 });
        assert_eq!(store.put(b"abc").unwrap(), blob);
        assert_eq!(store.put_reader(&b"abc"[..], Some(blob.digest)).unwrap(), blob);
        assert!(store.has(&blob.digest));
        assert_eq!(store.size(&blob.digest).unwrap(), Some(3));
        assert_eq!(store.read(&blob.digest, 3).unwrap(), b"abc");
        assert_eq!(io::read_to_string(store.reader(&blob.digest).unwrap()).unwrap(), "abc");
        assert_eq!(store.blobs().unwrap(), [blob.digest].into());
        assert_eq!(temporary_files(&store), 0);
    }

    #[test]
    fn what_is_not_as_promised_does_not_enter() {
        let (_folder, store) = store();
        let promised = Digest::of(b"abd");
        let error = store.put_reader(&b"abc"[..], Some(promised)).unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { expected, .. } if expected == promised), "{error}");
        let mut writer = store.writer().unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert_eq!(store.blobs().unwrap(), [].into());
        assert_eq!(temporary_files(&store), 0);
    }

    #[test]
    fn notices_damage_and_heals_it() {
        let (_folder, store) = store();
        let digest = store.put(b"abc").unwrap().digest;
        fs::write(store.blob_path(&digest), "abx").unwrap();
        assert!(matches!(store.read(&digest, 9), Err(StoreError::Mismatch { .. })));
        let error = io::read_to_string(store.reader(&digest).unwrap()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        fs::write(store.blob_path(&digest), "a").unwrap();
        store.put(b"abc").unwrap();
        assert_eq!(store.read(&digest, 9).unwrap(), b"abc");
    }

    #[test]
    fn knows_limits_and_absence() {
        let (_folder, store) = store();
        let digest = store.put(b"abc").unwrap().digest;
        assert!(matches!(store.read(&digest, 2), Err(StoreError::TooLarge { size: 3, limit: 2, .. })));
        let missing = Digest::of(b"?");
        assert!(matches!(store.read(&missing, 2), Err(StoreError::Missing(digest)) if digest == missing));
        assert_eq!(store.size(&missing).unwrap(), None);
    }

    #[test]
    fn removes_alone() {
        let (_folder, mut store) = store();
        let digest = store.put(b"abc").unwrap().digest;
        let alone = store.exclusive().unwrap();
        assert_eq!(alone.remove_blob(&digest).unwrap(), 3);
        assert_eq!(alone.remove_blob(&digest).unwrap(), 0);
    }
}
