//! Tests of the real binary under faults: the process killed, started twice, cut off.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod archive;
mod client;
mod dice;
mod kill;
mod service;
