//! Bytes in, bytes out: what scrubs change inside of files.

use std::collections::BTreeSet;

use crate::fstree::TreePath;

/// How many bytes of a compiled Python file [`Compiled::read`] wants to see.
pub const COMPILED_HEADER: usize = 16;

/// An age from which on shadow(5) takes a password for one that never gets too old, in days.
const AGELESS: i64 = 99_999;

/// The lines of a shadow file, which are the entries that a step did not make if they are in the one below.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&b| b == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The text of a shadow file (shadow(5)) in which the day of the last password change, the third field, is `day` in all
/// entries that are not among `known`. Days are counted since 1970.
///
/// Fields that are empty (no ageing) or 0 (to be changed at the next login) say something else and stay. So do those of
/// entries with a highest age, as such a password would be too old at once. A `day` of 0 becomes an empty field, since it
/// would mean that the password has to be changed; shadow itself does the same.
pub fn shadow(text: &[u8], known: &BTreeSet<&[u8]>, day: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        let entry = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields: Vec<&[u8]> = entry.split(|&b| b == b':').collect();
        let number = |field: Option<&&[u8]>| std::str::from_utf8(field?).ok()?.parse::<i64>().ok();
        let dated = number(fields.get(2)).is_some_and(|day| day > 0);
        let ageless =
            fields.get(4).is_some_and(|age| age.is_empty()) || number(fields.get(4)).is_some_and(|n| n >= AGELESS);
        let new = if day > 0 { day.to_string() } else { String::new() };
        if dated && ageless && !known.contains(entry) {
            fields[2] = new.as_bytes();
        }
        out.extend_from_slice(&fields.join(&b':'));
        out.extend_from_slice(&line[entry.len()..]);
    }
    out
}

/// What a compiled Python file says of its source: when it was changed, and how long it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiled {
    /// The first half of the magic number, which says for which Python it is.
    magic: u16,
    /// Where in the file the time stands, in four bytes, little-endian.
    at: usize,
    /// The time: seconds since 1970, the lowest 32 bits.
    pub time: u32,
    /// The length of the source in bytes, the lowest 32 bits; old versions do not have it.
    size: Option<u32>,
}

/// The source of a compiled file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its time as the step left it, in seconds since 1970.
    pub left: i64,
    /// Its time as it is settled.
    pub settled: i64,
    /// Its length in bytes.
    pub size: u64,
}

/// How a compiled file is to be found valid or not from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// By a hash of its source, which is compared at each import (PEP 552): it is valid, and stays so while the source does.
    BySource,
    /// By this time, which the source does not have: it is not valid.
    Never(u32),
}

impl Compiled {
    /// The versions whose files have flags, and can go by a hash.
    const WITH_FLAGS: std::ops::Range<u16> = 3392..20_000;

    /// The first of those that hash with another number of rounds: 3.11.
    const WITH_FEWER_ROUNDS: u16 = 3450;

    /// Reads the start of a file. None if it is not compiled by CPython, or goes by a hash already.
    pub fn read(header: &[u8; COMPILED_HEADER]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let [low, high, b'\r', b'\n', ..] = *header else { return None };
        let magic = u16::from_le_bytes([low, high]);
        let (at, sized) = match magic {
            // Of the flags that are known, none goes with a time.
            magic if Self::WITH_FLAGS.contains(&magic) && word(4) == 0 => (8, true),
            // From 3.3 on.
            3230..3392 => (4, true),
            // 3.0 to 3.2, and 2.7.
            3000..3230 | 62_171..=62_211 => (4, false),
            _ => return None,
        };
        Some(Self { magic, at, time: word(at), size: sized.then(|| word(at + 4)) })
    }

    /// What becomes of it; nothing if it is the same in each build.
    ///
    /// A file that is valid as the step left it, and whose source has or gets the time of accidents, goes by a hash from now on.
    /// By time it would stay valid whatever a later step does to the source, which gets that same time again.
    /// One that is not valid, and that names a time of the step (`accident`), must not become valid.
    pub fn judge(&self, source: Option<Source>, accident: bool, epoch: i64) -> Option<Validity> {
        let is_valid = |source: &Source| {
            // Python compares the lowest 32 bits.
            source.left as u32 == self.time && self.size.is_none_or(|size| size == source.size as u32)
        };
        // A time that is not the source's.
        let never = Validity::Never(u32::from(source.is_some_and(|source| source.settled as u32 == 0)));
        match source.filter(is_valid) {
            Some(source) if source.settled == source.left && source.settled != epoch => None,
            Some(_) if Self::WITH_FLAGS.contains(&self.magic) => Some(Validity::BySource),
            Some(source) => (source.settled != source.left).then_some(never),
            None => (accident && never != Validity::Never(self.time)).then_some(never),
        }
    }

