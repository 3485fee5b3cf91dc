//! Faults.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
mod device;
mod tools;
