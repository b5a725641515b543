//! libFuzzer entry; see `rookeeper_fuzz::quorum_packets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rookeeper_fuzz::quorum_packets(data));
