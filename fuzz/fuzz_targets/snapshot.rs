//! libFuzzer entry; see `rookeeper_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::snapshot(data));
