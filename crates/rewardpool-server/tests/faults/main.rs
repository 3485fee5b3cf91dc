//! Tests of the real binary under faults: the process killed, started twice, cut off, its disk cut
//! off from power, broken or full, its system calls failed.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(clippy::print_stdout, reason = "a test tells how much it tried, and how to repeat it")]

mod archive;
mod backup;
mod busy_address;
mod campaign;
mod client;
mod control;
mod device;
mod dice;
mod double_start;
mod errand;
mod failed_sync;
mod full_disk;
mod kill;
mod load;
mod looked;
mod operator;
mod power_cut;
mod restore;
mod scheduling;
mod service;
mod shim;
mod strace;
mod system_calls;
mod tools;
mod volume;
