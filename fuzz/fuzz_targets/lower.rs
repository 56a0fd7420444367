//! See `targets::lower`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::lower(data));
