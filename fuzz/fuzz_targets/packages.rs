//! See `targets::packages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::packages(data));
