//! See `targets::cache`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cache(data));
