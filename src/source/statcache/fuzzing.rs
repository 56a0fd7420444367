//! For the fuzzer: a door to the reader of what is known of a context's files.
//!
//! It is there with `--cfg fuzzing` only, which cargo-fuzz sets.

use super::record::{CHECK, Record};
use crate::fstree::TreePath;

/// A record, whose check is made right first: it is against damage, and whoever writes one on purpose can do as much.
pub fn record(data: &[u8]) {
    let check = blake3::hash(data);
    let Some(record) = Record::decode([data, &check.as_bytes()[..CHECK]].concat()) else { return };
    for folder in ["", "a", "a/b"] {
        let Some(section) = record.section(&TreePath::clean(folder)) else { continue };
        for place in 0..section.len() {
            let _ = section.name(place);
        }
    }
}
