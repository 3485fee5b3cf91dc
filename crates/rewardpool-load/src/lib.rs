//! Lays load on an engine in this process, or on a running service, and measures it.
pub mod catalog;
mod compare;
pub mod engine;
mod error;
pub mod grpc;
mod listener;
pub mod log;
pub mod machine;
pub mod recovery;
pub mod report;
pub mod service;
mod tally;
pub mod target;
mod watch;

pub use self::compare::{Comparison, Difference, Figure};
pub use self::engine::{EnginePlan, EngineRun};
pub use self::error::Error;
pub use self::grpc::{GrpcPlan, GrpcRun, Method};
pub use self::recovery::RecoveryPlan;
pub use self::report::Report;
pub use self::service::ServicePlan;
pub use self::tally::{Latencies, Tally};
pub use self::target::Target;
pub use self::watch::{Phase, Watch};
