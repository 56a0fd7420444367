//! The fields of a header block: numbers as every tar writes them, and the checksum.

use tar::Header;

use super::{BLOCK, Reason};

/// Whether this block, the first of a file, is the header of a tar. A block of zeros, an archive without entries, is not.
pub fn looks_like_tar(block: &[u8; BLOCK]) -> bool {
    let header = Header::from_byte_slice(block);
    !is_zero(block) && checksum_matches(header)
}

pub(super) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&b| b == 0)
}

/// The sum of all bytes, the checksum's own field taken as spaces. Some old tars summed signed bytes; both are right.
pub(super) fn checksum_matches(header: &Header) -> bool {
    let Some(expected) = number(&header.as_old().cksum) else { return false };
    let bytes = header.as_bytes();
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (at, &byte) in bytes.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    expected == unsigned || expected == signed
}

/// A numeric field: octal digits, or GNU's big-endian two's complement when the first bit is set. Empty is zero.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // The second bit of the first byte is the sign.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, &byte) in field.iter().enumerate() {
            let byte = if at == 0 && !negative { byte & 0x7f } else { byte };
            value = value << 8 | i128::from(byte);
            if !(i128::from(i64::MIN)..=i128::from(i64::MAX)).contains(&value) {
                return None;
            }
        }
        return i64::try_from(value).ok();
    }
    let digits = field.split(|&b| b == 0).next()?.trim_ascii();
    let mut value: i64 = 0;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// A numeric field that counts something.
pub(super) fn unsigned(field: &[u8], name: &'static str) -> Result<u64, Reason> {
    let value = number(field).ok_or(Reason::Number(name))?;
    u64::try_from(value).map_err(|_| Reason::Range(name))
}

/// The bytes of a text field, up to the first zero.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers() {
        let check = |field: &[u8], expected| assert_eq!(number(field), expected, "{field:?}");
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"77777777", Some(0o77_777_777));
        check(b"\0\0\0\0", Some(0));
        check(b"        ", Some(0));
        check(b"12x\0", None);
        check(b"8\0", None);
        check(b"\x80\0\0\0\0\0\x01\x02", Some(0x102));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xae", Some(-338));
        check(b"\x80\0\0\0\x01\0\0\0\0\0\0\0", Some(1 << 56));
        check(b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None);
        check(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None);
    }
}
