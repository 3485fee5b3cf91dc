//! How far the maintenance is: for those who wait for a snapshot, and for the status.
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rewardpool_wal::{SECTOR, SegmentSpan};

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
#[derive(Debug, Default)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
    changed: Condvar,
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
