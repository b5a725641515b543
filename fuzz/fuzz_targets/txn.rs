//! libFuzzer entry; see `rookeeper_fuzz::txn`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::txn(data));
