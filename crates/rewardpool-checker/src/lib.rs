//! Judges a run of the service: what its clients were told, against what its log holds.
//!
//! A [`history::Recorder`] writes down what clients ask for, before they ask, and what they are
//! told; a [`log::Log`] is read from the directory of the dead service; [`check::check`] compares
//! the two and gives a verdict on each [`Invariant`]. One writer gives every draw a request id and
//! every change a position, which is a total order, so that linearizability is a comparison in
//! O(n log n) and no search.
//!
//! Nothing of the engine's own checks is believed: stock, odds and order are counted again from the
//! records alone.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use rewardpool_checker::check::{Limits, check};
//! use rewardpool_checker::{history, log};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let events = history::read(Path::new("history.jsonl"))?;
//! let log = log::load(Path::new("rewardpool-data"))?;
//! let report = check(&events, &log, &Limits::default());
//! assert!(report.is_good(), "{report}");
//! # Ok(())
//! # }
//! ```
pub mod check;
pub mod history;
pub mod log;
mod report;
mod violation;

pub use report::{Counts, Report, Status, Verdict};
pub use violation::{Finding, Invariant, Violation};
