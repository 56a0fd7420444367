//! See `targets::compressed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::compressed(data));
