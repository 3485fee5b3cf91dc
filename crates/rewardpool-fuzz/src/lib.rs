//! Bodies of the fuzz targets: one function each that takes any bytes and must not panic.
//!
//! `fuzz/` drives them with libFuzzer; the test of this crate replays the corpus and the
//! regressions of `fuzz/` on any toolchain, and mutates them a little with a fixed seed.
mod config;
mod directory;
mod format_binary;
mod format_json;
mod format_string_line;
mod golden;
mod grpc;
mod life;
pub mod memory;
mod payload;
pub mod random;
mod records;
mod reference;
mod script;
mod seeds;
mod snapshot;
mod wal_segment;

pub use config::config;
pub use directory::{directory, directory_start};
pub use format_binary::format_binary;
pub use format_json::format_json;
pub use format_string_line::format_string_line;
pub use grpc::grpc;
pub use life::life;
pub use seeds::{Seed, seeds};
pub use snapshot::snapshot;
pub use wal_segment::wal_segment;

/// A target: its name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("config", config),
    ("directory", directory),
    ("directory_start", directory_start),
    ("format_binary", format_binary),
    ("format_json", format_json),
    ("format_string_line", format_string_line),
    ("grpc", grpc),
    ("life", life),
    ("snapshot", snapshot),
    ("wal_segment", wal_segment),
];
