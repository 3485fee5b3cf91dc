//! Drives `rewardpool_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::config(data));
