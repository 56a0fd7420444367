//! Streams that may be compressed, in a way that their first bytes tell, and tars that may be hostile.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use crate::oci::media::Compression;

/// How much may stand before the content of a tar's entry, in bytes: headers, a long name, extended attributes.
const MAX_HEADER: u64 = 8 << 20;

/// How a stream is compressed, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As one of the ways that layers can be.
    Layer(Compression),
    /// With xz.
    Xz,
    /// With bzip2.
    Bzip2,
}

impl Format {
    /// Looks at the first bytes (6 are enough).
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Layer(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Layer(Compression::Zstd),
            // Skippable frames, with which some compressors begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Layer(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Layer(Compression::None),
        }
    }

    /// The stream uncompressed.
    pub(super) fn decoder<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Layer(Compression::None) => Box::new(reader),
            // All members, not only the first.
            Self::Layer(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Self::Layer(Compression::Zstd) => Box::new(zstd::stream::read::Decoder::new(reader)?),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(reader)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(reader)),
        })
    }
}

/// The first bytes of a stream, up to six, and the whole stream again.
pub(super) fn peek<'a>(mut reader: impl Read + 'a) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut start = Vec::with_capacity(6);
    Read::by_ref(&mut reader).take(6).read_to_end(&mut start)?;
    let whole = io::Cursor::new(start.clone()).chain(BufReader::with_capacity(256 << 10, reader));
    Ok((start, whole))
}

/// Lets so many bytes pass and then fails.
pub(super) struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!("the header of an entry is larger than {MAX_HEADER} bytes")));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..length])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// Shows every entry of a tar with its number, or the error that ends it. What is not read of an entry is passed over.
///
/// The tar reader takes long names into memory whatever their size, and a few compressed bytes can be a name of many
/// gigabytes; so what it may read on its own is bounded.
pub(super) fn each_entry<R: Read, E>(
    reader: R,
    mut visit: impl FnMut(usize, io::Result<&mut tar::Entry<'_, Bounded<R>>>) -> Result<(), E>,
) -> Result<(), E> {
    let left = Rc::new(Cell::new(MAX_HEADER));
    let mut tar = tar::Archive::new(Bounded { inner: reader, left: Rc::clone(&left) });
    let mut entries = match tar.entries() {
        Ok(entries) => entries,
        Err(error) => return visit(0, Err(error)),
    };
    for count in 0.. {
        left.set(MAX_HEADER);
        let Some(entry) = entries.next() else { break };
        left.set(u64::MAX);
        match entry {
            Err(error) => return visit(count, Err(error)),
            Ok(mut entry) => {
                visit(count, Ok(&mut entry))?;
                if let Err(error) = io::copy(&mut entry, &mut io::sink()) {
                    return visit(count, Err(error));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_members_of_all_formats() {
        use std::io::Write;
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let check = |compress: &dyn Fn(&[u8]) -> Vec<u8>, expected: Format| {
            let bytes = [compress(b"one "), compress(b"two")].concat();
            let (start, whole) = peek(&bytes[..]).unwrap();
            assert_eq!(Format::of(&start), expected);
            assert_eq!(io::read_to_string(Format::of(&start).decoder(whole).unwrap()).unwrap(), "one two");
        };
        check(&|text| text.to_vec(), Format::Layer(Compression::None));
        check(&gzip, Format::Layer(Compression::Gzip));
        check(&|text| zstd::encode_all(text, 1).unwrap(), Format::Layer(Compression::Zstd));
        check(&|text| liblzma::encode_all(text, 1).unwrap(), Format::Xz);
        let bzip2 = |text: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        check(&bzip2, Format::Bzip2);
    }

    #[test]
    fn a_name_cannot_fill_the_memory() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'a'));
        let error = each_entry(endless, |_, entry| entry.map(drop)).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
