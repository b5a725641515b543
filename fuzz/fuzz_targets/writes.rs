//! libFuzzer entry; see `rookeeper_fuzz::writes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::writes(data));
