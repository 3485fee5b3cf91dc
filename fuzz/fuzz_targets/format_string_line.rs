//! Drives `rewardpool_fuzz::format_string_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rewardpool_fuzz::format_string_line(data));
