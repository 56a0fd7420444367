//! Keeps the values of secrets out of what steps print.
//!
//! A step that is given a secret may print it, by `set -x` or in an error message. Wherever a value occurs in its
//! output, [`MASK`] is shown instead, also if the value came in pieces. The forms that are found are: the value as it
//! is, without the white space around it, each of its lines, and its base64 (both alphabets, at any offset, so inside
//! of an `Authorization: Basic` header too; and broken into lines as `base64` does it). What a step encrypts, reverses
//! or prints letter by letter is not found: this is a safety net, not a wall.
//!
//! Values of less than [`SHORTEST`] bytes are left alone. They would tear up everything, and a mask that appears
//! wherever there is a `1` tells the value.

use std::collections::BTreeSet;

/// What is shown instead of a secret.
pub const MASK: &[u8] = b"***";

/// The least length of what is looked for, in bytes.
pub const SHORTEST: usize = 4;

/// The least length of an encoded value that is looked for: shorter ones occur by accident.
const SHORTEST_ENCODED: usize = 8;

/// How many letters `base64` puts on a line.
const LINE: usize = 76;

/// What must not be shown, in all its forms.
#[derive(Default)]
pub struct Secrets {
    /// By first byte; of each, the longest first.
    patterns: Vec<Vec<Vec<u8>>>,
}

impl Secrets {
    /// The forms of these values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            add_forms(value, &mut forms);
        }
        if forms.is_empty() {
            return Self::default();
        }
        let mut patterns = vec![Vec::new(); 256];
        for form in forms {
            patterns[usize::from(form[0])].push(form);
        }
        for list in &mut patterns {
            list.sort_by_key(|form| std::cmp::Reverse(form.len()));
        }
        Self { patterns }
    }

    fn beginning_with(&self, first: u8) -> &[Vec<u8>] {
        &self.patterns[usize::from(first)]
    }
}

