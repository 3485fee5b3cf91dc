//! Every durable record, in order, for those who want them all: streams, followers, sinks.
//!
//! A feed reads the files of the log beside the writer and never beyond what is durable, so it
//! costs the writer nothing, however slow it is: no queue fills up and nobody is woken. It asks for
//! news when it wants some.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rewardpool_wal::storage::FileStorage;
use rewardpool_wal::{
    Batch, Error, FollowError, Identity, LogFollower, SegmentHeader, SegmentNumber, SegmentSpan,
    SnapshotFile, snapshot_name,
};

use crate::engine::stopwatch;
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

/// How far a feed is, for those who look after it.
#[derive(Debug)]
pub(crate) struct FeedPlace {
    last_lsn: AtomicU64,
    /// Nanoseconds from `begun` to when it had all that was durable.
    fresh_ns: AtomicU64,
    begun: Instant,
}

impl FeedPlace {
    fn new(last_lsn: u64) -> Self {
        Self { last_lsn: last_lsn.into(), fresh_ns: AtomicU64::new(0), begun: stopwatch() }
    }

    fn stand(&self, last_lsn: u64, is_fresh: bool) {
        self.last_lsn.store(last_lsn, Ordering::Relaxed);
        if is_fresh {
            let ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.fresh_ns.store(ns, Ordering::Relaxed);
        }
    }
}

/// How far somebody is who reads the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeedStanding {
    /// Number of the feed, unique in the process.
    pub number: u64,
    /// The last record that was read.
    pub last_lsn: u64,
    /// Durable records behind that.
    pub lag_records: u64,
    /// About so many bytes of segments have not been read.
    pub lag_bytes: u64,
    /// For how long it has not had all that was durable; zero when it has.
    pub lag: Duration,
}

impl FeedStanding {
    /// All feeds of an engine.
    pub(crate) fn of(handle: &Handle) -> Vec<Self> {
        let feeds = handle.progress.feeds();
        let (durable, segments) = (handle.durable_lsn(), handle.segment_spans());
        let standing = |(number, segment, place): (u64, SegmentNumber, Arc<FeedPlace>)| {
            let last_lsn = place.last_lsn.load(Ordering::Relaxed);
            let lag_records = durable.saturating_sub(last_lsn);
            let fresh = Duration::from_nanos(place.fresh_ns.load(Ordering::Relaxed));
            let is_fresh = lag_records == 0;
            let left = |place: usize, span: &SegmentSpan| {
                // A part of the segment that is read, in the same measure as of its records.
                let end = segments.get(place + 1).map_or(durable + 1, |next| next.first_lsn);
                let records = u128::from(end.saturating_sub(span.first_lsn)).max(1);
                let unread = u128::from(end.saturating_sub(span.first_lsn.max(last_lsn + 1)));
                u64::try_from(u128::from(span.used_bytes) * unread / records).unwrap_or(u64::MAX)
            };
            let behind = segments.iter().enumerate().filter(|(_, span)| span.number >= segment);
            Self {
                number,
                last_lsn,
                lag_records,
                lag_bytes: behind.map(|(place, span)| left(place, span)).sum(),
                lag: if is_fresh {
                    Duration::ZERO
                } else {
                    place.begun.elapsed().saturating_sub(fresh)
                },
            }
        };
        feeds.into_iter().map(standing).collect()
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
    place: Arc<FeedPlace>,
    progress: Arc<Progress>,
}

impl Kept {
    fn from(segment: SegmentNumber, from_lsn: u64, progress: &Arc<Progress>) -> Self {
        let number = SERIAL.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(FeedPlace::new(from_lsn.saturating_sub(1)));
        progress.feed_reads(number, segment, &place);
        Self { number, segment, place, progress: Arc::clone(progress) }
    }

    fn only_from(&mut self, segment: SegmentNumber) {
        if segment != self.segment {
            self.segment = segment;
            self.progress.feed_reads(self.number, segment, &self.place);
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
        let mut kept = Kept::from(SegmentNumber(0), from_lsn, &handle.progress);
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
        let last_lsn = batch.as_ref().map(|batch| batch.first_lsn + u64::from(batch.count) - 1);
        if let Some(last_lsn) = last_lsn {
            self.patience = LOOK_AGAIN[0];
            self.kept.place.stand(last_lsn, last_lsn >= durable_lsn);
        }
        Ok(batch)
    }

    /// Whether there is something that was not read, without reading it.
    pub fn has_news(&self) -> bool {
        let last_lsn = self.follower.last_lsn();
        let has_news = self.statistics.durable_lsn() > last_lsn;
        if !has_news {
            self.kept.place.stand(last_lsn, true);
        }
        has_news
    }

    /// Waits until there may be something new. `false` when there never will be, because the engine
    /// has ended.
    pub fn wait(&mut self) -> bool {
        if self.has_news() {
            return true;
        }
        let waited = self.ended.recv_timeout(self.patience);
        self.patience = (self.patience * 2).min(LOOK_AGAIN[1]);
        // The last records may have come with the end.
        let is_over = waited == Err(RecvTimeoutError::Disconnected);
        !is_over || self.statistics.durable_lsn() > self.follower.last_lsn()
    }
}
