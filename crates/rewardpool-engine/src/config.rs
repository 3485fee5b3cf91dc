//! What the engine needs to know, already checked.
use std::path::PathBuf;

use rewardpool_core::format::Format;

/// How segments are written. Both give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StorageKind {
    /// `pwrite` and `fdatasync`.
    File,
    /// A memory map and `msync`: several times slower to commit.
    Mmap,
}

/// When the writer's thread gets a processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheduling {
    /// In its turn. It is woken when there is something to do and a processor for it, so that much
    /// is done at once.
    Normal,
    /// Before all ordinary threads (`SCHED_FIFO`), where that is permitted. It interrupts those that
    /// make its work, so batches are smaller and less is done in a second; but it is not held up
    /// while other programs use all processors.
    Fifo,
}

/// How an engine is run. Every choice is made by the caller; there is no default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// The working directory. Made when it does not exist.
    pub directory: PathBuf,
    /// How segments are written.
    pub storage: StorageKind,
    /// Format of the records in new segments. Older segments keep theirs.
    pub format: Format,
    /// Length of a segment file; longer ones are made for records that would not fit.
    pub segment_bytes: usize,
    /// Submissions that may wait for the writer.
    pub mailbox_capacity: usize,
    /// Draws after which a batch is written although more wait. A single command may exceed it.
    pub batch_draws_max: usize,
    /// When the writer's thread gets a processor.
    pub scheduling: Scheduling,
}
