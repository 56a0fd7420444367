//! See `targets::lockfile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::lockfile(data));
