//! See `targets::compose`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::compose(data));
