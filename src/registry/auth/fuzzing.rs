//! For the fuzzer: what servers say of how they want to be asked.

use super::challenge::{self, Challenge};
use super::scope::Scope;
use super::token::Token;

/// A header with challenges, a scope, and the answer of a token server.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        for challenge in challenge::parse(text) {
            assert!(!matches!(challenge, Challenge::Bearer { realm, .. } if realm.is_empty()));
        }
        let scope = Scope::parse(text);
        assert_eq!(Scope::parse(&scope.to_string()), scope);
    }
    if let Ok(token) = Token::read(data) {
        assert!(token.authorization().0.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    }
}
