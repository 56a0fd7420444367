//! What has no reader that others could call: imgbuild opens these for the fuzzer only (`#[cfg(fuzzing)]`).

use imgbuild::{cli, ops, registry, solve, source, store};

/// What registries, token servers and buckets say besides documents of images.
pub fn answers(data: &[u8]) {
    registry::fuzzing::answers(data);
}

/// What a store keeps beside images: containers, records of builds and of steps, what is known of files.
pub fn kept(data: &[u8]) {
    store::fuzzing::kept(data);
    ops::record::fuzzing::records(data);
    source::statcache::fuzzing::record(data);
    if let Some(state) = solve::record::decode(data) {
        assert_eq!(solve::record::encode(&state), data);
    }
}

/// Settings, passwords, and the small languages of arguments.
pub fn settings(data: &[u8]) {
    cli::fuzzing::settings(data);
}
