//! How far the maintenance is: for those who wait for a snapshot, and for the status.
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

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

/// What the maintenance has done.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    newest: Option<SnapshotTaken>,
    /// The last position of which no snapshot could be made for lack of space.
    refused_lsn: u64,
    segments: usize,
    ended: bool,
}

impl Progress {
    pub(crate) fn snapshot_taken(&self, taken: SnapshotTaken, segments: usize) {
        let mut inner = self.lock();
        inner.newest = Some(taken);
        inner.segments = segments;
        self.changed.notify_all();
    }

    /// There is no room for a snapshot of this position. Whoever waits for it is told.
    pub(crate) fn snapshot_refused(&self, lsn: u64) {
        self.lock().refused_lsn = lsn;
        self.changed.notify_all();
    }

    pub(crate) fn segment_begun(&self) {
        self.lock().segments += 1;
    }

    /// Nobody will take another snapshot.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn newest_snapshot(&self) -> Option<SnapshotTaken> {
        self.lock().newest.clone()
    }

    pub(crate) fn segments(&self) -> usize {
        self.lock().segments
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
