//! What the log promises, tried out: one law for every storage, every way a power cut can tear
//! it, every way a disk can rot under it.
//!
//! Thousands of damaged images live on a simulated disk (`rewardpool-sim`); [`journal`] writes to a log
//! and knows what it was promised.
#![expect(unreachable_pub, reason = "the modules of a test have no outside")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests stop and tell")]

mod contract;
mod extent;
mod journal;
mod killed;
#[cfg(feature = "mutants")]
mod mutants;
mod rot;
mod torn;
