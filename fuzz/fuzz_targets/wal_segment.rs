//! Drives `rewardpool_fuzz::wal_segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::wal_segment(data));
