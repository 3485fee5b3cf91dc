//! Every durable record, in order, for those who want them all: streams, followers, sinks.
//!
//! A feed reads the files of the log beside the writer and never beyond what is durable, so it
//! costs the writer nothing, however slow it is: no queue fills up and nobody is woken. It asks for
//! news when it wants some.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rewardpool_wal::storage::FileStorage;
use rewardpool_wal::{
    Batch, Error, FollowError, Identity, LogFollower, SegmentHeader, SegmentNumber, SnapshotFile,
    snapshot_name,
};

use crate::handle::Handle;
use crate::progress::Progress;
use crate::statistics::Statistics;

/// How long a feed waits before it looks for news again, at least and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(8)];

/// Numbers the feeds of a process.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Where the log is, and which it is.
pub(crate) struct LogPlace {
    directory: PathBuf,
    identity: Identity,
}

impl LogPlace {
    pub(crate) fn new(directory: &Path, identity: Identity) -> Self {
        Self { directory: directory.to_owned(), identity }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn load_snapshot(&self, lsn: u64) -> Result<SnapshotFile, Error> {
        let storage = FileStorage::open(&self.directory);
        let storage = storage.map_err(|source| Error::Io {
            operation: "open the directory of",
            file: snapshot_name(lsn),
            source,
        })?;
        SnapshotFile::load(&storage, lsn, self.identity)
    }
}

/// Reads durable batches from a position on.
pub struct Feed {
    follower: LogFollower,
    /// Batches that end before it are not wanted.
    from_lsn: u64,
    statistics: Arc<Statistics>,
    ended: Receiver<()>,
    patience: Duration,
    kept: Kept,
}

/// Keeps segments from being removed.
struct Kept {
    number: u64,
    segment: SegmentNumber,
    progress: Arc<Progress>,
}

impl Kept {
    fn from(segment: SegmentNumber, progress: &Arc<Progress>) -> Self {
        let number = SERIAL.fetch_add(1, Ordering::Relaxed);
        progress.feed_reads(number, segment);
        Self { number, segment, progress: Arc::clone(progress) }
    }

    fn only_from(&mut self, segment: SegmentNumber) {
        if segment != self.segment {
            self.segment = segment;
            self.progress.feed_reads(self.number, segment);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.progress.feed_ended(self.number);
    }
}

impl Feed {
    pub(crate) fn open(handle: &Handle, from_lsn: u64) -> Result<Self, FollowError> {
        let LogPlace { directory, identity } = &*handle.place;
        // Everything is kept until it is known what is needed.
        let mut kept = Kept::from(SegmentNumber(0), &handle.progress);
        let follower = LogFollower::open(directory, *identity, from_lsn)?;
        kept.only_from(follower.segment());
        Ok(Self {
            follower,
            from_lsn,
            statistics: Arc::clone(&handle.statistics),
            ended: handle.ended.clone(),
            patience: LOOK_AGAIN[0],
            kept,
        })
    }

    /// The last record that is on disk.
    pub fn durable_lsn(&self) -> u64 {
        self.statistics.durable_lsn()
    }

    /// The last record that was read.
    pub fn last_lsn(&self) -> u64 {
        self.follower.last_lsn()
    }

    /// The segment that is read, or will be read next.
    pub fn segment(&self) -> &SegmentHeader {
        self.follower.segment_header()
    }

    /// The segment behind it, when the last batch closed it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next_segment(&self) -> Result<SegmentHeader, FollowError> {
        Ok(self.follower.next_segment_header()?)
    }

    /// The next durable batch; `None` when all were read. The first one may begin before the
    /// position that was asked for.
    ///
    /// # Errors
    /// [`FollowError::Gone`] when it fell so far behind that segments were removed before it read
    /// them: more than can be kept for it.
    pub fn read(&mut self) -> Result<Option<Batch<'_>>, FollowError> {
        let durable_lsn = self.statistics.durable_lsn();
        while self.follower.skip_before(self.from_lsn, durable_lsn)? {}
        self.kept.only_from(self.follower.segment());
        let batch = self.follower.next(durable_lsn)?;
        if batch.is_some() {
            self.patience = LOOK_AGAIN[0];
        }
        Ok(batch)
    }

    /// Waits until there may be something new. `false` when there never will be, because the engine
    /// has ended.
    pub fn wait(&mut self) -> bool {
        if self.statistics.durable_lsn() > self.follower.last_lsn() {
            return true;
        }
        let waited = self.ended.recv_timeout(self.patience);
        self.patience = (self.patience * 2).min(LOOK_AGAIN[1]);
        // The last records may have come with the end.
        let is_over = waited == Err(RecvTimeoutError::Disconnected);
        !is_over || self.statistics.durable_lsn() > self.follower.last_lsn()
    }
}
