//! The writer: a layer as data in, the one tar of it out.
//!
//! # The header profile, version 1
//!
//! - Entries in path order, each folder before what is in it. The root has an entry (`./`) only if the layer has one.
//! - Names without a leading slash; folders end with one. A name over 100 bytes is split into prefix and name at the
//!   leftmost slash that makes both fit; if none does, a PAX record has it.
//! - Every header is ustar (`ustar\0`, `00`): numbers in octal with leading zeros and one zero byte, mode without the type
//!   bits, owners numeric only, device numbers zero where there is no device.
//! - What ustar cannot hold stands in a PAX header before the entry, and nothing else does: `path`, `linkpath`, `size`,
//!   `mtime` (negative, or beyond 11 octal digits), `uid`, `gid`, `SCHILY.devmajor`, `SCHILY.devminor`, and
//!   `SCHILY.xattr.security.capability`. Other extended attributes stay behind: later steps see them, images do not
//!   have them, as with other builders. Records are sorted by key; the field they replace is zero or cut off. The PAX header is
//!   itself a ustar header, named `PaxHeaders/` and the entry's last component, mode 0644, all else zero.
//! - Names are bytes, also where they are not UTF-8.
//! - A hard link (type 1) names the first name of its file, and has its metadata and no size.
//! - A whiteout is an empty file `.wh.NAME` with mode 0 and all else zero. An opaque folder is followed at once by a
//!   file `.wh..wh..opq` of the same kind.
//! - Two blocks of zeros end the archive, and nothing follows them.

use std::io::{self, Read, Write};

use tar::Header;

use super::{BLOCK, pax};
use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Toc, TreePath, whiteout};

/// The version of the header profile. A change of any byte that [`write`] makes is a new version.
pub const PROFILE_VERSION: u32 = 1;

/// The one extended attribute that a layer's tar has.
const CAPABILITY: &[u8] = b"security.capability";

/// Whether a tar says everything that there is to say of an entry.
pub fn holds_all_of(entry: &Entry) -> bool {
    entry.meta.xattrs.keys().all(|name| name == CAPABILITY)
}

/// Where the bytes of regular files come from.
pub trait Contents {
    /// The bytes of `entry`, a regular file, from the start.
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>>;
}

/// The source for layers without any file that has bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContents;

impl Contents for NoContents {
    fn open(&self, _: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::empty()))
    }
}

/// Whether bytes are compared with what the layer says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Only how many they are.
    Size,
    /// Their hash too.
    Content,
}

