//! The reader: headers of all kinds in, plain entries and their bytes out, one at a time, in bounded memory.

use std::io::{self, Read};

use tar::{GnuExtSparseHeader, Header};

use super::pax::{self, Extended};
use super::sparse::{self, Expansion, Next};
use super::{BLOCK, Reason, TarError, header};
use crate::fstree::{Meta, TreePath, whiteout};

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

/// The longest path that Linux takes, in bytes.
const LONGEST_NAME: usize = 4095;

/// How much of a name is in messages, in bytes.
const SHOWN: usize = 256;

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

/// Hears of holes.
type Holes = Box<dyn FnMut(u64) -> io::Result<()> + Send>;

/// Reads a tar as a stream. Compression has been taken off before.
pub struct TarReader<R> {
    input: R,
    dialect: Dialect,
    limits: Limits,
    /// Bytes read from `input`.
    offset: u64,
    /// Where the first header of the current entry starts.
    start: u64,
    name: Option<String>,
    entries: u64,
    content_bytes: u64,
    name_bytes: u64,
    /// Who is told of bytes that files have and the archive has not.
    holes: Option<Holes>,
    /// Stored bytes of the current entry that were not read yet, without the padding.
    stored: u64,
    padding: u64,
    expansion: Expansion,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads from `input`, which starts with the first header.
    pub fn new(input: R, dialect: Dialect, limits: Limits) -> Self {
        Self {
            input,
            dialect,
            limits,
            offset: 0,
            start: 0,
            name: None,
            entries: 0,
            content_bytes: 0,
            name_bytes: 0,
            holes: None,
            stored: 0,
            padding: 0,
            expansion: Expansion::plain(0),
            ended: false,
        }
    }

    /// The same; `holes` is told how many bytes of a sparse file are not stored, and may refuse them.
    pub fn telling_holes(self, holes: impl FnMut(u64) -> io::Result<()> + Send + 'static) -> Self {
        Self { holes: Some(Box::new(holes)), ..self }
    }

    /// How names are taken.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The next entry, and a reader of its bytes (empty for all but regular files). What is not read of them is skipped.
    ///
    /// The archive ends with its first block of zeros; what follows that is never looked at.
    #[expect(clippy::should_implement_trait, reason = "the reader of an entry's bytes borrows from this one")]
    pub fn next(&mut self) -> Result<Option<(RawEntry, Content<'_, R>)>, TarError> {
        match self.advance() {
            Ok(Some(entry)) => Ok(Some((entry, Content { reader: self }))),
            Ok(None) => Ok(None),
            Err(reason) => Err(self.error(reason)),
        }
    }

