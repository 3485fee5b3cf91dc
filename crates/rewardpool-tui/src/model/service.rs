//! The service and its log on disk.
use std::time::Duration;

/// How busy the service is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Activity {
    /// Since it became ready.
    pub uptime: Duration,
    /// Draws per second at present, over all pools.
    pub draws_per_second: f64,
    /// Commits so far.
    pub commits: u64,
    /// Half of the last commits took no longer, in microseconds.
    pub commit_p50_us: u64,
    /// 99 of a hundred took no longer.
    pub commit_p99_us: u64,
    /// The longest one.
    pub commit_max_us: u64,
    /// Records that half of the last batches had at most.
    pub batch_p50: u64,
    /// Number of the last record on disk.
    pub durable_lsn: u64,
    /// Number of the last draw.
    pub last_request_id: u64,
    /// Commands that wait for the writer.
    pub mailbox_depth: u64,
    /// Commands that may wait.
    pub mailbox_capacity: u64,
    /// Whether draws are refused because the disk is full.
    pub is_out_of_space: bool,
    /// Whether granted = left + awarded holds.
    pub is_conserved: bool,
    /// Version of the program.
    pub version: String,
}

/// A file of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// Number of its first record.
    pub first_lsn: u64,
    /// Its size.
    pub bytes: u64,
    /// Bytes that are written.
    pub used_bytes: u64,
    /// What happens to it.
    pub state: SegmentState,
}

/// What happens to a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentState {
    /// It is written.
    Open,
    /// It is full.
    Closed,
}

impl SegmentState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A snapshot in the working directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The last record that it includes.
    pub lsn: u64,
    /// Its file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970; 0 when that is not known.
    pub made_at_ms: u64,
}

/// What the start found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recovery {
    /// The last record of the snapshot that was loaded.
    pub snapshot_lsn: u64,
    /// Records replayed after it.
    pub records: u64,
    /// Bytes of an unfinished batch that were cut off.
    pub torn_bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// The condition of the service and of its files.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ServiceStatus {
    /// Where its files are; empty when it does not say.
    pub working_dir: String,
    /// `file` or `mmap`.
    pub storage: String,
    /// Format of the records.
    pub format: String,
    /// When the writer gets a processor.
    pub scheduling: String,
    /// When it became ready, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// The files of the log, in order.
    pub segments: Vec<Segment>,
    /// Segments that there are, when they are not listed.
    pub segment_count: u32,
    /// The newest snapshot.
    pub snapshots: Vec<Snapshot>,
    /// Number of the last record on disk.
    pub durable_lsn: u64,
    /// Pools, closed ones included.
    pub pools: u32,
    /// What the start found.
    pub recovery: Recovery,
}
