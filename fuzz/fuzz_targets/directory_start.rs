//! Drives `rewardpool_fuzz::directory_start`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::directory_start(data));
