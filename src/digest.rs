//! Identities made of hashes, one type for each, so that one can never stand where another is meant.
//!
//! What leaves the store is identified as the OCI specification wants it, by SHA-256: a blob by its [`Digest`], an
//! uncompressed layer by its [`DiffId`], a stack of layers by its [`ChainId`]. What never leaves it uses BLAKE3, several
//! times faster: the bytes of a file ([`ContentDigest`]), a layer as data ([`TreeDigest`]), a step and its inputs
//! ([`CacheKey`]). Nothing here knows about files; readers and writers are whatever the caller brings.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A digest that does not parse: what was given, and why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: {reason}")]
pub struct ParseDigestError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The algorithm's name and the colon that stand before the hexadecimal digits.
            pub const PREFIX: &'static str = $prefix;

            /// An identity from its 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 64 lower-case hexadecimal digits, without the algorithm: the name of a file.
            pub fn hex(&self) -> String {
                hex(&self.0)
            }

            /// The first 12 hexadecimal digits, as people are shown them.
            pub fn short(&self) -> String {
                hex(&self.0[..6])
            }

            /// The identity behind 64 lower-case hexadecimal digits.
            pub fn from_hex(text: &str) -> Result<Self, ParseDigestError> {
                unhex(text).map(Self).map_err(|reason| ParseDigestError { text: text.to_owned(), reason })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::PREFIX)?;
                f.write_str(&self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                let digits = text.strip_prefix(Self::PREFIX).ok_or_else(|| ParseDigestError {
                    text: text.to_owned(),
                    reason: concat!("it does not start with ", $prefix),
                })?;
                unhex(digits).map(Self).map_err(|reason| ParseDigestError { text: text.to_owned(), reason })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

identity!(
    /// The SHA-256 of a blob as it is stored and sent (OCI image-spec, descriptor.md).
    Digest, "sha256:"
);
identity!(
    /// The SHA-256 of a layer's uncompressed tar (OCI image-spec, config.md).
    DiffId, "sha256:"
);
identity!(
    /// The identity of a layer together with all layers below it (OCI image-spec, config.md, "Layer ChainID").
    ChainId, "sha256:"
);
identity!(
    /// The BLAKE3 of a regular file's bytes. Never leaves the store.
    ContentDigest, "blake3:"
);
identity!(
    /// The BLAKE3 of a layer as data: of its canonical table of contents. Never leaves the store.
    TreeDigest, "tree:"
);
identity!(
    /// The identity of a step with everything that can change what it makes.
    CacheKey, "key:"
);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl ContentDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl TreeDigest {
    /// The digest of a canonical table of contents.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ChainId {
    /// The identity of a bottom layer.
    pub const fn bottom(layer: DiffId) -> Self {
        Self(layer.0)
    }

    /// The identity of `layer` on top of this chain.
    pub fn push(self, layer: DiffId) -> Self {
        Self(Sha256::digest(format!("{self} {layer}").as_bytes()).into())
    }

    /// The identities of a stack of layers, bottom first.
    pub fn stack(layers: &[DiffId]) -> Vec<Self> {
        let mut chain: Vec<Self> = Vec::with_capacity(layers.len());
        for layer in layers {
            let next = chain.last().map_or(Self::bottom(*layer), |below| below.push(*layer));
            chain.push(next);
        }
        chain
    }
}

/// Hashes and counts what is written through it (SHA-256).
pub struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The inner writer, the digest and the size in bytes of all that went through.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest(self.hash.finalize().into()), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes and counts what is read through it (SHA-256).
pub struct HashingReader<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> HashingReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The inner reader, the digest and the size in bytes of what was read so far.
    pub fn finish(self) -> (R, Digest, u64) {
        (self.inner, Digest(self.hash.finalize().into()), self.size)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex(text: &str) -> Result<[u8; 32], &'static str> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err("it must have 64 hexadecimal digits");
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err("its digits must be 0-9 and a-f"),
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn prints_and_parses() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>(), Ok(digest));
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn refuses_what_is_no_digest() {
        for text in
            ["", "sha256:", "sha256:E3", "md5:d41d8cd98f00b204e9800998ecf8427e", &EMPTY.to_uppercase(), &EMPTY[..70]]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn chains_as_the_specification_says() {
        let layers = [DiffId::from_bytes([1; 32]), DiffId::from_bytes([2; 32])];
        let chain = ChainId::stack(&layers);
        assert_eq!(chain[0].as_bytes(), layers[0].as_bytes());
        let text = format!("{} {}", layers[0], layers[1]);
        assert_eq!(chain[1].as_bytes(), Digest::of(text.as_bytes()).as_bytes());
    }

    #[test]
    fn hashes_what_passes() {
        let mut writer = HashingWriter::new(Vec::new());
        writer.write_all(b"abc").unwrap();
        let (inner, digest, size) = writer.finish();
        assert_eq!((inner.as_slice(), digest, size), (&b"abc"[..], Digest::of(b"abc"), 3));
        let mut reader = HashingReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish().1, digest);
    }
}
