//! See `targets::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::settings(data));
