//! Extended header records: `LENGTH KEY=VALUE\n`, the length in decimal and counting itself (POSIX.1, pax).

use std::collections::BTreeMap;

use super::sparse::Segment;
use super::{Reason, header};
use crate::fstree::xattr::belongs_to_image;

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What the extended headers before an entry say of it. What is not said stays as the header block has it.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub mtime: Option<i64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub device: (Option<u64>, Option<u64>),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: Sparse,
}

/// The records of GNU's three ways to write sparse files with PAX.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub major: Option<u64>,
    pub name: Option<Vec<u8>>,
    /// The length of the expanded file: `GNU.sparse.size` (0.0, 0.1) or `GNU.sparse.realsize` (1.0).
    pub size: Option<u64>,
    /// The map, where it stands in the records and not in the data.
    pub map: Option<Vec<Segment>>,
    offset: Option<u64>,
}

/// Reads the records of one extended header on top of what was read before.
pub(super) fn read(mut records: &[u8], into: &mut Extended) -> Result<(), Reason> {
    // Some tars pad the records with zeros.
    while !header::is_zero(records) {
        let (key, value, rest) = record(records).ok_or(Reason::Pax)?;
        records = rest;
        apply(key, value, into)?;
    }
    Ok(())
}

fn record(input: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = input.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(decimal(&input[..space])?).ok()?;
    let (record, rest) = input.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn apply(key: &[u8], value: &[u8], into: &mut Extended) -> Result<(), Reason> {
    let count = || decimal(value).ok_or(Reason::Pax);
    // An empty value takes back what was said before.
    let given = !value.is_empty();
    match key {
        b"path" => into.path = given.then(|| value.to_vec()),
        b"linkpath" => into.link = given.then(|| value.to_vec()),
        b"size" => into.size = given.then(count).transpose()?,
        b"uid" => into.uid = given.then(count).transpose()?,
        b"gid" => into.gid = given.then(count).transpose()?,
        b"mtime" => into.mtime = given.then(|| seconds(value).ok_or(Reason::Pax)).transpose()?,
        b"SCHILY.devmajor" => into.device.0 = given.then(count).transpose()?,
        b"SCHILY.devminor" => into.device.1 = given.then(count).transpose()?,
        b"GNU.sparse.major" => into.sparse.major = Some(count()?),
        b"GNU.sparse.name" => into.sparse.name = Some(value.to_vec()),
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => into.sparse.size = Some(count()?),
        b"GNU.sparse.numblocks" => into.sparse.map = Some(Vec::new()),
        b"GNU.sparse.offset" => into.sparse.offset = Some(count()?),
        b"GNU.sparse.numbytes" => {
            let offset = into.sparse.offset.take().ok_or(Reason::Sparse)?;
            let segment = Segment { offset, length: count()? };
            into.sparse.map.get_or_insert_default().push(segment);
        }
        b"GNU.sparse.map" => into.sparse.map = Some(map(value)?),
        _ => {
            if let Some(name) = key.strip_prefix(XATTR)
                && belongs_to_image(name)
            {
                into.xattrs.insert(name.to_vec(), value.to_vec());
            }
        }
    }
    Ok(())
}

/// `OFFSET,LENGTH,OFFSET,LENGTH…`, as version 0.1 of GNU's format has it.
fn map(value: &[u8]) -> Result<Vec<Segment>, Reason> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Option<Vec<u64>> = value.split(|&b| b == b',').map(decimal).collect();
    let numbers = numbers.filter(|numbers| numbers.len().is_multiple_of(2)).ok_or(Reason::Sparse)?;
    Ok(numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// A decimal number without sign.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Whole seconds of a decimal number with sign and fraction, rounded down.
fn seconds(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&b| b == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let below = negative && fraction.iter().any(|&b| b != b'0');
    Some(if negative { -whole } else { whole } - i64::from(below))
}

/// Appends one record.
pub(super) fn write(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    // " KEY=VALUE\n" and the digits of the length, which count themselves.
    let fixed = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = fixed + digits(fixed);
    if digits(length) > digits(fixed) {
        length = fixed + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_seconds_down() {
        let check = |text: &str, expected| assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        check("0", Some(0));
        check("12.999", Some(12));
        check("-1", Some(-1));
        check("-1.0", Some(-1));
        check("-1.5", Some(-2));
        check("-0.5", Some(-1));
        check("9000000000.", Some(9_000_000_000));
        check("x", None);
        check("1.x", None);
        check("", None);
    }

    #[test]
    fn writes_records_whose_length_counts_itself() {
        for length in (0..120).chain(980..1010).chain(9980..10010) {
            let value = vec![b'v'; length];
            let mut out = Vec::new();
            write(b"path", &value, &mut out);
            let (key, read, rest) = record(&out).unwrap();
            assert_eq!((key, read, rest), (&b"path"[..], &value[..], &b""[..]), "{length}");
        }
    }

    #[test]
    fn refuses_damaged_records() {
        for text in ["x", "5 a=b", "99999999999999999999 a=b\n", "7 a=b\n", "0 a=b\n", "6 ab=c", "4 a\n", "1 a=b\n"] {
            assert!(read(text.as_bytes(), &mut Extended::default()).is_err(), "{text:?}");
        }
    }
}
