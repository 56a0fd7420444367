//! See `targets::bakejson`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::bakejson(data));