    /// The reader below, wherever it stands: behind the first block of zeros if all entries were read.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Reads to the end of the input, past what the archive itself needs, so that a hash below sees all bytes.
    pub fn drain(&mut self) -> Result<(), TarError> {
        self.ended = true;
        match io::copy(&mut self.input, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(error.into())),
        }
    }

    fn error(&self, reason: Reason) -> TarError {
        TarError { entry: self.name.clone(), offset: self.start, reason }
    }

    fn advance(&mut self) -> Result<Option<RawEntry>, Reason> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.stored)?;
        self.skip(self.padding)?;
        (self.stored, self.padding) = (0, 0);
        loop {
            let mut extended = Extended::default();
            self.name = None;
            self.start = self.offset;
            let Some(header) = self.headers(&mut extended)? else {
                self.ended = true;
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(Reason::Limit { what: "its entries", limit: self.limits.entries });
            }
            if let Some(entry) = self.entry(&header, extended)? {
                return Ok(Some(entry));
            }
            self.skip(self.stored)?;
            self.skip(self.padding)?;
            (self.stored, self.padding) = (0, 0);
        }
    }

    /// Reads headers up to one that is an entry's own; what others say of it goes to `extended`.
    fn headers(&mut self, extended: &mut Extended) -> Result<Option<Header>, Reason> {
        let mut budget = self.limits.header_bytes;
        loop {
            let mut header = Header::new_old();
            if !self.block(header.as_mut_bytes())? || header::is_zero(header.as_bytes()) {
                return if budget == self.limits.header_bytes { Ok(None) } else { Err(Reason::CutOff) };
            }
            if !header::checksum_matches(&header) {
                return Err(Reason::NotAHeader);
            }
            let size = |header: &Header| header::unsigned(&header.as_old().size, "size");
            match header.as_old().linkflag[0] {
                // Defaults for all entries that follow: in practice a comment of `git archive`.
                b'g' | b'V' => {
                    let size = size(&header)?;
                    self.skip(size)?;
                    self.skip(padding(size))?;
                }
                b'x' | b'X' => pax::read(&self.extension(size(&header)?, &mut budget)?, extended)?,
                b'L' => extended.path = Some(trim_zeros(self.extension(size(&header)?, &mut budget)?)),
                b'K' => extended.link = Some(trim_zeros(self.extension(size(&header)?, &mut budget)?)),
                _ => return Ok(Some(header)),
            }
        }
    }

    /// Turns the headers into an entry and gets ready to read its bytes. None for what says nothing in this dialect.
    fn entry(&mut self, header: &Header, extended: Extended) -> Result<Option<RawEntry>, Reason> {
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

    /// The stored stretches and the full length of a sparse file. Takes what it reads off `self.stored`.
    fn sparse_map(
        &mut self,
        header: &Header,
        extended: &Extended,
    ) -> Result<Option<(Vec<sparse::Segment>, u64)>, Reason> {
        let mut budget = self.limits.header_bytes;
        if header.as_old().linkflag[0] == b'S' {
            let gnu = header.as_gnu().ok_or(Reason::Sparse)?;
            let mut segments = Vec::new();
            sparse::gnu(&gnu.sparse, &mut segments)?;
            let mut more = gnu.isextended[0] != 0;
            while more {
                let mut block = GnuExtSparseHeader::new();
                self.spend(BLOCK as u64, &mut budget)?;
                if !self.block(block.as_mut_bytes())? {
                    return Err(Reason::CutOff);
                }
                sparse::gnu(&block.sparse, &mut segments)?;
                more = block.isextended[0] != 0;
            }
            return Ok(Some((segments, header::unsigned(&gnu.realsize, "size")?)));
        }
        let given = &extended.sparse;
        if given.major == Some(1) {
            let size = given.size.ok_or(Reason::Sparse)?;
            let count = self.map_number(&mut budget)?;
            let mut segments = Vec::new();
            for _ in 0..count {
                let offset = self.map_number(&mut budget)?;
                segments.push(sparse::Segment { offset, length: self.map_number(&mut budget)? });
            }
            // The map is padded to whole blocks.
            let read = self.limits.header_bytes - budget;
            self.take_stored(padding(read))?;
            return Ok(Some((segments, size)));
        }
        match (&given.map, given.size) {
            (Some(segments), Some(size)) => Ok(Some((segments.clone(), size))),
            (Some(_), None) => Err(Reason::Sparse),
            (None, _) => Ok(None),
        }
    }

    /// One decimal number and the newline behind it, from the head of the entry's data.
    fn map_number(&mut self, budget: &mut u64) -> Result<u64, Reason> {
        let mut digits = Vec::new();
        loop {
            self.spend(1, budget)?;
            if self.stored == 0 || digits.len() > 20 {
                return Err(Reason::Sparse);
            }
            let mut byte = [0];
            self.exact(&mut byte)?;
            self.stored -= 1;
            match byte[0] {
                b'\n' => return pax::decimal(&digits).ok_or(Reason::Sparse),
                digit => digits.push(digit),
            }
        }
    }

    fn take_stored(&mut self, bytes: u64) -> Result<(), Reason> {
        self.stored = self.stored.checked_sub(bytes).ok_or(Reason::Sparse)?;
        self.skip(bytes)
    }

    fn spend(&self, bytes: u64, budget: &mut u64) -> Result<(), Reason> {
        let limit = self.limits.header_bytes;
        *budget = budget.checked_sub(bytes).ok_or(Reason::Limit { what: "the bytes of its headers", limit })?;
        Ok(())
    }

    /// The data of a header that speaks of the next one.
    fn extension(&mut self, size: u64, budget: &mut u64) -> Result<Vec<u8>, Reason> {
        self.spend(size.max(1), budget)?;
        let mut data = vec![0; usize::try_from(size).map_err(|_| Reason::Range("size"))?];
        self.exact(&mut data)?;
        self.skip(padding(size))?;
        Ok(data)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Reason> {
        self.input.read_exact(buffer).map_err(cut_off)?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    /// Fills a block; false at the end of the input.
    fn block(&mut self, block: &mut [u8]) -> Result<bool, Reason> {
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(Reason::CutOff),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.offset += filled as u64;
        Ok(true)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Reason> {
        if bytes == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())?;
        self.offset += skipped;
        if skipped == bytes { Ok(()) } else { Err(Reason::CutOff) }
    }

    fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let fit = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.expansion.next() {
            Next::End => return Ok(0),
            Next::Zeros(bytes) => {
                let count = fit(bytes);
                buffer[..count].fill(0);
                count
            }
            Next::Stored(bytes) => {
                let count = fit(bytes);
                let read = self.input.read(&mut buffer[..count])?;
                if read == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, self.error(Reason::CutOff)));
                }
                self.offset += read as u64;
                self.stored -= read as u64;
                read
            }
        };
        self.expansion.advance(read as u64);
        Ok(read)
    }
}

/// The bytes of one entry, holes filled with zeros.
pub struct Content<'a, R> {
    reader: &'a mut TarReader<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read_content(buffer)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn cut_off(error: io::Error) -> Reason {
    if error.kind() == io::ErrorKind::UnexpectedEof { Reason::CutOff } else { Reason::Io(error) }
}

fn trim_zeros(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    name.truncate(end);
    name
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
