//! libFuzzer entry; see `rookeeper_fuzz::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::connection(data));
