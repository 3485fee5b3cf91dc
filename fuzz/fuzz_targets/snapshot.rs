//! Drives `rewardpool_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::snapshot(data));
