//! See `targets::tar`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tar(data));
