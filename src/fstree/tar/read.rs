//! The reader: an archive as a stream of entries and their bytes, one at a time, in bounded memory.
//!
//! Here is what keeps count of where it stands: blocks, padding, limits. What headers mean is for [`entry`](super::entry),
//! and where the holes of a file are for [`sparse`](super::sparse).

use std::io::{self, Read};

use tar::Header;

use super::entry::{Dialect, Limits, RawEntry};
use super::pax::{self, Extended};
use super::sparse::{Expansion, Next};
use super::{BLOCK, Reason, TarError, header};

/// Hears of holes.
type Holes = Box<dyn FnMut(u64) -> io::Result<()> + Send>;

/// Reads a tar as a stream. Compression has been taken off before.
pub struct TarReader<R> {
    input: R,
    pub(super) dialect: Dialect,
    pub(super) limits: Limits,
    /// Bytes read from `input`.
    offset: u64,
    /// Where the first header of the current entry starts.
    start: u64,
    pub(super) name: Option<String>,
    entries: u64,
    pub(super) content_bytes: u64,
    pub(super) name_bytes: u64,
    /// Who is told of bytes that files have and the archive has not.
    pub(super) holes: Option<Holes>,
    /// Stored bytes of the current entry that were not read yet, without the padding.
    pub(super) stored: u64,
    pub(super) padding: u64,
    pub(super) expansion: Expansion,
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

    pub(super) fn spend(&self, bytes: u64, budget: &mut u64) -> Result<(), Reason> {
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

    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Reason> {
        self.input.read_exact(buffer).map_err(cut_off)?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    /// Fills a block; false at the end of the input.
    pub(super) fn block(&mut self, block: &mut [u8]) -> Result<bool, Reason> {
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

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Reason> {
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

pub(super) fn padding(size: u64) -> u64 {
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
