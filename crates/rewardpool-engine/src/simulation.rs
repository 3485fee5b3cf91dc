//! The engine one step at a time, on its caller's thread, disk, clock and random numbers: a
//! simulator can try any order of the steps and any failure of the disk, and try it again.
//!
//! These are the very parts that [`crate::Engine`] runs on threads; only the waiting is left out.
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use rewardpool_core::state::State;
use rewardpool_wal::LogReader;
use rewardpool_wal::storage::Storage;

use crate::compactor::Compactor;
use crate::config::EngineConfig;
use crate::engine::{CLOSED_SEGMENTS_MAX, Leadership, Origin, start};
use crate::error::EngineError;
use crate::handle::PoolRegistry;
use crate::progress::Progress;
use crate::recovery::{RecoveryReport, recover};
use crate::submission::Submission;
use crate::supplier::supply;
use crate::writer::{Now, Writer};

/// What the clocks show at a step.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Wall clock in milliseconds since 1970, which may jump.
    pub wall_ms: u64,
    /// The monotonic clock.
    pub instant: Instant,
}

impl From<Moment> for Now {
    fn from(moment: Moment) -> Self {
        Self { wall_ms: moment.wall_ms, instant: moment.instant }
    }
}

/// A running engine without threads. After an error only [`Steps::abandon`] may be called.
pub struct Steps {
    writer: Writer,
    compactor: Compactor,
    /// Whether the compactor works still: it ends when the disk fails.
    compacts: bool,
    failures: Receiver<EngineError>,
    recovery: RecoveryReport,
}

impl Steps {
    /// Starts as [`crate::Engine::open`] does, on any storage. `uuid` identifies the log if there
    /// is none yet.
    ///
    /// # Errors
    /// As [`crate::Engine::open`].
    pub fn open(
        storage: Arc<dyn Storage>,
        config: &EngineConfig,
        now: Moment,
        uuid: [u8; 16],
    ) -> Result<Self, EngineError> {
        let progress = Arc::new(Progress::default());
        let started = start(
            &storage,
            config,
            &progress,
            Origin { now: now.into(), uuid, leadership: Leadership::Kept },
        )?;
        let (failing, failures) = bounded(2);
        let (closed, closed_segments) = bounded(CLOSED_SEGMENTS_MAX);
        let (mut supply, supplier) = supply(Arc::clone(&storage), failing.clone());
        supply.set_inline(supplier);
        supply.order(config.segment_bytes);
        let compactor = Compactor::new(storage, closed_segments, failing, Arc::clone(&progress));
        let recovery = started.report.clone();
        let registry = Arc::new(PoolRegistry::default());
        let writer = started.into_writer(config, supply, closed, registry, progress);
        Ok(Self { writer, compactor, compacts: true, failures, recovery })
    }

    /// What the start found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// The state, which is ahead of the log between [`Steps::stage`] and [`Steps::commit`].
    pub fn state(&self) -> &State {
        &self.writer.state
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// The failure of a part that works beside the writer.
    pub fn begin_turn(&mut self, now: Moment) -> Result<(), EngineError> {
        if let Ok(failure) = self.failures.try_recv() {
            return Err(failure);
        }
        self.writer.begin_turn(now.into());
        Ok(())
    }

    /// Decides and stages a submission of the batch that was begun.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn stage(&mut self, submission: Submission, now: Moment) -> Result<(), EngineError> {
        self.writer.stage(submission, now.into())
    }

    /// Makes the batch durable and answers.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn commit(&mut self) -> Result<(), EngineError> {
        self.writer.commit()
    }

    /// What the writer does when it has been idle for a while.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn idle(&mut self, now: Moment) -> Result<(), EngineError> {
        self.begin_turn(now)?;
        if self.writer.is_unmarked { self.writer.mark() } else { Ok(()) }
    }

    /// Lets the part work that makes segments ahead. Its failure shows at the next turn.
    pub fn make_segment(&mut self) {
        self.writer.supply.make_inline();
    }

    /// Lets the part work that makes snapshots. Its failure shows at the next turn.
    pub fn make_snapshot(&mut self) {
        if self.compacts {
            self.compacts = self.compactor.step();
        }
    }

    /// Stops cleanly.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn close(self) -> Result<(), EngineError> {
        self.writer.close()
    }

    /// Refuses what was staged, after an error.
    pub fn abandon(mut self) {
        self.writer.abandon();
    }
}

/// Reads the state that a start would find, and changes nothing; `None` when there is no log.
///
/// # Errors
/// What a start would refuse with.
pub fn read(storage: Arc<dyn Storage>) -> Result<Option<State>, EngineError> {
    let Some(reader) = LogReader::open(storage)? else { return Ok(None) };
    Ok(Some(recover(&reader, None)?.state))
}
