//! See `targets::trust`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::trust(data));
