//! Archives on their way in: what is unpacked of them is counted, next to what came.
//!
//! A few compressed bytes can unpack to more than any disk holds, and a sparse file needs no compression for that. So there
//! is a limit to how many times larger than it came an archive may become. What is small anyway is not held to it.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compress::{self, Format};
use crate::fstree::tar::{Dialect, Limits, TarReader};

/// How large archives of others may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes that an archive may unpack to: its files, holes counted.
    pub unpacked: u64,
    /// How many times larger than it came an archive may become.
    pub ratio: u64,
}

/// What unpacks to so little, in bytes, may have any ratio.
const FREE: u64 = 1 << 30;

impl Default for ArchiveLimits {
    /// Images of disks that are nearly empty stay below this ratio; bombs are far above.
    fn default() -> Self {
        Self { unpacked: 1 << 40, ratio: 200 }
    }
}

impl ArchiveLimits {
    /// For what was made here.
    pub const NONE: Self = Self { unpacked: u64::MAX, ratio: u64::MAX };
}

/// An archive that becomes too large.
#[derive(Debug, thiserror::Error)]
pub enum TooLarge {
    /// Next to what it is itself.
    #[error(
        "it unpacks to {unpacked} bytes and more, although only {packed} were read: over the limit of {limit} times as many (`max-ratio` in [archives] of imgbuild.toml)"
    )]
    Ratio {
        /// Bytes that came.
        packed: u64,
        /// Bytes that they became.
        unpacked: u64,
        /// The limit.
        limit: u64,
    },
    /// At all.
    #[error("it unpacks to more than the limit of {0} bytes (`max-unpacked` in [archives] of imgbuild.toml)")]
    Size(u64),
}

/// Counts what comes in and what becomes of it.
#[derive(Debug, Clone)]
pub struct Meter {
    limits: ArchiveLimits,
    packed: Arc<AtomicU64>,
    unpacked: Arc<AtomicU64>,
}

impl Meter {
    /// One that has seen nothing yet.
    pub fn new(limits: ArchiveLimits) -> Self {
        Self { limits, packed: Arc::default(), unpacked: Arc::default() }
    }

    /// Counts what is read as what came.
    pub fn packed<R: Read>(&self, inner: R) -> Packed<R> {
        Packed { inner, meter: self.clone() }
    }

    /// Counts what is read as what it became; fails when that is too much.
    pub fn unpacked<R: Read>(&self, inner: R) -> Unpacked<R> {
        Unpacked { inner, meter: self.clone() }
    }

    /// Reads a tar that was unpacked with this meter, the holes of whose files count as well.
    pub fn tar<R: Read>(&self, input: R, dialect: Dialect) -> TarReader<R> {
        self.tar_within(input, dialect, Limits::default())
    }

    /// The same within narrower limits.
    pub fn tar_within<R: Read>(&self, input: R, dialect: Dialect, limits: Limits) -> TarReader<R> {
        let meter = self.clone();
        let limits = Limits { content_bytes: self.limits.unpacked, ..limits };
        TarReader::new(input, dialect, limits).telling_holes(move |bytes| meter.grow(bytes))
    }

    fn grow(&self, bytes: u64) -> io::Result<()> {
        let before = self.unpacked.fetch_add(bytes, Ordering::Relaxed);
        let (unpacked, packed) = (before.saturating_add(bytes), self.packed.load(Ordering::Relaxed));
        let ArchiveLimits { unpacked: most, ratio: limit } = self.limits;
        if unpacked > FREE && unpacked / limit > packed {
            return Err(io::Error::other(TooLarge::Ratio { packed, unpacked, limit }));
        }
        if unpacked > most { Err(io::Error::other(TooLarge::Size(most))) } else { Ok(()) }
    }
}

/// Bytes as they come.
#[derive(Debug)]
pub struct Packed<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.packed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What became of them.
pub struct Unpacked<R> {
    inner: R,
    meter: Meter,
}

impl<R> fmt::Debug for Unpacked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacked")
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.grow(read as u64)?;
        Ok(read)
    }
}

/// What an archive unpacks to, whatever it is compressed with.
pub type Reader<'a> = Unpacked<Box<dyn Read + Send + 'a>>;

/// Uncompresses `input` within these limits, with the meter for the tar that it may be.
pub fn open<'a, R: Read + Send + 'a>(input: R, limits: ArchiveLimits) -> io::Result<(Format, Reader<'a>, Meter)> {
    let meter = Meter::new(limits);
    let (format, reader) = compress::reader(meter.packed(input))?;
    Ok((format, meter.unpacked(reader), meter))
}

/// The tar that `input` is, compressed or not, within these limits.
pub fn tar<'a, R: Read + Send + 'a>(
    input: R,
    dialect: Dialect,
    limits: ArchiveLimits,
) -> io::Result<TarReader<Reader<'a>>> {
    let (_, reader, meter) = open(input, limits)?;
    Ok(meter.tar(reader, dialect))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are read of so many, of which each that came became `ratio`, before it is too much.
    fn read(bytes: u64, ratio: usize, limits: ArchiveLimits) -> Result<u64, String> {
        struct Growing<R>(R, usize);
        impl<R: Read> Read for Growing<R> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = buffer.len().min(4096) / self.1;
                Ok(self.0.read(&mut buffer[..length.max(1)])? * self.1)
            }
        }
        let meter = Meter::new(limits);
        let packed = meter.packed(io::repeat(0).take(bytes / ratio as u64));
        let mut reader = meter.unpacked(Growing(packed, ratio));
        io::copy(&mut reader, &mut io::sink()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_grows_without_measure_is_refused() {
        let limits = ArchiveLimits { unpacked: 3 << 30, ratio: 200 };
        assert_eq!(read(1 << 20, 1024, limits), Ok(1 << 20), "it is small");
        assert_eq!(read(2 << 30, 128, limits), Ok(2 << 30), "it is measured");
        let error = read(2 << 30, 512, limits).unwrap_err();
        assert!(error.contains("200 times") && error.contains("max-ratio"), "{error}");
        assert_eq!(read(2 << 30, 512, ArchiveLimits::NONE), Ok(2 << 30));
        let error = read(2 << 30, 1, ArchiveLimits { unpacked: 1 << 20, ratio: 200 }).unwrap_err();
        assert!(error.contains("1048576 bytes") && error.contains("max-unpacked"), "{error}");
    }
}
