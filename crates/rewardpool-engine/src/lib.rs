//! The engine of the reward pool: one writer thread that owns the state and its log.
//!
//! [`Engine::open`] recovers a directory or sets it up; its [`Handle`] is the one way in. Nothing
//! is answered before it is on disk.
//!
//! ```
//! use std::time::Duration;
//!
//! use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
//! use rewardpool_engine::core::command::{
//!     DrawCommand, DrawCount, DrawMode, KeyLimits, PoolSpec,
//! };
//! use rewardpool_engine::core::format::Format;
//! use rewardpool_engine::core::name::{ItemId, PoolId};
//! use rewardpool_engine::core::quantity::Quantity;
//! use rewardpool_engine::core::selector::SelectorKind;
//! use rewardpool_engine::{Engine, EngineConfig, NewPool, Scheduling, StorageKind};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let engine = Engine::open(&EngineConfig {
//!     directory: directory.path().join("data"),
//!     storage: StorageKind::File,
//!     format: Format::Binary,
//!     segment_bytes: 1 << 20,
//!     mailbox_capacity: 1024,
//!     batch_draws_max: 16_384,
//!     scheduling: Scheduling::Normal,
//! })?;
//! let catalog = Catalog::new(vec![
//!     CatalogItem { id: ItemId::new("gold")?, weight: 1, quantity: Quantity::Limited(1) },
//!     CatalogItem { id: ItemId::new("rock")?, weight: 9, quantity: Quantity::Unlimited },
//! ])?;
//! let spec = PoolSpec {
//!     id: PoolId::new("summer")?,
//!     catalog,
//!     selector: SelectorKind::Auto,
//!     keys: KeyLimits::default(),
//! };
//! let patience = Duration::from_secs(5);
//! let handle = engine.handle();
//! let pool = handle.create_pool(NewPool { spec, secret: None }, patience)?;
//! let draw = DrawCommand { pool, count: DrawCount::ONE, mode: DrawMode::BestEffort, key: None };
//! let drawn = handle.draw(draw, patience)?;
//! assert_eq!(drawn.first_request_id.number(), 1);
//! assert!(drawn.items[0].is_some());
//! engine.stop()?;
//! # Ok(())
//! # }
//! ```
mod backup;
mod compactor;
mod config;
mod engine;
mod error;
mod examine;
mod feed;
mod follower;
mod handle;
mod histogram;
pub mod inspect;
mod mailbox;
mod progress;
mod recount;
mod recovery;
mod replica;
mod request;
pub mod restore;
mod scheduling;
mod secrets;
#[cfg(feature = "simulation")]
pub mod simulation;
mod statistics;
mod submission;
mod succession;
mod supplier;
mod writer;

pub use backup::{Backup, BackupError, BackupFile, BackupOptions, SEGMENTS_MAX, open_stopped};
pub use config::{EngineConfig, Scheduling, StorageKind};
pub use engine::Engine;
pub use error::{Chain, EngineError};
pub use feed::{Feed, FeedStanding};
pub use follower::{CopiedBatch, Copier, CopyState, NotCopied, begin_copy, copy_state};
pub use handle::{Draws, Handle};
pub use histogram::Distribution;
pub use progress::{SnapshotTaken, SnapshotsMade};
pub use recovery::RecoveryReport;
pub use replica::{ArrivedBatch, Replica, ReplicaError};
pub use request::{
    Answer, DrawAnswer, LogPosition, NewPool, PoolPage, PoolSummary, PoolsPage, Refusal, Request,
    Status,
};
pub use rewardpool_core as core;
pub use rewardpool_wal::{
    Batch, FollowError, Identity, SegmentHeader, SegmentSpan, SnapshotFile, snapshot_name,
};
pub use scheduling::{Scheduled, Why};
pub use statistics::Reading;
pub use submission::{Reply, ReplyPort, Submission};
