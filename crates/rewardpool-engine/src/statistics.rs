//! What the writer has done since the start, in numbers that anybody may read at any time.
//!
//! The writer adds to them once a commit, by plain stores that no lock guards: it is the only one
//! that does. So numbers that are read together may be one commit apart; each one for itself only
//! tells of what is durable.
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rewardpool_core::command::Rejection;
use rewardpool_core::state::State;

use crate::histogram::{Distribution, Histogram, add};
use crate::request::Refusal;

/// Every refusal. The version of a mismatch says nothing here.
const REFUSALS: [Refusal; 22] = [
    Refusal::Rejected(Rejection::UnknownPool),
    Refusal::Rejected(Rejection::UnknownItem),
    Refusal::Rejected(Rejection::RetiredItem),
    Refusal::Rejected(Rejection::ItemExists),
    Refusal::Rejected(Rejection::PoolExists),
    Refusal::Rejected(Rejection::PoolPaused),
    Refusal::Rejected(Rejection::PoolClosed),
    Refusal::Rejected(Rejection::InsufficientStock),
    Refusal::Rejected(Rejection::KeyReused),
    Refusal::Rejected(Rejection::UnknownKey),
    Refusal::Rejected(Rejection::KeysOff),
    Refusal::Rejected(Rejection::VersionMismatch { current: 0 }),
    Refusal::Rejected(Rejection::QuantityRange),
    Refusal::Rejected(Rejection::QuantityUnlimited),
    Refusal::Rejected(Rejection::TotalWeight),
    Refusal::Rejected(Rejection::Full),
    Refusal::Overloaded,
    Refusal::Expired,
    Refusal::OutOfSpace,
    Refusal::Follower,
    Refusal::Stopping,
    Refusal::OutcomeUnknown,
];

/// Counters of the engine.
#[derive(Default)]
pub(crate) struct Statistics {
    commits: AtomicU64,
    records: AtomicU64,
    draws: AtomicU64,
    empties: AtomicU64,
    refusals: [AtomicU64; REFUSALS.len()],
    durable_lsn: AtomicU64,
    last_request_id: AtomicU64,
    segment_used_bytes: AtomicU64,
    epoch: AtomicU32,
    commit_ns: Histogram,
    batch_draws: Histogram,
    is_conservation_broken: AtomicBool,
}

/// What the open batch adds when it is durable.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Staged {
    /// Records that somebody asked for.
    pub(crate) records: u64,
    pub(crate) draws: u64,
    pub(crate) empties: u64,
}

/// Draws that a state has made, which are counted once a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) draws: u64,
    pub(crate) empties: u64,
}

impl Counted {
    pub(crate) fn of(state: &State) -> Self {
        Self { draws: state.last_request_id(), empties: state.live_empties() }
    }
}

/// Where the log stands after a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) durable_lsn: u64,
    pub(crate) last_request_id: u64,
    pub(crate) segment_used_bytes: u64,
    pub(crate) epoch: u32,
}

/// The counters of the engine as of about one moment. They begin at the start of the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Batches with something that was asked for, written and synced.
    pub commits: u64,
    /// Records that were asked for.
    pub records: u64,
    /// Draws.
    pub draws: u64,
    /// Draws that won an item.
    pub awards: u64,
    /// Draws for which nothing was available.
    pub empties: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// The last record that is on disk.
    pub durable_lsn: u64,
    /// The last request id that is on disk; 0 before the first draw.
    pub last_request_id: u64,
    /// How long the write and sync of each commit took, in nanoseconds.
    pub commit_ns: Distribution,
    /// Draws of each commit that had any.
    pub batch_draws: Distribution,
}

impl Statistics {
    /// The log goes on from here.
    pub(crate) fn stand(&self, standing: Standing) {
        self.segment_used_bytes.store(standing.segment_used_bytes, Ordering::Relaxed);
        self.last_request_id.store(standing.last_request_id, Ordering::Relaxed);
        self.epoch.store(standing.epoch, Ordering::Relaxed);
        // Whoever sees it finds the records in the files.
        self.durable_lsn.store(standing.durable_lsn, Ordering::Release);
    }

    /// A batch is durable. What only the writer wanted is no commit.
    pub(crate) fn commit(&self, staged: Staged, took: Duration) {
        if staged.records == 0 {
            return;
        }
        add(&self.commits, 1);
        add(&self.records, staged.records);
        self.commit_ns.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if staged.draws > 0 {
            add(&self.draws, staged.draws);
            add(&self.empties, staged.empties);
            self.batch_draws.record(staged.draws);
        }
    }

