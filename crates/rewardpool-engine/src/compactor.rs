//! Turns closed segments into snapshots, on its own thread, by the very code that recovers: the
//! newest snapshot plus the closed segments after it gives the next one. The writer never stops
//! for it, and every snapshot proves that the log before it can be recovered.
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use rewardpool_core::state::State;
use rewardpool_mutant::{Mutant, is_on};
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{
    Identity, LogReader, SegmentNumber, SnapshotFile, SnapshotHeader, snapshot_name,
};

use crate::engine::stopwatch;
use crate::error::{Chain, EngineError};
use crate::progress::{Progress, SnapshotTaken};
use crate::recovery::recover;

/// A segment that was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedSegment {
    pub(crate) number: SegmentNumber,
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
    /// Whether somebody waits for a snapshot.
    pub(crate) wanted: bool,
    /// SHA-256 that its snapshot must have, because that of the leader has it.
    pub(crate) expected: Option<[u8; 32]>,
}

pub(crate) struct Compactor {
    storage: Arc<dyn Storage>,
    closed: Receiver<ClosedSegment>,
    failures: Sender<EngineError>,
    progress: Arc<Progress>,
    /// Bytes of the segments that were closed since the last snapshot.
    waiting_bytes: u64,
}

impl Compactor {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        closed: Receiver<ClosedSegment>,
        failures: Sender<EngineError>,
        progress: Arc<Progress>,
    ) -> Self {
        Self { storage, closed, failures, progress, waiting_bytes: 0 }
    }

    /// Works until the writer is gone or the disk fails.
    pub(crate) fn run(&mut self) {
        while let Ok(closed) = self.closed.recv() {
            if !self.work(closed) {
                break;
            }
        }
        self.progress.end();
    }

    /// Does what waits, if anything does. `false` when the disk failed. For callers who have no
    /// thread for it.
    #[cfg(feature = "simulation")]
    pub(crate) fn step(&mut self) -> bool {
        self.closed.try_recv().map_or(true, |closed| self.work(closed))
    }

    /// Makes a snapshot of this closed segment and all that were closed since, if it is worth it.
    /// `false` when the disk failed.
    fn work(&mut self, first: ClosedSegment) -> bool {
        let mut newest = first;
        self.waiting_bytes += first.bytes;
        for closed in self.closed.try_iter() {
            self.waiting_bytes += closed.bytes;
            newest = ClosedSegment { wanted: newest.wanted || closed.wanted, ..closed };
        }
        // A snapshot costs what it writes; it is worth it when the log has grown by as much.
        let snapshot_bytes = self.progress.newest_snapshot().map_or(0, |taken| taken.bytes);
        if !newest.wanted && self.waiting_bytes < 2 * snapshot_bytes {
            return true;
        }
        let begun = stopwatch();
        let made = self.compact(&newest, begun);
        if made.is_err() {
            self.progress.attempt_ended(false, begun.elapsed());
        }
        match made {
            Ok(()) => self.waiting_bytes = 0,
            Err(EngineError::Log(error)) if error.is_out_of_space() => {
                tracing::error!(
                    "the disk is full, the snapshot is tried again at the next segment"
                );
                self.progress.snapshot_refused(newest.last_lsn);
            }
            Err(error) if error.is_corruption() && !is_divergence(&error) => {
                // What is in memory is right; stopping now would lose it.
                tracing::error!(error = %Chain(&error), "the log on disk is damaged, no snapshot can be made of it");
            }
            Err(error) => {
                drop(self.failures.try_send(error));
                return false;
            }
        }
        true
    }

    fn compact(&self, closed: &ClosedSegment, begun: Instant) -> Result<(), EngineError> {
        let last = closed.number;
        let because = "the service has it open";
        let file = "POOL".to_owned();
        let reader = LogReader::open(Arc::clone(&self.storage))?
            .ok_or(rewardpool_wal::Error::Missing { file, because })?;
        let recovered = recover(&reader, Some(last))?;
        let tail = &recovered.replayed.tail;
        let next = SnapshotPlace {
            identity: reader.identity(),
            chain: tail.chain(),
            next_segment: last.next(),
        };
        let taken =
            publish_snapshot(self.storage.as_ref(), &recovered.state, next, closed.expected)?;
        // Counted before anybody who waits for it hears of it.
        self.progress.attempt_ended(true, begun.elapsed());
        finish_snapshot(&self.storage, taken, &self.progress)
    }
}

fn is_divergence(error: &EngineError) -> bool {
    matches!(error, EngineError::Diverged { .. })
}

/// Where a snapshot stands in the log.
#[derive(Clone, Copy)]
pub(crate) struct SnapshotPlace {
    pub(crate) identity: Identity,
    pub(crate) chain: u32,
    pub(crate) next_segment: SegmentNumber,
}

/// Writes the snapshot of a state. Durable when it returns.
///
/// # Errors
/// [`EngineError::Diverged`] when its SHA-256 is not the expected one; nothing is written then.
pub(crate) fn publish_snapshot(
    storage: &dyn Storage,
    state: &State,
    place: SnapshotPlace,
    expected: Option<[u8; 32]>,
) -> Result<SnapshotTaken, EngineError> {
    let mut body = Vec::new();
    state.encode(&mut body);
    let lsn = state.last_lsn();
    let header = SnapshotHeader {
        identity: place.identity,
        lsn,
        chain: place.chain,
        next_segment: place.next_segment,
        time_ms: state.time_ms(),
        epoch: state.epoch().0,
    };
    if expected.is_some_and(|expected| expected != header.sha256(&body)) {
        let because = "the leader's snapshot of it has another SHA-256";
        return Err(EngineError::Diverged { lsn, because });
    }
    if is_on(Mutant::PruneBeforeSnapshot) {
        remove_snapshots(storage);
    }
    let sha256 = header.publish(storage, &body)?;
    let bytes = SnapshotFile::file_bytes(&body);
    Ok(SnapshotTaken { lsn, file: snapshot_name(lsn), bytes, sha256 })
}

/// What [`Mutant::PruneBeforeSnapshot`] does too early.
fn remove_snapshots(storage: &dyn Storage) {
    let names = storage.list().unwrap_or_default();
    for name in names.iter().filter(|name| name.starts_with("snapshot.")) {
        drop(storage.remove(name));
    }
}

/// Removes what the new snapshot makes superfluous and tells who waits.
pub(crate) fn finish_snapshot(
    storage: &Arc<dyn Storage>,
    taken: SnapshotTaken,
    progress: &Progress,
) -> Result<(), EngineError> {
    let reader = LogReader::open(Arc::clone(storage))?.expect("a snapshot stands in a log");
    let removed = reader.prune(progress.kept_for_feeds())?;
    let kept = |lsn: &u64| !removed.contains(&snapshot_name(*lsn));
    let snapshots = reader.snapshots().iter().copied().filter(kept).collect();
    tracing::info!(lsn = taken.lsn, file = taken.file, bytes = taken.bytes, "snapshot written");
    progress.snapshot_taken(taken, snapshots, &removed);
    Ok(())
}
