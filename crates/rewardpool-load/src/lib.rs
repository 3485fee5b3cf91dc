//! Lays load on an engine in this process, or on a running service, and measures it.
pub mod catalog;
mod compare;
pub mod engine;
mod error;
pub mod grpc;
pub mod log;
pub mod machine;
pub mod report;
mod tally;
mod watch;

pub use self::compare::{Comparison, Difference, Figure};
pub use self::engine::{EnginePlan, EngineRun};
pub use self::error::Error;
pub use self::grpc::{GrpcPlan, GrpcRun, Method};
pub use self::report::Report;
pub use self::tally::{Latencies, Tally};
pub use self::watch::{Phase, Watch};
