//! For the fuzzer: what buckets say.

use super::refusal::Refusal;
use crate::registry::request::WORDS;

/// The document of a bucket that refuses something.
pub fn check(data: &[u8]) {
    let refusal = Refusal::read(data, std::str::from_utf8(data).ok(), "eu-west-1");
    assert!(refusal.code.chars().count() <= WORDS && !refusal.said.contains(char::is_control));
}
