//! For the fuzzer: what the service says, and what a token says.

use super::access::Claims;
use super::calls::Refusal;
use crate::registry::Secret;
use crate::registry::request::WORDS;

/// An answer that refuses something, and a token.
pub fn check(data: &[u8]) {
    let refusal = Refusal::read(data, &Secret("token".into()));
    assert!(refusal.said.chars().count() <= WORDS && !refusal.said.contains(char::is_control));
    assert!(!refusal.said.contains("token"));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(!Claims::read(text).references.is_empty());
    }
}