    /// The bytes that make a file go by the hash of this source, and where they go.
    pub fn by_source(&self, source: &[u8]) -> (u64, Vec<u8>) {
        let rounds = if self.magic < Self::WITH_FEWER_ROUNDS { (2, 4) } else { (1, 3) };
        let key = u64::from(self.magic) | u64::from(u16::from_le_bytes(*b"\r\n")) << 16;
        // Flags: it goes by a hash, and that is checked.
        (4, [&3_u32.to_le_bytes()[..], &siphash(rounds, key, source).to_le_bytes()].concat())
    }

    /// The bytes that make a file name this time, and where they go.
    pub fn by_time(&self, time: u32) -> (u64, Vec<u8>) {
        (self.at as u64, time.to_le_bytes().to_vec())
    }
}

/// SipHash with so many rounds for each block and at the end; the second half of the key is 0.
fn siphash((each, last): (usize, usize), key: u64, data: &[u8]) -> u64 {
    let mut v =
        [0x736f_6d65_7073_6575 ^ key, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261 ^ key, 0x7465_6462_7974_6573];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    };
    let mut block = |word: u64| {
        v[3] ^= word;
        (0..each).for_each(|_| round(&mut v));
        v[0] ^= word;
    };
    let (blocks, rest) = data.as_chunks::<8>();
    blocks.iter().for_each(|bytes| block(u64::from_le_bytes(*bytes)));
    // The last block ends with the length.
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes[7] = data.len() as u8;
    block(u64::from_le_bytes(bytes));
    v[2] ^= 0xff;
    (0..last).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// The path of the source that a compiled file is found by: `a/__pycache__/b.cpython-311.opt-1.pyc` is that of `a/b.py`
/// (PEP 3147), and `a/b.pyc` as well, from before.
pub fn compiled_for(path: &TreePath) -> Option<TreePath> {
    let stem = path.name().strip_suffix(b".pyc")?;
    let folder = path.parent()?;
    let (folder, stem) = match folder.name() {
        b"__pycache__" => {
            let tagged = match last_part(stem) {
                Some((rest, part)) if part.starts_with(b"opt-") => rest,
                _ => stem,
            };
            (folder.parent()?, last_part(tagged)?.0)
        }
        _ => (folder, stem),
    };
    (!stem.is_empty()).then(|| folder.join(&[stem, b".py"].concat()))
}