    /// A request was refused, by whatever thread.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refusals[place(refusal)].fetch_add(1, Ordering::Relaxed);
    }

    /// All items were counted again.
    pub(crate) fn counted(&self, is_conserved: bool) {
        if !is_conserved {
            self.is_conservation_broken.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn conservation_ok(&self) -> bool {
        !self.is_conservation_broken.load(Ordering::Relaxed)
    }

    pub(crate) fn segment_used_bytes(&self) -> u64 {
        self.segment_used_bytes.load(Ordering::Relaxed)
    }

    /// Leadership epoch of the last batch.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The last record that is on disk.
    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable_lsn.load(Ordering::Acquire)
    }

    /// How often each refusal was given.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        let counts = self.refusals.iter().map(|count| count.load(Ordering::Relaxed));
        REFUSALS.into_iter().zip(counts)
    }

    pub(crate) fn read_into(&self, reading: &mut Reading) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        reading.commits = load(&self.commits);
        reading.records = load(&self.records);
        reading.draws = load(&self.draws);
        reading.empties = load(&self.empties);
        reading.awards = reading.draws.saturating_sub(reading.empties);
        reading.refusals = self.refusals.iter().map(load).sum();
        reading.durable_lsn = load(&self.durable_lsn);
        reading.last_request_id = load(&self.last_request_id);
        self.commit_ns.read_into(&mut reading.commit_ns);
        self.batch_draws.read_into(&mut reading.batch_draws);
    }
}

/// The place of a refusal among [`REFUSALS`].
fn place(refusal: Refusal) -> usize {
    match refusal {
        Refusal::Rejected(rejection) => match rejection {
            Rejection::UnknownPool => 0,
            Rejection::UnknownItem => 1,
            Rejection::RetiredItem => 2,
            Rejection::ItemExists => 3,
            Rejection::PoolExists => 4,
            Rejection::PoolPaused => 5,
            Rejection::PoolClosed => 6,
            Rejection::InsufficientStock => 7,
            Rejection::KeyReused => 8,
            Rejection::UnknownKey => 9,
            Rejection::KeysOff => 10,
            Rejection::VersionMismatch { .. } => 11,
            Rejection::QuantityRange => 12,
            Rejection::QuantityUnlimited => 13,
            Rejection::TotalWeight => 14,
            Rejection::Full => 15,
        },
        Refusal::Overloaded => 16,
        Refusal::Expired => 17,
        Refusal::OutOfSpace => 18,
        Refusal::Follower => 19,
        Refusal::Stopping => 20,
        Refusal::OutcomeUnknown => 21,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_place_of_its_own() {
        for (index, &refusal) in REFUSALS.iter().enumerate() {
            assert_eq!(place(refusal), index, "{refusal:?}");
        }
        let statistics = Statistics::default();
        statistics.refuse(Refusal::Rejected(Rejection::VersionMismatch { current: 7 }));
        statistics.refuse(Refusal::Expired);
        let given: Vec<Refusal> =
            statistics.refusals().filter(|(_, count)| *count == 1).map(|(r, _)| r).collect();
        let mismatch = Refusal::Rejected(Rejection::VersionMismatch { current: 0 });
        assert_eq!(given, [mismatch, Refusal::Expired]);
    }

    #[test]
    fn what_nobody_asked_for_is_no_commit() {
        let (statistics, mut reading) = (Statistics::default(), Reading::default());
        statistics.commit(Staged::default(), Duration::from_millis(1));
        statistics.read_into(&mut reading);
        assert_eq!(reading, Reading::default());
        let staged = Staged { records: 2, draws: 5, empties: 2 };
        statistics.commit(staged, Duration::from_nanos(7));
        statistics.commit(Staged { records: 1, ..Staged::default() }, Duration::from_nanos(9));
        statistics.read_into(&mut reading);
        assert_eq!((reading.commits, reading.records), (2, 3));
        assert_eq!((reading.draws, reading.awards, reading.empties), (5, 3, 2));
        assert_eq!((reading.commit_ns.count(), reading.commit_ns.sum()), (2, 16));
        assert_eq!((reading.batch_draws.count(), reading.batch_draws.sum()), (1, 5));
    }
}
