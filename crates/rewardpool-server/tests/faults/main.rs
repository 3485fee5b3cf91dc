//! Tests of the real binary under faults: the process killed, started twice, cut off.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod archive;
mod client;
mod control;
mod dice;
mod double_start;
mod kill;
mod service;
