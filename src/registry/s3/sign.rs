//! Signatures of requests as Amazon's services want them (AWS Signature Version 4, in one `Authorization` header).
//!
//! Nothing but hashing: what time it is, and what is asked for, the caller says.

use crate::digest::Digest;
use crate::registry::settings::AwsCredentials;

/// The bytes that SHA-256 takes at once.
const BLOCK: usize = 64;
/// What a signature is good for, besides day and region.
const SERVICE: &str = "s3";

/// A request as far as it is signed.
pub(super) struct Signable<'a> {
    /// Such as `GET`.
    pub(super) method: &'a str,
    /// The path, percent-encoded. There is no query.
    pub(super) path: &'a str,
    /// Names in lower case with their values, in the order of the names.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The SHA-256 of the body.
    pub(super) payload: &'a str,
}

/// The value of `Authorization` at a time, which is that of the header `x-amz-date`.
pub(super) fn authorization(credentials: &AwsCredentials, region: &str, time: &str, request: &Signable<'_>) -> String {
    let day = time.get(..8).unwrap_or(time);
    let Signable { method, path, headers, payload } = request;
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{payload}");
    let scope = format!("{day}/{region}/{SERVICE}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Digest::of(canonical.as_bytes()).hex());
    let key = key(&credentials.secret.0, &[day, region, SERVICE, "aws4_request"]);
    let signature = hmac(key.as_bytes(), text.as_bytes()).hex();
    let id = &credentials.id.0;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}")
}

/// The key for a day, a region and a service.
fn key(secret: &str, scope: &[&str]) -> Digest {
    let first = format!("AWS4{secret}");
    let mut scope = scope.iter();
    let start = hmac(first.as_bytes(), scope.next().copied().unwrap_or_default().as_bytes());
    scope.fold(start, |key, word| hmac(key.as_bytes(), word.as_bytes()))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> Digest {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(Digest::of(key).as_bytes());
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Digest::of(&[&block.map(|byte| byte ^ 0x36)[..], message].concat());
    Digest::of(&[&block.map(|byte| byte ^ 0x5c)[..], inner.as_bytes()].concat())
}

/// A time in seconds since 1970 as `20130524T000000Z`.
pub(super) fn time(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The Gregorian calendar repeats every 400 years; within a year that begins in March, the leap day comes last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::settings::Secret;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The examples of "Authenticating Requests: Using the Authorization Header" in the reference of S3.
    #[test]
    fn signs_as_amazon_does() {
        let credentials = AwsCredentials {
            id: Secret("AKIAIOSFODNN7EXAMPLE".into()),
            secret: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            session: None,
        };
        let check = |method: &str, path: &str, headers: &[(&str, &str)], payload: &str, signature: &str| {
            let request = Signable { method, path, headers, payload };
            let signed = authorization(&credentials, "us-east-1", "20130524T000000Z", &request);
            let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={},\
                 Signature={signature}",
                names.join(";")
            );
            assert_eq!(signed, expected, "{method} {path}");
        };
        check(
            "GET",
            "/test.txt",
            &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY),
                ("x-amz-date", "20130524T000000Z"),
            ],
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        let payload = Digest::of(b"Welcome to Amazon S3.").hex();
        check(
            "PUT",
            "/test%24file.text",
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", &payload),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            &payload,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
    }

    #[test]
    fn derives_keys() {
        let key = key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &["20150830", "us-east-1", "iam", "aws4_request"]);
        assert_eq!(key.hex(), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    /// The test cases of RFC 4231.
    #[test]
    fn authenticates_messages() {
        let check = |key: &[u8], message: &[u8], expected: &str| assert_eq!(hmac(key, message).hex(), expected);
        check(&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }

    #[test]
    fn writes_times() {
        let check = |seconds: u64, expected: &str| assert_eq!(time(seconds), expected);
        check(0, "19700101T000000Z");
        check(951_782_400, "20000229T000000Z");
        check(1_369_353_600, "20130524T000000Z");
        check(1_709_251_199, "20240229T235959Z");
    }
}
