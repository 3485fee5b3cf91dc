//! Drives `rewardpool_fuzz::format_binary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::format_binary(data));
