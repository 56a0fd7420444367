//! See `targets::ignore`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::ignore(data));
