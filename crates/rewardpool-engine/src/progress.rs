//! How far the maintenance is: for those who wait for a snapshot, and for the status.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rewardpool_wal::{SECTOR, SegmentNumber, SegmentSpan};

use crate::feed::FeedPlace;
use crate::request::Refusal;

/// A snapshot that is on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotTaken {
    /// The last record that it covers.
    pub lsn: u64,
    /// Its file in the working directory.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file without its last 32 bytes, which hold it.
    pub sha256: [u8; 32],
}

/// Bytes of segments that stay for the sake of feeds, at most, if nobody says otherwise.
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// How the making of snapshots went since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SnapshotsMade {
    /// Snapshots that were made of closed segments.
    pub made: u64,
    /// Attempts that failed; what they left out is made up for by the next one.
    pub failed: u64,
    /// How long the last one took.
    pub last_duration: Duration,
}

/// What the maintenance has done.
#[derive(Debug)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
    changed: Condvar,
    kept_bytes_max: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let (inner, changed) = Default::default();
        Self { inner, changed, kept_bytes_max: AtomicU64::new(KEPT_BYTES_MAX) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    newest: Option<SnapshotTaken>,
    making: SnapshotsMade,
    /// The last position of which no snapshot could be made for lack of space.
    refused_lsn: u64,
    /// The segments that the directory holds, in order. The last one is written.
    segments: Vec<SegmentSpan>,
    /// The snapshots that it holds, in order.
    snapshots: Vec<u64>,
    /// The segment that each feed reads at present, and how far it is, by the number of the feed.
    feeds: BTreeMap<u64, (SegmentNumber, Arc<FeedPlace>)>,
    ended: bool,
}

impl Progress {
    /// A snapshot is on disk, and these files went away because of it.
    pub(crate) fn snapshot_taken(
        &self,
        taken: SnapshotTaken,
        snapshots: Vec<u64>,
        removed: &[String],
    ) {
        let mut inner = self.lock();
        inner.newest = Some(taken);
        inner.snapshots = snapshots;
        inner.segments.retain(|segment| !removed.contains(&segment.number.to_string()));
        self.changed.notify_all();
    }

    /// The directory holds these segments.
    pub(crate) fn segments_found(&self, segments: Vec<SegmentSpan>) {
        self.lock().segments = segments;
    }

    /// A snapshot was made of closed segments, or could not be made.
    pub(crate) fn attempt_ended(&self, is_made: bool, took: Duration) {
        let making = &mut self.lock().making;
        if is_made {
            making.made += 1;
            making.last_duration = took;
        } else {
            making.failed += 1;
        }
    }

    pub(crate) fn snapshots_made(&self) -> SnapshotsMade {
        self.lock().making
    }

    /// There is no room for a snapshot of this position. Whoever waits for it is told.
    pub(crate) fn snapshot_refused(&self, lsn: u64) {
        self.lock().refused_lsn = lsn;
        self.changed.notify_all();
    }

    /// A segment is written from now on; the one before it had so many bytes and was closed.
    pub(crate) fn segment_begun(&self, used_bytes_before: u64, begun: SegmentSpan) {
        let mut inner = self.lock();
        if let Some(before) = inner.segments.last_mut() {
            // What closes a segment takes one sector.
            before.used_bytes = used_bytes_before + SECTOR as u64;
        }
        inner.segments.push(begun);
    }

    /// A feed reads this segment, which stays for it, and those after it.
    pub(crate) fn feed_reads(&self, feed: u64, segment: SegmentNumber, place: &Arc<FeedPlace>) {
        self.lock().feeds.insert(feed, (segment, Arc::clone(place)));
    }

    /// The feeds, by their numbers, and the segment that each of them reads.
    pub(crate) fn feeds(&self) -> Vec<(u64, SegmentNumber, Arc<FeedPlace>)> {
        let inner = self.lock();
        inner.feeds.iter().map(|(n, (segment, place))| (*n, *segment, Arc::clone(place))).collect()
    }

    /// Bytes of segments that stay for the sake of feeds, at most.
    pub(crate) fn keep_for_feeds(&self, bytes_max: u64) {
        self.kept_bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// A feed has ended.
    pub(crate) fn feed_ended(&self, feed: u64) {
        self.lock().feeds.remove(&feed);
    }

    /// The first segment that stays because a feed reads it, or will. A feed for which too much
    /// would have to stay gets nothing.
    pub(crate) fn kept_for_feeds(&self) -> Option<SegmentNumber> {
        let inner = self.lock();
        let bytes_from = |first: SegmentNumber| -> u64 {
            let kept = inner.segments.iter().filter(|segment| segment.number >= first);
            kept.map(|segment| segment.bytes).sum()
        };
        let bytes_max = self.kept_bytes_max.load(Ordering::Relaxed);
        let firsts = inner.feeds.values().map(|(segment, _)| *segment);
        firsts.filter(|&first| bytes_from(first) <= bytes_max).min()
    }

    /// Nobody will take another snapshot.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn newest_snapshot(&self) -> Option<SnapshotTaken> {
        self.lock().newest.clone()
    }

    pub(crate) fn segments(&self) -> Vec<SegmentSpan> {
        self.lock().segments.clone()
    }

    pub(crate) fn segment_count(&self) -> usize {
        self.lock().segments.len()
    }

    pub(crate) fn snapshots(&self) -> Vec<u64> {
        self.lock().snapshots.clone()
    }

    pub(crate) fn wait_for_snapshot(
        &self,
        lsn: u64,
        deadline: Instant,
    ) -> Result<SnapshotTaken, Refusal> {
        let mut inner = self.lock();
        loop {
            if let Some(taken) = inner.newest.as_ref().filter(|taken| taken.lsn >= lsn) {
                return Ok(taken.clone());
            }
            if inner.refused_lsn >= lsn {
                return Err(Refusal::OutOfSpace);
            }
            if inner.ended {
                return Err(Refusal::Stopping);
            }
            #[expect(clippy::disallowed_methods, reason = "a caller's patience, not logged time")]
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::Expired);
            }
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.expect("no holder of this lock panics").0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}
