//! Hands libFuzzer's inputs to the target.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| titan_fuzz::ingress(data));
