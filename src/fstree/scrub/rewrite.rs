//! Bytes in, bytes out: what scrubs change inside of files.

use std::collections::BTreeSet;

use crate::fstree::TreePath;

/// How many bytes of a compiled Python file [`Compiled::read`] wants to see.
pub const COMPILED_HEADER: usize = 12;

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

/// What a compiled Python file says of its source: the last time that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiled {
    /// Where in the file that stands, in four bytes, little-endian.
    pub at: u64,
    /// The time: seconds since 1970, the lowest 32 bits.
    pub time: u32,
}

impl Compiled {
    /// Reads the start of a file. None if it is not compiled by CPython, or goes by a hash of its source (PEP 552).
    pub fn read(header: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let [low, high, b'\r', b'\n', ..] = *header else { return None };
        let at = match u16::from_le_bytes([low, high]) {
            // From 3.7 on, flags come first; of those that are known, none goes with a time.
            3392..20_000 if word(4)? == 0 => 8,
            3000..3392 => 4,
            // 2.7
            62_171..=62_211 => 4,
            _ => return None,
        };
        Some(Self { at: at as u64, time: word(at)? })
    }
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

/// The time of the source that a compiled file is to have; none if the one that it has is no accident.
///
/// `source` has the time of the source as the step left it and as it is settled, if there is a source. `accident` says
/// whether the step's clock can have shown the time that the file has. A file that was up to date stays so. One that was not, and
/// that only differs from build to build, gets a time that the source does not have: it must not become a valid one.
pub fn source_time(compiled: u32, source: Option<(i64, i64)>, accident: bool) -> Option<u32> {
    // Python compares the lowest 32 bits.
    let settled = source.map(|(_, settled)| settled as u32);
    let new = match source {
        Some((left, _)) if left as u32 == compiled => settled?,
        _ if accident && settled == Some(0) => 1,
        _ if accident => 0,
        _ => return None,
    };
    (new != compiled).then_some(new)
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

    #[test]
    fn reads_headers() {
        let check = |header: &[u8], expected: Option<(u64, u32)>| {
            assert_eq!(Compiled::read(header).map(|found| (found.at, found.time)), expected, "{header:?}");
        };
        check(b"\xa7\r\r\n\0\0\0\0\x04\x03\x02\x01", Some((8, 0x0102_0304)));
        // By a hash; from 3.6; from 2.7; by PyPy; too short; something else.
        check(b"\xa7\r\r\n\x01\0\0\0\x04\x03\x02\x01", None);
        check(b"\x33\r\r\n\x04\x03\x02\x01\0\0\0\0", Some((4, 0x0102_0304)));
        check(b"\x03\xf3\r\n\x04\x03\x02\x01c\0\0\0", Some((4, 0x0102_0304)));
        check(b"\x50\x01\r\n\0\0\0\0\x04\x03\x02\x01", None);
        check(b"\xa7\r\r\n\0\0\0\0\x04\x03\x02", None);
        check(b"", None);
        check(b"#!/bin/sh...", None);
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
    fn settles_the_time_of_sources() {
        let check = |compiled, source, accident, expected| {
            assert_eq!(source_time(compiled, source, accident), expected, "{compiled} {source:?} {accident}");
        };
        check(1000, Some((1000, 315)), true, Some(315));
        check(1000, Some((1000, 315)), false, Some(315));
        check(1000, Some((1000, 1000)), false, None);
        check(315, Some((315, 315)), true, None);
        // Compiled before the source was changed: it must not become valid.
        check(1000, Some((1001, 315)), true, Some(0));
        check(1000, Some((1001, 0)), true, Some(1));
        check(1000, Some((1001, 315)), false, None);
        check(1000, None, true, Some(0));
        check(1000, None, false, None);
        // Times that do not fit are cut off, as Python does it.
        check(5, Some(((1 << 32) + 5, (1 << 32) + 6)), true, Some(6));
    }
}
