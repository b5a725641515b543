//! libFuzzer entry; see `rookeeper_fuzz::election`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::election(data));
