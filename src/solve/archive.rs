//! Archives that `ADD` unpacks: told by content, read once, their files spooled to a temporary folder.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::digest::ContentDigest;
use crate::fstree::tar::{Dialect, RawKind, Reason};
use crate::fstree::{Entry, Kind, Meta, TreePath};
use crate::solve::error::StepError;
use crate::store::{ArchiveLimits, intake};

/// A temporary folder of numbered files. Goes when it is dropped.
pub struct Spool {
    folder: PathBuf,
    next: usize,
}

impl Spool {
    /// An empty one at `folder`, which does not exist yet.
    pub fn new(folder: PathBuf) -> Result<Self, StepError> {
        std::fs::create_dir(&folder).map_err(|error| StepError::store(&folder, error))?;
        Ok(Self { folder, next: 0 })
    }

    /// Opens a file by its number.
    pub fn open(&self, number: usize) -> io::Result<File> {
        File::open(self.folder.join(number.to_string()))
    }

    fn add(&mut self, content: &mut dyn Read) -> io::Result<(usize, u64, ContentDigest)> {
        let number = self.next;
        self.next += 1;
        let mut file = File::create_new(self.folder.join(number.to_string()))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 128 << 10];
        let mut size = 0;
        loop {
            let read = content.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read])?;
            size += read as u64;
        }
        Ok((number, size, ContentDigest::from_bytes(*hasher.finalize().as_bytes())))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is swept with the temporary files of processes that are gone.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether a file is a tar with at least one entry, compressed or not. Whether that can be unpacked is another question.
pub fn is_archive(file: Box<dyn Read + Send>) -> bool {
    let Ok(mut reader) = intake::tar(file, Dialect::Archive, ArchiveLimits::default()) else { return false };
    match reader.next() {
        Ok(first) => first.is_some(),
        // What begins as one and goes on wrong, or without measure, is no file to be copied.
        Err(error) => match error.reason {
            Reason::Io(error) => error.get_ref().is_some_and(|error| error.is::<intake::TooLarge>()),
            Reason::NotAHeader | Reason::CutOff => false,
            _ => true,
        },
    }
}

/// Reads an archive: its entries in its order, and for each the number of its file in the spool.
pub fn read(
    file: Box<dyn Read + Send>,
    spool: &mut Spool,
    path: &TreePath,
    limits: ArchiveLimits,
) -> Result<(Vec<Entry>, Vec<usize>), StepError> {
    let failed = |error: &dyn std::fmt::Display| StepError::message(format!("{path} cannot be unpacked: {error}"));
    let mut reader = intake::tar(file, Dialect::Archive, limits).map_err(|error| failed(&error))?;
    let (mut entries, mut numbers) = (Vec::new(), Vec::new());
    while let Some((entry, mut content)) = reader.next().map_err(|error| failed(&error))? {
        let mut number = usize::MAX;
        let kind = match entry.kind {
            RawKind::Dir => Kind::Dir { opaque: false },
            RawKind::File(_) => {
                let (spooled, size, content) = spool.add(&mut content).map_err(|error| failed(&error))?;
                number = spooled;
                Kind::File { size, content }
            }
            RawKind::Symlink(target) => Kind::Symlink(target),
            RawKind::Hardlink(target) => Kind::Hardlink(target),
            RawKind::Char(major, minor) => Kind::Char(major, minor),
            RawKind::Block(major, minor) => Kind::Block(major, minor),
            RawKind::Fifo => Kind::Fifo,
            RawKind::Whiteout | RawKind::Opaque => continue,
        };
        let meta = Meta { mode: if matches!(kind, Kind::Symlink(_)) { 0o777 } else { entry.meta.mode }, ..entry.meta };
        entries.push(Entry { path: entry.path, meta, kind });
        numbers.push(number);
    }
    Ok((entries, numbers))
}
