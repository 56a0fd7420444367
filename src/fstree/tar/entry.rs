//! What an archive says of one file: headers of all kinds are turned into plain entries here, and refused where they make
//! no sense.

use std::io::Read;

use tar::Header;

use super::pax::Extended;
use super::read::{TarReader, padding};
use super::sparse::Expansion;
use super::{Reason, header};
use crate::fstree::{Meta, TreePath, whiteout};

/// The longest path that Linux takes, in bytes.
const LONGEST_NAME: usize = 4095;

/// How much of a name is in messages, in bytes.
const SHOWN: usize = 256;

/// How names in an archive are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A layer of an image: `.wh.` names are whiteouts.
    Layer,
    /// Any other archive: a name is a name.
    Archive,
}

/// How much of everything is accepted from an archive that nobody vouches for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of extended headers, long names and sparse maps of one entry. They are held in memory.
    pub header_bytes: u64,
    /// Entries in the archive.
    pub entries: u64,
    /// Bytes of all files together, holes counted.
    pub content_bytes: u64,
    /// Bytes of the names, link targets and attributes of all entries together. Whoever lists an archive holds them in memory.
    pub name_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 1 << 20, entries: 10_000_000, content_bytes: 1 << 42, name_bytes: 1 << 30 }
    }
}

/// What an entry of an archive is. Unlike [`Kind`](crate::fstree::Kind), nothing was hashed and links are unresolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawKind {
    /// A folder.
    Dir,
    /// A regular file of this many bytes, holes counted.
    File(u64),
    /// A symbolic link and its target, as it is.
    Symlink(Vec<u8>),
    /// Another name of what stands at this path.
    Hardlink(TreePath),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// What lower layers have at this path is gone. Only in [`Dialect::Layer`].
    Whiteout,
    /// What lower layers have in this folder is gone. Says nothing else of the folder. Only in [`Dialect::Layer`].
    Opaque,
}

/// An entry as it stands in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its name, clamped at the root.
    pub path: TreePath,
    /// Permissions, owner, time in whole seconds (rounded down), attributes that belong to an image.
    pub meta: Meta,
    /// What it is.
    pub kind: RawKind,
}

