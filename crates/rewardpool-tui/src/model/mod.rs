//! What the screen knows of the service: plain data, filled by `client` and read by `view`.
mod log;
mod pool;
mod service;

pub use self::log::{Level, LogLine};
pub use self::pool::{Item, PoolState, PoolStatus, PoolSummary, Pools, Units};
pub use self::service::{Activity, Recovery, Segment, SegmentState, ServiceStatus, Snapshot};
