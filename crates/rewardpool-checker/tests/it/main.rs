//! Tests of the checker: runs made by hand and runs of the real engine.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod bad_runs;
mod large_run;
mod lies;
mod made_run;
mod real_runs;
