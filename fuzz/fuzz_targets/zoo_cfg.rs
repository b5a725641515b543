//! libFuzzer entry; see `rookeeper_fuzz::zoo_cfg`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::zoo_cfg(data));
