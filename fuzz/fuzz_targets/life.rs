//! Drives `rewardpool_fuzz::life`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::life(data));
