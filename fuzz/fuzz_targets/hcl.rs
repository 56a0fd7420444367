//! See `targets::hcl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::hcl(data));
