//! For the fuzzer: the records of scenes.

use super::format;

/// What reads is written so that it reads the same.
pub fn check(data: &[u8]) {
    if let Some(scene) = format::decode(data) {
        assert_eq!(format::decode(&format::encode(&scene)), Some(scene));
    }
}
