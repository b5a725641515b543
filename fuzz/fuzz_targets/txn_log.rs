//! libFuzzer entry; see `rookeeper_fuzz::txn_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::txn_log(data));