impl<R: Read> TarReader<R> {
    /// Turns the headers into an entry and gets ready to read its bytes. None for what says nothing in this dialect.
    pub(super) fn entry(&mut self, header: &Header, extended: Extended) -> Result<Option<RawEntry>, Reason> {
        let old = header.as_old();
        let posix = header.as_ustar();
        let flag = old.linkflag[0];
        let name = match (extended.sparse.name.as_ref().or(extended.path.as_ref()), posix) {
            (Some(name), _) => name.clone(),
            (None, Some(posix)) if posix.prefix[0] != 0 => {
                [header::text(&posix.prefix), b"/", header::text(&posix.name)].concat()
            }
            (None, _) => header::text(&old.name).to_vec(),
        };
        self.name = Some(shown(&name));
        check_name(&name, "name")?;
        let link = extended.link.clone().unwrap_or_else(|| header::text(&old.linkname).to_vec());
        let link_length = link.len();
        let device = || {
            let (major, minor) = match (posix, header.as_gnu()) {
                (Some(posix), _) => (&posix.dev_major, &posix.dev_minor),
                (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
                _ => return Err(Reason::Type(char::from(flag))),
            };
            let number = |given: Option<u64>, field: &[u8]| match given {
                Some(number) => id(number, "device number"),
                None => id(header::unsigned(field, "device number")?, "device number"),
            };
            Ok((number(extended.device.0, major)?, number(extended.device.1, minor)?))
        };
        let size = match extended.size {
            Some(size) if size > i64::MAX as u64 => return Err(Reason::Range("size")),
            Some(size) => size,
            None => header::unsigned(&old.size, "size")?,
        };
        let mut kind = match flag {
            b'0' | 0 | b'7' if name.ends_with(b"/") => RawKind::Dir,
            b'0' | 0 | b'7' | b'S' => RawKind::File(size),
            b'1' => {
                check_name(&link, "link target")?;
                RawKind::Hardlink(TreePath::clean(&link))
            }
            b'2' => {
                check_name(&link, "link target")?;
                RawKind::Symlink(link)
            }
            b'3' => device().map(|(major, minor)| RawKind::Char(major, minor))?,
            b'4' => device().map(|(major, minor)| RawKind::Block(major, minor))?,
            b'5' | b'D' => RawKind::Dir,
            b'6' => RawKind::Fifo,
            // The rest of a file from another volume, or what is no file at all.
            b'M' | b'N' => return Err(Reason::Type(char::from(flag))),
            // Types that nobody knows are regular files, says POSIX.
            _ => RawKind::File(size),
        };
        // Links, devices and pipes have no bytes, whatever their size field says.
        self.stored = if matches!(kind, RawKind::File(_)) || flag == b'D' { size } else { 0 };
        self.padding = padding(self.stored);
        self.expansion = Expansion::plain(0);
        if let RawKind::File(size) = &mut kind {
            self.expansion = match self.sparse_map(header, &extended)? {
                Some((segments, real)) => {
                    *size = real;
                    Expansion::new(segments, real, self.stored)?
                }
                None => Expansion::plain(*size),
            };
            self.content_bytes = self.content_bytes.saturating_add(*size);
            if self.content_bytes > self.limits.content_bytes {
                return Err(Reason::Limit { what: "the bytes of its files", limit: self.limits.content_bytes });
            }
            if let (Some(holes), 1..) = (&mut self.holes, size.saturating_sub(self.stored)) {
                holes(*size - self.stored)?;
            }
        }
        let number = |given: Option<u64>, field: &[u8], what| match given {
            Some(number) => id(number, what),
            None => id(header::unsigned(field, what)?, what),
        };
        let mode = header::number(&old.mode).ok_or(Reason::Number("mode"))?;
        let meta = Meta {
            mode: if matches!(kind, RawKind::Symlink(_)) { 0o777 } else { (mode & 0o7777) as u32 },
            uid: number(extended.uid, &old.uid, "uid")?,
            gid: number(extended.gid, &old.gid, "gid")?,
            mtime: match extended.mtime {
                Some(mtime) => mtime,
                None => header::number(&old.mtime).ok_or(Reason::Number("mtime"))?,
            },
            xattrs: extended.xattrs,
        };
        let attributes: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.name_bytes = self.name_bytes.saturating_add((name.len() + link_length + attributes) as u64);
        if self.name_bytes > self.limits.name_bytes {
            return Err(Reason::Limit { what: "the bytes of its names and attributes", limit: self.limits.name_bytes });
        }
        self.placed(RawEntry { path: TreePath::clean(&name), meta, kind })
    }

    /// Gives names their meaning in the dialect.
    fn placed(&self, entry: RawEntry) -> Result<Option<RawEntry>, Reason> {
        if self.dialect == Dialect::Layer {
            let mark = |path, kind| Ok(Some(RawEntry { path, meta: Meta::default(), kind }));
            let parent = entry.path.parent().unwrap_or_default();
            if parent.components().any(|part| part.starts_with(whiteout::PREFIX)) {
                return Ok(None);
            }
            match whiteout::meaning(entry.path.name()) {
                whiteout::Name::Plain => {}
                whiteout::Name::Nothing => return Ok(None),
                whiteout::Name::Opaque => return mark(parent, RawKind::Opaque),
                whiteout::Name::Whiteout(gone) => return mark(parent.join(gone), RawKind::Whiteout),
            }
        }
        if entry.path.is_root() && entry.kind != RawKind::Dir {
            return Err(Reason::Root);
        }
        Ok(Some(entry))
    }
}

/// A name for people. Nobody reads a megabyte of it.
fn shown(name: &[u8]) -> String {
    match name.get(..SHOWN) {
        Some(start) if name.len() > SHOWN => String::from_utf8_lossy(start).into_owned() + "…",
        _ => String::from_utf8_lossy(name).into_owned(),
    }
}

fn check_name(name: &[u8], what: &'static str) -> Result<(), Reason> {
    if name.is_empty() || name.contains(&0) {
        return Err(Reason::Name(what));
    }
    if name.len() > LONGEST_NAME {
        return Err(Reason::Limit { what: "the bytes of its name or link target", limit: LONGEST_NAME as u64 });
    }
    Ok(())
}

/// A number that the kernel takes as an owner or half of a device: 32 bits, and not -1, which means "leave it".
fn id(number: u64, what: &'static str) -> Result<u32, Reason> {
    u32::try_from(number).ok().filter(|&id| id != u32::MAX).ok_or(Reason::Range(what))
}
