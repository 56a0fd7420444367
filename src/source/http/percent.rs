//! Percent-encoding (RFC 3986, section 2.1): which bytes stay is the business of whoever writes a URL or a key.

/// Writes each byte that does not stay as `%` and two upper-case hexadecimal digits.
pub(crate) fn encode(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether a byte means nothing but itself anywhere in a URL (RFC 3986, section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_stay_is_written_by_its_bytes() {
        let check = |text: &str, expected: &str| assert_eq!(encode(text, is_unreserved), expected);
        check("aZ09-._~", "aZ09-._~");
        check("a/b c:ü%", "a%2Fb%20c%3A%C3%BC%25");
        check("", "");
    }
}