fn last_part(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().rposition(|&b| b == b'.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_days() {
        let check = |text: &str, known: &[&str], day, expected: &str| {
            let known = known.iter().map(|line| line.as_bytes()).collect();
            let found = shadow(text.as_bytes(), &known, day);
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        };
        check("a:!:20782:0:99999:7:::\n", &[], 3652, "a:!:3652:0:99999:7:::\n");
        check("a:*:20782::::::\nb:!:20782:0:99999:7:::", &[], 3652, "a:*:3652::::::\nb:!:3652:0:99999:7:::");
        check("a:!:20782:0:99999:7:::\n", &[], 0, "a:!::0:99999:7:::\n");
        check("a:!:20782:0:99999:7:::\n", &["a:!:20782:0:99999:7:::"], 3652, "a:!:20782:0:99999:7:::\n");
        // Days that mean something else, ages that would have passed, and what is no entry.
        for other in [
            "a:!:0:0:99999:7:::\n",
            "a:!::0:99999:7:::\n",
            "a:!:20782:0:90:7:::\n",
            "a:!:x:0:99999:7:::",
            "+",
            "\n\n",
            "",
        ] {
            check(other, &[], 3652, other);
        }
        check("+::::::::\na:!:20782:0:99999", &[], 3652, "+::::::::\na:!:3652:0:99999");
    }

    fn header(bytes: &[u8]) -> [u8; COMPILED_HEADER] {
        let mut header = [0; COMPILED_HEADER];
        header[..bytes.len()].copy_from_slice(bytes);
        header
    }

    #[test]
    fn reads_headers() {
        let check = |bytes: &[u8], expected: Option<(usize, u32, Option<u32>)>| {
            let found = Compiled::read(&header(bytes)).map(|found| (found.at, found.time, found.size));
            assert_eq!(found, expected, "{bytes:?}");
        };
        check(b"\xa7\r\r\n\0\0\0\0\x04\x03\x02\x01\x09\0\0\0", Some((8, 0x0102_0304, Some(9))));
        // By a hash; from 3.6; from 2.7; by PyPy; something else.
        check(b"\xa7\r\r\n\x01\0\0\0\x04\x03\x02\x01", None);
        check(b"\x33\r\r\n\x04\x03\x02\x01\x09\0\0\0", Some((4, 0x0102_0304, Some(9))));
        check(b"\x03\xf3\r\n\x04\x03\x02\x01c\0\0\0", Some((4, 0x0102_0304, None)));
        check(b"\x50\x01\r\n\0\0\0\0\x04\x03\x02\x01", None);
        check(b"", None);
        check(b"#!/bin/sh...", None);
    }

    #[test]
    fn hashes_sources_as_python_does() {
        // What importlib.util.source_hash() says in each version.
        let check = |magic: u16, expected: [u64; 3]| {
            let compiled = Compiled::read(&header(&[&magic.to_le_bytes()[..], b"\r\n"].concat())).unwrap();
            for (source, expected) in [&b"source"[..], b"", b"xxxxxxxxxxxxxxxy"].into_iter().zip(expected) {
                let bytes = [&[3, 0, 0, 0][..], &expected.to_be_bytes()].concat();
                assert_eq!(compiled.by_source(source), (4, bytes), "{magic}");
            }
        };
        check(3394, [0x7fb8_7c10_78d7_d23c, 0x85ee_0caa_bd83_b6a7, 0xcec9_7a2b_7a29_5eb2]); // 3.7
        check(3439, [0x43cd_40ee_0bca_6626, 0x8cc0_cd25_25e7_fd27, 0x66ee_fc1a_79eb_15b2]); // 3.10
        check(3495, [0xc723_5d97_6e2e_0625, 0x738d_9cd5_d5e8_7f73, 0xb2ff_42dc_2523_3d0d]); // 3.11
        check(3571, [0xfcb1_b426_891f_60f1, 0x27ec_6d31_2f93_b814, 0x4595_3170_a935_9a9b]); // 3.13
    }

    #[test]
    fn finds_sources() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(compiled_for(&TreePath::clean(path)), expected.map(TreePath::clean), "{path}");
        };
        check("a/__pycache__/b.cpython-311.pyc", Some("a/b.py"));
        check("a/__pycache__/b.cpython-311.opt-2.pyc", Some("a/b.py"));
        check("a/__pycache__/b.c.cpython-311.pyc", Some("a/b.c.py"));
        check("__pycache__/b.cpython-311.pyc", Some("b.py"));
        check("a/b.pyc", Some("a/b.py"));
        check("b.pyc", Some("b.py"));
        check("a/__pycache__/b.pyc", None);
        check("a/__pycache__/opt-1.pyc", None);
        check("a/.pyc", None);
        check("a/b.py", None);
    }

    #[test]
    fn judges() {
        let read = |version: &[u8], time: u32| {
            let bytes = [version, &time.to_le_bytes(), &7_u32.to_le_bytes()].concat();
            Compiled::read(&header(&bytes)).unwrap()
        };
        let (new, old) = (&b"\xa7\r\r\n\0\0\0\0"[..], &b"\x33\r\r\n"[..]);
        let source = |left, settled| Some(Source { left, settled, size: 7 });
        let check = |version, time, source, accident, expected| {
            let found = read(version, time).judge(source, accident, 315);
            assert_eq!(found, expected, "{time} {source:?} {accident}");
        };
        check(new, 1000, source(1000, 315), true, Some(Validity::BySource));
        check(new, 315, source(315, 315), false, Some(Validity::BySource));
        check(new, 1000, source(1000, 1000), false, None);
        check(new, 1000, source(1000, 900), false, Some(Validity::BySource));
        check(old, 1000, source(1000, 315), true, Some(Validity::Never(0)));
        check(old, 315, source(315, 315), false, None);
        // Compiled before the source was changed: it must not become valid.
        check(new, 1000, source(1001, 315), true, Some(Validity::Never(0)));
        check(new, 1000, source(1001, 0), true, Some(Validity::Never(1)));
        check(new, 1000, source(1001, 315), false, None);
        check(new, 1000, Some(Source { left: 1000, settled: 315, size: 8 }), true, Some(Validity::Never(0)));
        check(new, 1000, None, true, Some(Validity::Never(0)));
        check(new, 1000, None, false, None);
        check(new, 0, None, true, None);
        // Times that do not fit are cut off, as Python does it.
        check(new, 5, source((1 << 32) + 5, 315), true, Some(Validity::BySource));
    }
}
