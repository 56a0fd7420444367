//! See `targets::expand`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::expand(data));
