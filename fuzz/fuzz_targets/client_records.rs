//! libFuzzer entry; see `rookeeper_fuzz::client_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::client_records(data));