fn add_forms(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let trimmed = value.trim_ascii();
    let mut add = |form: &[u8]| {
        if form.len() >= SHORTEST {
            forms.insert(form.to_vec());
        }
    };
    add(value);
    add(trimmed);
    trimmed.split(|&byte| byte == b'\n').for_each(|line| add(line.trim_ascii()));
    if trimmed.len() < SHORTEST {
        return;
    }
    for plain in [value, trimmed] {
        for alphabet in [STANDARD, URL_SAFE] {
            for offset in 0..3 {
                let encoded = encoded_core(plain, offset, alphabet);
                if encoded.len() >= SHORTEST_ENCODED {
                    if offset == 0 && encoded.len() > LINE {
                        let lines = encoded.chunks(LINE).filter(|line| line.len() >= SHORTEST_ENCODED);
                        forms.extend(lines.map(<[u8]>::to_vec));
                    }
                    forms.insert(encoded);
                }
            }
        }
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The letters that a value always has in base64 if `offset` bytes come before it, modulo 3: without those at either
/// end that depend on its neighbours as well.
fn encoded_core(value: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit =
        |at: usize| (at / 8).checked_sub(offset).and_then(|place| value.get(place)).map(|b| b >> (7 - at % 8) & 1);
    let letters = ((offset + value.len()) * 8).div_ceil(6);
    let letter = |number: usize| -> Option<u8> {
        let index = (0..6).try_fold(0, |sum, place| Some(sum << 1 | bit(number * 6 + place)?))?;
        Some(alphabet[usize::from(index)])
    };
    (0..letters).filter_map(letter).collect()
}

/// Masks one stream of bytes.
pub struct Redactor<'a> {
    secrets: &'a Secrets,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl<'a> Redactor<'a> {
    /// A stream that has not begun.
    pub fn new(secrets: &'a Secrets) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Takes some bytes; returns those that can be shown. What may turn out to be a secret is held back, which is less
    /// than the longest of them.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.scan(bytes, false)
    }

    /// The end of the stream: returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.scan(&[], true)
    }

    fn scan(&mut self, bytes: &[u8], is_end: bool) -> Vec<u8> {
        if self.secrets.patterns.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(&first) = self.held.get(at) {
            let rest = &self.held[at..];
            let mut found = None;
            let mut unsure = false;
            for pattern in self.secrets.beginning_with(first) {
                if rest.starts_with(pattern) {
                    found = Some(pattern.len());
                    break;
                }
                // A longer one than any that is there already: the list begins with the longest.
                unsure |= pattern.starts_with(rest);
            }
            if unsure && !is_end {
                break;
            }
            match found {
                Some(length) => {
                    shown.extend_from_slice(MASK);
                    at += length;
                }
                None => {
                    shown.push(first);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets = Secrets::new(secrets.iter().map(|secret| secret.as_bytes()));
        let mut redactor = Redactor::new(&secrets);
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| redactor.push(piece.as_bytes())).collect();
        shown.extend(redactor.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn masks_values() {
        let check = |secret: &str, text: &str, expected: &str| assert_eq!(redact(&[secret], &[text]), expected);
        check("hunter2", "password: hunter2!\n", "password: ***!\n");
        check("hunter2", "hunter2hunter2", "******");
        check("hunter2\n", "[hunter2]", "[***]");
        check("hunter2", "hunter", "hunter");
        check("abcabd", "abcabcabd", "abc***");
        check("abc", "abc", "abc");
        check("", "abc", "abc");
    }

    #[test]
    fn masks_each_line() {
        let key = "-----BEGIN KEY-----\nMIIBVQ\r\n  indented\n}\n";
        assert_eq!(redact(&[key], &["x MIIBVQ y indented } z"]), "x *** y *** } z");
        assert_eq!(redact(&[key], &["<", key, ">"]), "<***>");
    }

    #[test]
    fn masks_base64() {
        // As `printf hunter2-hunter2 | base64` and the like print it.
        let check = |text: &str, expected: &str| assert_eq!(redact(&["hunter2-hunter2"], &[text]), expected);
        check("aHVudGVyMi1odW50ZXIy\n", "***\n");
        check("aHVudGVyMi1odW50ZXIyCg==\n", "***Cg==\n");
        // user:hunter2-hunter2, and a letter less.
        check("dXNlcjpodW50ZXIyLWh1bnRlcjI=\n", "dXNlcjp***I=\n");
        check("dXNlOmh1bnRlcjItaHVudGVyMg==\n", "dXNlOm***g==\n");
        let long = "0123456789".repeat(9);
        let first = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2";
        assert_eq!(redact(&[&long], &[first, "\n"]), "***\n");
        assert_eq!(redact(&["\u{ff}\u{fe}\u{fd}~~~???"], &["w7_DvsO9fn5-Pz8_"]), "***", "the alphabet for URLs");
    }

    #[test]
    fn prefers_the_longer_one() {
        assert_eq!(redact(&["token", "tokenizer"], &["token", "izer token"]), "*** ***");
        assert_eq!(redact(&["token", "tokenizer"], &["token", "ized"]), "***ized");
        assert_eq!(redact(&["token", "tokenizer"], &["token"]), "***");
    }

    #[test]
    fn holds_back_only_what_may_be_a_secret() {
        let secrets = Secrets::new([&b"hunter2"[..]]);
        let mut redactor = Redactor::new(&secrets);
        assert_eq!(redactor.push(b"password: hun"), b"password: ");
        assert_eq!(redactor.push(b"g"), b"hung");
        assert_eq!(redactor.push(b"hunte"), b"");
        assert_eq!(redactor.finish(), b"hunte");
        let none = Secrets::default();
        assert_eq!(Redactor::new(&none).push(b"hunter2"), b"hunter2");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            secrets in proptest::collection::vec("[ab]{4,7}", 1..3),
            text in "[abc]{0,60}",
            cuts in proptest::collection::vec(0usize..60, 0..8),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let whole = redact(&secrets, &[&text]);
            prop_assert_eq!(redact(&secrets, &pieces), &*whole);
            for secret in secrets {
                prop_assert!(!whole.contains(secret), "{} is in {}", secret, whole);
            }
        }
    }
}
