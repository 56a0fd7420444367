//! Decompressing whatever a stream turns out to be.

use std::io::{self, BufRead, BufReader, Read};

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Nothing that is known here.
    Plain,
    /// Gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// The `.xz` format.
    Xz,
    /// Bzip2.
    Bzip2,
}

impl Format {
    /// The format whose mark these bytes, the first of a stream, start with. Six bytes are enough.
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or a frame to be skipped before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// Memory that an xz stream may ask for, in bytes: its highest preset takes 65 MiB.
const XZ_MEMORY: u64 = 512 << 20;

/// Decompresses `input` by the mark that it starts with; without a known one, gives it as it is.
///
/// Streams of several members or frames are read to the last one. Zstandard windows are limited to 128 MiB, as in its own tool.
pub fn reader<'a, R: Read + Send + 'a>(input: R) -> io::Result<(Format, Box<dyn Read + Send + 'a>)> {
    let mut input = BufReader::with_capacity(128 << 10, input);
    // One read may bring less than a mark.
    let mut head = Vec::with_capacity(6);
    input.by_ref().take(6).read_to_end(&mut head)?;
    let format = Format::sniff(&head);
    let input = BufReader::with_capacity(128 << 10, io::Cursor::new(head).chain(input));
    Ok((format, decoder(format, input)?))
}

/// Decompresses `input`, which is known to be in this format.
pub fn decoder<'a, R: BufRead + Send + 'a>(format: Format, input: R) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match format {
        Format::Plain => Box::new(input),
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        Format::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
    })
}
