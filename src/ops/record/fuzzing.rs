//! For the fuzzer: a door to the readers of what is kept of builds.
//!
//! It is there with `--cfg fuzzing` only, which cargo-fuzz sets.

use std::sync::Arc;

use super::{Past, events, format, lists};
use crate::graph::explain::Explainer;

/// The parts of a record, compressed here so that bytes need not be a stream of zstd to get anywhere: what reads is written so
/// that it reads the same, and whatever a snapshot says, a build can be explained by it.
pub fn records(data: &[u8]) {
    let packed = zstd::bulk::compress(data, 1).expect("memory is enough");
    let versioned = [&[1][..], &packed].concat();
    if let Some(summary) = format::summary("a".into(), data) {
        let written = format::write_summary(&summary).expect("it can be written");
        assert_eq!(format::summary("a".into(), &written), Some(summary));
    }
    if let Some(log) = events::decode(&versioned) {
        let written = events::encode(&log).expect("it can be written");
        assert_eq!(events::decode(&written), Some(log));
    }
    if let Some(list) = lists::decode(&versioned) {
        let written = lists::encode(&list).expect("it can be written");
        assert_eq!(lists::decode(&written), Some(list));
    }
    if let Some(snapshot) = format::snapshot(&packed) {
        let written = format::write_snapshot(&snapshot).expect("it can be written");
        assert_eq!(format::snapshot(&written), Some(snapshot.clone()));
        let steps = snapshot.steps.len();
        let past = Past { snapshot: snapshot.clone(), ..Past::default() };
        let mut explainer = Explainer::new(Arc::new(snapshot), vec![past], Box::new(|_| None));
        for step in 0..steps.min(64) {
            let _ = (explainer.in_short(step), explainer.chain(step));
        }
    }
}
