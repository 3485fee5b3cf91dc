//! The write-ahead log of the reward pool: batches of opaque records in fixed-size segments,
//! snapshots beside them, and a reader that tells a torn write from a damaged disk.
//!
//! This crate knows bytes, checksums and files; what a record means is the business of its caller.
//! `docs/FORMAT.md` specifies every byte.
//!
//! Start reading at [`Appender`] for the way in and at [`LogReader`] for the way back.
mod appender;
mod batch;
mod directory;
mod error;
mod extent;
mod follow;
mod following;
mod identity;
mod layout;
mod lock;
mod reader;
mod restored;
mod scan;
mod segment;
mod snapshot;
pub mod storage;
mod survey;

pub use appender::{Appender, Committed, CopyError, EPOCH, Position};
#[cfg(feature = "measure")]
pub use batch::seal_for_measure;
pub use batch::{Batch, SECTOR};
pub use directory::{create_directory, sync_directory_name};
pub use error::{Error, Fault};
pub use extent::used_bytes;
pub use follow::{FollowError, LogFollower};
pub use following::Following;
pub use identity::Identity;
pub use layout::{LogFile, SegmentNumber, is_leftover, secret_name, segment_name, snapshot_name};
pub use lock::DirectoryLock;
pub use reader::{LogReader, Replayed, SegmentSpan, Tail};
pub use restored::{Ancestry, Restoration};
pub use scan::Torn;
pub use segment::{Prepared, SEGMENT_BYTES_MIN, SegmentHeader, remove_leftovers};
pub use snapshot::{SnapshotFile, SnapshotHeader};
