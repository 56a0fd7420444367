//! See `targets::oci`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::oci(data));