/// A tar that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The archive's own bytes could not be written.
    #[error("the layer cannot be written: {0}")]
    Out(#[source] io::Error),
    /// A file's bytes could not be read.
    #[error("{path}: cannot be read: {error}")]
    Content {
        /// The file.
        path: TreePath,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is not what the layer says.
    #[error("{path}: changed while it was read")]
    Changed {
        /// The file.
        path: TreePath,
    },
}

/// Writes the layer to `out`, as the profile says, and gives `out` back.
pub fn write<W: Write>(toc: &Toc, contents: &dyn Contents, verify: Verify, out: W) -> Result<W, WriteError> {
    let mut writer = Writer { out, verify, buffer: vec![0; 128 << 10] };
    for entry in toc.entries() {
        writer.entry(entry, contents)?;
    }
    writer.put(&[0; 2 * BLOCK])?;
    Ok(writer.out)
}

struct Writer<W> {
    out: W,
    verify: Verify,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    fn entry(&mut self, entry: &Entry, contents: &dyn Contents) -> Result<(), WriteError> {
        self.headers(entry)?;
        match &entry.kind {
            Kind::File { size, content } if *size > 0 => self.content(entry, *size, content, contents),
            Kind::Dir { opaque: true } => self.mark(&entry.path.join(whiteout::OPAQUE)),
            _ => Ok(()),
        }
    }

    fn headers(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let meta = &entry.meta;
        let mut name = entry.path.as_bytes().to_vec();
        let (mut flag, mut size, mut link, mut device) = (b'0', 0, &[][..], (0, 0));
        match &entry.kind {
            Kind::Whiteout => {
                let parent = entry.path.parent().unwrap_or_default();
                return self.mark(&parent.join(&[whiteout::PREFIX, entry.path.name()].concat()));
            }
            Kind::Dir { .. } => {
                flag = b'5';
                name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
            }
            Kind::File { size: bytes, .. } => size = *bytes,
            Kind::Hardlink(target) => (flag, link) = (b'1', target.as_bytes()),
            Kind::Symlink(target) => (flag, link) = (b'2', &target[..]),
            Kind::Char(major, minor) => (flag, device) = (b'3', (*major, *minor)),
            Kind::Block(major, minor) => (flag, device) = (b'4', (*major, *minor)),
            Kind::Fifo => flag = b'6',
        }
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut header = blank(flag);
        let ustar = header.as_old_mut();
        fill_octal(&mut ustar.mode, u64::from(meta.mode & 0o7777));
        if !fill_text(&mut ustar.linkname, link) {
            records.push((b"linkpath".to_vec(), link.to_vec()));
        }
        let mut number = |field: &mut [u8], key: &str, value: i64| {
            let small = u64::try_from(value).is_ok_and(|value| fill_octal(field, value));
            if !small {
                records.push((key.into(), value.to_string().into_bytes()));
            }
        };
        number(&mut ustar.uid, "uid", i64::from(meta.uid));
        number(&mut ustar.gid, "gid", i64::from(meta.gid));
        number(&mut ustar.mtime, "mtime", meta.mtime);
        number(&mut ustar.size, "size", size.cast_signed());
        if let Some(ustar) = header.as_ustar_mut() {
            number(&mut ustar.dev_major, "SCHILY.devmajor", i64::from(device.0));
            number(&mut ustar.dev_minor, "SCHILY.devminor", i64::from(device.1));
            if !fill_name(ustar, &name) {
                records.push((b"path".to_vec(), name));
            }
        }
        if let Some(value) = meta.xattrs.get(CAPABILITY) {
            records.push(([b"SCHILY.xattr.", CAPABILITY].concat(), value.clone()));
        }
        self.extended(&entry.path, records)?;
        header.set_cksum();
        self.put(header.as_bytes())
    }

    /// The PAX header for what does not fit into the next one.
    fn extended(&mut self, path: &TreePath, mut records: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), WriteError> {
        if records.is_empty() {
            return Ok(());
        }
        records.sort();
        let mut data = Vec::new();
        for (key, value) in &records {
            pax::write(key, value, &mut data);
        }
        let mut header = blank(b'x');
        let old = header.as_old_mut();
        fill_octal(&mut old.mode, 0o644);
        fill_octal(&mut old.size, data.len() as u64);
        let name = [b"PaxHeaders/", path.name()].concat();
        fill_text(&mut old.name, &name[..name.len().min(100)]);
        header.set_cksum();
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        self.put(header.as_bytes())?;
        self.put(&data)
    }

    /// An empty file whose name says everything.
    fn mark(&mut self, path: &TreePath) -> Result<(), WriteError> {
        let mut header = blank(b'0');
        let fits = header.as_ustar_mut().is_some_and(|ustar| fill_name(ustar, path.as_bytes()));
        if !fits {
            self.extended(path, vec![(b"path".to_vec(), path.as_bytes().to_vec())])?;
        }
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn content(
        &mut self,
        entry: &Entry,
        size: u64,
        content: &ContentDigest,
        contents: &dyn Contents,
    ) -> Result<(), WriteError> {
        let unreadable = |error| WriteError::Content { path: entry.path.clone(), error };
        let changed = || WriteError::Changed { path: entry.path.clone() };
        let mut reader = contents.open(entry).map_err(unreadable)?;
        let mut hash = (self.verify == Verify::Content).then(blake3::Hasher::new);
        let mut left = size;
        loop {
            // At the end, one more byte is asked for: there must be none.
            let ask = usize::try_from(left).unwrap_or(usize::MAX).clamp(1, self.buffer.len());
            let read = match reader.read(&mut self.buffer[..ask]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(unreadable)?,
            };
            match (read, left) {
                (0, 0) => break,
                (0, _) | (_, 0) => return Err(changed()),
                _ => {}
            }
            if let Some(hash) = &mut hash {
                hash.update(&self.buffer[..read]);
            }
            self.out.write_all(&self.buffer[..read]).map_err(WriteError::Out)?;
            left -= read as u64;
        }
        if hash.is_some_and(|hash| hash.finalize().as_bytes() != content.as_bytes()) {
            return Err(changed());
        }
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(WriteError::Out)
    }
}

/// A ustar header with all numbers zero and all names empty.
fn blank(flag: u8) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes().fill(0);
    let old = header.as_old_mut();
    old.linkflag = [flag];
    for field in [&mut old.mode[..], &mut old.uid, &mut old.gid, &mut old.size, &mut old.mtime] {
        fill_octal(field, 0);
    }
    // The magic comes first: without it, the header does not pass for ustar.
    header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
    if let Some(ustar) = header.as_ustar_mut() {
        fill_octal(&mut ustar.dev_major, 0);
        fill_octal(&mut ustar.dev_minor, 0);
    }
    header
}

/// Writes octal digits over the whole field but its last byte, which is zero. False, and all digits zero, if it is too small.
fn fill_octal(field: &mut [u8], value: u64) -> bool {
    let Some((last, digits)) = field.split_last_mut() else { return false };
    *last = 0;
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    if rest != 0 {
        digits.fill(b'0');
    }
    rest == 0
}

/// Writes as much as fits, and says whether that was all.
fn fill_text(field: &mut [u8], text: &[u8]) -> bool {
    let fit = text.len().min(field.len());
    field[..fit].copy_from_slice(&text[..fit]);
    fit == text.len()
}

/// Writes the name, split if that helps. If it does not fit, its head stands there and the answer is false.
fn fill_name(ustar: &mut tar::UstarHeader, name: &[u8]) -> bool {
    if fill_text(&mut ustar.name, name) {
        return true;
    }
    let first = name.len() - ustar.name.len() - 1;
    let split = (first..name.len() - 1).find(|&at| at > 0 && name[at] == b'/');
    match split {
        Some(at) if at <= ustar.prefix.len() => {
            ustar.name.fill(0);
            fill_text(&mut ustar.name, &name[at + 1..]);
            fill_text(&mut ustar.prefix, &name[..at])
        }
        _ => false,
    }
}
