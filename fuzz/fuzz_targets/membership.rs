//! libFuzzer entry; see `rookeeper_fuzz::membership`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::membership(data));
