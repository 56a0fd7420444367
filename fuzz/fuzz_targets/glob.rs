//! See `targets::glob`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::glob(data));
