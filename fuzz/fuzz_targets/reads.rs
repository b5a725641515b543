//! libFuzzer entry; see `rookeeper_fuzz::reads`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::reads(data));
