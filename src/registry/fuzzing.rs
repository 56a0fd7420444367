//! For the fuzzer: a door to the readers of what servers answer, which are nobody else's business.
//!
//! It is there with `--cfg fuzzing` only, which cargo-fuzz sets.

use super::request::WORDS;
use super::{actions, auth, listing, request, s3};

/// The small answers and headers of registries, of token servers, of buckets and of the cache of GitHub Actions.
pub fn answers(data: &[u8]) {
    auth::fuzzing::check(data);
    s3::fuzzing::check(data);
    actions::fuzzing::check(data);
    let words = request::words(data);
    assert!(words.chars().count() <= WORDS && !words.contains(char::is_control));
    if let Ok(text) = std::str::from_utf8(data) {
        request::seconds(text);
        assert!(listing::next_link(text).is_none_or(|link| text.contains(link)));
    }
}
