//! Pieces of files that are no text: databases and executables, of which little is wanted and which may be large.
//!
//! All that a reader of such a file knows about it comes from here, so that no place, length or count in a file can make it
//! read beyond the end, or more at once than is fit.

use std::io::{self, Read, Seek, SeekFrom};

/// The largest piece, in bytes.
const MAX_PIECE: u64 = 64 << 20;

/// Something to read from any place.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// A file, piece by piece.
pub struct Pieces<'a> {
    file: &'a mut dyn ReadSeek,
    size: u64,
    taken: u64,
    failed: Option<io::Error>,
    beside: Option<Box<Pieces<'a>>>,
}

impl<'a> Pieces<'a> {
    /// A file of so many bytes.
    pub fn new(file: &'a mut dyn ReadSeek, size: u64) -> Self {
        Self { file, size, taken: 0, failed: None, beside: None }
    }

    /// The same with a file that belongs to it.
    pub fn with(self, beside: Pieces<'a>) -> Self {
        Self { beside: Some(Box::new(beside)), ..self }
    }

    /// The file that belongs to it.
    pub fn beside(&mut self) -> Option<&mut Pieces<'a>> {
        self.beside.as_deref_mut()
    }

    /// How many bytes the file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes were read so far, those of what belongs to it included.
    pub fn taken(&self) -> u64 {
        self.taken + self.beside.as_ref().map_or(0, |beside| beside.taken())
    }

    /// The bytes at a place; none if the file does not have all of them, or if so many are not read at once.
    pub fn at(&mut self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let within = offset.checked_add(length)? <= self.size && length <= MAX_PIECE;
        if !within || self.failed.is_some() {
            return None;
        }
        // What a file claims to have it has, or its size would be another: this allocates no more than is there.
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(&mut bytes));
        match read {
            Ok(()) => {
                self.taken += length;
                Some(bytes)
            }
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    /// Why a piece could not be read that the file should have.
    pub fn finish(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)?;
        self.beside.map_or(Ok(()), |beside| beside.finish())
    }
}

/// The order of bytes in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least significant one first.
    Little,
    /// The most significant one first.
    Big,
}

impl Order {
    /// The number of two bytes at a place.
    pub fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = array(bytes, at)?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    /// The number of four bytes at a place.
    pub fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = array(bytes, at)?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }

    /// The number of eight bytes at a place.
    pub fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = array(bytes, at)?;
        Some(match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_there() {
        let mut file = io::Cursor::new(b"abcdef");
        let mut pieces = Pieces::new(&mut file, 6);
        let mut check = |offset: u64, length: u64, expected: Option<&[u8]>| {
            assert_eq!(pieces.at(offset, length).as_deref(), expected, "{offset} {length}");
        };
        check(0, 6, Some(b"abcdef"));
        check(4, 2, Some(b"ef"));
        check(6, 0, Some(b""));
        check(5, 2, None);
        check(u64::MAX, 2, None);
        assert_eq!(pieces.taken(), 8);
        pieces.finish().unwrap();
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let mut file = io::Cursor::new(b"abc");
        let mut pieces = Pieces::new(&mut file, 6);
        assert_eq!(pieces.at(0, 6), None);
        assert_eq!(pieces.at(0, 1), None);
        assert_eq!(pieces.finish().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn orders_of_bytes() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Order::Little.u16(&bytes, 1), Some(0x0302));
        assert_eq!(Order::Big.u16(&bytes, 6), Some(0x0708));
        assert_eq!(Order::Big.u32(&bytes, 5), None);
        assert_eq!(Order::Little.u32(&bytes, usize::MAX), None);
        assert_eq!(Order::Big.u64(&bytes, 0), Some(0x0102_0304_0506_0708));
    }
}
